"""Token vectors by unrolled training: TBPTT and attention labels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import geometric_mean
from typing import Any, Literal

from multidd.data.splitting import check_count
from multidd.engine.loop import distill
from multidd.engine.options import RunOptions, RunSettings
from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.learning.states import Fresh
from multidd.learning.unroll import InnerLoop
from multidd.objectives import Unroll
from multidd.objectives.unroll import LrMode
from multidd.parameterizations.free import FromTensors
from multidd.parameterizations.labels import Policy
from multidd.protocols import (
    Objective,
    Parameterization,
    label_kind,
)
from multidd.storage.atomic import PathLike
from multidd.text.methods.presets import PRESETS
from multidd.text.methods.setup import token_encoder_for
from multidd.text.methods.token_setup import (
    LabelSpace,
    Prepared,
    Project,
    TokenOptions,
    check_label_space,
    label_optimizer,
    learn_tokens,
)
from multidd.text.models.encoder import Encoder
from multidd.text.models.finetuned import FineTuned
from multidd.text.models.learners import learner as named
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.token_batch import start
from multidd.text.tasks.token_init import Fill
from multidd.text.tasks.token_task import TokenTask


@dataclass(frozen=True, kw_only=True)
class TBPTTOptions(TokenOptions):
    """Settings of `multidd.text.tbptt`, beside those of `TextOptions`.

    Attributes:
        model: the network: a name of `multidd.text.learner`, or one of those.
        lr: of Adam on vectors and labels (the latter's own is `lr_labels`); it falls to
            zero along a cosine.
        syn_steps: N.
        lr_net: step size of the network at the start.
        net_momentum: of the network.
        lr_lr: of Adam on the logarithms of the step sizes.
        rates: `"each"` step has its own learned size, all have `"one"`, or it is
            `"fixed"`.
        num_models: networks at a step.
        window: differentiate the last steps alone (truncated); None takes all.
        label_space: learned labels are any `"real"` numbers, or stay on the
            `"simplex"`.
        clip: largest norm of the gradient of a group, without which some starts never
            come down; None leaves it.
        length: most words of a synthetic text.
        fill: what stands behind shorter texts; see `TokenTask`.
        project: `"free"`, `"straight_through"`, `"softmax"` or `"gumbel"`.
        softmax_temperature: of the last two.

    Raises:
        ValueError: a setting out of range.

    Example:
        >>> TBPTTOptions(labels="hard", length=80).syn_steps
        10
    """

    model: Any = "textcnn"
    lr: float = 0.02
    syn_steps: int = 10
    lr_net: float = 0.05
    net_momentum: float = 0.0
    lr_lr: float = 0.02
    rates: LrMode = "each"
    num_models: int = 1
    window: int | None = None
    label_space: LabelSpace = "real"
    clip: float | None = 0.05
    project: Project = "free"
    softmax_temperature: float = 1.0
    init: str = "random"
    labels: Policy = "onehot"
    batch_size: int | None = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        check_label_space(self.label_space)


@PRESETS
def tbptt(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 300,
    options: TBPTTOptions = TBPTTOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill token vectors, labels and step sizes through the training on them.

    $L^T(\theta_N)$ of fresh networks after N steps of gradient descent on the synthetic
    texts, each with a learned size. `replay` takes these steps.

    Differs from the paper: labels are any real numbers (`label_space="real"`), each
    step sees all texts (there each step has its own), N is 10, and vectors start from
    real texts instead of noise. Labels that stay probabilities
    (`label_space="simplex"`) serve other trainings than the replay too. Under
    `preset="paper"`: every step sees all texts, and vectors start from real texts.

    Li and Li keep labels hard and learn long texts for a TextCNN of their own:
    `TBPTTOptions(labels="hard", length=80, model=...)` with
    `learner("textcnn", filters=128, widths=(2, 3))` as the model.

    What it is for: tiny sets for networks on static word vectors, which start from any
    weights. Text decoded from free vectors loses most of it; see `project=`.

    Args:
        data: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class; or
        total: texts in all, each class by its size, one at least.
        encoder: whose token vectors are learned: word vectors, as `StaticTable.of`
            takes them (GloVe unless given), or an `Encoder`.
        steps: updates.
        options: the other settings.
        preset: see `multidd.text.dm`.
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, callbacks, checkpoints, the best iterate.

    Returns:
        A `TextSummary` of token vectors, with learned step sizes on its card.

    Raises:
        ValueError: bad texts, budget, table or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Sucholutsky, Schonlau, "Soft-Label Dataset Distillation and Text Dataset
        Distillation", IJCNN 2021; Li, Li, "Data Distillation for Text Classification",
        arXiv 2104.08448, 2021.

    Example:
        >>> table = StaticTable.of((["good", "bad", "film"], [[1, 0], [0, 1], [1, 1]]))
        >>> few = (["good film", "bad film", "good", "bad"], [1, 0, 1, 0])
        >>> options = TBPTTOptions(model="linear", syn_steps=3)
        >>> summary = tbptt(few, 1, encoder=table, steps=2, options=options)
        >>> len(summary.card.settings["learned"]["rate"])
        3
    """
    net = named(options.model) if isinstance(options.model, str) else options.model
    truncated = options.window is not None
    backprop: Literal["exact", "truncated"] = "truncated" if truncated else "exact"
    inner = InnerLoop(
        options.syn_steps,
        SGD(lr=options.lr_net, momentum=options.net_momentum),
        backprop=backprop,
        window=options.window,
    )
    clip, space = options.clip, options.label_space
    optimizer: dict[str, Optimizer] = {
        "x": Adam(lr=options.lr, cosine=steps, clip=clip),
        **label_optimizer(options, options.lr, steps, clip, space),
    }
    if options.rates != "fixed":
        optimizer["objective.log_rate"] = Adam(lr=options.lr_lr, clip=clip)
    return learn_tokens(
        "tbptt",
        data,
        per_class,
        total,
        encoder if isinstance(encoder, Encoder) else StaticTable.of(encoder),
        options,
        Unroll(inner, Fresh(options.num_models), options.rates),
        steps=steps,
        optimizer=optimizer,
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "learner": net,
            "lr": options.lr,
            "inner_steps": options.syn_steps,
            "lr_inner": options.lr_net,
            "momentum": options.net_momentum,
            "lr_rates": options.lr_lr,
            "rates": options.rates,
            "models": options.num_models,
            "window": options.window,
            "soft": space,
            "clip": clip,
        },
        learner=net,
        project=options.project,
        temperature=options.softmax_temperature,
    )


