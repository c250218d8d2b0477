"""The learned steps of a distilled set, taken exactly."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call

from multidd import seeds
from multidd.arguments import public_function
from multidd.classes import ClassIndex, by_class
from multidd.learning.optim import SGD
from multidd.learning.unroll import InnerLoop, train
from multidd.protocols import Params, TaskDefaults
from multidd.text.models.encoder import Encoder
from multidd.text.models.finetuned import FineTuned
from multidd.text.models.learners import MeanVectors, Recurrent, TextCNN
from multidd.text.models.transformer import make_eager, visible
from multidd.text.models.vocabulary import Table, Vocabulary, check_key, matrix_key
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.token_batch import Shown, TokenBatch, layers, losses

__all__ = ["learner_of", "replay", "replayed_classes"]


@public_function
def replay(
    model: Any,
    summary: TextSummary,
    *,
    table: Any = None,
    models: int = 1,
    seed: int = 0,
    device: str = "cpu",
) -> Any:
    r"""Train by exactly the steps that a distilled set was learned with.

    $\theta_{i+1} = \theta_i - \eta_i \nabla L^S(\theta_i)$ with the learned $\eta_i$:
    as many steps as the set has sizes, on the whole set, by plain gradient descent.
    Other optimizers, or more steps, are known to lose what such sets hold.

    Args:
        model: a learner (`multidd.text.learner`, `FineTuned`); or a transformers model
            for sequence classification, whose copy is trained.
        summary: with learned step sizes, as `tbptt` and `attention_labels` make it.
        table: the embedding table of a learner: what texts will be embedded by. That of
            `FineTuned` is its encoder's.
        models: fresh networks side by side, of a learner.
        seed: of their weights.
        device: where a learner is trained; a transformers model where it is.

    Returns:
        Weights `[models, ...]` by name, of a learner; else a trained copy of the model.

    Raises:
        TypeError: something else than a model.
        ValueError: a set without learned step sizes, or without token vectors; a table
            that is not the set's; another number of classes.

    Reference:
        Wang, Zhu, Torralba, Efros, "Dataset Distillation", arXiv 1811.10959, 2018;
        Sucholutsky, Schonlau, "Soft-Label Dataset Distillation and Text Dataset
        Distillation", IJCNN 2021.

    Example:
        >>> from multidd.text import StaticTable, TBPTTOptions, learner, tbptt
        >>> table = StaticTable.of((["good", "bad", "film"], torch.eye(3)))
        >>> few = (["good film", "bad film", "good", "bad"], [1, 0, 1, 0])
        >>> net = learner("textcnn", filters=2)
        >>> options = TBPTTOptions(model=net)
        >>> summary = tbptt(few, 1, encoder=table, steps=1, options=options)
        >>> replay(net, summary, table=table)["head.bias"].shape
        torch.Size([1, 2])
    """
    rates = _rates(summary)
    if hasattr(model, "get_input_embeddings"):
        return _replayed(model, summary, rates)
    if not hasattr(model, "features") or not hasattr(model, "weights"):
        raise TypeError(
            "model must be a learner, such as multidd.text.learner('textcnn'), or a "
            f"transformers model; got {type(model).__name__}"
        )
    source = getattr(model, "encoder", table)
    if source is None:
        raise ValueError("say which table the learner's texts are embedded by: table=")
    vocabulary = Vocabulary.of(source)
    check_key(summary.card.settings.get("table"), vocabulary.key, vocabulary.name)
    rng = seeds.at(seed, "replay", device=device)
    weights = model.weights(rng, models, vocabulary.dim, summary.num_classes)
    return steps(Steps(model, summary), weights, summary, rates)


@dataclass(frozen=True, eq=False)
class Steps(TaskDefaults):
    """What training by `multidd.learning.unroll` asks of a task.

    Attributes:
        learner: has `features`, and `attentions` where the set has attention labels.
        summary: the set.
    """

    learner: Any
    summary: TextSummary

    def targets(self, batch: TokenBatch) -> Tensor:
        """`[m, c]`."""
        assert batch.soft is not None
        return batch.soft

    def classes(self, batch: TokenBatch) -> ClassIndex:
        """The rows of each class."""
        return by_class(batch.y, self.summary.num_classes)

    def losses(self, weights: Params, batch: TokenBatch) -> Tensor:
        """`[m]`, as `TokenTask.losses` has them."""
        weight = float(self.summary.card.settings.get("attention", 0.0))
        return losses(self.learner, weights, batch, self.targets(batch), weight)


def steps(task: Steps, weights: Params, summary: TextSummary, rates: Tensor) -> Params:
    """Weights `[k, ...]` after the learned steps from given ones.

    Args:
        task: the learner and the set.
        weights: each `[k, ...]`.
        summary: the set.
        rates: `[N]`.
    """
    momentum = float(summary.card.settings.get("momentum", 0.0))
    pace = float(summary.card.settings.get("pace", 1.0))
    paces = () if pace == 1 else ((task.learner.inside, pace),)
    # "checkpointed" computes gradients by the operations of the training: same bits.
    sgd = SGD(momentum=momentum)
    inner = InnerLoop(len(rates), sgd, backprop="checkpointed", gradient_factors=paces)
    device = next(iter(weights.values())).device
    with torch.no_grad():
        return train(
            task,  # type: ignore[arg-type]
            weights,
            batch_of(summary, device),
            inner,
            seeds.at(0, "replay", device=device),
            rates.to(device),
        )


def batch_of(summary: TextSummary, device: Any = "cpu") -> TokenBatch:
    """The token vectors of a set with its labels, as a batch.

    Args:
        summary: of token vectors.
        device: where it goes.
    """
    tensors = {name: t.to(device) for name, t in summary.tensors.items()}
    one_hot = torch.nn.functional.one_hot(tensors["y"], summary.num_classes).float()
    soft = tensors.get("y_soft", one_hot)
    more = soft, None, tensors.get("attention"), tensors.get("types")
    return TokenBatch(tensors["y"], tensors["x"], tensors["mask"] != 0, *more)


@dataclass(frozen=True, eq=False)
class Whole:
    """A transformers model with its own head, as a learner."""

    typed: ClassVar[bool] = True

    model: Any

    @property
    def inside(self) -> str:
        """How the names of pre-trained weights begin."""
        return f"{self.model.base_model_prefix}."

    def features(
        self, weights: Params, x: Tensor, mask: Tensor, types: Tensor | None = None
    ) -> list[Tensor]:
        """Logits `[b, c]`."""
        return [self._run(weights, x, mask, types).logits]

    def attentions(
        self, weights: Params, x: Tensor, mask: Tensor, types: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Logits, and attention `[b, layers, heads, L, L]`."""
        out = self._run(weights, x, mask, types, output_attentions=True)
        return [out.logits], torch.stack(out.attentions, 1)

    def _run(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        types: Tensor | None,
        **options: Any,
    ) -> Any:
        inputs = {"inputs_embeds": x, "attention_mask": mask.long(), **options}
        kinds = visible(self.model, types)
        inputs |= {} if kinds is None else {"token_type_ids": kinds}
        return functional_call(self.model, weights, (), inputs)


