"""`distill`: any method by its name."""

from typing import Any

from multidd.arguments import public_function
from multidd.engine.recipe import call_named
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

DEFAULT = "pursuit"
"""What `distill` takes unless a method is named."""

LEARNED = ("kip", "frepo", "dm", "dc", "mtt", *TOKENS)
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""


@public_function
def distill(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    method: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> TextSummary:
    """Distill labelled texts: by `pursuit`, or by any other method.

    `pursuit` unless another is named: of the methods whose sets people can read it is
    above random texts at every size and under every model that was measured (see
    `multidd.methods("text")`), and its sets serve whatever takes texts. `kip` is above
    it where the summary's own predictor is what will be used.

    Args:
        data: a `datasets.Dataset` or `DatasetDict`, a frame, a pair (texts, labels), a
            path: what `multidd.text.as_texts` takes.
        per_class: texts of each class; 10 where `total` is not given either.
        total: texts in all, each class by its size, one at least.
        encoder: an id on the hub, a folder, a loaded `PreTrainedModel`, an `Encoder`;
            MiniLM unless given.
        method: one of `multidd.text.METHODS`; None takes `"pursuit"`.
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
    if per_class is None and total is None:
        per_class = 10
    budget = {"per_class": per_class, "total": total, "encoder": encoder}
    settings |= {"seed": seed}
    summary: TextSummary
    summary = call_named(METHODS, method, DEFAULT, data, budget, settings)
    return summary
