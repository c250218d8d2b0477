"""Trainings side by side, measured: a line of `multidd bench scale`."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from multidd.evaluation.evaluate import evaluate
from multidd.graph.data.benchmarks import load_for_evaluation
from multidd.graph.evaluation.evaluator import Evaluator
from multidd.graph.methods.selection import kmeans
from multidd.parallel.jobs import mapped
from multidd.parallel.pools import workers

__all__ = ["evaluations"]


@contextmanager
def evaluations() -> Iterator[Mapping[str, Callable[[], Any]]]:
    """Twelve trainings on Cora: two models, two sets of 70 nodes, three seeds.

    Yields:
        Way -> what evaluates so: in this process, by two workers that have loaded what
        they need, and by two that have not. Each gives the scores of every row, which
        are to be the same.
    """
    data, exam = load_for_evaluation("sample:cora")
    summary = kmeans(data, nodes=70)
    evaluator = Evaluator(**exam)

    def scores(executor: Any = None) -> Any:
        report = evaluate(
            summary,
            evaluator,
            models=["gcn", "sage"],
            rows=["random"],
            regimes=(),
            seeds=3,
            cache=False,
            progress=False,
            executor=executor,
        )
        return [list(row.values[report.metric]) for row in report.rows]

    def with_start() -> Any:
        with workers(2, threads=1) as executor:
            return scores(executor)

    with workers(2, threads=1) as executor:
        mapped(_loaded, range(2), executor)
        yield {
            "one process": scores,
            "2 workers": lambda: scores(executor),
            "2 workers and their start": with_start,
        }


def _loaded(number: int) -> None:
    """What a worker loads at its first training."""
    assert Evaluator.models
    time.sleep(1)  # so that the other job goes to the other worker
