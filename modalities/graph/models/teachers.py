"""Teachers: class probabilities of every node from the training labels alone."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.graph.data.graph import Graph
from multidd.graph.models.propagation import (
    Operator,
    Propagation,
    normalized,
    operator,
)
from multidd.numerics import one_thread_for, small_training

__all__ = ["appnp_teacher", "best_teacher", "gcn_teacher", "linear_teacher"]

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2)


def linear_teacher(
    graph: Graph,
    *,
    hops: int = 2,
    alpha: float = 0.1,
    propagation: Propagation | None = None,
) -> Tensor:
    r"""Softmax regression on $\hat A^2 X$, its probabilities smoothed over the graph.

    Smoothing is personalized PageRank, $P \leftarrow (1-\alpha) \hat A P + \alpha P_0$,
    twenty times. The ridge is the one of four with the best validation accuracy, where
    there are validation nodes. Under half a second on Cora.

    Args:
        graph: with training labels.
        hops: propagations of the features.
        alpha: how much of its own prediction a node keeps.
        propagation: over the graph, where there is one already.

    Returns:
        `[n, c]` probabilities.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> linear_teacher(as_graph(multidd.samples.cora())).shape
        torch.Size([2708, 7])
    """
    from sklearn.linear_model import LogisticRegression  # loads slowly

    propagation = propagation or Propagation(graph.adjacency, graph.x)
    x = propagation.features(hops).numpy()
    x = x / max(np.sqrt((x**2).sum(1).mean()), 1e-12)
    step, rows = propagation.operator, graph.train.numpy()
    best, chances = -1.0, np.empty(0)
    ridges = RIDGES if bool(graph.val.any()) else (1e-4,)
    for ridge in ridges:
        head = LogisticRegression(C=1 / (2 * ridge * rows.sum()), max_iter=200)
        with one_thread_for(x[rows].size), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stopped early is as good a teacher
            head.fit(x[rows], graph.y[graph.train].numpy())
        start = head.predict_proba(x)
        smooth = start
        for _ in range(20):
            smooth = (1 - alpha) * (step @ smooth) + alpha * start
        right = smooth.argmax(1) == graph.y.numpy()
        accuracy = float(right[graph.val.numpy()].mean()) if len(ridges) > 1 else 0.0
        if accuracy > best:
            best, chances = accuracy, smooth
    return torch.from_numpy(chances / chances.sum(1, keepdims=True)).float()


def appnp_teacher(
    graph: Graph,
    seed: int = 0,
    *,
    members: int = 4,
    width: int = 32,
    epochs: int = 200,
    patience: int = 60,
    device: str = "cpu",
) -> Tensor:
    r"""An ensemble of APPNPs that also has to agree on the nodes without labels.

    The members train side by side, with whole nodes dropped before propagation, on
    $\sum_e \mathrm{CE}_e + \mathrm{mean}_n \lVert p_e - \bar p^{1/T} / Z \rVert^2$ with
    T = 0.5; each is kept at its best validation score, and their probabilities are
    averaged.

    Args:
        graph: with training labels.
        seed: of weights and dropout.
        members: how many.
        width: of their hidden layer.
        epochs: at most.
        patience: epochs without a gain of any member after which training ends.
        device: where they train.

    Returns:
        `[n, c]` probabilities, on the CPU.

    Reference:
        Gasteiger, Bojchevski, Günnemann, "Predict then Propagate", ICLR 2019; Feng et
        al., "Graph Random Neural Networks for Semi-Supervised Learning on Graphs",
        NeurIPS 2020.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> graph = as_graph(multidd.samples.cora())
        >>> appnp_teacher(graph, members=2, width=8, epochs=4).shape
        torch.Size([2708, 7])
    """
    rng = seeds.at(seed, "teacher", device=device)
    school = _School(graph, members, width, rng)
    return _taught(school, epochs, patience)


def gcn_teacher(
    graph: Graph,
    seed: int = 0,
    *,
    members: int = 4,
    width: int = 32,
    epochs: int = 100,
    patience: int = 60,
    device: str = "cpu",
) -> Tensor:
    r"""An ensemble of two-layer GCNs that has to agree on the nodes without labels.

    As `appnp_teacher`, but rows of the features keep their relative lengths, less is
    decayed, and no nodes are dropped. Better where nodes have many neighbours and many
    features, such as products that are bought together; worse on citations.

    Args:
        graph, seed, members, width, epochs, patience, device: see `appnp_teacher`.

    Returns:
        `[n, c]` probabilities, on the CPU.

    Reference:
        Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional
        Networks", ICLR 2017.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> graph = as_graph(multidd.samples.cora())
        >>> gcn_teacher(graph, members=2, width=8, epochs=4).shape
        torch.Size([2708, 7])
    """
    rng = seeds.at(seed, "teacher/gcn", device=device)
    school = _School(graph, members, width, rng, gcn=True)
    return _taught(school, epochs, patience)


def best_teacher(
    graph: Graph, seed: int = 0, device: str = "cpu", **settings: int
) -> Tensor:
    """Choose `appnp_teacher` or `gcn_teacher`, by the validation nodes.

    By the likelihood of their labels, which a few hundred nodes tell better than the
    accuracy; `appnp_teacher` where there are no validation nodes.

    Args:
        graph: with training labels.
        seed: of both.
        device: where both train.
        **settings: of both.

    Returns:
        `[n, c]` probabilities.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> graph = as_graph(multidd.samples.cora())
        >>> best_teacher(graph, members=2, width=8, epochs=4).shape
        torch.Size([2708, 7])
    """
    appnp = appnp_teacher(graph, seed, device=device, **settings)
    if not bool(graph.val.any()):
        return appnp
    gcn = gcn_teacher(graph, seed, device=device, **settings)

    def loss(p: Tensor) -> float:
        log = p[graph.val].clamp(min=1e-9).log()
        return float(F.nll_loss(log, graph.y[graph.val]))

    return min(appnp, gcn, key=loss)


def _taught(school: "_School", epochs: int, patience: int) -> Tensor:
    """Mean probabilities of the members, each at its best validation score."""
    graph, members, device = school.graph, school.members, school.rng.device
    val = graph.val.nonzero().flatten()
    labels, val = graph.y[val].to(device), val.to(device)
    shape = (members, graph.num_nodes, graph.num_classes)
    best_logits = torch.zeros(shape, device=device)
    best, last = torch.full((members,), -torch.inf), 0
    with small_training():
        for epoch in range(1, epochs + 1):
            school.step()
            if epoch % 4 and epoch != epochs:
                continue
            logits = school.logits(train=False).detach()
            scores = torch.stack([_score(one[val], labels) for one in logits])
            score = scores.cpu()
            better = (score > best) | ~torch.isfinite(score)
            best, best_logits = torch.where(better, score, best), best_logits.clone()
            chosen = better.nonzero().flatten().to(device)
            best_logits[chosen] = logits[chosen]
            last = epoch if bool(better.any()) else last
            if epoch - last >= patience:
                break
    return best_logits.softmax(2).mean(0).cpu()


def _score(logits: Tensor, labels: Tensor) -> Tensor:
    """Accuracy, ties broken by the loss; NaN without validation nodes."""
    right = (logits.argmax(1) == labels).float().mean()
    return right - 1e-3 * F.cross_entropy(logits, labels)


class _School:
    """The members' weights in one tensor each, and one training step."""

    def __init__(
        self,
        graph: Graph,
        members: int,
        width: int,
        rng: torch.Generator,
        gcn: bool = False,
    ) -> None:
        self.graph, self.members, self.rng, self.gcn = graph, members, rng, gcn
        d, c = graph.x.shape[1], graph.num_classes
        lengths = graph.x.norm(dim=1, keepdim=True)
        if gcn:
            lengths = lengths.square().mean().sqrt() / 4
        lengths = lengths.clamp(min=1e-12)
        device = rng.device
        features = sp.csr_array((graph.x / lengths).numpy())
        self.x: Operator = operator(features, device)
        self.step_operator = operator(normalized(graph.adjacency), device)
        rows = graph.train.nonzero().flatten()
        self.rows, self.labels = rows.to(device), graph.y[rows].to(device)
        self.first = self._glorot((d, members * width), d + width)
        self.bias = torch.zeros(members * width, device=device, requires_grad=True)
        self.second = self._glorot((members, width, c), width + c)
        self.shift = torch.zeros(members, 1, c, device=device, requires_grad=True)
        groups: list[dict[str, Any]] = [
            {"params": [self.first], "weight_decay": 5e-4 if gcn else 5e-3},
            {"params": [self.bias, self.second, self.shift]},
        ]
        self.optimizer = torch.optim.Adam(groups, lr=0.01, fused=True)

    def step(self) -> None:
        """One update of all members."""
        logits = self.logits(train=True)
        p = logits.softmax(2)
        goal = p.mean(0).detach().square()  # T = 0.5
        goal = goal / goal.sum(1, keepdim=True)
        labels = self.labels.repeat(self.members)
        taught = F.cross_entropy(logits[:, self.rows].flatten(0, 1), labels)
        agree = (p - goal).square().sum(2).mean()
        self.optimizer.zero_grad()
        (self.members * (taught + agree)).backward()
        self.optimizer.step()

    def logits(self, *, train: bool) -> Tensor:
        """`[members, n, c]`."""
        n, e = self.graph.num_nodes, self.members
        hidden = self.x @ self.first
        hidden = self.step_operator @ hidden if self.gcn else hidden
        hidden = (hidden + self.bias).relu()
        hidden = hidden * self._keep(hidden.shape) if train else hidden
        start = hidden.view(n, e, -1).transpose(0, 1) @ self.second + self.shift
        start = start * self._keep((e, n, 1)) if train and not self.gcn else start
        flat = start.transpose(0, 1).flatten(1)
        out = self.step_operator @ flat if self.gcn else flat
        for _ in range(0 if self.gcn else 10):
            out = 0.9 * (self.step_operator @ out) + 0.1 * flat
        return out.view(n, e, -1).transpose(0, 1)

    def _keep(self, shape: tuple[int, ...]) -> Tensor:
        noise = torch.rand(shape, generator=self.rng, device=self.rng.device)
        return 2.0 * (noise >= 0.5)

    def _glorot(self, shape: tuple[int, ...], fan: int) -> Tensor:
        bound = (6.0 / fan) ** 0.5
        noise = 2 * torch.rand(shape, generator=self.rng, device=self.rng.device) - 1
        return (bound * noise).requires_grad_()