HEADS = 5
"""Random heads at a step of the first updates."""


@dataclass(frozen=True, kw_only=True)
class AttentionLabelsOptions(TokenOptions):
    r"""Settings of `multidd.text.attention_labels`, beside those of `TextOptions`.

    Attributes:
        warmup_steps: updates for a head on the frozen encoder.
        lr: of Adam on vectors and labels (the latter's own is `lr_labels`) in the steps
            through the transformer; it falls to zero along a cosine.
        lr_warmup: the same in the first updates.
        lr_attention: of Adam on attention labels.
        lr_lr: of Adam on the logarithms of the step sizes.
        syn_steps: N.
        lr_net: step size of the head at the start.
        pace: step sizes of the encoder, as a share of the head's.
        attention: $\lambda$; 0 goes without attention labels.
        label_space: learned labels are any `"real"` numbers, or stay on the
            `"simplex"`.
        clip: largest norm of the gradient of a group; None leaves it.
        length: tokens of a synthetic text, start and end counted.
        fill: what stands behind shorter texts; see `TokenTask`.
        batch_size: real texts that the loss is computed on, in the later steps; each
            goes through the whole transformer.

    Raises:
        ValueError: a setting out of range.

    Example:
        >>> AttentionLabelsOptions(warmup_steps=0).length
        14
    """

    warmup_steps: int = 150
    lr: float = 0.004
    lr_warmup: float = 0.05
    lr_attention: float = 0.3
    lr_lr: float = 0.01
    syn_steps: int = 1
    lr_net: float = 0.3
    pace: float = 2.0**-8
    attention: float = 100.0
    label_space: LabelSpace = "real"
    clip: float | None = 1.0
    length: int = 14
    fill: Fill = "repeat"
    init: str = "medoids"
    labels: Policy = "onehot"
    batch_size: int | None = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("warmup_steps", self.warmup_steps, minimum=0)
        check_label_space(self.label_space)
        if not self.pace > 0:
            raise ValueError(f"pace must be above 0, got {self.pace!r}")


