"""`condense`: clusters of propagated features with a teacher's soft labels."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.splitting import check_count
from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.stages import Stages
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.data.hetero import homogeneous
from multidd.graph.methods.budget import Budget, check_budget, plan
from multidd.graph.methods.node_clusters import (
    ClassShares,
    NodeClusters,
    shares_of,
    sharpened,
)
from multidd.graph.methods.options import check_choice
from multidd.graph.methods.resources import MemoryEstimate, as_bytes, entries_of
from multidd.graph.methods.setup import budget_settings, graph_summary
from multidd.graph.models.linear_teacher import TeacherOutput, hop_teacher, margin
from multidd.graph.models.propagated_features import SAMPLE, Hops, hops_of
from multidd.graph.models.propagation import propagate
from multidd.graph.models.teachers import best_teacher
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.node_task import seen
from multidd.numerics import one_thread_for
from multidd.protocols import Draw
from multidd.selection.basic import KMeans, fill_empty

Teacher: TypeAlias = Literal["auto", "appnp", "hops"]
NodeFeatures: TypeAlias = Literal["auto", "low", "once", "own"]


@dataclass(frozen=True, kw_only=True)
class CondenseOptions:
    """Settings of `condense`.

    Attributes:
        label_temperature: T, above 0; below 1 it sharpens the labels, which are means
            over a cluster.
        teacher_weight: weight of P against H in the clustering.
        teacher: `"appnp"`, the ensembles, or `"hops"`, linear heads on propagated
            features: for any size. `"auto"` takes the heads for graphs of more than
            100,000 nodes or 2 million adjacency entries, where edges join unlike nodes,
            and for several labels; see `condense_by_hops` of
            `multidd.graph.methods.condense`.
        node_features: `"low"`, H; `"once"`, propagated once; or `"own"`, a node's own,
            for models that see no edges. `"auto"` lets validation nodes choose.
        feature_scale: factor of the synthetic features, above 0. None, as `"auto"` and
            None below, lets plain trainings choose; with `teacher="hops"` it is 1.
        class_shares: how classes share the synthetic nodes: `"equal"`, or in proportion
            to the nodes predicted of each (`"mass"`, so with `teacher="hops"`) or to
            the roots of these (`"root"`).
        refine_steps: steps that move the means, 0 or 30 if chosen; 0 with
            `teacher="hops"`.
        max_memory: bytes, or text such as `"8 GB"`, that may be taken beside the data;
            propagated features go to files where that is too little, and what fits no
            way is refused. None asks the machine.
        node_type: of a `HeteroData`, the nodes to condense; see `homogeneous`.

    Raises:
        ValueError: an unknown name, or settings that do not go together.

    Example:
        >>> CondenseOptions(teacher="hops").label_temperature
        0.7
    """

    label_temperature: float = 0.7
    teacher_weight: float = 3.0
    teacher: Teacher = "auto"
    node_features: NodeFeatures = "auto"
    feature_scale: float | None = None
    class_shares: ClassShares = "auto"
    refine_steps: int | None = None
    max_memory: int | float | str | None = None
    node_type: str | None = None

    def __post_init__(self) -> None:
        if not self.label_temperature > 0:
            raise ValueError(
                f"label_temperature must be above 0, got {self.label_temperature}"
            )
        check_choice("teacher", self.teacher, get_args(Teacher))
        check_choice("node_features", self.node_features, get_args(NodeFeatures))
        check_choice("class_shares", self.class_shares, get_args(ClassShares))
        if self.feature_scale is not None and not 0 < self.feature_scale < inf:
            raise ValueError(f"feature_scale must be above 0, got {self.feature_scale}")
        if self.refine_steps is not None:
            check_count("refine_steps", self.refine_steps, 0)
        if self.teacher == "appnp" and self.node_features == "own":
            raise ValueError(
                "node_features='own' is for edges that mislead, which teacher='appnp' "
                "trusts; leave teacher out"
            )
        as_bytes(self.max_memory)

    @property
    def fixed_form(self) -> dict[str, Any]:
        """Fields of a `ClusterForm` that are not left to choose."""
        values = {
            "scale": self.feature_scale,
            "shares": self.class_shares,
            "view": self.node_features,
            "refine_steps": self.refine_steps,
        }
        return {n: v for n, v in values.items() if v not in (None, "auto")}


LARGE_NODES, LARGE_ENTRIES = 100_000, 2_000_000
"""Above either, `teacher="auto"` is `"hops"`: an epoch of the ensemble would take more
than ten seconds on two cores."""

HETEROPHILY_ROWS = 2000
"""Training nodes that a look at the edges takes."""


def is_large(graph: Graph) -> bool:
    """Whether a graph has more than 100,000 nodes or 2 million entries in its
    adjacency (two for each edge).

    Example:
        >>> import multidd
        >>> is_large(as_graph(multidd.samples.cora()))
        False
    """
    return graph.num_nodes > LARGE_NODES or graph.adjacency.nnz > LARGE_ENTRIES


def is_heterophilous(graph: Graph) -> bool:
    """Whether edges mostly connect nodes of different classes.

    A ridge classifier on a node's own features is then better on validation nodes, by
    more than `margin`, than one on propagated ones. False without validation nodes.

    Example:
        >>> import multidd
        >>> is_heterophilous(as_graph(multidd.samples.cora()))
        False
    """
    rows = graph.train.nonzero().flatten()[:HETEROPHILY_ROWS]
    val = graph.val.nonzero().flatten()
    if not len(val):
        return False
    once = propagate(graph.adjacency, graph.x, 1)
    low = once + propagate(graph.adjacency, once, 1)
    plain, smooth = (_ridge_accuracy(graph, x, rows, val) for x in (graph.x, low))
    return plain > smooth + margin(len(val))


def _ridge_accuracy(graph: Graph, x: Tensor, rows: Tensor, val: Tensor) -> float:
    mean = x[rows].mean(0)
    fitted, held_out = x[rows] - mean, x[val] - mean
    gram = fitted @ fitted.T
    ridge = 1e-2 * gram.diagonal().mean().clamp(min=1e-12) * torch.eye(len(rows))
    targets = F.one_hot(graph.y[rows], graph.num_classes).float()
    logits = held_out @ (fitted.T @ torch.linalg.solve(gram + ridge, targets))
    return float((logits.argmax(1) == graph.y[val]).float().mean())


@dataclass(frozen=True, eq=False)
class CondensePlan:
    """What `condense` will do with a graph.

    Attributes:
        graph: what it sees.
        by_hops: whether by `condense_by_hops`.
        columns: features to propagate at a time, where the hops go to files.
        stages: seconds so far.
        view: which features the synthetic nodes are means of.
        inductive: whether the graph is its training part.
        began: when.
    """

    graph: Graph
    by_hops: bool
    columns: int | None
    stages: Stages
    view: NodeFeatures
    inductive: bool
    began: float

    @classmethod
    def of(
        cls,
        data: Any,
        options: CondenseOptions = CondenseOptions(),
        inductive: bool = False,
        run: RunSettings = RunSettings(),
    ) -> "CondensePlan":
        """Check the memory, read the graph, and choose.

        Raises:
            TypeError, ValueError: as `as_graph`; settings that the graph does not fit;
                too little memory.
        """
        began = time.perf_counter()
        teacher, view = options.teacher, options.node_features
        if options.node_type is not None:
            data = homogeneous(data, options.node_type)
        stages = run.stages("condense")
        columns = _columns(data, as_bytes(options.max_memory))
        with stages("reading"):
            graph = seen(as_graph(data, multi_label=True), inductive)
        if graph.multi_label is not None and teacher == "appnp":
            raise ValueError(
                "teacher='appnp' needs one class for each node; leave teacher out"
            )
        by_hops = teacher == "hops" or graph.multi_label is not None
        if teacher == "auto" and not by_hops:
            by_hops = is_large(graph) or columns is not None or view == "own"
            if not by_hops and view == "auto" and is_heterophilous(graph):
                # Heads see both hops apart, and where the edges lead from class to
                # class do well on them; the mean of the two tells nothing there.
                by_hops, view = True, "own"
        return cls(graph, by_hops, columns, stages, view, inductive, began)


def _columns(data: Any, memory: int | None) -> int | None:
    """Whether propagated features go to files; before anything is allocated."""
    x, y = getattr(data, "x", None), getattr(data, "y", None)
    entries = data.adjacency.nnz if isinstance(data, Graph) else entries_of(data)
    if not isinstance(x, Tensor) or x.dim() != 2 or entries is None or y is None:
        return None  # as_graph says what is wrong
    labels = torch.as_tensor(y)
    c = labels.shape[1] if labels.dim() == 2 else int(labels.max()) + 1
    return MemoryEstimate.of(len(x), entries, x.shape[1], c).choose(memory)


MAX_KMEANS_ROWS, DIMS = 10_000, 64
"""Members of a class that k-means takes at once; of more it sees batches. And the
principal directions that are compared."""


def condense_by_hops(
    condense_plan: CondensePlan,
    budgets: tuple[float | None, int | None, int | None],
    options: CondenseOptions,
    seed: int,
    device: str = "cpu",
) -> GraphSummary:
    r"""Cluster means of propagated features with the soft labels of linear heads.

    The features are propagated twice in parts of bounded memory, in RAM or, where that
    does not fit, in files. A linear teacher
    (`multidd.graph.models.linear_teacher.hop_teacher`) gives probabilities; within each
    predicted class mini-batch k-means runs on the features (their first 64 principal
    directions) and the probabilities, as in `condense`. Cost is linear in edges and in
    nodes.

    Args:
        condense_plan: of `CondensePlan.of`.
        budgets: `ratio`, `nodes` and `per_class`, of which one is given.
        options: temperature and weight of the teacher's probabilities.
        seed: of teacher and clustering.
        device: where heads train and means are summed; hops are propagated by SciPy
            and k-means is scikit-learn's.

    Returns:
        A `GraphSummary` with `y_soft`; `card.stages` has the seconds of each part.
    """
    graph, stages = condense_plan.graph, condense_plan.stages
    form = options.fixed_form
    multi_label = graph.multi_label is not None
    if options.refine_steps:
        raise ValueError("refine_steps is for teacher='appnp': leave it out, or give 0")
    if multi_label and budgets[2] is not None:
        raise ValueError(
            "per_class needs one class for each node, and these have several labels; "
            "give nodes= or ratio="
        )
    one_class = (
        replace(graph, num_classes=1, multi_label=None) if multi_label else graph
    )
    check_budget(one_class, *budgets)
    with ExitStack() as held:
        with stages("propagation"):
            hops = held.enter_context(hops_of(graph, condense_plan.columns))
        with stages("teacher"):
            beliefs = hop_teacher(graph, hops, seed, device)
        if condense_plan.view != "auto":
            beliefs = replace(beliefs, view=condense_plan.view)
        with stages("clusters"):
            groups = _groups(graph, beliefs)
            mass = np.bincount(groups, minlength=graph.num_classes).tolist()
            max_counts = [graph.num_nodes] if multi_label else mass
            shares = shares_of(max_counts, form.get("shares", "mass"))
            budget = plan(one_class, *budgets, shares=shares, max_counts=max_counts)
            space = _Space(hops, beliefs, options.teacher_weight, seed, device)
            draw = _means(graph, space, groups, budget)
    draw["y_soft"] = sharpened(draw["y_soft"], options.label_temperature, multi_label)
    draw["x"] = form.get("scale", 1.0) * draw["x"]
    settings = {
        "feature_scale": form.get("scale", 1.0),
        "class_shares": form.get("shares", "mass"),
        "sharpen": options.label_temperature,
        "emphasis": options.teacher_weight,
        "teacher": "hops",
    }
    settings |= {"view": beliefs.view, "smoothing": beliefs.smoothing}
    settings |= {"several": multi_label} | budget_settings(
        budget, condense_plan.inductive
    )
    with stages("card"):
        summary = graph_summary(
            "condense", graph, draw, settings, seed, condense_plan.began
        )
    card = replace(summary.card, stages=dict(stages.seconds))
    return replace(summary, card=card)


def _groups(graph: Graph, beliefs: TeacherOutput) -> np.ndarray:
    """`[n]`, the class that k-means counts a node to; one where nodes have several."""
    if graph.multi_label is not None:
        return np.zeros(graph.num_nodes, np.int64)
    return beliefs.p.argmax(axis=1)


def _means(graph: Graph, space: "_Space", groups: np.ndarray, budget: Budget) -> Draw:
    """Mean features and mean probabilities of the clusters of every class."""
    hops, beliefs, device = space.hops, space.beliefs, space.device
    m, widths = budget.nodes, (graph.x.shape[1], graph.num_classes, 1)
    x, soft, size = (torch.zeros(m, width, device=device) for width in widths)
    labels, first = [], 0
    for label, count in enumerate(budget.counts):
        members = np.flatnonzero(groups == label)
        cluster = first + space.clusters(members, count)
        for start in range(0, len(members), SAMPLE):
            some, at = members[start : start + SAMPLE], cluster[start : start + SAMPLE]
            x.index_add_(0, at, hops.view(beliefs.view, some).to(device))
            soft.index_add_(0, at, torch.from_numpy(beliefs.p[some]).to(device))
            size.index_add_(0, at, torch.ones(len(some), 1, device=device))
        labels += [label] * count
        first += count
    x, soft = (x / size).cpu(), (soft / size).cpu()
    y = soft.argmax(1) if graph.multi_label is not None else torch.tensor(labels)
    return {"x": x, "y": y, "y_soft": soft}


class _Space:
    """Where nodes are compared: principal directions of features, and beliefs."""

    def __init__(
        self,
        hops: Hops,
        beliefs: TeacherOutput,
        teacher_weight: float,
        seed: int,
        device: str,
    ) -> None:
        self.hops, self.beliefs, self.teacher_weight = hops, beliefs, teacher_weight
        self.rng = rng = seeds.at(seed, "clusters")
        self.device = device
        n, d = hops.x.shape
        rows = torch.randperm(n, generator=rng)[:SAMPLE].sort().values
        h = hops.view(beliefs.view, rows.numpy())
        length = h.square().sum(1).mean().sqrt().clamp(min=1e-12)
        self.turn = torch.eye(d) / length
        if d > DIMS:
            from sklearn.utils.extmath import randomized_svd  # loads slowly

            k = min(DIMS, *h.shape)
            axes = randomized_svd(h.numpy(), k, random_state=seeds.child(rng))[2]
            self.turn = torch.from_numpy(np.ascontiguousarray(axes.T)).float() / length
        self.turn = self.turn.to(device)

    def rows(self, nodes: np.ndarray) -> Tensor:
        """`[b, DIMS + c]` of some nodes, on the device."""
        h = self.hops.view(self.beliefs.view, nodes).to(self.device) @ self.turn
        p = torch.from_numpy(self.beliefs.p[nodes]).to(self.device)
        return torch.cat([h, self.teacher_weight * p], dim=1)

    def clusters(self, members: np.ndarray, count: int) -> Tensor:
        """Cluster of each member; every cluster has one at least."""
        rng = self.rng
        if len(members) <= MAX_KMEANS_ROWS:
            x = self.rows(members)
            return KMeans(restarts=1).clusters(x, x.new_ones(len(x)), count, rng)
        from sklearn.cluster import MiniBatchKMeans  # loads slowly, used only here

        drawn = torch.randperm(len(members), generator=rng)[:SAMPLE].sort().values
        batches = MiniBatchKMeans(
            count, batch_size=4096, n_init=1, random_state=seeds.child(rng)
        )
        batches.fit(self.rows(members[drawn.numpy()]).cpu().numpy())
        centers = torch.from_numpy(batches.cluster_centers_).float().to(self.device)
        parts = [members[i : i + SAMPLE] for i in range(0, len(members), SAMPLE)]
        near = [_nearest(self.rows(part), centers) for part in parts]
        return fill_empty(torch.cat(near), count)


def _nearest(x: Tensor, centers: Tensor) -> Tensor:
    return (x @ centers.T - centers.square().sum(1) / 2).argmax(1)


@public_function
def condense(
    data: Any,
    ratio: float | None = None,
    *,
    nodes: int | None = None,
    per_class: int | None = None,
    inductive: bool = False,
    options: CondenseOptions = CondenseOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> GraphSummary:
    r"""Condense a graph in seconds: cluster means with a teacher's soft labels.

    1. A small ensemble of APPNPs, or of GCNs where these predict the validation nodes
       better, is trained on the training labels and made to agree on the other nodes:
       it gives every node class probabilities P.
    2. k-means within each predicted class on $[H, 3 P]$, with
       $H = (\hat A X + \hat A^2 X) / 2$ or $\hat A X$, reduced to 64 dimensions.
    3. Each synthetic node is s times the mean of H over a cluster, its soft label the
       mean of P, sharpened: $y \propto \bar p^{1/T}$. There are no edges.
    4. A few steps move the means until a kernel regression on them predicts P of all
       nodes (`multidd.graph.methods.cluster_refinement`).
    5. Plain networks (GCN, GraphSAGE, MLP, GAT; `multidd.graph.models.students`) choose
       H, s, the shares of the classes, and whether to take step 4: what they predict
       validation nodes best from, on average. One factor does not fit all graphs:
       rows of sum one are too small for the usual rate, bags of words too large.

    The teacher is a stronger model than the one that is trained on the summary: its
    knowledge of the graph, unlabelled nodes included, is what the soft labels carry.
    Without validation nodes the networks are judged by how many nodes they class as it
    does.

    Args:
        data: a PyG `Data` with `x`, `edge_index`, `y`, `train_mask`; not changed.
        ratio: synthetic nodes / nodes of the graph the method sees.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class. Give exactly one of the three.
        inductive: see the training nodes and the edges between them only.
        options: further settings, see `multidd.graph.CondenseOptions`.
        seed: of teacher and clustering.
        device: where teacher and students train, such as `"cpu"` or `"cuda"`; k-means
            is scikit-learn's, on the CPU.
        progress: print seconds of stages; None prints on terminals and in notebooks.
        run: `timeout` alone counts, since there is no loop.

    Returns:
        A `GraphSummary` with `y_soft`.

    Raises:
        ValueError: bad data, budget or setting; says what would fit.

    Reference:
        This library; after Gao et al., "Rethinking and Accelerating Graph
        Condensation", WWW 2025 (class-wise clusters), with the teacher of
        `multidd.graph.models.teachers.best_teacher`.

    Example:
        >>> import multidd
        >>> condense(multidd.samples.cora(), nodes=35).tensors["y_soft"].shape
        torch.Size([35, 7])
    """
    started, budgets = time.perf_counter(), (ratio, nodes, per_class)
    settings = RunSettings(seed, device, progress, None, run)
    condense_plan = CondensePlan.of(data, options, inductive, settings)
    if condense_plan.by_hops:
        return condense_by_hops(condense_plan, budgets, options, seed, device)
    graph, stages = condense_plan.graph, condense_plan.stages
    check_budget(graph, *budgets)
    with stages("teacher"):
        p = best_teacher(graph, seed, device)
    p[graph.train] = F.one_hot(graph.y[graph.train], graph.num_classes).float()
    with stages("clusters"), one_thread_for(graph.x.numel()):
        weight, temperature = options.teacher_weight, options.label_temperature
        clusters = NodeClusters(graph, p, budgets, weight, temperature, seed, device)
        form, scores = clusters.choose(options.fixed_form)
    card_settings = {
        "sharpen": options.label_temperature,
        "emphasis": options.teacher_weight,
        "feature_scale": form.scale,
        "class_shares": form.shares,
        "view": form.view,
        "refine_steps": form.refine_steps,
        "students": scores,
    }
    card_settings |= budget_settings(clusters.budget(form), inductive)
    draw = clusters.draw(form)
    summary = graph_summary("condense", graph, draw, card_settings, seed, started)
    card = replace(summary.card, stages=dict(stages.seconds))
    return replace(summary, card=card)
