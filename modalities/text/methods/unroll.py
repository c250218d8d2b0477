"""Token vectors by gradients through the training of a network on them."""

from typing import Any, Literal, Unpack

from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.learning.states import Fresh
from multidd.learning.unroll import Inner
from multidd.objectives import Unroll
from multidd.objectives.unroll import Rates
from multidd.text.methods.options import Options, Settings
from multidd.text.methods.token_setup import (
    Project,
    Soft,
    label_optimizer,
    learn_tokens,
)
from multidd.text.models.encoder import Encoder
from multidd.text.models.learners import learner as named
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.token_init import Fill


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
    rates: Rates = "each",
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
    inner = Inner(
        inner_steps, SGD(lr=lr_inner, momentum=momentum), memory=memory, window=window
    )
    optimizer: dict[str, Optimizer] = {"x": Adam(lr=lr, cosine=steps, clip=clip)}
    optimizer |= label_optimizer(options, lr, steps, clip, soft)
    if rates != "fixed":
        optimizer["objective.log_rate"] = Adam(lr=lr_rates, clip=clip)
    given = model if isinstance(model, Encoder) else StaticTable.of(model)
    return learn_tokens(
        "tbptt",
        dataset,
        given,
        per_class,
        Settings(init="random", labels="onehot", batch_size=128),
        options,
        Unroll(inner, Fresh(models), rates),
        steps=steps,
        optimizer=optimizer,
        seed=seed,
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