@PRESETS
def attention_labels(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 60,
    options: AttentionLabelsOptions = AttentionLabelsOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill texts for fine-tuning a pre-trained transformer in one step.

    $L^T(\theta_N)$ of a transformer that is started anew from its pre-trained weights,
    with a fresh random head, after N steps on
    $\mathrm{CE} + \lambda\, \mathrm{KL}(A \Vert a_\theta)$. Labels, step sizes, and A,
    where the first token is to look in each layer and head, are learned beside the
    vectors. `replay` takes these steps.

    Attention is plain (eager) here, whatever the model was loaded with: the gradient
    goes through that of a step. A model with other layers or heads cannot use the set.

    Two things decide. The encoder moves by a small share of the step of the head
    (`pace`): cross-entropy reaches it through a random head, and most of what it moves
    along there is noise. What teaches it the same under every head are the attention
    labels, which therefore count much. And the set is learned first for a head on the
    frozen encoder (`warmup_steps` updates), whose real texts are encoded once: these
    cost little, and `steps` go on from there through the whole transformer.

    Differs from the paper: a small encoder unless another is given, the pace and the
    first updates, vectors start from real texts instead of noise, A from the model's
    own attention to them, and step sizes are learned by their logarithms; fewer and
    smaller steps, for a CPU. Under `preset="paper"`: vectors start from real texts;
    step sizes are learned as logarithms; the encoder is the default unless given; the
    rate falls along a cosine.

    Args:
        data: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class; or
        total: texts in all, each class by its size, one at least.
        encoder: of the texts: what `multidd.text.Encoder.of` takes.
        steps: updates through the transformer.
        options: the other settings.
        preset: see `multidd.text.dm`.
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, callbacks, checkpoints, the best iterate.

    Returns:
        A `TextSummary` of token vectors, attention labels in its tensor `attention`.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Maekawa, Kobayashi, Funakoshi, Okumura, "Dataset Distillation with Attention
        Labels for Fine-tuning BERT", ACL 2023; Howard, Ruder, "Universal Language Model
        Fine-tuning for Text Classification", ACL 2018 (rates by layer).

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> options = AttentionLabelsOptions(warmup_steps=2, length=4)
        >>> summary = attention_labels(few, per_class=1, steps=1, options=options)
        >>> summary.tensors["attention"].shape
        torch.Size([2, 6, 12, 4])
    """
    encoder = token_encoder_for("attention_labels", encoder, options)
    clip, space = options.clip, options.label_space
    optimizer: dict[str, Optimizer] = {
        "x": Adam(lr=options.lr, cosine=steps, clip=clip),
        "objective.log_rate": Adam(lr=options.lr_lr, clip=clip),
    }
    if options.attention:
        optimizer["attention"] = Adam(lr=options.lr_attention, cosine=steps, clip=clip)
    optimizer |= label_optimizer(options, options.lr, steps, clip, space)
    net = FineTuned(encoder)
    inner = InnerLoop(
        options.syn_steps,
        SGD(lr=options.lr_net),
        gradient_factors=((net.inside, options.pace),),
    )
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    return learn_tokens(
        "attention_labels",
        data,
        per_class,
        total,
        encoder,
        options,
        Unroll(inner, Fresh(1), "each"),
        steps=steps,
        optimizer=optimizer,
        run=settings,
        recipe={
            "warm": options.warmup_steps,
            "lr": options.lr,
            "lr_warm": options.lr_warmup,
            "lr_attention": options.lr_attention,
            "lr_rates": options.lr_lr,
            "inner_steps": options.syn_steps,
            "lr_inner": options.lr_net,
            "pace": options.pace,
            "soft": space,
            "clip": clip,
        },
        learner=net,
        attention=options.attention,
        prepared=_warmup(options, settings) if options.warmup_steps else None,
    )


def _warmup(options: AttentionLabelsOptions, run: RunSettings) -> Prepared:
    """The updates for heads on the frozen encoder, with labels at their rate."""
    steps, lr = options.warmup_steps, options.lr_warmup
    optimizer: dict[str, Optimizer] = {
        "x": Adam(lr=lr, cosine=steps, clip=options.clip),
        "objective.log_rate": Adam(lr=lr, cosine=steps, clip=options.clip),
        **label_optimizer(
            replace(options, lr_labels=None),
            lr,
            steps,
            options.clip,
            options.label_space,
        ),
    }
    return partial(_with_heads, steps=steps, optimizer=optimizer, run=run)


def _with_heads(
    task: TokenTask,
    form: Parameterization,
    objective: Objective,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
) -> tuple[Parameterization, Objective]:
    """The set learned for heads on the frozen encoder, and the mean of its step sizes.

    Heads see pooled states that are not of length one, as in fine-tuning.
    """
    assert isinstance(task.table, Encoder) and isinstance(objective, Unroll)
    encoder = replace(task.table, normalize=False)
    head = replace(
        task, table=encoder, learner=None, batch_size=500, attention=0.0, val=None
    )
    inner = replace(objective.inner, gradient_factors=())
    warm = distill(
        head,
        Unroll(inner, Fresh(HEADS), "each"),
        form,
        steps=steps,
        optimizer=optimizer,
        seed=run.seed,
        device=run.device,
        progress=False,
    )
    names = ("x", "y", "y_soft", "ids", "mask", "types")
    draw = {name: warm.tensors[name] for name in names if name in warm.tensors}
    if task.attention:
        seen = draw["x"], draw["mask"], draw.get("types")
        draw["attention"] = start(encoder, *seen)
    rate = geometric_mean(warm.card.settings["learned"]["rate"])
    inner = replace(objective.inner, optimizer=SGD(lr=rate))
    kind = label_kind(form)
    return FromTensors(draw, form.groups, kind), replace(objective, inner=inner)
