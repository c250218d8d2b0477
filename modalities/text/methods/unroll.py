"""Token vectors by unrolled training: TBPTT and attention labels."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from statistics import geometric_mean
from typing import Any, Literal, Unpack

from multidd.data.splitting import check_count
from multidd.engine.loop import distill
from multidd.engine.options import RunSettings
from multidd.engine.recipe import split_options
from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.learning.states import Fresh
from multidd.learning.unroll import InnerLoop
from multidd.objectives import Unroll
from multidd.objectives.unroll import LrMode
from multidd.parameterizations.free import FromTensors
from multidd.protocols import (
    Objective,
    Parameterization,
    label_kind,
)
from multidd.text.methods.options import Options, Settings
from multidd.text.methods.setup import encoder_for
from multidd.text.methods.token_setup import (
    Project,
    Soft,
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


def tbptt(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    learner: Any = "textcnn",
    steps: int = 300,
    lr: float = 0.02,
    inner_steps: int = 10,
    lr_inner: float = 0.05,
    momentum: float = 0.0,
    lr_rates: float = 0.02,
    rates: LrMode = "each",
    models: int = 1,
    window: int | None = None,
    soft: Soft = "real",
    clip: float | None = 0.05,
    length: int = 30,
    fill: Fill = "pad",
    project: Project = "free",
    temperature: float = 1.0,
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill token vectors, labels and step sizes through the training on them.

    $L^T(\theta_N)$ of fresh networks after N steps of gradient descent on the synthetic
    texts, each with a learned size. `replay` takes these steps.

    Where it departs from the paper: labels are any real numbers (`soft="real"`), each
    step sees all texts (there each step has its own), N is 10, and vectors start from
    real texts instead of noise. Labels that stay probabilities (`soft="simplex"`) serve
    other trainings than the replay too.

    Li and Li keep labels hard and learn long texts for a TextCNN of their own:
    `labels="hard", length=80, learner=learner("textcnn", filters=128, widths=(2, 3))`.

    What it is for: tiny sets for networks on static word vectors, which start from any
    weights. Text decoded from free vectors loses most of it; see `project=`.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class, or give `total=`.
        model: whose token vectors are learned: word vectors, as `StaticTable.of` takes
            them (GloVe unless given), or an `Encoder`.
        learner: the network: a name of `multidd.text.learner`, or one of those.
        steps: updates.
        lr: of Adam on vectors and labels (the latter's own is `lr_labels`); it falls to
            zero along a cosine.
        inner_steps: N.
        lr_inner: step size of the network at the start.
        momentum: of the network.
        lr_rates: of Adam on the logarithms of the step sizes.
        rates: `"each"` step has its own learned size, all have `"one"`, or it is
            `"fixed"`.
        models: networks at a step.
        window: differentiate the last steps alone (truncated); None takes all.
        soft: learned labels are any `"real"` numbers, or stay on the `"simplex"`.
        clip: largest norm of the gradient of a group, without which some starts never
            come down; None leaves it.
        length: most words of a synthetic text.
        fill: what stands behind shorter texts; see `TokenTask`.
        project: `"free"`, `"straight_through"`, `"softmax"` or `"gumbel"`.
        temperature: of the last two.
        seed: seed of the run.
        **options: see `multidd.text.Settings` and `multidd.distill`.

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
        >>> made = tbptt(few, 1, model=table, learner="linear", steps=2, inner_steps=3)
        >>> len(made.card.settings["learned"]["rate"])
        3
    """
    net = named(learner) if isinstance(learner, str) else learner
    memory: Literal["exact", "truncated"] = "exact" if window is None else "truncated"
    inner = InnerLoop(
        inner_steps, SGD(lr=lr_inner, momentum=momentum), backprop=memory, window=window
    )
    optimizer: dict[str, Optimizer] = {"x": Adam(lr=lr, cosine=steps, clip=clip)}
    defaults = Settings(init="random", labels="onehot", batch_size=128)
    settings, run = split_options(defaults, options, seed)
    optimizer |= label_optimizer(settings, lr, steps, clip, soft)
    if rates != "fixed":
        optimizer["objective.log_rate"] = Adam(lr=lr_rates, clip=clip)
    table = model if isinstance(model, Encoder) else StaticTable.of(model)
    return learn_tokens(
        "tbptt",
        dataset,
        table,
        per_class,
        settings,
        Unroll(inner, Fresh(models), rates),
        steps=steps,
        optimizer=optimizer,
        run=run,
        recipe={
            "learner": net,
            "lr": lr,
            "inner_steps": inner_steps,
            "lr_inner": lr_inner,
            "momentum": momentum,
            "lr_rates": lr_rates,
            "rates": rates,
            "models": models,
            "window": window,
            "soft": soft,
            "clip": clip,
        },
        length=length,
        learner=net,
        fill=fill,
        project=project,
        temperature=temperature,
    )


