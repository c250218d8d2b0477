"""From a log of interactions to a few synthetic users, and a report on them.

Of your own parquet, CSV or RecBole file:
python examples/summarize.py events.parquet --user u --item i --users 200

Offline, on the shipped sample, in half a minute:
python examples/summarize.py

It writes summary.parquet, and beside it a report (.md) and a picture (.png).
"""

import argparse
import pathlib

import numpy as np

import multidd
from multidd.recsys import InteractionLog, RecsysSummary


def arguments() -> argparse.Namespace:
    """What to read, what to make of it, and where to write that."""
    parser = argparse.ArgumentParser(description="Synthetic users of a log.")
    parser.add_argument("log", nargs="?", help="a file; the sample if left out")
    parser.add_argument("--user", help="column of users")
    parser.add_argument("--item", help="column of items")
    parser.add_argument("--min-user", type=int, help="fewest items of a user")
    parser.add_argument("--min-item", type=int, help="fewest users of an item")
    parser.add_argument("--users", type=int, default=30, help="synthetic users")
    parser.add_argument(
        "--length",
        type=lambda text: text if text == "mean" else int(text),
        help="items of a synthetic user, or mean; fractional rows if left out",
    )
    parser.add_argument("--steps", type=int, help="updates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default="summary.parquet")
    return parser.parse_args()


def read(args: argparse.Namespace) -> InteractionLog:
    """The log; each user's items are divided into training, validation and test."""
    if args.log is None:
        return multidd.samples.movietweetings()
    min_counts = {"min_user": args.min_user, "min_item": args.min_item}
    return multidd.recsys.load(
        args.log, args.seed, user=args.user, item=args.item, **min_counts
    )


def describe_log(log: InteractionLog) -> str:
    """What was read, and what was left out and why."""
    facts = log.describe()
    names = ("users", "items", "interactions", "train", "val", "test")
    lines = [f"{name}: {facts[name]:,}" for name in names]
    lines += [f"left out, {why}: {count:,}" for why, count in facts["dropped"].items()]
    return "\n".join(f"- {line}" for line in lines)


def copied(summary: RecsysSummary, log: InteractionLog, seed: int) -> str:
    """How alike synthetic users are to the real ones of one half of the log, and, to
    compare with, how alike real users of the other half are to these."""
    half = np.arange(log.num_users) % 2 == 0
    others = log.users(~half)
    real = multidd.recsys.random(others, others.num_users // 2, seed=seed)
    lines = ["Items shared with the nearest real user, of those of both:"]
    for name, rows in (("synthetic users", summary), ("other real users", real)):
        near = multidd.recsys.nearest_overlap(rows, log.users(half))
        lines.append(
            f"- {name}: {near.mean():.0%} on average, {near.max():.0%} at most"
        )
    return "\n".join(lines)


def main() -> None:
    """Read, distill, judge, write."""
    args = arguments()
    log = read(args)
    print(log, describe_log(log), sep="\n")

    summary = multidd.recsys.distill_cf(
        log, args.users, length=args.length, steps=args.steps, seed=args.seed
    )
    print(summary)
    table = multidd.evaluate(
        summary, log, models=["infinite_ae", "ease"], rows=["whole", "random"], seeds=1
    )
    alike = copied(summary, log, args.seed)
    print(table, alike, sep="\n")

    summary.to_parquet(args.out)
    summary.plot(args.out.with_suffix(".png"), data=log)
    parts = [
        "# Synthetic users",
        describe_log(log),
        f"`{summary}`",
        table.to_markdown(),
        alike,
    ]
    parts.append(f"![Popularity, lengths, rows]({args.out.with_suffix('.png').name})")
    args.out.with_suffix(".md").write_text("\n\n".join(parts) + "\n")
    print(f"wrote {args.out}, and a report (.md) and a picture (.png) beside it")


if __name__ == "__main__":
    main()
