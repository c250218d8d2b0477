"""Preparation and loop of methods on token vectors."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from multidd.data.splitting import check_count
from multidd.engine.options import RunSettings
from multidd.engine.recipe import Setup, learn, with_label_policy
from multidd.learning.optim import Adam, Optimizer
from multidd.objectives import Mix
from multidd.objectives.mix import Part
from multidd.parameterizations import Free, Mixtures
from multidd.protocols import Objective, Parameterization
from multidd.text.data.readers import as_texts
from multidd.text.data.texts import Texts
from multidd.text.methods.budget import plan
from multidd.text.methods.options import STARTS, TextOptions
from multidd.text.models.encoder import Encoder, encoder_settings
from multidd.text.models.vocabulary import Table
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.projection import Closeness, Snapped
from multidd.text.tasks.token_init import Fill
from multidd.text.tasks.token_task import TokenTask

__all__ = [
    "Finished",
    "LabelSpace",
    "Prepared",
    "Project",
    "TokenOptions",
    "label_optimizer",
    "learn_tokens",
]

Project = Literal["free", "straight_through", "softmax", "gumbel"]
"""How token vectors are tied to the rows of their table: not at all, by projection
straight through, or as convex mixtures of rows, without and with Gumbel noise."""

LabelSpace = Literal["real", "simplex"]
"""Learned labels are any real numbers, or stay probabilities."""

Prepared = Callable[
    [TokenTask, Parameterization, Objective], tuple[Parameterization, Objective]
]
"""What comes before a run."""

Finished = Callable[[TextSummary, Texts], TextSummary]
"""What comes after it: the set and the training texts to the set that is returned."""

MEANS = ("kmeans", "noise")
"""Starts that have no tokens."""


@dataclass(frozen=True, kw_only=True)
class TokenOptions(TextOptions):
    """Settings of token vectors, beside `TextOptions`.

    Attributes:
        length: tokens of a synthetic text; an encoder counts start and end.
        fill: what stands behind shorter texts; see `TokenTask`.
        clip: largest norm of the gradient of a group; None leaves it.

    Raises:
        ValueError: a setting out of range.

    Example:
        >>> TokenOptions(length=5).fill
        'pad'
    """

    length: int = 30
    fill: Fill = "pad"
    clip: float | None = None


def check_label_space(space: str) -> None:
    """Refuse another space of labels than there are.

    Raises:
        ValueError: it is neither `"real"` nor `"simplex"`.

    Example:
        >>> check_label_space("simplex")
    """
    if space not in get_args(LabelSpace):
        raise ValueError(f"label_space must be 'real' or 'simplex'; got {space!r}")


def learn_tokens(
    method: str,
    data: Any,
    per_class: int | None,
    total: int | None,
    table: Table,
    options: TokenOptions,
    objective: Objective,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
    recipe: Mapping[str, Any],
    learner: Any = None,
    project: Project = "free",
    temperature: float = 1.0,
    closeness: float = 0.0,
    center: bool = False,
    attention: float = 0.0,
    kernel: Mapping[str, Any] | None = None,
    prepared: Prepared | None = None,
    finished: Finished | None = None,
) -> TextSummary:
    """Run a method on token vectors.

    Args:
        method: name for the card.
        data: labelled texts, in any form that `as_texts` takes.
        per_class: texts of each class; or
        total: texts in all, each class by its size.
        table: a `StaticTable` or an `Encoder`.
        options: the shared settings.
        objective: what is matched.
        steps: updates.
        optimizer: of each learned group.
        run: settings of the run.
        recipe: settings of the method alone, for the card.
        learner: see `TokenTask`.
        project: see `Project`.
        temperature: of mixtures.
        closeness: weight of the penalty on the distance to the table.
        center: soft labels have mean zero.
        attention: weight of attention labels.
        kernel: settings of the kernel predictor of the set, for the card.
        prepared: what is done before the first step, once all is checked: the
            parameterization and the objective, changed.
        finished: what is done after the last step.

    Raises:
        ValueError: bad texts, budget or setting; says what would fit.
    """
    started = time.perf_counter()
    check_count("steps", steps, minimum=0)
    _check(options, project, closeness)
    texts = as_texts(data, text=options.text, pair=options.pair, label=options.label)
    val = None
    if run.select_best is not None:
        texts, val = texts.split(options.val_share, run.seed)
    counts = plan(texts, per_class, total)
    task = TokenTask(
        texts,
        table,
        learner,
        options.length,
        options.fill,
        options.batch_size,
        options.sampler,
        attention=attention,
        val=val,
    )
    learned = ("x", "attention") if attention else ("x",)
    base = Free(STARTS[options.init], counts, learned)
    form = _tied(task, base, project, temperature)
    form = with_label_policy(form, options.labels, center=center)
    if prepared is not None:
        form, objective = prepared(task, form, objective)
    if closeness:
        objective = Mix((Part(objective), Part(Closeness(), closeness)))
    shared: dict[str, Any] = {"per_class": per_class, "counts": list(counts)}
    shared |= options.shared_settings(total)
    shared |= {"length": options.length, "fill": options.fill, "project": project}
    shared |= {"closeness": closeness, "temperature": temperature}
    if isinstance(table, Encoder):
        shared |= {"encoder": encoder_settings(table)}
    if kernel is not None:
        shared |= {"kernel": dict(kernel)}
    summary = learn(
        method,
        Setup(task, form, shared, time.perf_counter() - started),
        objective,
        steps=steps,
        optimizer=optimizer,
        run=run,
        settings={**recipe, "steps": steps, "select_best": run.select_best},
    )
    return summary if finished is None else finished(summary, texts)


def label_optimizer(
    options: TextOptions,
    lr: float,
    steps: int,
    clip: float | None = None,
    space: LabelSpace = "real",
) -> dict[str, Optimizer]:
    """Of learned labels, for the optimizers of a run; nothing where they are fixed.

    Args:
        options: the shared settings: `labels`, and `lr_labels`.
        lr: where there is no `lr_labels`.
        steps: over which the rate falls to zero along a cosine.
        clip: largest norm of the gradient.
        space: see `LabelSpace`.

    Example:
        >>> options = TextOptions(labels="onehot", lr_labels=0.5)
        >>> label_optimizer(options, 0.1, 10)["y_soft"].lr
        0.5
    """
    if options.labels != "onehot":
        return {}
    rate = lr if options.lr_labels is None else options.lr_labels
    simplex = space == "simplex"
    return {"y_soft": Adam(lr=rate, cosine=steps, clip=clip, simplex=simplex)}


def _tied(
    task: TokenTask, base: Free, project: Project, temperature: float
) -> Parameterization:
    """The vectors, tied to their table."""
    if project == "free":
        return base
    vocabulary = task.vocabulary
    rows = vocabulary.rows[vocabulary.words.to(vocabulary.rows.device)]
    if project == "straight_through":
        return Snapped(base, rows)
    return Mixtures(base, rows, project, temperature)


def _check(options: TextOptions, project: str, closeness: float) -> None:
    if project not in get_args(Project):
        raise ValueError(
            f"project must be one of {', '.join(get_args(Project))}; got {project!r}"
        )
    if not 0 <= closeness < float("inf"):
        raise ValueError(
            f"closeness must be a number from 0; got {closeness}; vectors that never "
            "leave the table are project='straight_through'"
        )
    if closeness and project != "free":
        raise ValueError(
            f"closeness={closeness} is for project='free'; vectors under {project!r} "
            "are tied already"
        )
    if options.init in MEANS:
        raise ValueError(
            "token vectors start from real texts: init must be 'random', 'medoids', "
            f"'herding' or 'kcenter'; got {options.init!r}"
        )
    if options.labels.startswith("teacher"):
        raise ValueError(
            "labels of token vectors are 'hard', 'centered' or learned from 'onehot'; "
            f"got {options.labels!r}"
        )
