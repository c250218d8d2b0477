"""Five questions about synthetic users, each answered by a table.

python examples/recsys_study.py curve     how many users does it take?
python examples/recsys_study.py noise     what do random clicks in the log do?
python examples/recsys_study.py merge     can a summary grow with the log?
python examples/recsys_study.py search    does it rank settings as the log does?
python examples/recsys_study.py discrete  what do whole interactions cost?

They run offline on the shipped sample, some for many minutes; `--data ml-100k` or a
file of yours takes its place, `--seeds 1 --users 20 --steps 25` gives a quick look.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas
from scipy.sparse import csr_array
from scipy.stats import kendalltau

import multidd
from multidd.recsys import (
    ALS,
    EASE,
    DistillCFOptions,
    InteractionLog,
    ItemKNN,
    RecsysSummary,
)
from multidd.recsys.data.generators import with_noise
from multidd.recsys.models.metrics import measure
from multidd.seeds import at

MODELS = ("infinite_ae", "ease")
SELECTIONS = ("random", "nystrom", "head", "herding", "kmeans", "svp", "interactions")
SHARES = (0.0, 0.1, 0.3, 0.5)
SETTINGS = (
    *(EASE(ridge=ridge) for ridge in (10.0, 100.0, 500.0, 2000.0)),
    *(ItemKNN(neighbours=k) for k in (20, 50, 100, 500)),
    *(ALS(factors=f, ridge=r) for f in (16, 64) for r in (10.0, 50.0)),
)

Record = dict[str, Any]
"""One training: what on, which model, its score, seconds to make the training set."""


@dataclass(frozen=True)
class Study:
    """What all questions are asked of.

    Attributes:
        log: interactions with validation and test items.
        users: numbers of synthetic users; all but the curve take the first.
        seeds: each is a run of its own.
        steps: updates; None takes the method's own number.
        out: a picture to write.
    """

    log: InteractionLog
    users: list[int]
    seeds: range
    steps: int | None
    out: str

    def distilled(
        self,
        seed: int,
        log: InteractionLog | None = None,
        users: int | None = None,
        length: Literal["mean"] | None = None,
        warm_start: RecsysSummary | None = None,
    ) -> RecsysSummary:
        """Synthetic users of the log, or of another one."""
        return multidd.recsys.distill_cf(
            log or self.log,
            users or self.users[0],
            length=length,
            steps=self.steps,
            options=DistillCFOptions(warm_start=warm_start),
            seed=seed,
        )

    def random(self, seed: int, users: int | None = None) -> RecsysSummary:
        """As many real users."""
        users = self.users[0] if users is None else users
        return multidd.recsys.random(self.log, users, seed=seed)


def scored(
    label: str,
    summary: RecsysSummary,
    log: InteractionLog,
    models: tuple[str, ...] = MODELS,
    rows: tuple[str, ...] = (),
) -> Iterator[Record]:
    """Test scores of models trained on a summary, and on rows beside it."""
    seeds = [summary.card.seed]
    report = multidd.evaluate(summary, log, models=models, rows=rows, seeds=seeds)
    for row in report.rows:
        yield {
            "row": label if row.name == report.method else row.name,
            "users": row.size or log.num_users,
            "model": f"HR@10 {row.model}",
            "score": 100 * row.mean("hr@10"),
            "seconds": row.distill_seconds,
        }


def show(
    records: list[Record],
    by: tuple[str, ...] = ("row", "users"),
    across: str = "model",
) -> None:
    """A line for each training set, means and deviations over seeds."""
    frame, keys = pandas.DataFrame(records), list(by)
    table = frame.pivot_table("score", keys, across, aggfunc=spread, sort=False)
    if across == "model":
        table["seconds"] = frame.groupby(keys, sort=False)["seconds"].mean().round(1)
    print(table.reset_index().to_string(index=False, na_rep=""))


def spread(values: pandas.Series) -> str:
    """Mean and standard deviation over seeds."""
    return f"{values.mean():.2f} ± {values.std(ddof=int(len(values) > 1)):.2f}"


def curve(study: Study) -> None:
    """Quality against the number of users, beside selections of as many real ones."""
    records: list[Record] = []
    for users in study.users:
        for seed in study.seeds:
            summary = study.distilled(seed, users=users)
            rows = scored("distill_cf", summary, study.log, MODELS[:1], SELECTIONS)
            # Random interactions are as many, but in more rows.
            records += [record | {"users": users} for record in rows]
    show(records, ("row",), "users")
    beside = scored("", study.random(0), study.log, MODELS[:1], ("whole",))
    whole = round(next(beside)["score"], 2)
    print("whole log:", whole)
    seconds = [r | {"score": r["seconds"]} for r in records if r["row"] == "distill_cf"]
    show(seconds, ("row",), "users")
    multidd.recsys.plot_curve(points(records), study.out, whole=whole)
    print("seconds of distilling; drawn:", study.out)


def points(records: list[Record]) -> dict[str, list[tuple[int, float, float]]]:
    """Row -> users, mean and deviation, as the picture takes them."""
    lines: dict[str, list[tuple[int, float, float]]] = {"distill_cf": []}  # the first
    groups = pandas.DataFrame(records).groupby(["row", "users"], sort=False)["score"]
    for (row, users), scores in groups:
        deviation = scores.std(ddof=int(len(scores) > 1))
        lines.setdefault(row, []).append((users, scores.mean(), deviation))
    return lines


def noise(study: Study) -> None:
    """Training items replaced by random ones, in what is known of test users too; the
    items to be found stay clean."""
    records: list[Record] = []
    for share in SHARES:
        for seed in study.seeds:
            noisy = with_noise(study.log, share, seed)
            summary = study.distilled(seed, log=noisy)
            rows = scored("distill_cf", summary, noisy, rows=("whole", "random"))
            records += [record | {"noise": share} for record in rows]
    show(records, ("noise", "row", "users"))


def merge(study: Study) -> None:
    """A summary of half of the users, then of the other half with it as the start."""
    records: list[Record] = []
    log, users = study.log, study.users[0]
    for seed in study.seeds:
        order = np.random.default_rng(seed).permutation(log.num_users)
        first, second = (log.users(half) for half in np.array_split(order, 2))
        older = study.distilled(seed, log=first)
        rows = {
            "first half": older,
            "second half": study.distilled(seed, log=second),
            "second, first kept": study.distilled(seed, log=second, warm_start=older),
            "all at once": study.distilled(seed, users=2 * users),
            "random": study.random(seed, 2 * users),
        }
        for label, summary in rows.items():
            beside = () if records else ("whole",)
            records += scored(label, summary, log, rows=beside)
    show(records)


def discrete(study: Study) -> None:
    """Rows of zeros and ones, as models of real histories need them."""
    records: list[Record] = []
    models = (*MODELS, "lightgcn")
    for seed in study.seeds:
        dense = study.distilled(seed)
        means = multidd.recsys.kmeans(study.log, study.users[0], seed=seed)
        rows = {
            "dense": dense,
            "dense, largest": dense.binarize(),
            "dense, drawn": dense.binarize(how="sample", seed=seed),
            "distilled as whole": study.distilled(seed, length="mean"),
            "kmeans": means,
            "kmeans, largest": means.binarize(),
            "random": study.random(seed),
        }
        for label, summary in rows.items():
            beside = () if records else ("whole",)
            records += scored(label, summary, study.log, models, beside)
    show(records)


def search(study: Study) -> None:
    """Settings of recommenders, ranked on few users in place of the log.

    Regret is what the setting chosen lacks of the best one, both trained on the log.
    """
    log = study.log
    truth, seconds = validated(log, log.train, np.ones(log.num_users))
    for setting, value in zip(SETTINGS, truth, strict=True):
        print(f"{value:6.2f}  {setting}")
    records = ranked("whole", log.num_users, truth, truth, seconds)
    for seed in study.seeds:
        dense = study.distilled(seed)
        rows = {
            "distilled": dense,
            "distilled, sharpened": multidd.recsys.sharpened(dense),
            "distilled as whole": study.distilled(seed, length="mean"),
            "kmeans": multidd.recsys.kmeans(log, study.users[0], seed=seed),
            "random": study.random(seed),
        }
        for label, summary in rows.items():
            values, seconds = validated(log, summary.to_csr(), summary.weight)
            records += ranked(label, summary.num_users, truth, values, seconds)
    show(records)
    print("seconds: of training and validating all settings")


def validated(
    log: InteractionLog, rows: csr_array, weight: np.ndarray
) -> tuple[list[float], float]:
    """NDCG@10 on validation items of each setting, trained on rows; and the seconds.

    Rows weigh as much as the log, by the sum of squares of their entries: a ridge that
    is right for the log is right for them then.
    """
    started = time.perf_counter()
    weight = weight * (log.train.nnz / (weight @ rows.multiply(rows)).sum())
    scorers = (setting.train(rows, weight, at(0, "search")) for setting in SETTINGS)
    values = [
        100 * measure(scorer, log.train, log.val, "ndcg@10") for scorer in scorers
    ]
    return values, time.perf_counter() - started


def ranked(
    label: str, users: int, truth: list[float], values: list[float], seconds: float
) -> list[Record]:
    """How like the log's own values of the settings others are."""
    kinds = [type(setting) for setting in SETTINGS]
    pairs = np.array([truth, values])
    within = [tau(*pairs[:, [k is kind for k in kinds]]) for kind in set(kinds)]
    scores = {
        "Kendall's tau": tau(truth, values),
        "tau within a model": np.mean(within),
        "regret": max(truth) - truth[int(np.argmax(values))],
    }
    same = {"row": label, "users": users, "seconds": seconds}
    return [same | {"model": name, "score": score} for name, score in scores.items()]


def tau(one: Any, other: Any) -> float:
    """Kendall's tau; 0 where all values are the same, which ranks nothing."""
    return float(np.nan_to_num(kendalltau(one, other).statistic))


STUDIES: dict[str, Callable[[Study], None]] = {
    study.__name__: study for study in (curve, noise, merge, search, discrete)
}


def main(words: list[str] | None = None) -> None:
    """Ask one of the questions."""
    parser = argparse.ArgumentParser(description="Studies of synthetic users.")
    parser.add_argument("what", choices=STUDIES)
    parser.add_argument("--data", default="sample:movietweetings")
    parser.add_argument("--users", type=int, nargs="+", help="synthetic users")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, help="updates of each distilling")
    parser.add_argument("--out", default="curve.png", help="picture of the curve")
    args = parser.parse_args(words)
    usual = [10, 20, 50, 100, 200, 500] if args.what == "curve" else [50]
    log = multidd.recsys.load(args.data)
    print(log)
    users = args.users or usual
    STUDIES[args.what](Study(log, users, range(args.seeds), args.steps, args.out))


if __name__ == "__main__":
    main()
