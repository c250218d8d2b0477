"""Settings of the papers for texts: what `preset="paper"` takes.

Values are those of the papers and of their authors' code. Of papers on images those are
taken that have a meaning for embeddings of texts; rates of pixels have none, and stay
at the default, as does what a paper does not say. `remains` says what is different from
the paper under the preset too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multidd.arguments import is_whole
from multidd.engine.presets import PAPER, Preset, Presets
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD
from multidd.text.data.readers import as_texts

__all__ = ["PRESETS", "TextFacts", "preset"]

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class TextFacts:
    """What the settings of papers depend on.

    Attributes:
        per_class: texts of each class.
        texts: training texts.
    """

    per_class: int = 10
    texts: int = 5000

    def epoch(self, batch_size: int) -> int:
        """Steps in which each text is seen once."""
        return math.ceil(self.texts / batch_size)


def _facts(data: Any, budget: Settings) -> tuple[Any, TextFacts]:
    per_class, total = budget.get("per_class"), budget.get("total")
    number = int(per_class or 1) if is_whole(per_class) else 10
    if data is None:
        return data, TextFacts(max(1, number))
    columns: dict[str, Any] = {}
    for column in ("text", "pair", "label"):
        value = budget.get(column, getattr(budget.get("options"), column, None))
        columns |= {} if value is None else {column: value}
    texts = as_texts(data, **columns)
    if is_whole(total):
        number = int(total or 0) // texts.num_classes
    return texts, TextFacts(max(1, number), len(texts))


def _kip(facts: TextFacts) -> Settings:
    return {
        "steps": 50_000,
        "init": "random",
        "labels": "centered",
        "kernel": "ntk",
        "depth": 1,
        "ridge": 1e-6,
        "batch_size": 5000,
    }


def _frepo(facts: TextFacts) -> Settings:
    return {
        "steps": 500_000,
        "init": "random",
        "labels": "onehot",
        "pool_size": 10,
        "ridge": 1e-6,
        "batch_size": 1024,
    }


def _dm(facts: TextFacts) -> Settings:
    return {
        "steps": 20_000,
        "init": "random",
        "labels": "hard",
        "num_models": 1,
        "batch_size": 256,
    }


def _dc(facts: TextFacts) -> Settings:
    number = facts.per_class
    matches, net_steps = (
        (1, 1) if number == 1 else (10, 50) if number <= 10 else (50, 10)
    )
    return {
        "steps": 1000 * matches,
        "init": "noise",
        "labels": "hard",
        "num_models": 1,
        "distance": "cosine",
        "matches_per_net": matches,
        "net_steps": net_steps,
        "batch_size": 256,
    }


def _mtt(facts: TextFacts) -> Settings:
    number = facts.per_class
    syn_steps, start = (
        (50, 2) if number == 1 else (30, 20) if number <= 10 else (30, 40)
    )
    # Heads on features of length one ask for the default's rate, not for 0.01.
    trainer = Trainer(epochs=50, steps=facts.epoch(256), optimizer=SGD(lr=10.0))
    return {
        "steps": 5000,
        "init": "random",
        "labels": "hard",
        "experts": Experts(trainer, count=100),
        "expert_epochs": 2,
        "start_epochs": (0, start),
        "syn_steps": syn_steps,
        "batch_size": 256,
    }


def _tbptt(facts: TextFacts) -> Settings:
    return {
        "steps": 400 * facts.epoch(1024),
        "labels": "onehot",
        "label_space": "real",
        "lr": 0.01,
        "lr_net": 0.02,
        "net_momentum": 0.0,
        "syn_steps": 2,
        "rates": "each",
        "clip": None,
        "batch_size": 1024,
    }


def _attention_labels(facts: TextFacts) -> Settings:
    return {
        "steps": 30 * facts.epoch(32),
        "warmup_steps": 0,
        "labels": "onehot",
        "label_space": "real",
        "lr": 0.01,
        "lr_labels": 0.01,
        "lr_attention": 0.01,
        "lr_lr": 0.01,
        "lr_net": 0.01,
        "syn_steps": 1,
        "pace": 1.0,
        # The authors' study of the weight ends at 100; 1 is the code's default.
        "attention": 100.0,
        "clip": 1.0,
        "length": 512,
        "batch_size": 32,
    }


FROZEN = "embeddings of a frozen encoder, Adam along a cosine at the default rate"

PRESETS = Presets(
    {
        "kip": Preset(_kip, f"{FROZEN}; updates are not the paper's number."),
        "frepo": Preset(_frepo, f"{FROZEN} instead of LAMB; heads of one layer."),
        "dm": Preset(_dm, f"{FROZEN}; random heads of one hidden layer."),
        "dc": Preset(_dc, f"{FROZEN}; heads are trained on real texts."),
        "mtt": Preset(_mtt, f"{FROZEN}; experts are heads, at the default rate."),
        "tbptt": Preset(
            _tbptt, "every step sees all texts, and vectors start from real texts."
        ),
        "attention_labels": Preset(
            _attention_labels,
            "vectors start from real texts; step sizes are learned as logarithms; the "
            "encoder is the default unless given; the rate falls along a cosine.",
        ),
    },
    _facts,
)
"""The paper of each method."""


def preset(
    method: str,
    per_class: int | None = None,
    *,
    total: int | None = None,
    data: Any = None,
    name: str = PAPER,
) -> dict[str, Any]:
    """The settings that a preset takes, by flat name.

    Args:
        method: one of `multidd.text.METHODS` that has a paper.
        per_class: texts of each class; 10 unless given.
        total: texts in all, in its place.
        data: labelled texts; 5,000 of them, as TREC-6 has, unless given.
        name: of the preset.

    Returns:
        Name -> value of each parameter and option that the preset sets.

    Raises:
        ValueError: a method without a paper, or no such preset.

    Example:
        >>> paper = preset("dc", per_class=10)
        >>> paper["steps"], paper["distance"], paper["batch_size"]
        (10000, 'cosine', 256)
    """
    budget = {"per_class": per_class, "total": total}
    return PRESETS.settings(method, data, budget, name)
