"""Distribution matching: DM."""

from typing import Any, Unpack

from multidd.engine.recipe import split_options
from multidd.learning.optim import Adam
from multidd.learning.states import Fresh
from multidd.objectives import DistributionMatching
from multidd.objectives.terms import Means
from multidd.text.methods.options import Options, Settings
from multidd.text.methods.setup import learn
from multidd.text.summary.summary import TextSummary


def dm(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 400,
    lr: float = 0.01,
    models: int = 4,
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill sentence embeddings by distribution matching (DM).

    $\sum_c \lVert \mu^S_c - \mu^T_c \rVert^2$ of the hidden layer of fresh random heads
    at every step.

    Where it departs from the paper: embeddings of a frozen encoder under random heads
    of one hidden layer, several at a step, Adam along a cosine. With `hidden=0` the
    features themselves are compared, and only the mean of each class is matched.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: embeddings of each class, or give `total=`.
        model: the encoder: what `multidd.text.Encoder.of` takes.
        steps: updates.
        lr: of Adam on the embeddings; it falls to zero along a cosine.
        models: random heads at a step.
        seed: seed of the run.
        **options: see `multidd.text.Settings` (`hidden` is 256 unless given, and
            batches are of 128 of each class) and `multidd.distill`.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(dm(few, per_class=1, steps=2, hidden=8))
        2
    """
    defaults = Settings(hidden=256, sampler="class", batch_size=128)
    settings, run = split_options(defaults, options, seed)
    return learn(
        "dm",
        dataset,
        model,
        per_class,
        settings,
        DistributionMatching((Means(),), Fresh(models)),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        run=run,
        recipe={"lr": lr, "models": models},
    )