HEADS = 5
"""Random heads at a step of the first updates."""


def attention_labels(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    warm: int = 150,
    steps: int = 60,
    lr: float = 0.004,
    lr_warm: float = 0.05,
    lr_attention: float = 0.3,
    lr_rates: float = 0.01,
    inner_steps: int = 1,
    lr_inner: float = 0.3,
    pace: float = 2.0**-8,
    attention: float = 100.0,
    soft: Soft = "real",
    clip: float | None = 1.0,
    length: int = 14,
    fill: Fill = "repeat",
    seed: int = 0,
    **options: Unpack[Options],
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
    frozen encoder (`warm` updates), whose real texts are encoded once: these cost
    little, and `steps` go on from there through the whole transformer.

    Where it departs from the paper: a small encoder unless another is given, the pace
    and the first updates, vectors start from real texts instead of noise, A from the
    model's own attention to them, and step sizes are learned by their logarithms;
    fewer and smaller steps, for a CPU.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class, or give `total=`.
        model: the encoder: what `multidd.text.Encoder.of` takes.
        warm: updates for a head on the frozen encoder.
        steps: updates through the transformer.
        lr: of Adam on vectors and labels (the latter's own is `lr_labels`) in these; it
            falls to zero along a cosine.
        lr_warm: the same in the first updates.
        lr_attention: of Adam on attention labels.
        lr_rates: of Adam on the logarithms of the step sizes.
        inner_steps: N.
        lr_inner: step size of the head at the start.
        pace: step sizes of the encoder, as a share of the head's.
        attention: $\lambda$; 0 goes without attention labels.
        soft: learned labels are any `"real"` numbers, or stay on the `"simplex"`.
        clip: largest norm of the gradient of a group; None leaves it.
        length: tokens of a synthetic text, start and end counted.
        fill: what stands behind shorter texts; see `TokenTask`.
        seed: seed of the run.
        **options: see `multidd.text.Settings` and `multidd.distill`; `batch_size` is of
            the real texts that the loss is computed on, in the later steps.

    Returns:
        A `TextSummary` of token vectors, attention labels in its tensor `attention`.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Maekawa, Kobayashi, Funakoshi, Okumura, "Dataset Distillation with Attention
        Labels for Fine-tuning BERT", ACL 2023; Howard, Ruder, "Universal Language Model
        Fine-tuning for Text Classification", ACL 2018 (rates by layer).

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> made = attention_labels(few, per_class=1, warm=2, steps=1, length=4)
        >>> made.tensors["attention"].shape
        torch.Size([2, 6, 12, 4])
    """
    defaults = Settings(init="medoids", labels="onehot", batch_size=32)
    check_count("warm", warm, least=0)
    settings, run = split_options(defaults, options, seed)
    encoder = encoder_for(model, settings)
    optimizer: dict[str, Optimizer] = {
        "x": Adam(lr=lr, cosine=steps, clip=clip),
        "objective.log_rate": Adam(lr=lr_rates, clip=clip),
    }
    if attention:
        optimizer["attention"] = Adam(lr=lr_attention, cosine=steps, clip=clip)
    optimizer |= label_optimizer(settings, lr, steps, clip, soft)
    net = FineTuned(encoder)
    inner = InnerLoop(
        inner_steps, SGD(lr=lr_inner), gradient_factors=((net.inside, pace),)
    )
    first: dict[str, Optimizer] = {
        "x": Adam(lr=lr_warm, cosine=warm, clip=clip),
        "objective.log_rate": Adam(lr=lr_warm, cosine=warm, clip=clip),
    }
    warming = replace(settings, lr_labels=None)
    first |= label_optimizer(warming, lr_warm, warm, clip, soft)
    before = partial(_with_heads, steps=warm, optimizer=first, run=run)
    return learn_tokens(
        "attention_labels",
        dataset,
        encoder,
        per_class,
        settings,
        Unroll(inner, Fresh(1), "each"),
        steps=steps,
        optimizer=optimizer,
        run=run,
        recipe={
            "warm": warm,
            "lr": lr,
            "lr_warm": lr_warm,
            "lr_attention": lr_attention,
            "lr_rates": lr_rates,
            "inner_steps": inner_steps,
            "lr_inner": lr_inner,
            "pace": pace,
            "soft": soft,
            "clip": clip,
        },
        length=length,
        learner=net,
        fill=fill,
        attention=attention,
        prepared=before if warm else None,
    )


def _with_heads(
    task: TokenTask,
    form: Parameterization,
    objective: Objective,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
) -> tuple[Parameterization, Objective]:
    """What learning for heads on the frozen encoder gives, to go on from: the set, and
    the mean of its step sizes.

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
