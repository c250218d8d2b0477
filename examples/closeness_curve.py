"""What it costs that learned token vectors are words: one knob, as a table and a curve.

Token vectors of a few messages are learned through a frozen encoder, drawn to the words
of its table by `closeness=`: at 0 they lie anywhere, and the words nearest to them hold
little of what they do; with more of it they come nearer to words and hold less. The
last row takes words at every step (`project="straight_through"`), and swaps them for
better ones when the steps are done. Decoded text is judged from its strings, with the
labels that were learned and with labels solved again. Batches are drawn by class: one
message in eight is spam.

Offline, on a part of the shipped sample, in a minute and a half:
python examples/closeness_curve.py
"""

import argparse
from dataclasses import replace
from typing import Any

import multidd
from multidd.evaluation.table import aligned
from multidd.text import (
    Encoder,
    TextSummary,
    TokensOptions,
    resolved,
    to_words,
    tokens,
)

HEAD = ["closeness", "embeddings", "decoded", "labels solved again", "similarity"]


def arguments() -> argparse.Namespace:
    """How much of it, and with what."""
    parser = argparse.ArgumentParser(description="Learn, decode, compare, draw.")
    parser.add_argument("--data", default="sample:sms", help="as multidd.text.load")
    parser.add_argument("--model", help="encoder: hub id or folder; MiniLM if left out")
    parser.add_argument("--messages", type=int, default=1000, help="training texts")
    parser.add_argument("--tests", type=int, default=400, help="test texts")
    parser.add_argument("--per-class", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument(
        "--closeness", type=float, nargs="+", default=[0.0, 0.03, 0.1, 0.3]
    )
    parser.add_argument("--swaps", type=int, default=3, help="rounds, for words")
    parser.add_argument("--out", default="closeness.png")
    return parser.parse_args()


def scores(
    summary: TextSummary, train: Any, test: Any, encoder: Encoder
) -> tuple[list[float], float]:
    """Macro F1 of vectors, of their text, and of it with labels solved again; and how
    like the words the vectors are."""
    text = to_words(summary, encoder)
    stages = (summary, text, resolved(text, train, encoder=encoder))
    on = multidd.text.Evaluator(test, encoder=encoder)
    results = [
        multidd.evaluate(one, on, models=["kernel"], seeds=1, progress=False).value(
            "kernel", "macro_f1"
        )
        for one in stages
    ]
    return results, text.card.settings["decoding"]["similarity"]


def draw(rows: list[tuple[str, list[float]]], path: str) -> None:
    """The curves of the knob, and the words of every step as lines beside them."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(6, 3.6), layout="constrained")).subplots()
    *knob, tied = rows
    names = ("embeddings", "decoded text, same labels", "decoded text, labels solved")
    for place, name in enumerate(names):
        values = [100 * result[place] for _, result in knob]
        color = f"C{place}"
        axes.plot(range(len(knob)), values, "o-", color=color, label=name)
        axes.plot(len(knob), 100 * tied[1][place], "s", color=color)
    axes.set_xticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xlabel("closeness")
    axes.set_ylabel("macro F1 on test texts, %")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Learn with each value of the knob, decode, judge, print and draw."""
    args = arguments()
    whole = multidd.text.load(args.data)
    train = whole.train.split(args.messages, seed=0)[1]
    test = whole.test.split(args.tests, seed=0)[1]
    encoder = Encoder.of(args.model, max_length=64)
    by_class = TokensOptions(sampler="class", batch_size=60)
    settings = [
        (f"{value:g}", replace(by_class, closeness=value)) for value in args.closeness
    ]
    words = replace(by_class, project="straight_through", swaps=args.swaps)
    settings.append(("words", words))
    lines, rows = [HEAD], []
    for name, options in settings:
        summary = tokens(
            train, args.per_class, encoder=encoder, steps=args.steps, options=options
        )
        result, alike = scores(summary, train, test, encoder)
        rows.append((name, result))
        lines.append([name, *(f"{100 * one:.1f}" for one in result), f"{alike:.2f}"])
    print(f"macro F1 %, {args.per_class} of each class\n\n{aligned(lines)}")
    draw(rows, args.out)
    print(f"\npicture: {args.out}")


if __name__ == "__main__":
    main()
