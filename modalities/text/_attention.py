"""Token vectors with attention labels, for fine-tuning a transformer in few steps."""

from typing import Any, Unpack

from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.learning.states import Fresh
from multidd.learning.unroll import Inner
from multidd.objectives import Unroll
from multidd.text.finetuned import FineTuned
from multidd.text.settings import Options, Settings, split_options
from multidd.text.setup import encoder_for
from multidd.text.starts import Fill
from multidd.text.summary import TextSummary
from multidd.text.token_setup import Soft, label_optimizer, learn_tokens


def attention_labels(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 110,
    lr: float = 0.05,
    inner_steps: int = 1,
    lr_inner: float = 0.3,
    lr_rates: float = 0.05,
    attention: float = 1.0,
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

    Where it departs from the paper: a small encoder unless another is given, vectors
    start from real texts instead of noise, A from the model's own attention to them,
    and step sizes are learned by their logarithms; fewer and smaller steps, for a CPU.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class, or give `total=`.
        model: the encoder: what `multidd.text.Encoder.of` takes.
        steps: updates.
        lr: of Adam on vectors, attention and labels (the latter's own is `lr_labels`);
            it falls to zero along a cosine.
        inner_steps: N.
        lr_inner: step size of the transformer at the start.
        lr_rates: of Adam on the logarithms of the step sizes.
        attention: $\lambda$; 0 goes without attention labels.
        soft: learned labels are any `"real"` numbers, or stay on the `"simplex"`.
        clip: largest norm of the gradient of a group; None leaves it.
        length: tokens of a synthetic text, start and end counted.
        fill: what stands behind shorter texts; see `TokenTask`.
        seed: seed of the run.
        **options: see `multidd.text.Settings` and `multidd.distill`; `batch_size` is of
            the real texts that the loss is computed on.

    Returns:
        A `TextSummary` of token vectors, attention labels in its tensor `attention`.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Maekawa, Kobayashi, Funakoshi, Okumura, "Dataset Distillation with Attention
        Labels for Fine-tuning BERT", ACL 2023.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> made = attention_labels(few, per_class=1, steps=1, length=4)
        >>> made.tensors["attention"].shape
        torch.Size([2, 6, 12, 4])
    """
    defaults = Settings(init="medoids", labels="onehot", batch_size=32)
    encoder = encoder_for(model, split_options(defaults, options)[0])
    optimizer: dict[str, Optimizer] = {
        "x": Adam(lr=lr, cosine=steps, clip=clip),
        "objective.log_rate": Adam(lr=lr_rates, clip=clip),
    }
    if attention:
        optimizer["attention"] = Adam(lr=lr, cosine=steps, clip=clip)
    optimizer |= label_optimizer(options, lr, steps, clip, soft)
    return learn_tokens(
        "attention_labels",
        dataset,
        encoder,
        per_class,
        defaults,
        options,
        Unroll(Inner(inner_steps, SGD(lr=lr_inner)), Fresh(1), "each"),
        steps=steps,
        optimizer=optimizer,
        seed=seed,
        recipe={
            "lr": lr,
            "inner_steps": inner_steps,
            "lr_inner": lr_inner,
            "lr_rates": lr_rates,
            "soft": soft,
            "clip": clip,
        },
        length=length,
        learner=FineTuned(encoder),
        fill=fill,
        attention=attention,
    )
