"""Token vectors and features as texts: nearest words, nearest sentences."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.arguments import public_function
from multidd.text.models.nearest import Metric, most_alike, nearest
from multidd.text.models.vocabulary import Vocabulary, near_special

__all__ = ["DecodedTokens", "Sentences", "decode_sentences", "decode_tokens"]


@dataclass(frozen=True, eq=False)
class DecodedTokens:
    """Token vectors as words.

    Attributes:
        ids: `[m, L]` int64, nearest tokens; special ones and padding as they were.
        texts: m strings.
        pairs: m second strings, of pairs.
        similarity: `[m, L]`, of each vector with its token; zero where no word is.
        returned: `[m]`, share of the tokens of each text that come back at their place
            when its string is cut into tokens again.
    """

    ids: Tensor
    texts: tuple[str, ...]
    similarity: Tensor
    returned: Tensor
    pairs: tuple[str, ...] | None = None

    @property
    def round_trip(self) -> float:
        """Share of the texts whose string gives exactly the same tokens again."""
        return float((self.returned == 1).float().mean())


@public_function
def decode_tokens(
    x: Tensor,
    mask: Tensor,
    table: Any,
    metric: Metric = "cosine",
    exclude: Tensor | None = None,
    within: Any = None,
    types: Tensor | None = None,
) -> DecodedTokens:
    r"""The word nearest to each token vector, and the texts they make.

    $\arg\max_v s(x_l, E_v)$ over the rows E of the table, without special and unused
    tokens. Vectors of special tokens (start, end, what stands between the texts of a
    pair) stay what they are.

    Args:
        x: `[m, L, e]`.
        mask: `[m, L]`, nonzero at tokens.
        table: a `StaticTable`, an `Encoder`, or a `Vocabulary`.
        metric: s: `"cosine"`, `"l2"`, or `"dot"`, which favours long rows.
        exclude: ids that no vector is decoded to; special and unused ones never are.
        within: texts, whose words alone are allowed. Ids of a static table then count
            these words.
        types: `[m, L]`, of pairs: 0 in the first text and 1 in the second.

    Raises:
        ValueError: shapes that do not fit the table; no word is left.

    Reference:
        Sucholutsky, Schonlau, "Soft-Label Dataset Distillation and Text Dataset
        Distillation", IJCNN 2021 (nearest words, for printing).

    Example:
        >>> from multidd.text import StaticTable
        >>> table = StaticTable.of((["good", "film"], torch.eye(2)))
        >>> x = torch.tensor([[[0.9, 0.1], [0.2, 0.3]]])
        >>> decode_tokens(x, torch.ones(1, 2), table).texts
        ('good film',)
    """
    vocabulary = Vocabulary.of(table, within)
    if x.dim() != 3 or mask.shape != x.shape[:2]:
        raise ValueError(
            f"token vectors must be [m, L, {vocabulary.dim}] and their mask [m, L]; "
            f"got {list(x.shape)} and {list(mask.shape)}"
        )
    words = vocabulary.words
    if exclude is not None:
        words = words[~torch.isin(words, exclude.to(words.device))]
    ids, similarity = nearest(
        x, vocabulary.rows.to(x.device), words.to(x.device), metric
    )
    present = mask != 0
    frame = near_special(vocabulary, x) & present
    if bool(frame.any()):
        special = vocabulary.special.to(x.device)
        same, _ = nearest(x, vocabulary.rows.to(x.device), special, "l2")
        ids = torch.where(frame, same, ids)
    ids = torch.where(present, ids, vocabulary.pad)
    texts, pairs, back = strings(vocabulary, ids.cpu(), mask.cpu(), types)
    shown = torch.where(present & ~frame, similarity, 0.0)
    return DecodedTokens(ids, texts, shown, back, pairs)


def strings(
    vocabulary: Vocabulary, ids: Tensor, mask: Tensor, types: Tensor | None = None
) -> tuple[tuple[str, ...], tuple[str, ...] | None, Tensor]:
    """Texts of ids, second texts of pairs, and the shares of tokens that come back.

    These, `[m]`, are of the tokens that are at their place when the string of a text is
    cut into tokens again.

    Args:
        vocabulary: the table of the ids.
        ids: `[m, L]`.
        mask: `[m, L]`, nonzero at tokens.
        types: `[m, L]`, of pairs.
    """
    second = torch.zeros_like(mask) if types is None else types.cpu().to(mask.dtype)
    places = [mask * (second == half) for half in range(1 if types is None else 2)]
    texts = [tuple(vocabulary.strings(ids, place)) for place in places]
    parts = zip(texts, places, strict=True)
    counts = torch.stack(
        [vocabulary.returned(text, ids, place) for text, place in parts]
    )
    same, of = counts.sum(0).unbind(1)
    return texts[0], texts[1] if len(texts) > 1 else None, same / of.clamp(min=1)


@dataclass(frozen=True, eq=False)
class Sentences:
    """Features as real sentences.

    Attributes:
        rows: `[m]`, rows of the corpus.
        cosine: `[m]`, of each feature with its sentence's.
    """

    rows: Tensor
    cosine: Tensor

    @property
    def unique(self) -> float:
        """Share of the sentences that are no other's."""
        return len(self.rows.unique()) / len(self.rows)


