"""Distribution matching: DM."""

from dataclasses import dataclass
from typing import Any, Literal

from multidd.engine.options import RunOptions, RunSettings
from multidd.learning.optim import Adam
from multidd.learning.states import Fresh
from multidd.objectives import DistributionMatching
from multidd.objectives.terms import Means
from multidd.storage.atomic import PathLike
from multidd.text.methods.options import TextOptions
from multidd.text.methods.presets import PRESETS
from multidd.text.methods.setup import learn
from multidd.text.summary.summary import TextSummary


@dataclass(frozen=True, kw_only=True)
class DMOptions(TextOptions):
    """Settings of `multidd.text.dm`, beside those of `TextOptions`.

    Attributes:
        lr: of Adam on the embeddings; it falls to zero along a cosine. Features have
            length one, of which 0.01 is a small step.
        num_models: random heads at a step.

    Example:
        >>> DMOptions(num_models=2).batch_size
        128
    """

    lr: float = 0.01
    num_models: int = 4
    sampler: Literal["uniform", "class"] = "class"
    batch_size: int | None = 128
    width: int = 256


@PRESETS
def dm(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 400,
    options: DMOptions = DMOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill sentence embeddings by distribution matching (DM).

    $\sum_c \lVert \mu^S_c - \mu^T_c \rVert^2$ of the hidden layer of fresh random heads
    at every step.

    Differs from the paper: embeddings of a frozen encoder under random heads of one
    hidden layer, several at a step, Adam along a cosine. With `width=0` the features
    themselves are compared, and only the mean of each class is matched. Under
    `preset="paper"`: embeddings of a frozen encoder, Adam along a cosine at the default
    rate; random heads of one hidden layer.

    Args:
        data: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: embeddings of each class; or
        total: embeddings in all, each class by its size, one at least.
        encoder: of the texts: what `multidd.text.Encoder.of` takes.
        steps: updates.
        options: the other settings.
        preset: `"paper"` takes the settings of the paper, which `multidd.text.preset`
            tells; what is named beats them one by one, `options` all of the options.
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, callbacks, checkpoints, the best iterate.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(dm(few, per_class=1, steps=2, options=DMOptions(width=8)))
        2
    """
    return learn(
        "dm",
        data,
        per_class,
        total,
        encoder,
        options,
        DistributionMatching((Means(),), Fresh(options.num_models)),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, cosine=steps)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={"lr": options.lr, "models": options.num_models},
    )
