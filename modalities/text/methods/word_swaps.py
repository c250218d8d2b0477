"""Word swaps: texts of token ids, changed word by word while the loss falls."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.splitting import check_count
from multidd.engine.callbacks import Progress
from multidd.engine.checkpoint import Signals
from multidd.errors import RunInterrupted
from multidd.kernels import resolve
from multidd.protocols import Records
from multidd.selection.pursuit import row_weights
from multidd.selection.pursuit_losses import SoftLabelLoss
from multidd.selection.pursuit_search import FALL, Search
from multidd.text.data.readers import as_texts
from multidd.text.data.texts import Texts
from multidd.text.models.encoder import Encoder, encoder_of
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import kernel_of, one_hot
from multidd.text.models.vocabulary import Vocabulary, check_key
from multidd.text.summary.nearest_text import strings
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.token_init import fixed

__all__ = ["WordSearch", "check_swaps", "swapped"]


class WordSearch:
    """Texts of ids, and the loss that they have with their best labels.

    All but the encoder runs in double precision: words that are nearly alike differ by
    little.

    Args:
        encoder: what the texts go through.
        words: the ids that may be taken.
        tensors: of the set: `ids`, `mask`, and of pairs `types`.
        real: the corpus: features, labels, and weights that sum to one.
        kernel: settings, as of `kernel_of`, and `ridge`; of diagonal one.
    """

    def __init__(
        self,
        encoder: Encoder,
        words: Vocabulary,
        tensors: Mapping[str, Tensor],
        real: Records,
        kernel: Mapping[str, Any],
    ) -> None:
        assert real.weights is not None
        self.encoder, self.words = encoder, words
        self.ids, self.mask = tensors["ids"].clone(), tensors["mask"]
        self.types = tensors.get("types")
        self.real, self.mass = real.features.double(), real.weights.double()
        self.goal = one_hot(real.labels, real.num_classes).double()
        self.goal -= 1 / real.num_classes
        self.kernel, self.ridge = kernel_of(kernel), float(kernel["ridge"])
        self.x = self.features(self.ids, torch.arange(len(self.ids)))
        self.cross = self.kernel(self.x, self.real)
        last = len(self.ids) - 1
        self.cost = float(self.costs(last, self.x[last:])[0])
        self.changed, self.steps, self.step, self.history = 0, 0, 0, [self.cost]

    @property
    def places(self) -> int:
        """How many words there are."""
        return len(self._places())

    def order(self, rng: torch.Generator) -> list[list[int]]:
        """Every text and place of a word once, in random order."""
        places = self._places()
        shuffled = places[torch.randperm(len(places), generator=rng)]
        return shuffled.tolist()

    def visit(self, text: int, place: int, candidates: int) -> None:
        """Put the best word in a place, if it is better than the one there."""
        rows = self.proposed(text, place, candidates)
        self.step += 1
        if len(rows):
            x = self.features(rows, torch.full((len(rows),), text))
            cost, best = self.costs(text, x).min(0)
            if float(cost) < self.cost - FALL * abs(self.cost):
                self.ids[text], self.x[text] = rows[best], x[best]
                self.cross[text] = self.kernel(x[best : best + 1], self.real)[0]
                self.cost, self.changed = float(cost), self.changed + 1
        self.history.append(self.cost)

    def proposed(self, text: int, place: int, candidates: int) -> Tensor:
        """The text with each of the words that promise most, `[k, L]`.

        Words by which fewer of its tokens would come back from its string are left out.
        """
        words = self.words.words
        rows = self.words.rows[words]
        promise = -(rows @ self.slope(text)[place].to(rows))
        best = words[promise.topk(min(candidates, len(words))).indices].cpu()
        best = best[best != self.ids[text, place]]
        tried = self.ids[text].repeat(len(best) + 1, 1)
        tried[1:, place] = best  # the first is the text as it is
        mask = self.mask[text].expand_as(tried)
        types = None if self.types is None else self.types[text].expand_as(tried)
        back = strings(self.words, tried, mask, types)[2]
        return tried[1:][back[1:] >= back[0]]

    def slope(self, text: int) -> Tensor:
        """Gradient of the loss in the token vectors of a text, `[L, e]`.

        That in the labels is zero where they are best.
        """
        x = self.encoder.embed(self.ids[text : text + 1]).detach().requires_grad_()
        point = self._through(x, torch.tensor([text]))
        points = torch.cat([self.x[:text], point, self.x[text + 1 :]])
        column = self.kernel(point, self.real)
        cross = torch.cat([self.cross[:text], column, self.cross[text + 1 :]]).mT
        within = self.kernel(points)
        dual, _ = resolve(within, cross, self.goal, self.ridge, weights=self.mass)
        error = self.mass @ (self.goal - cross @ dual).square().sum(1)
        loss = error + self.ridge * (dual * (within @ dual)).sum()
        return torch.autograd.grad(loss, x)[0][0]

    def costs(self, text: int, candidates: Tensor) -> Tensor:
        """`[k]`, the loss with each of the features `[k, d]` instead of a text's."""
        others = torch.arange(len(self.x)) != text
        points, root = torch.cat([self.x[others], candidates]), self.mass.sqrt()
        cross = torch.cat([self.cross[others], self.kernel(candidates, self.real)])
        reach, ones = cross * root, points.new_ones(len(points))
        loss = SoftLabelLoss(reach, root[:, None] * self.goal, ones, self.ridge)
        search = Search(reach, [(1.0, loss)], points, self.kernel)
        for row in range(int(others.sum())):
            search.add(row)
        return loss.cost - loss.gains()[int(others.sum()) :]

    def labels(self) -> Tensor:
        """`[m, c]`, the best labels that the texts can carry."""
        _, labels = resolve(
            self.kernel(self.x), self.cross.mT, self.goal, self.ridge, weights=self.mass
        )
        return labels.float()

    def features(self, ids: Tensor, texts: Tensor) -> Tensor:
        """`[k, d]` of ids `[k, L]` in the frame of texts `[k]`, in double precision."""
        size, features = self.encoder.batch, []
        with torch.no_grad():
            for some, rows in zip(ids.split(size), texts.split(size), strict=True):
                features.append(self._through(self.encoder.embed(some), rows))
        return torch.cat(features)

    def _through(self, x: Tensor, texts: Tensor) -> Tensor:
        """`[k, d]` on the CPU of token vectors `[k, L, e]` in the frame of texts."""
        device = self.encoder.device
        types = None if self.types is None else self.types[texts].to(device)
        features = self.encoder.through(x, self.mask[texts].to(device), types)
        return features.cpu().double()

    def _places(self) -> Tensor:
        words = (self.mask != 0) & ~fixed(self.words, self.ids, self.mask)
        return words.nonzero()


