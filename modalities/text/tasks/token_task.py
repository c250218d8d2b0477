"""Text classification in the space of token embeddings, as a task of the core.

Axis letters beside the library's: `L` places of a text, `e` width of token vectors.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.classes import ClassIndex, by_class
from multidd.learning.functional import Cost, cost
from multidd.learning.optim import Adam
from multidd.learning.states import training_step
from multidd.protocols import Draw, Params, Picks, Records, TaskDefaults, Tree
from multidd.settings import describe
from multidd.storage.codecs import Codec
from multidd.summary import Card
from multidd.text.data.texts import Texts
from multidd.text.models.encoder import Encoder
from multidd.text.models.layers import Shapes, mean_over, uniform
from multidd.text.models.vocabulary import Table, Vocabulary, check_pairs
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.token_batch import Shown, TokenBatch, layers, losses, start
from multidd.text.tasks.token_init import Fill, fixed, started, tokens_of

__all__ = ["TokenTask"]


@dataclass(frozen=True, eq=False)
class TokenTask(TaskDefaults):
    """Distilling labelled texts as vectors in the place of token embeddings.

    What is matched on is a learner on token vectors; or, without one, what is frozen
    between the vectors and a linear head: an encoder, or the mean of word vectors. Then
    `inputs` are its pooled features, those of the real texts are computed once, and
    kernels compare them.

    Vectors at special tokens (start, end, between pairs) are always the table's own.

    Attributes:
        texts: the training texts, or pairs, which learners without types see joined.
        table: a `StaticTable` or an `Encoder`, whose token embeddings are learned in.
        learner: any of `multidd.text.learner` or `FineTuned`; None for frozen features.
        length: L of the synthetic texts, special tokens counted.
        fill: what stands behind a text that is shorter: `"pad"` (nothing), `"free"`
            (vectors of zero that are learned too) or `"repeat"` (its words again).
        batch_size: real texts at a step; of each class where the sampler says so. None
            takes all.
        sampler: draw batches `"uniform"` over all, or by `"class"`.
        loss: of a learner on an example: cross-entropy, or half the squared error.
        attention: weight of attention labels, which are learned where it is not 0.
        val: held out texts that `score` judges by.
        device: where tensors live.
        held: the real batch of every step; drawn anew where None.

    Raises:
        ValueError: pairs that the table cannot tell; a setting that is out of range.

    Example:
        >>> from multidd.text.models.word_vectors import StaticTable
        >>> y = torch.tensor([1, 0])
        >>> some = Texts(("good", "bad"), None, y, ("x", "y"), (0, 1))
        >>> table = StaticTable.of((["good", "bad"], torch.eye(2)))
        >>> TokenTask(some, table, length=3).inputs(TokenTask(some, table).batch(None))
        tensor([[1., 0.],
                [0., 1.]])
    """

    lower_precision: ClassVar[bool] = True

    texts: Texts
    table: Table
    learner: Any = None
    length: int = 32
    fill: Fill = "pad"
    batch_size: int | None = None
    sampler: Literal["uniform", "class"] = "uniform"
    loss: Cost = "cross_entropy"
    attention: float = 0.0
    val: Texts | None = None
    device: str = "cpu"
    held: TokenBatch | None = None

    def __post_init__(self) -> None:
        check_pairs(self.texts, self.table, self.length)
        if self.length < 3:
            raise ValueError(f"length must be 3 tokens or more, got {self.length}")
        if self.attention and not hasattr(self.learner, "attentions"):
            raise ValueError(
                "attention labels need a learner with attention, FineTuned; got "
                f"{self.learner!r}"
            )

    @property
    def num_classes(self) -> int:
        """c."""
        return self.texts.num_classes

    @property
    def shareable(self) -> tuple[str, ...]:
        """By classes and by rows: learners see each text by itself."""
        return ("classes", "rows")

    def to(self, device: str) -> Self:
        """The same task on another device."""
        if device == self.device:
            return self
        table = self.table.to(device) if isinstance(self.table, Encoder) else self.table
        return replace(self, table=table, device=device)

    def describe(self) -> dict[str, Any]:
        """Settings, and fingerprints of the texts and of the table."""
        names = ("length", "fill", "batch_size", "sampler", "loss", "attention")
        facts = {"names": list(self.texts.classes), "d": self.vocabulary.dim}
        return {
            "kind": "TokenTask",
            "data": self.texts.describe() | facts,
            "table": self.vocabulary.facts(),
            "learner": describe(self.learner),
            "val": None if self.val is None else self.val.describe(),
        } | {name: getattr(self, name) for name in names}

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The table, restricted to the words of the training texts."""
        return Vocabulary.of(self.table, self.texts).to(self.device)

    @cached_property
    def shown(self) -> Shown:
        """The training texts as models see them."""
        return Shown.of(self.texts, self.table, self.learner is None, self.device)

    @cached_property
    def y(self) -> Tensor:
        """`[n]`, the labels."""
        return self.texts.labels.to(self.device)

    @cached_property
    def pooled(self) -> Tensor:
        """Features of the real texts, `[n, d]`: of the encoder, or means of words."""
        if self.learner is None or not isinstance(self.table, Encoder):
            return self.shown.features()
        return Shown.of(self.texts, self.table, True, self.device).features()

    @cached_property
    def held_out(self) -> Shown:
        """The validation texts as models see them."""
        if self.val is None:
            raise ValueError("select_best needs validation texts: give val=")
        return Shown.of(self.val, self.table, self.learner is None, self.device)

    def batch(self, rng: torch.Generator) -> TokenBatch:
        """Real texts, all of them or as many as the sampler draws."""
        if self.held is not None:
            return self.held
        return self.shown.batch(self._drawn(rng))

    def synthetic(self, draw: Draw) -> TokenBatch:
        """A draw, with the table's own vectors at special tokens."""
        mask = draw["mask"] != 0
        rows = F.embedding(draw["ids"], self.vocabulary.rows).to(draw["x"].dtype)
        frame = fixed(self.vocabulary, draw["ids"], mask)
        x = torch.where(frame[..., None], rows, draw["x"])
        more = draw.get("y_soft"), None, draw.get("attention"), draw.get("types")
        return TokenBatch(draw["y"], x, mask, *more)

    def take(self, batch: TokenBatch, rows: Tensor) -> TokenBatch:
        """Some texts of a batch."""
        return batch.take(rows)

    def classes(self, batch: TokenBatch) -> ClassIndex:
        """The rows of each class."""
        return by_class(batch.y, self.num_classes)

    def inputs(self, batch: TokenBatch) -> Tensor:
        """`[b, d]`, pooled features: of the encoder, or means of word vectors."""
        if batch.pooled is not None:
            return batch.pooled
        assert batch.x is not None and batch.mask is not None
        if isinstance(self.table, Encoder):
            return self.table.through(batch.x, batch.mask, batch.types)
        return mean_over(batch.x, batch.mask)

    def targets(self, batch: TokenBatch) -> Tensor:
        """`[b, c]`, soft labels where there are any, else one-hot ones."""
        if batch.soft is not None:
            return batch.soft
        return F.one_hot(batch.y, self.num_classes).float()

    def weights(self, rng: torch.Generator, models: int) -> Params:
        """Fresh random weights of the learner, or of the linear head."""
        c = self.num_classes
        if self.learner is not None:
            drawn = self.learner.weights(rng, models, self.vocabulary.dim, c)
        else:
            d = self.pooled.shape[1]
            shapes: Shapes = {"weight": ((c, d), d), "bias": ((c,), d)}
            drawn = uniform(rng, models, shapes)
        return {name: w.to(self.device) for name, w in drawn.items()}

    def losses(self, weights: Params, batch: TokenBatch) -> Tensor:
        """`[b]`, loss of each text under one model; attention labels count too."""
        targets, weight = self.targets(batch), self.attention
        if self.learner is None:
            return cost(self.features(weights, batch)[-1], targets, self.loss)
        return losses(self.learner, weights, batch, targets, weight, self.loss)

    def features(
        self, weights: Params, batch: TokenBatch, last: int | None = None
    ) -> list[Tensor]:
        """`[b, h]` that the last layer sees, and the logits, of one model."""
        if self.learner is None:
            x = self.inputs(batch)
            features = [x, x @ weights["weight"].mT + weights["bias"]]
        else:
            features = layers(self.learner, weights, batch)
        return features[-last:] if last else features

    def linear_features(self, batch: TokenBatch) -> tuple[Tensor, Tensor] | None:
        """Features and targets of the linear head on what is frozen."""
        if self.learner is not None or self.loss != "cross_entropy":
            return None
        return self.inputs(batch), self.targets(batch)

    def records(self) -> Records:
        """The training texts, compared by their pooled features."""
        return Records(self.pooled, self.y, self.num_classes)

    def from_selection(self, picks: Picks) -> Draw:
        """Token vectors of real texts, with their ids and mask.

        Raises:
            ValueError: means of texts, which have no tokens.
        """
        if not picks.real:
            raise ValueError(
                "token vectors start from real texts, not from means of them; take "
                "init='medoids', 'random' or 'herding'"
            )
        rows = picks.indices
        some = self.texts.take(rows.cpu())
        draw = started(self.vocabulary, some, self.length, self.fill)
        draw = {name: t.to(self.device) for name, t in draw.items()}
        if self.attention:
            seen = draw["x"], draw["mask"], draw.get("types")
            draw["attention"] = start(self.table, *seen)
        return draw | {"y": picks.labels}

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Validation accuracy of a model after 60 steps of Adam on the draw."""
        held, batch, adam = self.held_out, self.synthetic(draw), Adam(lr=3e-3)
        weights = self.weights(rng, 1)
        moments: Tree = {name: adam.init(w) for name, w in weights.items()}
        for _ in range(60):
            weights, moments = training_step(self, weights, moments, adam, batch, rng)
        one = {name: w[0] for name, w in weights.items()}
        return self.accuracy(one, held)

    def accuracy(self, weights: Params, shown: Shown) -> float:
        """Share of texts that one model, without the leading axis, labels rightly."""
        with torch.no_grad():
            right = [
                (self.features(weights, batch)[-1].argmax(1) == batch.y).float()
                for batch in shown.parts()
            ]
        return float(torch.cat(right).mean())

    @staticmethod
    def codec_of(name: str) -> Codec:
        """How a tensor of the summary is stored in few bits."""
        return TextSummary.codec_of(name)

    def summary(self, draw: Draw, card: Card) -> TextSummary:
        """The draw with its special tokens, and the nearest tokens as `ids`."""
        batch = self.synthetic(draw)
        assert batch.x is not None
        facts = {"table": self.vocabulary.facts(), "attention": self.attention}
        card = replace(card, settings=card.settings | facts)
        ids = tokens_of(self.vocabulary, batch.x, draw["ids"], draw["mask"])
        return TextSummary.of(draw | {"x": batch.x, "ids": ids}, card)

    def _drawn(self, rng: torch.Generator) -> Tensor:
        """Rows of a real batch."""
        n, size = len(self.texts), self.batch_size
        if size is None or (self.sampler == "uniform" and size >= n):
            return torch.arange(n, device=self.device)
        order = torch.randperm(n, generator=rng, device=rng.device).to(self.device)
        if self.sampler == "uniform":
            return order[:size]
        label = self.y[order]
        return torch.cat([order[label == c][:size] for c in range(self.num_classes)])
