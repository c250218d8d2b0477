"""A training set that one can read: a few real messages, chosen by a loss.

Prints them with their soft labels, and what models learn from them beside as many
random messages and medoids of clusters: a kernel predictor and logistic regression on
the features they were chosen with, and a TextCNN on word vectors, which had no part in
the choice.

Offline, on a part of the shipped sample, in under a minute:
python examples/readable_summary.py
"""

import argparse

import multidd
from multidd.text import Encoder


def arguments() -> argparse.Namespace:
    """How much of it, and with what."""
    parser = argparse.ArgumentParser(description="Choose, print, compare.")
    parser.add_argument("--model", help="encoder: hub id or folder; MiniLM if left out")
    parser.add_argument("--messages", type=int, default=1000, help="training messages")
    parser.add_argument("--tests", type=int, default=500, help="test messages")
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each model")
    parser.add_argument("--protocol", default="text", help="how models are trained")
    return parser.parse_args()


def main() -> None:
    """Choose, print, compare."""
    args = arguments()
    whole = multidd.samples.sms()
    train = whole.train.split(args.messages, seed=0)[1]
    test = whole.test.split(args.tests, seed=0)[1]
    encoder = Encoder.of(args.model, max_length=64)

    summary = multidd.text.pursuit(train, args.per_class, encoder=encoder)
    print(f"{summary}\n\n{summary.decode()}\n")
    report = multidd.evaluate(
        summary,
        multidd.text.Evaluator(test, train=train, encoder=encoder),
        models=["kernel", "logistic", "textcnn"],
        rows=["whole", "random", "medoids"],
        seeds=args.seeds,
        protocol=args.protocol,
        progress=False,
    )
    print(report)


if __name__ == "__main__":
    main()