@public_function
def swapped(
    summary: TextSummary,
    data: Any,
    *,
    encoder: Any = None,
    rounds: int = 3,
    candidates: int = 32,
    class_weight: float = 0.0,
    seed: int = 0,
    timeout: float | None = None,
    progress: bool | None = None,
) -> TextSummary:
    r"""Improve a set of texts word by word: a word is replaced where the loss falls.

    The loss is that of kernel ridge regression with the best labels that the texts can
    carry, on all texts of the data (see `multidd.kernels`). A round visits
    every place of every text in random order. There the words that the gradient
    promises most of, $\arg\max_v -\langle \partial L / \partial x_p, E_v \rangle$,
    are tried by the loss itself: the text goes through the encoder with each of them,
    and the labels are solved anew. The best one stays if the loss falls. A word by
    which fewer tokens would come back from the text's string is not tried, so that what
    is learned can be written down.

    Straight-through gradients see one word at a time from where they stand, and step
    past it; this search never gets worse. A visit costs the encoder as many texts as
    there are candidates, and a kernel of these with the data.

    Args:
        summary: of token vectors through an encoder, as `multidd.text.tokens` gives.
            Those that are no words become the nearest ones first.
        data: labelled texts, the training texts, in any form that `as_texts` takes;
            of a set of pairs, a `Texts` of pairs. Words are taken from them.
        encoder: the summary's, where its name alone does not find it.
        rounds: at most; a round without a change is the last.
        candidates: words that are tried at a place, at most.
        class_weight: each text of the data counts by the size of its class to the power
            of minus this: 0 counts texts, 1 classes.
        seed: of the order of places.
        timeout: seconds after which the search stops, its result usable.
        progress: show the bar; None shows it on terminals and in notebooks.

    Returns:
        A summary of token vectors that are words, its labels solved anew.
        `card.settings["swapped"]` tells how many words were changed, and the loss
        before and after.

    Raises:
        ValueError: a set that `tokens` did not make, or of pairs where the data have
            none; another encoder than the summary's; settings out of their range.
        RunInterrupted: Ctrl-C or SIGTERM; it holds the set so far.

    Reference:
        Ebrahimi, Rao, Lowd, Dou, "HotFlip: White-Box Adversarial Examples for Text
        Classification", ACL 2018 (candidates by the gradient; there to fool a
        classifier).

    Example:
        >>> import multidd
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> options = multidd.text.TokensOptions(length=4)
        >>> summary = multidd.text.tokens(few, per_class=1, steps=0, options=options)
        >>> better = swapped(summary, few, rounds=1).card.settings["swapped"]
        >>> better["after"] <= better["before"]
        True
    """
    check_swaps(rounds, candidates)
    if not 0 <= class_weight <= 1:
        raise ValueError(f"class_weight must be in [0, 1], got {class_weight!r}")
    texts = as_texts(data, values=tuple(summary.card.source["labels"]))
    _check(summary, texts)
    encoder = encoder_of(summary.card, encoder)
    words = Vocabulary.of(encoder, texts)
    settings = summary.card.settings
    check_key(settings.get("table"), words.key, words.name)
    real = Records(features(encoder, texts), texts.labels, summary.num_classes)
    real = replace(real, weights=row_weights(real, class_weight))
    started = time.perf_counter()
    search = WordSearch(encoder, words, summary.tensors, real, settings["kernel"])
    before = search.cost

    def changed_summary() -> TextSummary:
        """The set as it is now."""
        facts: dict[str, Any] = {"rounds": rounds, "candidates": candidates}
        facts |= {"balance": class_weight, "seed": seed}
        facts |= {"changed": search.changed}
        facts |= {"before": before, "after": search.cost}
        spent = summary.card.seconds + time.perf_counter() - started
        card = replace(
            summary.card,
            settings=dict(settings) | {"swapped": facts},
            labels="centered",
            seconds=round(spent, 3),
        )
        draw = dict(summary.tensors) | {"ids": search.ids, "y_soft": search.labels()}
        return TextSummary.of(draw | {"x": encoder.embed(search.ids)}, card)

    with Signals() as signals:

        def stopped() -> bool:
            late = timeout is not None and time.perf_counter() - started >= timeout
            return late or bool(signals.received)

        _searched(search, rounds, candidates, seed, stopped, progress)
        if signals.received:
            raise RunInterrupted(
                f"stopped by signal {signals.received} while words were swapped; "
                "repeat the call to swap them from the start",
                signum=signals.received,
                summary=changed_summary(),
            )
    return changed_summary()


