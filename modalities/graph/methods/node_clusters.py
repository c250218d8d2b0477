r"""Clusters of nodes of each class, and which of them validation nodes prefer.

Axis letters: `n` nodes, `d` features, `c` classes, `m` synthetic nodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from multidd import seeds
from multidd.graph.data.graph import Graph
from multidd.graph.methods.budget import Budget, plan
from multidd.graph.methods.cluster_refinement import refined
from multidd.graph.models.propagation import propagate
from multidd.graph.models.students import Students
from multidd.protocols import Draw, Picks, Records
from multidd.selection.basic import KMeans

__all__ = [
    "CLASS_SHARES",
    "SCALES",
    "ClassShares",
    "ClusterForm",
    "NodeClusters",
    "shares_of",
    "sharpened",
]

ClassShares: TypeAlias = Literal["auto", "equal", "root", "mass"]

CLASS_SHARES = {"equal": 0.0, "root": 0.5, "mass": 1.0}
"""How classes share the nodes of a budget: in proportion to the predicted nodes of each
to this power."""

SCALES = (1.5, 1.0, 0.3, 0.1, 0.03)
"""Factors of the features that are tried. Adam moves every weight by its rate whatever
the features are, so that networks learn too slowly from small ones (rows of sum one)
and diverge on large ones (a row of hundreds of ones)."""

REFINE_STEPS = 30
"""Steps of refinement that are tried."""


@dataclass(frozen=True)
class ClusterForm:
    """How synthetic nodes are made of clusters.

    Attributes:
        scale: factor of their features.
        shares: a key of `CLASS_SHARES`.
        view: whose features they are means of: `"low"`, of one and two hops, or
            `"once"`, of one.
        refine_steps: steps of `refined` after the means.

    Example:
        >>> ClusterForm().shares
        'equal'
    """

    scale: float = 1.0
    shares: str = "equal"
    view: str = "low"
    refine_steps: int = 0


class NodeClusters:
    """Class-wise k-means of a graph's nodes, in any of several forms.

    Args:
        graph: the graph.
        p: `[n, c]` class probabilities.
        budgets: `ratio`, `nodes` and `per_class`, of which one is given.
        teacher_weight: weight of p against features in the clustering.
        label_temperature: of the soft labels.
        seed: of k-means and of the students' trainings.
        device: where students train and means are refined; k-means is scikit-learn's.
    """

    def __init__(
        self,
        graph: Graph,
        p: Tensor,
        budgets: tuple[float | None, int | None, int | None],
        teacher_weight: float,
        label_temperature: float,
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.graph, self.p, self.budgets, self.seed = graph, p, budgets, seed
        self.device = device
        self.teacher_weight, self.temperature = teacher_weight, label_temperature
        once = propagate(graph.adjacency, graph.x, 1)
        twice = propagate(graph.adjacency, once, 1)
        self.twice, self.views = twice, {"once": once, "low": (once + twice) / 2}
        self.mass = torch.bincount(p.argmax(1), minlength=graph.num_classes).tolist()
        self._picks: dict[tuple[tuple[int, ...], str], Picks] = {}
        self._spaces: dict[str, tuple[Tensor, Tensor]] = {}
        self._draws: dict[ClusterForm, Draw] = {}

    def budget(self, form: ClusterForm) -> Budget:
        """Synthetic nodes of each class."""
        shares = shares_of(self.mass, form.shares)
        return plan(self.graph, *self.budgets, shares=shares, max_counts=self.mass)

    def draw(self, form: ClusterForm) -> Draw:
        """Features and sharpened mean probabilities of the clusters."""
        if form in self._draws:
            return self._draws[form]
        counts = self.budget(form).counts
        picks = self._clusters(counts, form.view)
        x = torch.sparse.mm(picks.weights, self.views[form.view])
        soft = sharpened(torch.sparse.mm(picks.weights, self.p), self.temperature)
        x = self._refined(x, soft, form.refine_steps)
        self._draws[form] = {"x": form.scale * x, "y": picks.labels, "y_soft": soft}
        return self._draws[form]

    def _refined(self, x: Tensor, soft: Tensor, steps: int) -> Tensor:
        if not steps:
            return x
        x, soft = x.to(self.device), soft.to(self.device)
        twice, p = self.twice.to(self.device), self.p.to(self.device)
        return refined(x, soft, twice, p, steps).cpu()

    def choose(
        self, fixed: Mapping[str, Any]
    ) -> tuple[ClusterForm, dict[str, dict[str, float]]]:
        """The form from which plain networks learn best, and what they scored.

        Judged by the mean accuracy of four networks (`Students`) on validation nodes;
        where there are none, by how many nodes they class as p does. One setting after
        the other: the scale, down for as long as that helps, else up; the shares; the
        view; whether the means are refined.

        Args:
            fixed: fields of `ClusterForm` that are not to be chosen.
        """
        rows, labels = self.graph.val.nonzero().flatten(), self.graph.y
        if not len(rows):
            rows, labels = torch.arange(self.graph.num_nodes), self.p.argmax(1)
        students = Students(self.graph, rows, labels[rows], self.device)
        scores: dict[str, dict[str, float]] = {}

        def mean(form: ClusterForm) -> float:
            draw = self.draw(form)
            name = f"{form.scale:g} {form.shares} {form.view} {form.refine_steps}"
            scores[name] = students.accuracies(draw["x"], draw["y_soft"], self.seed)
            return sum(scores[name].values())

        best = ClusterForm(**fixed)
        first = SCALES.index(1.0)
        ladders: dict[str, tuple[tuple[Any, ...], ...]] = {
            "scale": (SCALES[first + 1 :], SCALES[:first][::-1]),
            "shares": (("root",), ("mass",)),
            "view": (("once",),),
            "refine_steps": ((REFINE_STEPS,),),
        }
        if self.budgets[2] is not None:
            ladders["shares"] = ()
        value = mean(best)
        for name, ways in ladders.items():
            for way in () if name in fixed else ways:
                before = value
                for setting in way:
                    changes: Any = {name: setting}
                    rival = replace(best, **changes)
                    rival_value = mean(rival)
                    if rival_value <= value:
                        break
                    best, value = rival, rival_value
                if name == "scale" and value > before:
                    break  # a graph that wants small features wants no large ones
        return best, scores

    def _clusters(self, counts: tuple[int, ...], view: str) -> Picks:
        if (counts, view) not in self._picks:
            h, rng = self._space(view)
            space = torch.cat([h, self.teacher_weight * self.p], dim=1)
            records = Records(space, self.p.argmax(1), self.graph.num_classes)
            self._picks[counts, view] = KMeans(restarts=2).pick(records, counts, rng)
        return self._picks[counts, view]

    def _space(self, view: str) -> tuple[Tensor, torch.Generator]:
        """Where k-means compares nodes, and its generator, always in the same state."""
        rng = seeds.at(self.seed, "clusters")
        if view not in self._spaces:
            self._spaces[view] = _reduced(self.views[view], rng), rng.get_state()
        h, state = self._spaces[view]
        rng.set_state(state)
        return h, rng


def shares_of(mass: Sequence[int], name: str) -> list[int]:
    """By what classes share a budget, from the predicted nodes of each.

    Args:
        mass: nodes of each class.
        name: a key of `CLASS_SHARES`.

    Example:
        >>> shares_of([400, 100], "root")
        [20000, 10000]
    """
    return [round(1000 * count ** CLASS_SHARES[name]) for count in mass]


def sharpened(p: Tensor, temperature: float, multi_label: bool = False) -> Tensor:
    r"""$p^{1/T}$, normalized over classes, or over yes and no of each label.

    Example:
        >>> sharpened(torch.tensor([[0.2, 0.8]]), 0.5).round(decimals=2)
        tensor([[0.0600, 0.9400]])
    """
    yes = p ** (1 / temperature)
    if multi_label:
        return yes / (yes + (1 - p) ** (1 / temperature))
    return yes / yes.sum(1, keepdim=True)


def _reduced(h: Tensor, rng: torch.Generator, dims: int = 64) -> Tensor:
    """The first principal directions of rows whose root mean square length is one."""
    from sklearn.utils.extmath import randomized_svd  # loads slowly

    length = h.square().sum(1).mean().sqrt().clamp(min=1e-12)
    k = min(dims, *h.shape)
    u, s, _ = randomized_svd(h.numpy(), k, random_state=seeds.child(rng))
    return torch.from_numpy(np.ascontiguousarray(u * s)).float() / length
