"""`rank_agreement`: whether settings chosen on a summary are those of whole data."""

import math
import statistics
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, runtime_checkable
from typing import Protocol as StructuralType

from multidd import modality
from multidd.arguments import public_function
from multidd.evaluation.evaluate import evaluate
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.report import Report
from multidd.evaluation.table import aligned
from multidd.protocols import Evaluator
from multidd.summary import DataSummary

__all__ = ["Candidate", "RankAgreement", "kendall", "rank_agreement", "regret_of"]


@dataclass(frozen=True)
class Candidate:
    """One setting, trained on whole data, on the summary and on random records.

    Attributes:
        name: the model, and the protocol or rate where these differ.
        whole: mean score of training on whole data.
        summary: mean score that the choice goes by, of training on the summary.
        random: the same of random records of the summary's size.
    """

    name: str
    whole: float
    summary: float
    random: float


@dataclass(frozen=True, repr=False)
class RankAgreement:
    """How well a summary ranks settings that are to be used on whole data.

    Attributes:
        candidates: at least two, in the order in which they were given.
        metric: what scores are.
        chosen_on: `"validation data"`, or `"test data"` where there were no others.

    Example:
        >>> agreement = RankAgreement(
        ...     (Candidate("gcn", 0.8, 0.7, 0.5), Candidate("mlp", 0.6, 0.5, 0.55)),
        ...     "accuracy",
        ... )
        >>> agreement.tau, agreement.regret, round(agreement.random_regret, 2)
        (1.0, 0.0, 0.2)
    """

    candidates: tuple[Candidate, ...]
    metric: str
    chosen_on: str = "test data"

    @property
    def tau(self) -> float | None:
        """Kendall's tau of the scores on the summary and on whole data."""
        return kendall(self._scores("summary"), self._scores("whole"))[0]

    @property
    def p_value(self) -> float | None:
        """Of no association, two-sided."""
        return kendall(self._scores("summary"), self._scores("whole"))[1]

    @property
    def random_tau(self) -> float | None:
        """The same of random records in the place of the summary."""
        return kendall(self._scores("random"), self._scores("whole"))[0]

    @property
    def regret(self) -> float:
        """What the choice on the summary costs on whole data."""
        return regret_of(self._scores("summary"), self._scores("whole"))

    @property
    def random_regret(self) -> float:
        """What the choice on random records costs."""
        return regret_of(self._scores("random"), self._scores("whole"))

    @property
    def blind_regret(self) -> float:
        """What a choice by lot costs, in the mean."""
        whole = self._scores("whole")
        return max(whole) - statistics.fmean(whole)

    @property
    def choice(self) -> Candidate:
        """The candidate that the summary ranks first."""
        return max(self.candidates, key=lambda one: one.summary)

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        regrets = (self.regret, self.random_regret, self.blind_regret)
        costs = [f"{100 * value:.1f}" for value in regrets]
        warning = ""
        if self.chosen_on != "validation data":
            warning = (
                " The choice looked at the test data: give val= to choose on others."
            )
        return (
            f"The summary ranks {len(self.candidates)} settings as whole data do by "
            f"tau {_shown(self.tau)} (random records {_shown(self.random_tau)}); its "
            f"choice, {self.choice.name}, costs {costs[0]} points of {self.metric} "
            f"(random records {costs[1]}, by lot {costs[2]}).{warning}"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {
            "metric": self.metric,
            "chosen_on": self.chosen_on,
            "tau": self.tau,
            "p_value": self.p_value,
            "random_tau": self.random_tau,
            "regret": self.regret,
            "random_regret": self.random_regret,
            "blind_regret": self.blind_regret,
            "choice": self.choice.name,
            "candidates": [vars(one) for one in self.candidates],
            "sentence": self.sentence,
        }

    def __str__(self) -> str:
        head = ["setting", "whole %", "summary %", "random %"]
        rows = [
            [
                one.name,
                *(f"{100 * v:.1f}" for v in (one.whole, one.summary, one.random)),
            ]
            for one in self.candidates
        ]
        return f"{aligned([head, *rows], None)}\n{self.sentence}"

    def __repr__(self) -> str:
        return (
            f"RankAgreement({len(self.candidates)} settings, tau={_shown(self.tau)}, "
            f"regret={self.regret:.3f})"
        )

    def _scores(self, name: str) -> list[float]:
        return [getattr(one, name) for one in self.candidates]


@runtime_checkable
class ValidatingEvaluator(StructuralType):
    """An evaluator whose data have validation records of their own."""

    def on_validation(self, protocol: Protocol) -> Evaluator | None:
        """One that tests on validation records; None where they choose already."""


@public_function
def rank_agreement(
    summary: DataSummary | Sequence[DataSummary],
    on: Any,
    *,
    train: Any = None,
    val: Any = None,
    models: Sequence[Any] | None = None,
    protocols: Sequence[str | Protocol] | None = None,
    lrs: Sequence[float] = (),
    seeds: int | Sequence[int] = 1,
    inductive: bool = False,
    cache: bool = True,
    executor: Executor | None = None,
) -> RankAgreement:
    r"""How well settings that are chosen on a summary do on whole data.

    Every candidate is trained on the summary, on random records of its size and on
    whole data. With $a_i$ the scores on whole data and $b_i$ those on the summary,

    $$\tau = \frac{C - D}{\sqrt{(C + D + T_a)(C + D + T_b)}}, \qquad
    \mathrm{regret} = \max_i a_i - a_{\arg\max_i b_i}$$

    where C and D count pairs that both rank alike and unlike, and T pairs that one of
    the two does not tell apart.

    Args:
        summary: one summary, or several of one method.
        on: real data to test on, or an evaluator, as `multidd.evaluate` takes it.
        train: real training data, where `on` does not hold them too.
        val: real data that the choice looks at, neither training nor test data, or an
            evaluator of them. A graph and a log have their own; without any the choice
            looks at `on`, and the result says so.
        models: candidates, as `multidd.evaluate` takes them: names, classes, estimators
            or settings such as `EASE(ridge=10.0)`; the modality's first one unless
            given.
        protocols: candidates, each with every model; the modality's first one unless
            given.
        lrs: learning rates, each with every model and protocol.
        seeds: trainings of each, or their seeds; scores are means over them.
        inductive: as of `multidd.evaluate`.
        cache: keep whole-data scores for the next call.
        executor: any `concurrent.futures.Executor`, as of `multidd.evaluate`.

    Returns:
        A `RankAgreement`.

    Raises:
        TypeError: settings beside an evaluator, which has its own.
        ValueError: fewer than two candidates, or what `multidd.evaluate` refuses.

    Reference:
        Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 1945 (tau-b);
        Such et al., "Generative Teaching Networks", ICML 2020 (search on synthetic
        data).

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(80, 40, 1600).split()
        >>> few = multidd.recsys.kmeans(log, users=10)
        >>> models = [multidd.recsys.EASE(ridge=ridge) for ridge in (1.0, 10.0, 100.0)]
        >>> agreement = rank_agreement(few, log, models=models, protocols=["untuned"])
        >>> len(agreement.candidates), agreement.chosen_on
        (3, 'validation data')
    """
    summaries = [summary] if isinstance(summary, DataSummary) else list(summary)
    if not summaries:
        raise ValueError("no summary was given")
    settings = {"train": train} if train is not None else {}
    settings |= {"inductive": True} if inductive else {}
    if isinstance(on, Evaluator) and settings:
        raise TypeError(
            f"on is an evaluator, which has its own settings; give it "
            f"{', '.join(settings)}, not rank_agreement"
        )
    evaluator = _evaluator(summaries, on, settings)
    judge = None if val is None else _evaluator(summaries, val, settings)
    tried = _candidates(evaluator, models, protocols, lrs)
    if len(tried) < 2:
        raise ValueError(
            "there must be two candidates or more to rank: give several of models, "
            f"protocols or lrs; got {len(tried)}"
        )

    def report_on(
        other: Evaluator, model: Any, protocol: Protocol, rows: list[str]
    ) -> Report:
        return evaluate(
            summaries,
            other,
            models=model,
            protocol=protocol,
            rows=rows,
            seeds=seeds,
            regimes=(),
            cache=cache,
            progress=False,
            executor=executor,
        )

    metric, results, apart = evaluator.metric, [], True
    for name, model, protocol in tried:
        report = report_on(evaluator, model, protocol, ["whole", "random"])
        means = _means(report)
        choosing = judge
        if choosing is None and isinstance(evaluator, ValidatingEvaluator):
            choosing = evaluator.on_validation(protocol)
        if choosing is not None:
            few = _means(report_on(choosing, model, protocol, ["random"]))
        else:
            few, held_out = _chosen_by(report)
            apart = apart and held_out
        results.append(Candidate(name, means["whole"], few["summary"], few["random"]))
    place = "validation data" if apart else "test data"
    return RankAgreement(tuple(results), metric, place)


def kendall(
    first: Sequence[float], second: Sequence[float]
) -> tuple[float | None, float | None]:
    """Kendall's tau-b of two rows of scores, and its p-value.

    Args:
        first, second: scores of the same things.

    Returns:
        Both None where one of the rows tells nothing apart.

    Example:
        >>> kendall([1.0, 2.0, 3.0], [2.0, 1.0, 3.0])[0].__round__(3)
        0.333
        >>> kendall([1.0, 1.0], [2.0, 1.0])
        (None, None)
    """
    from scipy.stats import kendalltau

    if len(set(first)) < 2 or len(set(second)) < 2:
        return None, None
    result = kendalltau(first, second)
    return float(result.statistic), float(result.pvalue)


def regret_of(choosing: Sequence[float], whole: Sequence[float]) -> float:
    """What the best by one row of scores lacks to the best by another.

    Args:
        choosing: scores that the choice goes by; of equal ones the first is taken.
        whole: scores that count.

    Example:
        >>> round(regret_of([0.2, 0.9, 0.5], [0.8, 0.7, 0.6]), 3)
        0.1
    """
    best = max(range(len(choosing)), key=lambda i: choosing[i])
    return max(whole) - whole[best]


def _evaluator(
    summaries: Sequence[DataSummary], on: Any, settings: dict[str, Any]
) -> Evaluator:
    """The evaluator that was given, or the modality's of the data that was given."""
    if isinstance(on, Evaluator):
        return on
    kind = summaries[0].kind
    evaluator: Evaluator = modality.parts(kind).evaluators[kind](on, **settings)
    return evaluator


def _candidates(
    evaluator: Evaluator,
    models: Sequence[Any] | None,
    protocols: Sequence[str | Protocol] | None,
    lrs: Sequence[float],
) -> list[tuple[str, Any, Protocol]]:
    """Name, model and protocol of each."""
    known = evaluator.protocols
    names = [next(iter(known))] if protocols is None else protocols
    names = [names] if isinstance(names, str | Protocol) else names
    models = [models] if isinstance(models, str) else models
    for name in names:
        if not isinstance(name, Protocol) and name not in known:
            raise ValueError(
                f"protocol must be one of {', '.join(known)}; got {name!r}"
            )
    trainings = [p if isinstance(p, Protocol) else known[p] for p in names]
    if models is None:
        models = list(evaluator.models[:1])
    results = []
    for model in models:
        for training in trainings:
            parts = [_label(model)] + [training.name] * (len(trainings) > 1)
            if not lrs:
                results.append((" ".join(parts), model, training))
            for lr in lrs:
                name = " ".join([*parts, f"lr={lr:g}"])
                results.append((name, model, replace(training, lr=lr)))
    return results


def _label(model: Any) -> str:
    """A name, what makes modules by its name, or settings as they print."""
    if isinstance(model, str):
        return model
    if isinstance(model, type) or not (is_dataclass(model) or hasattr(model, "fit")):
        return str(getattr(model, "__name__", type(model).__name__))
    if not is_dataclass(model):
        return " ".join(repr(model).split())
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    changed = [f for f in fields(model) if values[f.name] != f.default]
    parts = ", ".join(f"{field.name}={values[field.name]!r}" for field in changed)
    return f"{type(model).__name__}({parts})"


def _means(report: Report) -> dict[str, float]:
    """Mean score of the summary, of random records and of whole data."""
    names = {"summary": report.method, "random": "random", "whole": "whole"}
    rows = {row.name: row for row in report.rows}
    return {
        name: rows[row].mean(report.metric)
        for name, row in names.items()
        if row in rows
    }


def _chosen_by(report: Report) -> tuple[dict[str, float], bool]:
    """Scores on validation data, where every row has them; else those on test data."""
    rows = {"summary": report.method, "random": "random"}
    chosen = {}
    for name, row in rows.items():
        values = next(one.values for one in report.rows if one.name == row)
        scores = values.get("val_accuracy")
        if scores is None:
            means = _means(report)
            return {"summary": means["summary"], "random": means["random"]}, False
        chosen[name] = statistics.fmean(scores)
    return chosen, True


def _shown(tau: float | None) -> str:
    return "none" if tau is None or math.isnan(tau) else f"{tau:.2f}"
