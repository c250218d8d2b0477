"""Label policies, around any parameterization."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F

from multidd.learning.functional import embed
from multidd.learning.states import Frozen, States
from multidd.protocols import Draw, Parameterization, Params, Task, decoder_info

Policy = Literal["hard", "centered", "onehot", "teacher", "teacher_once"]
"""How synthetic records are labelled; see `Labels`."""


@dataclass(frozen=True)
class Labels(Parameterization):
    r"""A label policy around a parameterization: fixed or learned, hard or soft.

    `Tiles` goes around it, not inside: the tiles of a stored image share its label.

    | policy | `y_soft` at the start | learned |
    |---|---|---|
    | `"hard"` | none: class numbers only | no |
    | `"centered"` | one-hot minus 1/c | no |
    | `"onehot"` | one-hot minus 1/c if `center`, else one-hot | yes |
    | `"teacher"` | a teacher's probabilities | yes |
    | `"teacher_once"` | a teacher's probabilities at the start | no |

    Attributes:
        base: the parameterization of the records.
        policy: one of the five.
        center: take the row mean off (what a closed-form learner is fitted to).
        scale: factor on the labels at the start.
        teacher: how the teacher is trained on the real set, or where it comes from.
        softmax: whether its outputs are logits; else they are taken as they are.

    Reference:
        Sucholutsky, Schonlau, "Soft-Label Dataset Distillation and Text Dataset
        Distillation", IJCNN 2021; Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel
        Ridge-Regression", ICLR 2021.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> Labels(Free(Random(), (1, 1)), "onehot").groups
        ('x', 'y_soft')
    """

    base: Parameterization
    policy: Policy = "onehot"
    center: bool = True
    scale: float = 1.0
    teacher: States = Frozen()
    softmax: bool = True

    def __post_init__(self) -> None:
        policies = ("hard", "centered", "onehot", "teacher", "teacher_once")
        if self.policy not in policies:
            raise ValueError(
                f"policy must be one of {', '.join(policies)}; got {self.policy!r}"
            )
        if decoder_info(self.base):
            raise ValueError(
                f"{type(self.base).__name__} goes around Labels, not inside: "
                f"{type(self.base).__name__}(Labels(...))"
            )

    @property
    def label_kind(self) -> str:
        """What the card says: hard, soft or centered."""
        if self.policy == "hard":
            return "hard"
        return "centered" if self.center or self.policy == "centered" else "soft"

    @property
    def groups(self) -> tuple[str, ...]:
        """The base's groups, and the labels where they are learned."""
        learned = ("y_soft",) if self.policy in ("onehot", "teacher") else ()
        return (*self.base.groups, *learned)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's tensors, and the labels."""
        params = self.base.init(task, rng)
        if self.policy == "hard":
            return params
        soft = self._start(task, params, rng)
        if self.label_kind == "centered":
            soft = soft - soft.mean(1, keepdim=True)
        return params | {"y_soft": self.scale * soft}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The records and their labels."""
        return self.base.draw(params, rng, step)

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The records and their labels, detached."""
        return self.base.final(params, rng)

    def decode(self, stored: Draw) -> Draw:
        """As the base does."""
        return self.base.decode(stored)

    def _start(
        self, task: Task[Any], params: Params, rng: torch.Generator
    ) -> torch.Tensor:
        hard = F.one_hot(params["y"], task.num_classes).to(params["x"].dtype)
        if not self.policy.startswith("teacher"):
            return hard
        weights = self.teacher.init(task, rng)["weights"]
        with torch.no_grad():
            shown = self.base.draw(params, rng, 0)
            batch = task.synthetic(shown | {"y_soft": hard})
            outputs = embed(task, weights, batch, 1)[0]
            return (outputs.softmax(-1) if self.softmax else outputs).mean(0)
