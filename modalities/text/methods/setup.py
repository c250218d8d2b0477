"""Preparation of recipes of embeddings: texts checked and encoded, a task."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from multidd.data.splitting import check_count
from multidd.engine.options import RunSettings
from multidd.engine.recipe import Setup, with_label_policy
from multidd.engine.recipe import learn as run_recipe
from multidd.learning.functional import Cost
from multidd.learning.optim import Adam, Optimizer
from multidd.learning.states import Frozen
from multidd.parameterizations import Free
from multidd.protocols import Objective
from multidd.settings import describe
from multidd.text.data.readers import as_texts
from multidd.text.methods.budget import plan
from multidd.text.methods.options import STARTS, Settings
from multidd.text.models.encoder import Encoder
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import DEFAULT
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.embedding_task import TextTask

__all__ = [
    "TextSetup",
    "described",
    "encoder_for",
    "encoder_settings",
    "learn",
    "prepare",
]

TEACHER = Frozen(steps=300, optimizer=Adam(lr=0.05))
"""A head trained on the real texts; features of length one ask for a large rate."""


TextSetup: TypeAlias = Setup[TextTask, Free]
"""A setup of embeddings; its seconds do not count encoding, since features are kept for
the next call."""


def prepare(
    dataset: Any,
    model: Any = None,
    per_class: int | None = None,
    settings: Settings | None = None,
    *,
    kernel: Mapping[str, Any] | None = None,
    loss: Cost = "cross_entropy",
    keep_texts: bool = True,
    hold_out: bool = False,
    seed: int = 0,
) -> TextSetup:
    """Check everything before the first step, encode the texts and set up the task.

    Args:
        dataset: labelled texts, in any form that `as_texts` takes.
        model: what `Encoder.of` takes.
        per_class: texts of each class, or None with `settings.total`.
        settings: the shared settings.
        kernel: settings of the kernel predictor; see `multidd.text.predictor`.
        loss: of the heads that are trained on the way.
        keep_texts: the set consists of real texts.
        hold_out: keep `settings.val` of the texts for validation.
        seed: of the held out split.

    Returns:
        The `Setup`.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.

    Example:
        >>> few = (["fine", "dull", "good", "bad"], [1, 0, 1, 0])
        >>> prepare(few, per_class=1).parameterization.counts
        (1, 1)
    """
    settings = settings or Settings()
    texts = as_texts(
        dataset, text=settings.text, pair=settings.pair, label=settings.label
    )
    held = None
    if hold_out:
        texts, held = texts.split(settings.val, seed)
    counts = plan(texts, per_class, settings.total)
    encoder = encoder_for(model, settings)
    x = features(encoder, texts)
    started = time.perf_counter()
    val = None if held is None else (features(encoder, held), held.labels)
    task = TextTask(
        texts,
        x,
        settings.batch_size,
        settings.sampler,
        settings.hidden,
        loss,
        dict(kernel or DEFAULT),
        val,
        keep_texts,
        settings.weights,
    )
    free = Free(STARTS[settings.init], counts, noise=settings.init == "noise")
    shared = {"per_class": per_class, "counts": list(counts)} | described(settings)
    shared |= {"encoder": encoder_settings(encoder), "kernel": dict(task.kernel)}
    return Setup(task, free, shared, time.perf_counter() - started)


def encoder_for(model: Any, settings: Settings) -> Encoder:
    """The encoder of a recipe.

    Args:
        model: what `Encoder.of` takes.
        settings: tokenizer, pooling and length of one that is not an `Encoder` yet.

    Example:
        >>> encoder_for(None, Settings(max_length=64))
        Encoder(all-MiniLM-L6-v2, d=384, mean, max_length=64, normalize=True)
    """
    return Encoder.of(
        model,
        settings.tokenizer,
        pooling=settings.pooling,
        max_length=settings.max_length,
    )


def learn(
    method: str,
    dataset: Any,
    model: Any,
    per_class: int | None,
    settings: Settings,
    objective: Objective,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
    recipe: Mapping[str, Any],
    kernel: Mapping[str, Any] | None = None,
    loss: Cost = "cross_entropy",
    center: bool = False,
    prepared: Callable[[TextSetup], TextSetup] | None = None,
) -> TextSummary:
    """Run a recipe: its objective on the features, with its settings.

    Args:
        method: name for the card.
        dataset, model, per_class, kernel, loss: see `prepare`.
        settings: the shared settings.
        objective: what is matched.
        steps: updates.
        optimizer: how features move; learned labels by Adam unless named.
        run: settings of the run.
        recipe: settings of the recipe alone, for the card.
        center: soft labels have mean zero.
        prepared: what is done before the first step, once all is checked.

    Returns:
        A `TextSummary` of embeddings.
    """
    check_count("steps", steps, least=0)
    setup = prepare(
        dataset,
        model,
        per_class,
        settings,
        kernel=kernel,
        loss=loss,
        keep_texts=False,
        hold_out=run.select_best is not None,
        seed=run.seed,
    )
    setup = setup if prepared is None else prepared(setup)
    form = with_label_policy(
        setup.parameterization,
        settings.labels,
        center=center,
        teacher=TEACHER,
        loss=loss,
    )
    labelled: Setup[Any, Any] = setup
    return run_recipe(
        method,
        replace(labelled, parameterization=form),
        objective,
        steps=steps,
        optimizer=optimizer,
        run=run,
        settings={**recipe, "steps": steps, "select_best": run.select_best},
        lr_labels=settings.lr_labels,
        center=center,
    )


def encoder_settings(encoder: Encoder) -> dict[str, Any]:
    """What a card says of an encoder.

    Example:
        >>> encoder_settings(Encoder.of())["pooling"]
        'mean'
    """
    names = ("key", "name", "origin", "pooling", "max_length", "normalize")
    return {name: getattr(encoder, name) for name in names}


def described(settings: Settings) -> dict[str, Any]:
    """Shared settings for the card; the encoder has a place of its own there.

    Example:
        >>> described(Settings())["init"]
        'kmeans'
    """
    plain = replace(settings, tokenizer=None)
    hidden = ("kind", "tokenizer", "pooling", "max_length")
    return {n: v for n, v in describe(plain).items() if n not in hidden}