def check_swaps(rounds: int, candidates: int = 1) -> None:
    """Refuse counts that are no counts.

    Raises:
        TypeError: a number that is not whole.
        ValueError: fewer rounds than none, or no candidate.

    Example:
        >>> check_swaps(0)
    """
    check_count("rounds of swaps", rounds, 0)
    check_count("candidates", candidates)


def _searched(
    search: WordSearch,
    rounds: int,
    candidates: int,
    seed: int,
    stopped: Callable[[], bool],
    progress: bool | None,
) -> None:
    """Rounds until one changes nothing, or until it shall stop."""
    rng, bar = seeds.at(seed, "swaps"), Progress("swaps", progress)
    search.steps = rounds * search.places
    bar.on_start(search)
    try:
        for _ in range(rounds):
            changed = search.changed
            for text, place in search.order(rng):
                if stopped():
                    return
                search.visit(text, place, candidates)
                bar.on_step(search)
            if search.changed == changed:
                return
    finally:
        bar.on_end(search)


def _check(summary: TextSummary, texts: Texts) -> None:
    """Refuse a set that no such loss is known of."""
    settings = summary.card.settings
    kernel = settings.get("kernel") or {}
    if "ids" not in summary.tensors or kernel.get("kind") != "rbf":
        raise ValueError(
            f"{summary!r} has no token vectors that were learned by a Gaussian kernel; "
            "multidd.text.tokens makes such sets"
        )
    if not kernel.get("ridge", 0) > 0:
        raise ValueError(
            f"labels are solved anew with a ridge above 0; the set's is "
            f"{kernel.get('ridge')}"
        )
    if (texts.pairs is None) != ("types" not in summary.tensors):
        kinds = ("pairs", "single texts")
        ours, theirs = kinds if "types" in summary.tensors else kinds[::-1]
        raise ValueError(f"the set is of {ours}, and the corpus of {theirs}")
