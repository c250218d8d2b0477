"""`Condense`: condensation as a step of a PyG pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from multidd.engine.recipe import call
from multidd.graph.methods.registry import METHODS

__all__ = ["Condense"]


@dataclass(frozen=True)
class Condense(BaseTransform):
    """A PyG transform that turns a graph into a condensed one.

    What comes out is a plain `Data` with `x`, `edge_index`, `edge_weight`, `y`,
    `train_mask` (all nodes) and, for methods that have them, soft labels `y_soft`; the
    graph that goes in stays as it is. For the summary itself, with its card, call the
    method.

    Attributes:
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        method: name of any method of `multidd.graph.METHODS`.
        inductive: see the training nodes and the edges between them only.
        seed: seed of the method.
        options: further settings of the method by name, those of its options too, such
            as `{"steps": 50, "lr": 0.01}`.

    Raises:
        ValueError: no such method; no budget or two. A budget that does not fit is
            refused when a graph comes.

    Example:
        >>> import multidd
        >>> import torch_geometric.transforms as T
        >>> make = T.Compose([T.NormalizeFeatures(), Condense(nodes=14, method="cgc")])
        >>> make(multidd.samples.cora()).num_nodes
        14
        >>> Condense(ratio=0.01)
        Condense(ratio=0.01)
    """

    ratio: float | None = None
    nodes: int | None = None
    per_class: int | None = None
    method: str = "condense"
    inductive: bool = False
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}; got {self.method!r}"
            )
        named = [name for name, value in self._budget.items() if value is not None]
        if len(named) != 1:
            got = " and ".join(named) or "none"
            raise ValueError(
                f"give exactly one of ratio, nodes and per_class; got {got}"
            )

    def __repr__(self) -> str:
        """The settings that were given; PyG keeps processed data by this text."""
        settings = {name: v for name, v in self._budget.items() if v is not None}
        if self.method != "condense":
            settings["method"] = self.method
        settings |= {name: v for name, v in self._rest.items() if v}
        return f"Condense({', '.join(f'{k}={v!r}' for k, v in settings.items())})"

    def forward(self, data: Data) -> Data:
        """The condensed graph, as a plain `Data`."""
        settings = self._budget | {"inductive": self.inductive, "seed": self.seed}
        return call(METHODS[self.method], data, **settings, **self.options).to_pyg()

    @property
    def _budget(self) -> dict[str, Any]:
        return {
            "ratio": self.ratio,
            "nodes": self.nodes,
            "per_class": self.per_class,
        }

    @property
    def _rest(self) -> dict[str, Any]:
        rest = {"inductive": self.inductive, "seed": self.seed}
        return rest | {"options": dict(self.options)}
