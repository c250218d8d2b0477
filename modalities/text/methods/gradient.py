"""Gradient matching: DC."""

from dataclasses import dataclass
from typing import Any, Literal

from multidd.engine.options import RunOptions, RunSettings
from multidd.learning.optim import Adam
from multidd.learning.states import Online
from multidd.objectives import GradientMatching
from multidd.objectives.distances import distance_by_name
from multidd.storage.atomic import PathLike
from multidd.text.methods.options import TextOptions
from multidd.text.methods.presets import PRESETS
from multidd.text.methods.setup import learn
from multidd.text.summary.summary import TextSummary


@dataclass(frozen=True, kw_only=True)
class DCOptions(TextOptions):
    """Settings of `multidd.text.dc`, beside those of `TextOptions`.

    Attributes:
        lr: of Adam on the embeddings; it falls to zero along a cosine. Features have
            length one, of which 0.01 is a small step.
        num_models: heads at a step.
        net_steps: training steps of the heads between two matches.
        matches_per_net: matches after which they start again.
        distance: `"mse"`, `"cosine"`, `"cosine+magnitude"` or `"l1"`.

    Example:
        >>> DCOptions(num_models=2).distance
        'mse'
    """

    lr: float = 0.01
    num_models: int = 4
    net_steps: int = 5
    matches_per_net: int = 20
    distance: str = "mse"
    sampler: Literal["uniform", "class"] = "class"
    batch_size: int | None = 128


@PRESETS
def dc(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 400,
    options: DCOptions = DCOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill sentence embeddings by gradient matching (DC); below random texts.

    $\sum_c D(\nabla_\theta L^S_c, \nabla_\theta L^T_c)$ on heads that are trained on
    the real texts between two matches and start afresh after `matches_per_net` of
    them. Of a linear head the gradients are closed form; `width` takes heads with a
    hidden layer.

    Differs from the paper: embeddings of a frozen encoder under a head; several heads
    at a step, trained on real texts, whose gradients are matched by their squared
    distance, so that their size counts too. Under `preset="paper"`: embeddings of a
    frozen encoder, Adam along a cosine at the default rate; heads are trained on real
    texts.

    Args:
        data, per_class, total, encoder, steps, seed, device, progress, checkpoint, run:
            see `multidd.text.dm`.
        options: the other settings.
        preset: see `multidd.text.dm`.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(dc(few, per_class=1, steps=2))
        2
    """
    trained = Online(
        "real",
        options.num_models,
        options.net_steps,
        options.matches_per_net,
        Adam(lr=0.03),
    )
    return learn(
        "dc",
        data,
        per_class,
        total,
        encoder,
        options,
        GradientMatching(distance_by_name(options.distance), trained, biases=True),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, cosine=steps)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "models": options.num_models,
            "inner": options.net_steps,
            "restart": options.matches_per_net,
            "distance": options.distance,
        },
    )
