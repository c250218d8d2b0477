"""The golden runs: one call for a method of each family, in one table.

What they end with, and a checkpoint of each half way, lie in `stored/`, made by
`python -m tests.golden.make_stored_runs`. A name that changes is changed here alone.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from multidd import SelectBest, graph, images, recsys, text
from multidd.engine.recipe import call
from multidd.graph.models.backbones import GCN
from multidd.images.models.autoencoder import Autoencoder
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD
from tests.golden import tiny

STEPS, HALF = 4, 2
"""Updates of each run with a loop, and those behind the stored checkpoint."""

QUIET: dict[str, Any] = {"steps": STEPS, "progress": False}
SMALL: dict[str, Any] = QUIET | {"width": 4, "batch_size": 6}
SPANS: dict[str, Any] = {"start_epochs": (0, 1), "expert_epochs": 1, "syn_steps": 2}
CODER = Autoencoder(width=2, steps=2)
NETS: dict[str, Any] = {"channels": 1, "hidden": 1, "shrink": 2}


def experts(lr: float | None = None) -> Experts:
    """Two short ones; they lie in the cache."""
    return Experts(Trainer(2, 3, *([SGD(lr)] if lr else [])), count=2)


def _nodes(method: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    return lambda **run: call(method, tiny.nodes(), nodes=6, **QUIET | settings | run)


def _images(method: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    return lambda **run: call(method, tiny.images(), ipc=2, **SMALL | settings | run)


def _followed(method: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    return _images(method, **{"experts": experts(), **SPANS, **settings})


def _users(**part: Any) -> Callable[..., Any]:
    quick = {"draws": 4, "gumbel_temperature": 1.0, "batch_size": 12, "init": "random"}
    settings = {"users": 4} | QUIET | quick | part
    return lambda **run: call(recsys.distill_cf, tiny.log(), **settings | run)


def _texts(method: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
    def called(**run: Any) -> Any:
        budget = {"per_class": 2, "encoder": tiny.encoder()}
        return call(method, tiny.texts(), **QUIET | budget | settings | run)

    return called


def _vectors(**run: Any) -> Any:
    net = text.learner("textcnn", filters=4, widths=(2, 3))
    settings = {"model": net, "syn_steps": 3, "length": 5, "encoder": tiny.vectors()}
    return call(text.tbptt, tiny.texts(), per_class=1, **QUIET | settings | run)


LEARNED: dict[str, Callable[..., Any]] = {
    # graphs
    "graph-gcond": _nodes(graph.gcond, structure="pairwise"),
    "graph-gcond-best": _nodes(
        graph.gcond,
        structure="pairwise",
        supervision="train",
        select_best=SelectBest(every=1),
    ),
    "graph-doscond": _nodes(graph.doscond, structure="bernoulli"),
    "graph-gcdm": _nodes(graph.gcdm, structure="pairwise"),
    "graph-sfgc": _nodes(
        graph.sfgc,
        model=GCN(width=8),
        experts=experts(0.5),
        start_epochs=(0, 1),
        expert_epochs=1,
        syn_steps=2,
    ),
    "graph-gcsntk": _nodes(graph.gcsntk),
    "graph-gdem": _nodes(graph.gdem, structure="spectral"),
    "graph-doscond_graphs": lambda **run: call(
        graph.doscond_graphs, tiny.graphs(), per_class=2, **QUIET | run
    ),
    # images
    "images-dc": _images(images.dc, net_steps=2),
    "images-idc": _images(images.idc),
    "images-dm": _images(images.dm),
    "images-dm-whitened": _images(images.dm, labels="onehot", zca=True),
    "images-m3d": _images(images.m3d, lr=1.0),
    "images-idm": _images(images.idm, pool_size=2),
    "images-ncfm": _images(images.ncfm, pool_size=2, lr=1e-3, frequencies=32),
    "images-mtt": _followed(images.mtt),
    "images-datm": _followed(images.datm, first_end=0, growth_steps=2),
    "images-frepo": _images(images.frepo, pool_size=2, width=(4, 4, 4), ridge=0.01),
    "images-kip": _images(images.kip),
    "images-rfad": _images(images.rfad),
    "images-dd": _images(images.dd, syn_steps=2),
    "images-ld": _images(images.ld, syn_steps=2),
    "images-rat_bptt": _images(images.rat_bptt, window=2, max_unroll=3),
    "images-sre2l": _images(images.sre2l, teacher_steps=3),
    "images-kfs": _images(images.kfs, fit_steps=2, **NETS),
    "images-gtn": _images(
        images.gtn, noise_size=2, max_per_class=4, syn_steps=2, batch_syn=4, **NETS
    ),
    "images-haba": _followed(images.haba, hidden=1, shrink=8, hallucinators=2),
    "images-linba": _images(images.linba, bases=4, batch_syn=4, syn_steps=2),
    "images-latent": _images(images.latent, autoencoder=CODER),
    "images-itgan": _images(images.itgan, autoencoder=CODER, invert_steps=2),
    # interactions
    "recsys-distill_cf": _users(),
    "recsys-distill_cf-lists": _users(length=4, select_best=SelectBest(every=2)),
    # texts
    "text-dc": _texts(text.dc, num_models=2),
    "text-dm": _texts(text.dm, width=6),
    "text-mtt": _texts(text.mtt, experts=experts(1.0), **SPANS),
    "text-kip": _texts(text.kip, labels="onehot", ridge=0.01),
    "text-frepo": _texts(text.frepo, width=6, pool_size=2, ridge=0.01),
    "text-tbptt": _vectors,
    "text-attention_labels": _texts(
        text.attention_labels, warmup_steps=2, length=5, init="random"
    ),
    "text-tokens": _texts(text.tokens, length=5, ridge=0.01, init="random"),
    "text-tokens-words": _texts(
        text.tokens,
        length=5,
        ridge=0.01,
        init="random",
        project="straight_through",
        swaps=1,
        candidates=4,
    ),
}
"""Methods with a loop: each is called with `checkpoint`, `callbacks` and the like."""

RATED = images.RDEDOptions(width=4, teacher_steps=3)

SELECTED: dict[str, Callable[[], Any]] = {
    "graph-condense": lambda: graph.condense(tiny.nodes(), nodes=6, progress=False),
    "graph-cgc": lambda: graph.cgc(tiny.nodes(), nodes=6),
    "graph-kmeans": lambda: graph.kmeans(tiny.nodes(), nodes=6),
    "images-rded": lambda: images.rded(tiny.images(), ipc=1, options=RATED),
    "images-herding": lambda: images.herding(tiny.images(), ipc=2),
    "images-kmeans": lambda: images.kmeans(tiny.images(), ipc=2),
    "recsys-kmeans": lambda: recsys.kmeans(tiny.log(), 4),
    "text-pursuit": lambda: text.pursuit(
        tiny.texts(),
        2,
        encoder=tiny.encoder(),
        options=text.PursuitOptions(ridge=0.01),
    ),
    "text-medoids": lambda: text.medoids(tiny.texts(), 2, encoder=tiny.encoder()),
}
"""Methods without one."""

RUNS: dict[str, Callable[..., Any]] = LEARNED | SELECTED


class Killed(RuntimeError):
    """A run that was stopped from outside."""


class Watch:
    """Counts the steps of a run, and stops it in one of them."""

    def __init__(self, deadly: int | None = None) -> None:
        self.deadly, self.seen = deadly, list[int]()

    def on_start(self, run: Any) -> None:
        """Nothing."""

    def on_step(self, run: Any) -> None:
        """Note the step."""
        self.seen.append(run.step)
        if run.step == self.deadly:
            raise Killed(f"in step {run.step}")

    def on_end(self, run: Any) -> None:
        """Nothing."""


def versions() -> dict[str, str]:
    """Versions that a checkpoint of today names."""
    return dict(graph.random(tiny.nodes(), nodes=3).card.versions)


def machine() -> dict[str, str]:
    """What decides the bits of a run beside this library: where all of this is the
    same, results are the same bit for bit."""
    import scipy
    import sklearn
    import tokenizers
    import transformers

    packages = (torch, np, scipy, sklearn, tokenizers, transformers)
    details = {package.__name__: str(package.__version__) for package in packages}
    return details | {"arithmetic": _arithmetic()}


def _arithmetic() -> str:
    """Digest of sums, products and functions whose last bits differ by processor."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    x, kernel, wide = draw(6, 4, 8, 8), draw(4, 4, 3, 3), draw(30, 70)
    x.requires_grad_()
    y = F.avg_pool2d(F.silu(F.instance_norm(F.conv2d(x, kernel, padding=1))), 2)
    (slope,) = torch.autograd.grad(F.cross_entropy(y.flatten(1), torch.arange(6)), x)
    square = wide @ wide.T
    results = [
        x.detach(),
        y.detach(),
        slope,
        square,
        *(f(wide) for f in (torch.exp, torch.tanh, torch.sin, torch.erf, torch.norm)),
        wide.softmax(1),
        wide.double() @ wide.T.double(),
        *torch.linalg.eigh(square),
        torch.linalg.solve(square + 30 * torch.eye(30), wide),
        *(torch.from_numpy(part) for part in np.linalg.eigh(square.double().numpy())),
        torch.from_numpy(wide.numpy() @ wide.numpy().T),
    ]
    total = hashlib.sha256()
    for part in results:
        total.update(part.contiguous().numpy().tobytes())
    return total.hexdigest()[:16]
