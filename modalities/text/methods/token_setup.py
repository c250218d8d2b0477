"""Preparation and loop of recipes of token vectors."""

import time
from collections.abc import Callable, Mapping
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
from multidd.text.methods.options import STARTS, Settings
from multidd.text.methods.setup import described, encoder_settings
from multidd.text.models.encoder import Encoder
from multidd.text.models.vocabulary import Table
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.projection import Closeness, Snapped
from multidd.text.tasks.token_init import Fill
from multidd.text.tasks.token_task import TokenTask

__all__ = ["Finished", "Prepared", "Project", "Soft", "label_optimizer", "learn_tokens"]

Project = Literal["free", "straight_through", "softmax", "gumbel"]
"""How token vectors are tied to the rows of their table: not at all, by projection
straight through, or as convex mixtures of rows, without and with Gumbel noise."""

Soft = Literal["real", "simplex"]
"""Learned labels are any real numbers, or stay probabilities."""

Prepared = Callable[
    [TokenTask, Parameterization, Objective], tuple[Parameterization, Objective]
]
"""What comes before a run."""

Finished = Callable[[TextSummary, Texts], TextSummary]
"""What comes after it: the set and the training texts to the set that is returned."""

MEANS = ("kmeans", "noise")
"""Starts that have no tokens."""


def learn_tokens(
    method: str,
    dataset: Any,
    table: Table,
    per_class: int | None,
    settings: Settings,
    objective: Objective,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
    recipe: Mapping[str, Any],
    length: int,
    learner: Any = None,
    fill: Fill = "pad",
    project: Project = "free",
    temperature: float = 1.0,
    closeness: float = 0.0,
    center: bool = False,
    attention: float = 0.0,
    kernel: Mapping[str, Any] | None = None,
    prepared: Prepared | None = None,
    finished: Finished | None = None,
) -> TextSummary:
    """Run a recipe on token vectors.

    Args:
        method: name for the card.
        dataset: labelled texts, in any form that `as_texts` takes.
        table: a `StaticTable` or an `Encoder`.
        per_class: texts of each class, or None with `total=`.
        settings: the shared settings.
        objective: what is matched.
        steps: updates.
        optimizer: of each learned group.
        run: settings of the run.
        recipe: settings of the recipe alone, for the card.
        length: of the synthetic texts, in tokens.
        learner: see `TokenTask`.
        fill: see `TokenTask`.
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
    check_count("steps", steps, least=0)
    _check(settings, project, closeness)
    texts = as_texts(
        dataset, text=settings.text, pair=settings.pair, label=settings.label
    )
    val = None
    if run.select_best is not None:
        texts, val = texts.split(settings.val, run.seed)
    counts = plan(texts, per_class, settings.total)
    task = TokenTask(
        texts,
        table,
        learner,
        length,
        fill,
        settings.batch_size,
        settings.sampler,
        attention=attention,
        val=val,
    )
    learned = ("x", "attention") if attention else ("x",)
    base = Free(STARTS[settings.init], counts, learned)
    form = _tied(task, base, project, temperature)
    form = with_label_policy(form, settings.labels, center=center)
    if prepared is not None:
        form, objective = prepared(task, form, objective)
    if closeness:
        objective = Mix((Part(objective), Part(Closeness(), closeness)))
    shared = {"per_class": per_class, "counts": list(counts)} | described(settings)
    shared |= {"length": length, "fill": fill, "project": project}
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
    settings: Settings,
    lr: float,
    steps: int,
    clip: float | None = None,
    soft: Soft = "real",
) -> dict[str, Optimizer]:
    """Of learned labels, for the optimizers of a run; nothing where they are fixed.

    Args:
        settings: the shared settings: `labels`, and `lr_labels`.
        lr: where there is no `lr_labels`.
        steps: over which the rate falls to zero along a cosine.
        clip: largest norm of the gradient.
        soft: see `Soft`.

    Raises:
        ValueError: `soft` is something else.

    Example:
        >>> learned = Settings(labels="onehot", lr_labels=0.5)
        >>> label_optimizer(learned, 0.1, 10)["y_soft"].lr
        0.5
    """
    if soft not in get_args(Soft):
        raise ValueError(f"soft must be 'real' or 'simplex'; got {soft!r}")
    if settings.labels != "onehot":
        return {}
    rate = lr if settings.lr_labels is None else settings.lr_labels
    return {"y_soft": Adam(lr=rate, cosine=steps, clip=clip, simplex=soft == "simplex")}


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


def _check(settings: Settings, project: str, closeness: float) -> None:
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
    if settings.init in MEANS:
        raise ValueError(
            "token vectors start from real texts: init must be 'random', 'medoids', "
            f"'herding' or 'kcenter'; got {settings.init!r}"
        )
    if settings.labels.startswith("teacher"):
        raise ValueError(
            "labels of token vectors are 'hard', 'centered' or learned from 'onehot'; "
            f"got {settings.labels!r}"
        )
