r"""Students: plain networks trained on nodes without edges, judged on real ones.

Axis letters: `m` synthetic nodes, `n` nodes, `d` features, `c` classes, `h` hidden.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.graph.data.graph import Graph
from multidd.graph.models.networks import Inputs
from multidd.graph.models.propagation import Operator, operator
from multidd.numerics import small_training

__all__ = ["Students"]

WIDTH, EPOCHS, RATE, DECAY = 64, 200, 0.01, 5e-4
"""Of a plain training: hidden units, updates of Adam, its rate and weight decay."""


class Students:
    """Two-layer networks that learn from nodes without edges, tested on a graph.

    Two trainings judge four networks. Without edges GCN, GraphSAGE and MLP are one
    network while they train, and differ in what they do with the edges of the real
    graph: the normalized sum, the mean of a node and of its neighbours' mean, nothing.
    A GAT drops attention as it drops units, which hides whole nodes from a layer that
    sees no edge; its attention gets no gradient there and decays to the plain mean.

    Args:
        graph: the real graph.
        rows: `[v]`, the nodes to judge on.
        labels: `[v]`, their classes.
        device: where they train.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> graph = as_graph(multidd.samples.cora())
        >>> rows = graph.val.nonzero().flatten()[:20]
        >>> students = Students(graph, rows, graph.y[rows])
        >>> sorted(students.accuracies(graph.x[:7], torch.eye(7), seed=0))
        ['gat', 'gcn', 'mlp', 'sage']
    """

    def __init__(
        self, graph: Graph, rows: Tensor, labels: Tensor, device: str = "cpu"
    ) -> None:
        inputs = Inputs(graph.x, graph.adjacency, device)
        self.x, self.device = inputs.x, device
        self.rows, self.labels = rows.to(device), labels.to(device)
        degree = np.asarray(graph.adjacency.sum(axis=1)).ravel()
        around = sp.diags_array(0.5 / np.maximum(degree, 1e-12)) @ graph.adjacency
        halves = sp.csr_array(around + 0.5 * sp.eye_array(graph.num_nodes))
        self.steps: Mapping[str, Operator | None] = {
            "gcn": inputs.gcn,
            "sage": operator(halves, device),
            "mlp": None,
            "gat": inputs.mean,
        }

    def accuracies(self, x: Tensor, targets: Tensor, seed: int) -> dict[str, float]:
        """Share of the judged nodes that each network predicts right.

        Args:
            x: `[m, d]` nodes to train on.
            targets: `[m, c]` probabilities.
            seed: of weights and dropout.
        """
        with small_training():
            rng = seeds.at(seed, "students", device=self.device)
            plain, hiding = _trained(x.to(self.device), targets.to(self.device), rng)
            networks = {"gcn": plain, "sage": plain, "mlp": plain, "gat": hiding}
            return {
                name: self._accuracy(self.steps[name], *weights)
                for name, weights in networks.items()
            }

    def _accuracy(
        self,
        step: Operator | None,
        first: Tensor,
        bias: Tensor,
        second: Tensor,
        shift: Tensor,
    ) -> float:
        hidden = self.x @ first  # (n, h)
        hidden = hidden if step is None else step @ hidden
        logits = (hidden + bias).relu() @ second
        logits = (logits if step is None else step @ logits)[self.rows] + shift
        return float((logits.argmax(1) == self.labels).float().mean())


Weights: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]


def _trained(
    x: Tensor, targets: Tensor, rng: torch.Generator
) -> tuple[Weights, Weights]:
    """Both layers' weights and biases after plain training, without and with dropout of
    whole nodes; the two networks train side by side."""
    m, d, c = len(x), x.shape[1], targets.shape[1]
    first, second = _glorot(2, d, WIDTH, rng), _glorot(2, WIDTH, c, rng)
    first = first.transpose(0, 1).reshape(d, 2 * WIDTH)  # one product for both
    biases = (torch.zeros(2, 1, size, device=rng.device) for size in (WIDTH, c))
    parts = (first, next(biases), second, next(biases))
    first, bias, second, shift = (part.requires_grad_() for part in parts)
    parameters = [first, bias, second, shift]
    adam = torch.optim.Adam(parameters, lr=RATE, weight_decay=DECAY, fused=True)
    labels = targets.expand(2, m, c).flatten(0, 1)
    for _ in range(EPOCHS):
        shown = torch.ones(2, 2, m, 1, device=rng.device)  # layers, networks, nodes
        shown[:, 1] = _mask((2, m, 1), rng)
        hidden = (x @ first).view(m, 2, WIDTH).transpose(0, 1)  # (2, m, h)
        hidden = (shown[0] * hidden + bias).relu() * _mask((2, m, WIDTH), rng)
        logits = shown[1] * (hidden @ second) + shift  # (2, m, c)
        adam.zero_grad()
        (2 * F.cross_entropy(logits.flatten(0, 1), labels)).backward()
        adam.step()
    ways = zip(first.detach().chunk(2, 1), bias, second, shift, strict=True)
    plain, hiding = (
        (one, b.detach()[0], two.detach(), s.detach()[0]) for one, b, two, s in ways
    )
    return plain, hiding


def _glorot(networks: int, fan: int, out: int, rng: torch.Generator) -> Tensor:
    bound = (6 / (fan + out)) ** 0.5
    weights = torch.empty(networks, fan, out, device=rng.device)
    return weights.uniform_(-bound, bound, generator=rng)


def _mask(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Dropout of one half."""
    return 2.0 * (torch.rand(shape, generator=rng, device=rng.device) >= 0.5)
