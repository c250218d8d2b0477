"""`MultVAE`: a variational autoencoder with a multinomial likelihood."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.recsys.models.base import Scorer, backed
from multidd.recsys.models.stepwise import Stepwise, Training

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class MultVAE(Stepwise):
    r"""Mult-VAE^PR: histories through a small Gaussian code and back.

    $$-\sum_i x_{ui} \log \operatorname{softmax}(f(z_u))_i
    + \beta\, \mathrm{KL}\big(q(z_u \mid x_u) \,\|\, N(0, I)\big)$$

    One tanh layer each way; $x$ is scaled to length one and dropped out on the way in;
    $\beta$ rises from 0 to `anneal`. Fractional rows are inputs and targets as they
    are. A number of updates is trained, so that 50 rows get as many as 50,000; `grid`
    stops earlier, and `tune` finds out where from one training.

    Args:
        hidden: width of the layer on both sides of the code.
        latent: length of the code.
        dropout: share of a history that is hidden in training, 0 or more, below 1.
        anneal: the largest $\beta$.
        anneal_updates: updates until it is reached.
        updates: updates in all.
        batch: rows of an update.
        lr: step of Adam.
        decay: weight decay (decoupled).

    Raises:
        ValueError: a setting outside its range.

    Example:
        >>> rows = csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
        >>> model = MultVAE(hidden=8, latent=4, updates=100, lr=0.01).fit(rows)
        >>> scores = model.scores(csr_array([[1, 0, 0]]))
        >>> bool(scores[0, 1] > scores[0, 2])
        True

    Reference:
        Liang, Krishnan, Hoffman and Jebara, "Variational Autoencoders for
        Collaborative Filtering", WWW 2018.
    """

    hidden: int = 600
    latent: int = 200
    dropout: float = 0.5
    anneal: float = 0.3
    anneal_updates: int = 300
    updates: int = 800
    batch: int = 100
    lr: float = 1e-3
    decay: float = 0.0

    def __post_init__(self) -> None:
        counts = self.hidden, self.latent, self.updates, self.batch, self.anneal_updates
        if min(counts) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                "hidden, latent, updates, batch and anneal_updates must be 1 or more "
                f"and dropout in [0, 1); got {self}"
            )
        if not (self.lr > 0 and self.anneal >= 0 and self.decay >= 0):
            raise ValueError(
                f"lr must be above 0, anneal and decay 0 or more; got {self}"
            )

    def begin(
        self, rows: csr_array, weight: NDArray | None, rng: torch.Generator
    ) -> "_Run":
        """The generator draws weights, batches, dropout, codes."""
        return _Run(self, rows, weight, rng)


class _Run(Training):
    """Weights of both halves, and where the stream of batches stands."""

    def __init__(
        self,
        model: MultVAE,
        rows: csr_array,
        weight: NDArray | None,
        rng: torch.Generator,
    ) -> None:
        super().__init__(rows, weight, rng)
        self.model = model
        self.params = _drawn(model, self.rows.shape[1], self.prior, rng)
        self.order = np.zeros(0, dtype=np.int64)
        self.optimizer = torch.optim.AdamW(
            self.params.values(), lr=model.lr, weight_decay=model.decay, fused=True
        )

    def loss(self) -> Tensor:
        """Of the next batch."""
        which = self._batch()
        x = torch.from_numpy(self.rows[which].toarray()).to(self.rng.device)
        return (self._losses(x) * self.weight[which]).mean()

    def scorer(self) -> Scorer:
        """From the mean of the code."""
        held = {name: p.detach().clone() for name, p in self.params.items()}

        def score(histories: csr_array) -> Tensor:
            x = torch.from_numpy(histories.astype(np.float32).toarray())
            x = x.to(held["in"].device)
            return _decode(held, _encode(held, F.normalize(x))[0])

        return backed(score, self.prior)

    def _batch(self) -> NDArray:
        """The next rows of an endless stream of shuffled passes."""
        size = min(self.model.batch, self.rows.shape[0])
        while len(self.order) < size:
            more = torch.randperm(self.rows.shape[0], generator=seeds.host(self.rng))
            self.order = np.concatenate([self.order, more.numpy()])
        which, self.order = self.order[:size], self.order[size:]
        return which

    def _losses(self, x: Tensor) -> Tensor:
        """`[b]`, at the present beta."""
        model = self.model
        keep = torch.empty_like(x).bernoulli_(1 - model.dropout, generator=self.rng)
        mean, spread = _encode(self.params, F.normalize(x) * keep / (1 - model.dropout))
        noise = torch.randn(mean.shape, generator=self.rng, device=mean.device)
        code = mean + noise * (spread / 2).exp()
        likely = F.log_softmax(_decode(self.params, code), dim=1)
        apart = (spread.exp() + mean**2 - 1 - spread).sum(1) / 2
        beta = model.anneal * min(1.0, self.done / model.anneal_updates)
        return beta * apart - (x * likely).sum(1)


def _encode(params: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance `[b, latent]` of the code."""
    hidden = torch.tanh(F.linear(x, params["in"], params["in.bias"]))
    both = F.linear(hidden, params["code"], params["code.bias"])
    mean, spread = both.chunk(2, dim=1)
    return mean, spread


def _decode(params: Weights, code: Tensor) -> Tensor:
    """`[b, I]` logits."""
    hidden = torch.tanh(F.linear(code, params["back"], params["back.bias"]))
    return F.linear(hidden, params["out"], params["out.bias"])


def _drawn(model: MultVAE, items: int, prior: NDArray, rng: torch.Generator) -> Weights:
    """Glorot normal matrices; biases zero, but the last, which is what is popular."""
    shapes = {
        "in": (model.hidden, items),
        "code": (2 * model.latent, model.hidden),
        "back": (model.hidden, model.latent),
        "out": (items, model.hidden),
    }
    weights: Weights = {}
    for name, shape in shapes.items():
        scale = math.sqrt(2 / sum(shape))
        weights[name] = torch.randn(*shape, generator=rng, device=rng.device) * scale
        weights[f"{name}.bias"] = torch.zeros(shape[0], device=rng.device)
    share = torch.from_numpy(prior) / float(prior.sum())
    common = torch.log(share.clamp(min=1e-8) * items).clamp(min=-3)
    weights["out.bias"] = common.to(rng.device)
    return {name: weight.requires_grad_() for name, weight in weights.items()}
