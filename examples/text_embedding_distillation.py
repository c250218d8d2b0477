"""Messages to a few embeddings, to the sentences nearest to them, to a trained model.

Embeddings by kernel ridge regression, decoded to real messages, with their labels
as they were and solved again; beside messages that were chosen by the same loss.
Then a plain `transformers.Trainer` fine-tunes a fresh model on the chosen ones with
their soft labels, and one on as many random messages.

Offline, on a part of the shipped sample, in about a minute:
python examples/text_embedding_distillation.py
"""

import argparse
import copy
import tempfile
from typing import Any

import torch

import multidd
from multidd.text import Encoder, Texts, TextSummary, collator, soft_label_loss

LENGTH = 64
"""Tokens of a message at most."""


def arguments() -> argparse.Namespace:
    """How much of it, and with what."""
    parser = argparse.ArgumentParser(description="Distill, decode, train.")
    parser.add_argument("--model", help="encoder: hub id or folder; MiniLM if left out")
    parser.add_argument("--messages", type=int, default=1000, help="training messages")
    parser.add_argument("--tests", type=int, default=300, help="test messages")
    parser.add_argument("--per-class", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="of the Trainer")
    return parser.parse_args()


def fresh(encoder: Encoder, classes: int) -> Any:
    """The pre-trained transformer of an encoder, under a head that knows nothing."""
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(encoder.model.config)
    config.num_labels = classes
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    model.base_model.load_state_dict(encoder.model.state_dict(), strict=False)
    return model


def trained(summary: TextSummary, encoder: Encoder, steps: int) -> Any:
    """A model that a plain Trainer fine-tuned on the texts and labels of a summary."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            max_steps=steps,
            learning_rate=3e-4,
            per_device_train_batch_size=len(summary),
            remove_unused_columns=False,  # the collator reads them
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        trainer = Trainer(
            fresh(encoder, summary.num_classes),
            settings,
            train_dataset=summary.to_dataset(),
            data_collator=collator(
                encoder.tokenizer, summary.num_classes, max_length=LENGTH
            ),
            compute_loss_func=soft_label_loss,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer.model.eval()


def tested(model: Any, encoder: Encoder, test: Texts) -> float:
    """Share of the test messages that a model gets right."""
    results = []
    with torch.no_grad():
        for start in range(0, len(test), 50):
            texts = list(test.texts[start : start + 50])
            options = {"padding": True, "truncation": True, "max_length": LENGTH}
            batch = encoder.tokenizer(texts, return_tensors="pt", **options)
            results.append(model(**batch).logits.argmax(1))
    return float((torch.cat(results) == test.labels).float().mean())


def main() -> None:
    """Distill, decode, train, and print what each reaches."""
    args = arguments()
    whole = multidd.samples.sms()
    train = whole.train.split(args.messages, seed=0)[1]
    test = whole.test.split(args.tests, seed=0)[1]
    encoder = Encoder.of(args.model, max_length=LENGTH)

    size = args.per_class
    embeddings = multidd.text.kip(train, size, encoder=encoder, progress=False)
    same = multidd.text.to_sentences(embeddings, train, encoder=encoder)
    solved = multidd.text.resolved(same, train, encoder=encoder)
    chosen = multidd.text.pursuit(train, size, encoder=encoder)
    drawn = multidd.text.random(train, size, encoder=encoder)
    print(f"{len(embeddings)} for {len(train):,} messages, kernel predictor:")
    evaluator = multidd.text.Evaluator(test, encoder=encoder)
    for name, result in {
        "embeddings (kip)": embeddings,
        "decoded, same labels": same,
        "decoded, labels solved again": solved,
        "chosen texts (pursuit)": chosen,
        "random texts": drawn,
    }.items():
        report = multidd.evaluate(
            result, evaluator, models=["kernel"], seeds=1, progress=False
        )
        print(f"  {name:29} {report.accuracy('kernel'):.3f}")

    print(f"\n{solved.decode()}\n")
    print(f"{encoder.name} after {args.steps} steps of a Trainer:")
    for name, result in {
        "chosen texts (pursuit)": chosen,
        "random texts": drawn,
    }.items():
        accuracy = tested(trained(result, encoder, args.steps), encoder, test)
        print(f"  {name:29} {accuracy:.3f}")
    ham = float((test.labels == test.labels.mode().values).float().mean())
    print(f"  {'(always the larger class)':29} {ham:.3f}")


if __name__ == "__main__":
    main()
