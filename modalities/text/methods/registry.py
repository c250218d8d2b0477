"""`distill`: any method by its name."""

from typing import Any

from multidd.arguments import public_function
from multidd.engine.recipe import call
from multidd.text.methods.distribution import dm
from multidd.text.methods.gradient import dc
from multidd.text.methods.kernel import frepo, kip
from multidd.text.methods.pursuit import pursuit
from multidd.text.methods.selection import SELECTIONS
from multidd.text.methods.tokens import tokens
from multidd.text.methods.trajectory import mtt
from multidd.text.methods.unroll import attention_labels, tbptt
from multidd.text.summary.summary import TextSummary

METHODS: dict[str, Any] = {
    "kip": kip,
    "frepo": frepo,
    "dm": dm,
    "dc": dc,
    "mtt": mtt,
    "pursuit": pursuit,
    "tbptt": tbptt,
    "tokens": tokens,
    "attention_labels": attention_labels,
    **SELECTIONS,
}
"""Methods by name."""

TOKENS = ("tbptt", "tokens", "attention_labels")
"""Methods that learn token vectors."""

LEARNED = ("kip", "frepo", "dm", "dc", "mtt", *TOKENS)
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""


@public_function
def distill(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    method: str = "pursuit",
    seed: int = 0,
    **settings: Any,
) -> TextSummary:
    """Distill labelled texts by any method.

    Args:
        data: a `datasets.Dataset` or `DatasetDict`, a frame, a pair (texts, labels), a
            path: what `multidd.text.as_texts` takes.
        per_class: texts of each class; 10 where `total` is not given either.
        total: texts in all, each class by its size, one at least.
        encoder: an id on the hub, a folder, a loaded `PreTrainedModel`, an `Encoder`;
            MiniLM unless given.
        method: one of `multidd.text.METHODS`.
        seed: seed of every draw of the run.
        **settings: of the method by name, those of its `options` and `run` among them:
            `text`, `label` and `pair` name columns, `tokenizer` goes with a loaded
            model.

    Returns:
        A `TextSummary`.

    Raises:
        ValueError: no such method; bad texts, budget, encoder or setting.
        TypeError: a setting that the method does not have.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> distill(few, per_class=1, method="medoids").card.method
        'medoids'
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if per_class is None and total is None:
        per_class = 10
    settings |= {"per_class": per_class, "total": total, "encoder": encoder}
    summary: TextSummary = call(METHODS[method], data, seed=seed, **settings)
    return summary
