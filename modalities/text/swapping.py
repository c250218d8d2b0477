"""Word swaps: texts of token ids, changed word by word while the loss falls."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.kernels import resolve
from multidd.protocols import Records
from multidd.pursuit_losses import Soft
from multidd.pursuit_records import masses
from multidd.pursuit_search import Search
from multidd.text.cached import features
from multidd.text.decoding import strings
from multidd.text.encoder import Encoder
from multidd.text.predictor import DEFAULT, kernel_of, one_hot
from multidd.text.reading import as_texts
from multidd.text.starts import fixed
from multidd.text.summary import TextSummary, encoder_of
from multidd.text.vocabulary import Vocabulary, check_key

__all__ = ["check_swaps", "swapped"]

_FALL = 1e-9  # of the loss, relative, below which a swap is rounding


def swapped(
    summary: TextSummary,
    corpus: Any,
    *,
    encoder: Any = None,
    rounds: int = 3,
    candidates: int = 32,
    balance: float = 0.0,
    seed: int = 0,
) -> TextSummary:
    r"""A set of words with better words: each gives its place where the loss falls.

    The loss is that of kernel ridge regression with the best labels that the texts can
    carry, on all texts of the corpus (see `multidd.kernels.resolve`). A round visits
    every place of every text in random order. There the words that the gradient
    promises most of, $\arg\max_v -\langle \partial L / \partial x_p, E_v \rangle$,
    are tried, each exactly: the text goes through the encoder with it, and the labels
    are solved anew. The best one stays if the loss falls. A word by which fewer tokens
    would come back from the text's string is not tried, so that what is learned can be
    written down.

    Straight-through gradients see one word at a time from where they stand, and step
    past it; this search never gets worse. It costs the encoder `candidates` texts for
    each of the places in a round.

    Args:
        summary: of token vectors by a kernel through an encoder, as `tokens` gives.
            Those that are no words become the nearest ones first.
        corpus: labelled texts, the training texts, in any form that `as_texts` takes.
            Words are taken from them.
        encoder: the summary's, where its name alone does not find it.
        rounds: at most; a round without a swap is the last.
        candidates: words that are tried at a place.
        balance: each text of the corpus counts by the size of its class to the power of
            minus this: 0 counts texts, 1 classes.
        seed: of the order of places.

    Returns:
        A summary of token vectors that are words, its labels solved anew.
        `card.settings["swapped"]` tells how many swaps there were, and the loss before
        and after.

    Raises:
        ValueError: a set without token vectors or without a kernel, another encoder
            than the summary's, or settings out of their range.

    Reference:
        Ebrahimi, Rao, Lowd, Dou, "HotFlip: White-Box Adversarial Examples for Text
        Classification", ACL 2018 (candidates by the gradient; there to fool a
        classifier).

    Example:
        >>> import multidd
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> made = multidd.text.tokens(few, per_class=1, steps=0, length=4)
        >>> better = swapped(made, few, rounds=1).card.settings["swapped"]
        >>> better["after"] <= better["before"]
        True
    """
    started = time.perf_counter()
    check_swaps(rounds, candidates)
    if not 0 <= balance <= 1:
        raise ValueError(f"balance must be in [0, 1], got {balance!r}")
    settings = summary.card.settings
    if "ids" not in summary.tensors or not settings.get("kernel"):
        raise ValueError(
            f"{summary!r} has no token vectors that were learned by a kernel; "
            "multidd.text.tokens makes such sets"
        )
    texts = as_texts(corpus, values=tuple(summary.card.source["labels"]))
    own = encoder_of(summary.card, encoder)
    words = Vocabulary.of(own, texts)
    check_key(settings.get("table"), words.key, words.name)
    real = Records(features(own, texts), texts.labels, summary.num_classes)
    real = replace(real, weights=masses(real, balance))
    search = _Words(own, words, summary.tensors, real, settings["kernel"])
    before, count = search.cost, 0
    rng = seeds.at(seed, "swaps")
    for _ in range(rounds):
        changed = search.round(candidates, rng)
        count += changed
        if not changed:
            break
    facts = {"rounds": rounds, "candidates": candidates, "balance": balance}
    facts |= {"seed": seed, "swaps": count, "before": before, "after": search.cost}
    seconds = round(summary.card.seconds + time.perf_counter() - started, 3)
    card = replace(
        summary.card,
        settings=dict(settings) | {"swapped": facts},
        labels="centered",
        seconds=seconds,
    )
    draw = dict(summary.tensors) | {"ids": search.ids, "y_soft": search.labels()}
    return TextSummary.of(draw | {"x": own.embed(search.ids)}, card)


def check_swaps(rounds: int, candidates: int = 1) -> None:
    """Refuse counts that are no counts.

    Raises:
        ValueError: fewer rounds than none, or no candidate.

    Example:
        >>> check_swaps(0)
    """
    if rounds < 0:
        raise ValueError(f"rounds of swaps must be 0 or more, got {rounds}")
    if candidates < 1:
        raise ValueError(f"candidates must be 1 or more, got {candidates}")


class _Words:
    """Texts of ids, their features, and the loss that they have.

    Args:
        encoder: what the texts go through.
        words: the ids that may be taken.
        tensors: of the set: `ids`, `mask`, and of pairs `types`.
        real: the corpus: features, labels, and weights that sum to one.
        kernel: settings, as of `kernel_of`, and `ridge`.
    """

    def __init__(
        self,
        encoder: Encoder,
        words: Vocabulary,
        tensors: Mapping[str, Tensor],
        real: Records,
        kernel: Mapping[str, Any],
    ) -> None:
        self.encoder, self.words = encoder, words
        self.ids, self.mask = tensors["ids"].clone(), tensors["mask"]
        self.types = tensors.get("types")
        assert real.weights is not None
        self.real, self.mass = real.features.double(), real.weights.double()
        self.goal = one_hot(real.labels, real.num_classes).double()
        self.goal -= 1 / real.num_classes
        self.kernel = kernel_of(kernel)
        self.ridge = float(kernel.get("ridge", DEFAULT["ridge"]))
        everything = torch.arange(len(self.ids))
        self.x = self._features(self.ids, everything)
        self.cost = float(self._costs(self.x[:-1], self.x[-1:])[0])

    def round(self, candidates: int, rng: torch.Generator) -> int:
        """Visit every place once; how many words changed."""
        places = ((self.mask != 0) & ~fixed(self.words, self.ids, self.mask)).nonzero()
        order = torch.randperm(len(places), generator=rng)
        return sum(self._visit(*places[at].tolist(), candidates) for at in order)

    def labels(self) -> Tensor:
        """`[m, c]`, the best labels that the texts can carry."""
        x = self.x.double()
        within, cross = self.kernel(x), self.kernel(self.real, x)
        found = resolve(within, cross, self.goal, self.ridge, weights=self.mass)
        return found[1].float()

    def _visit(self, text: int, place: int, candidates: int) -> bool:
        """Put the best word in a place, if it is better than the one there."""
        rows = self._proposed(text, place, candidates)
        if not len(rows):
            return False
        x = self._features(rows, torch.full((len(rows),), text))
        others = torch.cat([self.x[:text], self.x[text + 1 :]])
        cost, best = self._costs(others, x).min(0)
        if not float(cost) < self.cost - _FALL * abs(self.cost):
            return False
        self.ids[text], self.x[text], self.cost = rows[best], x[best], float(cost)
        return True

    def _proposed(self, text: int, place: int, candidates: int) -> Tensor:
        """`[k, L]`, the text with each of the words that promise most, where no fewer
        of its tokens come back from its string than do now."""
        words = self.words.words
        rows = self.words.rows[words]
        promise = -(rows @ self._slope(text)[place].to(rows))
        best = words[promise.topk(min(candidates, len(words))).indices].cpu()
        best = best[best != self.ids[text, place]]
        tried = self.ids[text].repeat(len(best) + 1, 1)
        tried[1:, place] = best  # the first is the text as it is
        mask = self.mask[text].expand_as(tried)
        types = None if self.types is None else self.types[text].expand_as(tried)
        back = strings(self.words, tried, mask, types)[2]
        return tried[1:][back[1:] >= back[0]]

    def _slope(self, text: int) -> Tensor:
        """`[L, e]`, gradient of the loss in the token vectors of a text; that of the
        best labels is zero there."""
        row = slice(text, text + 1)
        x = self.encoder.embed(self.ids[row]).detach().requires_grad_()
        types = None if self.types is None else self.types[row]
        made = self.encoder.through(x, self.mask[row], types).to(self.x)
        points = torch.cat([self.x[:text], made, self.x[text + 1 :]]).double()
        within, cross = self.kernel(points), self.kernel(self.real, points)
        dual, _ = resolve(within, cross, self.goal, self.ridge, weights=self.mass)
        error = self.mass @ (self.goal - cross @ dual).square().sum(1)
        amount = self.ridge * within.diagonal().mean()
        loss = error + amount * (dual * (within @ dual)).sum()
        return torch.autograd.grad(loss, x)[0][0]

    def _features(self, ids: Tensor, texts: Tensor) -> Tensor:
        """`[k, d]` of ids `[k, L]` in the frame of texts `[k]`."""
        parts = zip(
            ids.split(self.encoder.batch), texts.split(self.encoder.batch), strict=True
        )
        found = []
        with torch.no_grad():
            for some, rows in parts:
                types = None if self.types is None else self.types[rows]
                seen = self.encoder.embed(some), self.mask[rows], types
                found.append(self.encoder.through(*seen).cpu().float())
        return torch.cat(found)

    def _costs(self, others: Tensor, candidates: Tensor) -> Tensor:
        """`[k]`, the loss of points together with each candidate.

        In double precision: words that are nearly alike differ by little.
        """
        points = torch.cat([others, candidates]).double()
        root = self.mass.sqrt()
        reach = self.kernel(points, self.real) * root
        diagonal = self.kernel(points).diagonal()
        amount = self.ridge * float(diagonal.mean())
        loss = Soft(reach, root[:, None] * self.goal, diagonal, amount)
        search = Search((reach, [(1.0, loss)]), points, self.kernel)
        for row in range(len(others)):
            search.add(row)
        return loss.cost - loss.gains()[len(others) :]