@public_function
def decode_sentences(
    x: Tensor,
    corpus: Tensor,
    labels: Tensor | None = None,
    corpus_labels: Tensor | None = None,
    *,
    same_class: bool = True,
    unique: bool = True,
) -> Sentences:
    r"""The real sentence that is nearest to each feature by cosine.

    With `unique`, all sentences are chosen together: the assignment with the largest
    sum of cosines in which none is taken twice.

    Args:
        x: `[m, d]`, features of synthetic texts.
        corpus: `[n, d]`, features of real ones.
        labels: `[m]`, classes of the synthetic texts.
        corpus_labels: `[n]`, classes of the real ones.
        same_class: take sentences of the same class; needs both labels.
        unique: no sentence twice.

    Raises:
        ValueError: features of two widths; a class without, or with too few sentences;
            labels that are missing.

    Reference:
        Kuhn, "The Hungarian Method for the Assignment Problem", Naval Research
        Logistics 1955.

    Example:
        >>> x = torch.tensor([[1.0, 0.1], [1.0, 0.0]])
        >>> corpus = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.2]])
        >>> decode_sentences(x, corpus, same_class=False).rows.tolist()
        [2, 0]
    """
    _check_features(x, corpus, labels, corpus_labels, same_class)
    x, corpus = F.normalize(x.detach(), dim=1), F.normalize(corpus.detach(), dim=1)
    rows = torch.zeros(len(x), dtype=torch.int64)
    ours = torch.zeros(len(x)) if not same_class or labels is None else labels.cpu()
    everything = torch.arange(len(corpus))
    for label in ours.unique():
        mine = (ours == label).nonzero().flatten()
        theirs = everything
        if same_class and corpus_labels is not None:
            theirs = (corpus_labels.cpu() == label).nonzero().flatten()
        min_count = len(mine) if unique else 1
        if len(theirs) < min_count:
            raise ValueError(
                f"class {int(label)} has {len(theirs)} real sentences for {len(mine)} "
                "synthetic ones; give more, or unique=False"
            )
        pool = corpus if theirs is everything else corpus[theirs]
        rows[mine] = theirs[_chosen(x[mine], pool, unique)]
    return Sentences(rows, (x * corpus[rows.to(corpus.device)]).sum(1))


def _chosen(x: Tensor, corpus: Tensor, unique: bool) -> Tensor:
    """Places of the nearest sentences, no two alike where they are to be `unique`.

    Each one's choice lies among its m nearest, since the other m - 1 can take no more
    of them away.
    """
    from scipy.optimize import linear_sum_assignment

    value, place = most_alike(x, corpus, len(x) if unique else 1)
    if not unique:
        return place[:, 0].cpu()
    columns, inside = place.unique(return_inverse=True)
    cost = torch.full((len(x), len(columns)), 4.0, dtype=torch.float64)
    cost.scatter_(1, inside.cpu(), -value.double().cpu())
    _, taken = linear_sum_assignment(cost.numpy())
    return columns.cpu()[torch.from_numpy(taken)]


def _check_features(
    x: Tensor,
    corpus: Tensor,
    labels: Tensor | None,
    theirs: Tensor | None,
    same_class: bool,
) -> None:
    if x.dim() != 2 or corpus.dim() != 2 or x.shape[1] != corpus.shape[1]:
        raise ValueError(
            f"features must be [m, d] and [n, d]; got {list(x.shape)} and "
            f"{list(corpus.shape)}; take the encoder that the set was made with"
        )
    if same_class and (labels is None or theirs is None):
        raise ValueError("same_class=True needs labels and corpus_labels; give both")
    for name, values, target in (
        ("labels", labels, x),
        ("corpus_labels", theirs, corpus),
    ):
        if values is not None and values.shape != target.shape[:1]:
            raise ValueError(
                f"{name} must be [{len(target)}]; got {list(values.shape)}"
            )