def _replayed(model: Any, summary: TextSummary, rates: Tensor) -> Any:
    """A copy of a transformers model after the steps; its word vectors stay."""
    rows = model.get_input_embeddings().weight
    name = type(model).__name__
    check_key(summary.card.settings.get("table"), matrix_key(rows), name)
    if getattr(model.config, "num_labels", None) != summary.num_classes:
        raise ValueError(
            f"the model has {getattr(model.config, 'num_labels', None)} labels and the "
            f"set {summary.num_classes} classes; load it with "
            f"num_labels={summary.num_classes}"
        )
    replica = copy.deepcopy(model).eval()
    if "attention" in summary.tensors:
        make_eager(replica)  # others show no attention
    table = replica.get_input_embeddings().weight
    moving = {
        name: w.detach()[None].clone()
        for name, w in replica.named_parameters()
        if w is not table
    }
    ends = steps(Steps(Whole(replica), summary), moving, summary, rates)
    with torch.no_grad():
        for name, weight in replica.named_parameters():
            if name in ends:
                weight.copy_(ends[name][0])
    return replica.train(model.training)


def _rates(summary: TextSummary) -> Tensor:
    learned = summary.card.settings.get("learned", {}).get("rate")
    if learned is None or summary.tensors["x"].dim() != 3:
        raise ValueError(
            f"this set ({summary.card.method!r}) has no learned steps to replay; train "
            "on it as on any data, or make it by tbptt or attention_labels"
        )
    num_steps = int(summary.card.settings.get("inner_steps", 1))
    rates = torch.tensor(learned)
    return rates if rates.dim() else rates.repeat(num_steps)


KINDS = {one.__name__: one for one in (TextCNN, MeanVectors, Recurrent)}
"""Learners on token vectors, as cards name them."""


def replayed_classes(
    summary: TextSummary,
    encoder: Encoder,
    vectors: Callable[[], StaticTable],
    shown: Callable[[Table], Shown],
    seed: int = 0,
    device: str = "cpu",
) -> Tensor:
    """`[n]`, what a fresh learner says of texts after exactly the learned steps.

    Args:
        summary: with learned step sizes, as `tbptt` and `attention_labels` make it.
        encoder: the summary's, where it is of one.
        vectors: gives the static word vectors, where it is of those.
        shown: gives the n texts under an embedding table, where it is trained.
        seed: of the learner's weights.
        device: where it is trained.

    Raises:
        ValueError: no learned steps, another table, or a learner of one's own, which
            the card cannot give back.
    """
    kind = (summary.card.settings.get("table") or {}).get("kind")
    table: Table = vectors() if kind == "static" else encoder
    net = learner_of(summary, encoder)
    weights = replay(net, summary, table=table, seed=seed, device=device)
    one = {name: w[0] for name, w in weights.items()}
    with torch.no_grad():
        scores = [layers(net, one, part)[-1] for part in shown(table).parts()]
    return torch.cat(scores).argmax(1).cpu()


def learner_of(summary: TextSummary, encoder: Encoder) -> Any:
    """The learner that a set was learned for: the card's, or the encoder with a head.

    Args:
        summary: the set.
        encoder: its encoder.

    Raises:
        ValueError: a learner of one's own.
    """
    card = summary.card.settings.get("learner")
    if card is None:
        return FineTuned(encoder)
    if card["kind"] not in KINDS:
        raise ValueError(
            f"the set was learned for {card['kind']!r}, which is none of "
            f"{', '.join(KINDS)}; take its steps by multidd.text.replay"
        )
    fields = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in card.items()
        if name != "kind"
    }
    kind: Any = KINDS[card["kind"]]
    return kind(**fields)
