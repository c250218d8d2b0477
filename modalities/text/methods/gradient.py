"""Gradient matching: DC."""

from typing import Any, Unpack

from multidd.engine.recipe import split_options
from multidd.learning.optim import Adam
from multidd.learning.states import Online
from multidd.objectives import GradientMatching
from multidd.objectives.distances import distance_by_name
from multidd.text.methods.options import Options, Settings
from multidd.text.methods.setup import learn
from multidd.text.summary.summary import TextSummary


def dc(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 400,
    lr: float = 0.01,
    models: int = 4,
    inner: int = 5,
    restart: int = 20,
    distance: str = "mse",
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill sentence embeddings by gradient matching (DC).

    $\sum_c D(\nabla_\theta L^S_c, \nabla_\theta L^T_c)$ on heads that are trained on
    the real texts between two matches and start afresh after `restart` of them. Of a
    linear head the gradients are closed form; `hidden=` takes heads with a hidden
    layer.

    Where it departs from the paper: embeddings of a frozen encoder under a head;
    several heads at a step, trained on real texts, whose gradients are matched by
    their squared distance, so that their size counts too.

    Args:
        dataset, per_class, model, steps, lr, seed, **options: see `multidd.text.dm`
            (`hidden` is 0 unless given).
        models: heads at a step.
        inner: training steps of the heads between two matches.
        restart: matches after which they start again.
        distance: `"mse"`, `"cosine"`, `"cosine+magnitude"` or `"l1"`.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(dc(few, per_class=1, steps=2))
        2
    """
    trained = Online("real", models, inner, restart, Adam(lr=0.03))
    defaults = Settings(sampler="class", batch_size=128)
    settings, run = split_options(defaults, options, seed)
    return learn(
        "dc",
        dataset,
        model,
        per_class,
        settings,
        GradientMatching(distance_by_name(distance), trained, biases=True),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        run=run,
        recipe={
            "lr": lr,
            "models": models,
            "inner": inner,
            "restart": restart,
            "distance": distance,
        },
    )
