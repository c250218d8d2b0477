"""The search behind word swaps: texts of ids, their loss, its slope, and visits."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from multidd.kernels import resolve
from multidd.protocols import Records
from multidd.selection.pursuit_losses import Soft
from multidd.selection.pursuit_search import FALL, Search
from multidd.text.models.encoder import Encoder
from multidd.text.models.kernel_predictor import kernel_of, one_hot
from multidd.text.models.vocabulary import Vocabulary
from multidd.text.summary.nearest_text import strings
from multidd.text.tasks.token_init import fixed

__all__ = ["WordSearch"]


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
        found = places[torch.randperm(len(places), generator=rng)]
        return found.tolist()

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
        """`[k, L]`, the text with each of the words that promise most, where no fewer
        of its tokens come back from its string than do now."""
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
        """`[L, e]`, gradient of the loss in the token vectors of a text; that in the
        labels is zero where they are best."""
        x = self.encoder.embed(self.ids[text : text + 1]).detach().requires_grad_()
        made = self._through(x, torch.tensor([text]))
        points = torch.cat([self.x[:text], made, self.x[text + 1 :]])
        column = self.kernel(made, self.real)
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
        loss = Soft(reach, root[:, None] * self.goal, ones, self.ridge)
        search = Search((reach, [(1.0, loss)]), points, self.kernel)
        for row in range(int(others.sum())):
            search.add(row)
        return loss.cost - loss.gains()[int(others.sum()) :]

    def labels(self) -> Tensor:
        """`[m, c]`, the best labels that the texts can carry."""
        found = resolve(
            self.kernel(self.x), self.cross.mT, self.goal, self.ridge, weights=self.mass
        )
        return found[1].float()

    def features(self, ids: Tensor, texts: Tensor) -> Tensor:
        """`[k, d]` of ids `[k, L]` in the frame of texts `[k]`, in double precision."""
        size, found = self.encoder.batch, []
        with torch.no_grad():
            for some, rows in zip(ids.split(size), texts.split(size), strict=True):
                found.append(self._through(self.encoder.embed(some), rows))
        return torch.cat(found)

    def _through(self, x: Tensor, texts: Tensor) -> Tensor:
        """`[k, d]` on the CPU of token vectors `[k, L, e]` in the frame of texts."""
        device = self.encoder.device
        types = None if self.types is None else self.types[texts].to(device)
        found = self.encoder.through(x, self.mask[texts].to(device), types)
        return found.cpu().double()

    def _places(self) -> Tensor:
        words = (self.mask != 0) & ~fixed(self.words, self.ids, self.mask)
        return words.nonzero()
