"""Preparation of methods on embeddings: texts checked and encoded, a task."""

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
from multidd.text.data.readers import as_texts
from multidd.text.methods.budget import plan
from multidd.text.methods.options import (
    STARTS,
    TextOptions,
    TextSelectionOptions,
)
from multidd.text.models.encoder import Encoder, encoder_settings
from multidd.text.models.feature_cache import features
from multidd.text.models.function_encoder import FunctionEncoder, is_function
from multidd.text.models.kernel_predictor import DEFAULT
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.embedding_task import TextTask

__all__ = [
    "TextSetup",
    "encoder_for",
    "learn",
    "prepare",
    "token_encoder_for",
]

TEACHER = Frozen(steps=300, optimizer=Adam(lr=0.05))
"""A head trained on the real texts; features of length one ask for a large rate."""


TextSetup: TypeAlias = Setup[TextTask, Free]
"""A setup of embeddings; its seconds do not count encoding, since features are kept for
the next call."""


def prepare(
    data: Any,
    per_class: int | None = None,
    total: int | None = None,
    encoder: Any = None,
    options: TextSelectionOptions = TextOptions(),
    *,
    kernel: Mapping[str, Any] | None = None,
    loss: Cost = "cross_entropy",
    keep_texts: bool = True,
    hold_out: bool = False,
    seed: int = 0,
) -> TextSetup:
    """Check everything before the first step, encode the texts and set up the task.

    Args:
        data: labelled texts, in any form that `as_texts` takes.
        per_class: texts of each class; or
        total: texts in all, each class by its size.
        encoder: what `Encoder.of` takes.
        options: the shared settings.
        kernel: settings of the kernel predictor; see `multidd.text.predictor`.
        loss: of the heads that are trained on the way.
        keep_texts: the set consists of real texts.
        hold_out: keep `options.val_share` of the texts for validation.
        seed: of the held out split.

    Returns:
        The `Setup`.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.

    Example:
        >>> few = (["fine", "dull", "good", "bad"], [1, 0, 1, 0])
        >>> prepare(few, per_class=1).parameterization.counts
        (1, 1)
    """
    settings = TextOptions.of_selection(options)
    texts = as_texts(data, text=settings.text, pair=settings.pair, label=settings.label)
    held_out = None
    if hold_out:
        texts, held_out = texts.split(settings.val_share, seed)
    counts = plan(texts, per_class, total)
    encoder = encoder_for(encoder, settings)
    x = features(encoder, texts)
    started = time.perf_counter()
    val = None if held_out is None else (features(encoder, held_out), held_out.labels)
    task = TextTask(
        texts,
        x,
        settings.batch_size,
        settings.sampler,
        settings.width,
        loss,
        dict(kernel or DEFAULT),
        val,
        keep_texts,
        settings.weights,
    )
    free = Free(STARTS[settings.init], counts, noise=settings.init == "noise")
    shared: dict[str, Any] = {"per_class": per_class, "counts": list(counts)}
    shared |= options.shared_settings(total)
    shared |= {"encoder": encoder_settings(encoder), "kernel": dict(task.kernel)}
    return Setup(task, free, shared, time.perf_counter() - started)


def encoder_for(
    encoder: Any, options: TextSelectionOptions
) -> Encoder | FunctionEncoder:
    """The encoder of a method.

    Args:
        encoder: what `Encoder.of` takes; or a function of texts that gives vectors, or
            what has a method `encode` that does.
        options: tokenizer, pooling and length of one that is not an `Encoder` yet.

    Example:
        >>> encoder_for(None, TextOptions(max_length=64))
        Encoder(all-MiniLM-L6-v2, d=384, mean, max_length=64, normalize=True)
    """
    if encoder is not None and is_function(encoder):
        return FunctionEncoder.of(encoder)
    return Encoder.of(
        encoder,
        options.tokenizer,
        pooling=options.pooling,
        max_length=options.max_length,
    )


def learn(
    method: str,
    data: Any,
    per_class: int | None,
    total: int | None,
    encoder: Any,
    options: TextOptions,
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
    """Run a method: its objective on the features, with its settings.

    Args:
        method: name for the card.
        data, per_class, total, encoder, kernel, loss: see `prepare`.
        options: the shared settings.
        objective: what is matched.
        steps: updates.
        optimizer: how features move; learned labels by Adam unless named.
        run: settings of the run.
        recipe: settings of the method alone, for the card.
        center: soft labels have mean zero.
        prepared: what is done before the first step, once all is checked.

    Returns:
        A `TextSummary` of embeddings.
    """
    check_count("steps", steps, minimum=0)
    setup = prepare(
        data,
        per_class,
        total,
        encoder,
        options,
        kernel=kernel,
        loss=loss,
        keep_texts=False,
        hold_out=run.select_best is not None,
        seed=run.seed,
    )
    setup = setup if prepared is None else prepared(setup)
    form = with_label_policy(
        setup.parameterization,
        options.labels,
        center=center,
        teacher=TEACHER,
        loss=loss,
    )
    with_labels: Setup[Any, Any] = setup
    return run_recipe(
        method,
        replace(with_labels, parameterization=form),
        objective,
        steps=steps,
        optimizer=optimizer,
        run=run,
        settings={**recipe, "steps": steps, "select_best": run.select_best},
        lr_labels=options.lr_labels,
        center=center,
    )


def token_encoder_for(
    method: str, encoder: Any, options: TextSelectionOptions
) -> Encoder:
    """The encoder of a method that goes through its token vectors.

    Args:
        method: its name, for the error.
        encoder, options: see `encoder_for`.

    Raises:
        TypeError: a function of texts, which has no token vectors.
    """
    loaded = encoder_for(encoder, options)
    if isinstance(loaded, FunctionEncoder):
        raise TypeError(
            f"{method} learns token vectors, which {loaded.name} has none of: give "
            "what multidd.text.Encoder.of takes, or take a method on embeddings, such "
            "as pursuit or kip"
        )
    return loaded
