"""Selections as methods: random, herding, kcenter, medoids, kmeans."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from multidd.data.splitting import at_most
from multidd.engine.card import CardInfo
from multidd.engine.loop import select
from multidd.engine.options import RunSettings
from multidd.protocols import Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Medoids, Random
from multidd.settings import describe
from multidd.text.methods.options import (
    SELECTION_CARD,
    Settings,
    Source,
    selection_options,
)
from multidd.text.methods.setup import prepare
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.embedding_task import TextTask

CHOOSERS: dict[str, Selection] = {
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
    "medoids": Medoids(),
    "kmeans": KMeans(),
}


def random(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    seed: int = 0,
    **options: Unpack[Source],
) -> TextSummary:
    """Real texts drawn uniformly within each class.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class, or give `total=`, which shares them out by the
            sizes of the classes, one at least.
        model: the encoder of the features that go with the texts: what
            `multidd.text.Encoder.of` takes.
        seed: seed of the draw.
        **options: `weights=True` gives each row a weight, by how many real texts of its
            class are nearest to it; `text`, `pair`, `label`, `tokenizer`, `pooling`,
            `max_length` as of `multidd.text.Settings`.

    Returns:
        A `TextSummary` of real texts.

    Raises:
        ValueError: bad texts, budget or model; says what would fit.
        TypeError: an option that selections do not take.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(random(few, per_class=1).texts)
        2
    """
    settings, run = selection_options("random", options, seed)
    return _select("random", dataset, per_class, model, settings, run)


def herding(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    seed: int = 0,
    **options: Unpack[Source],
) -> TextSummary:
    """Real texts whose running mean of features stays nearest to the class's.

    Args, returns and errors as `multidd.text.random`; the seed changes nothing.

    Reference:
        Welling, "Herding Dynamical Weights to Learn", ICML 2009.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> herding(few, total=3).tensors["y"].tolist()
        [0, 0, 1]
    """
    settings, run = selection_options("herding", options, seed)
    return _select("herding", dataset, per_class, model, settings, run)


def kcenter(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    seed: int = 0,
    **options: Unpack[Source],
) -> TextSummary:
    """Real texts that lie far apart: greedy k-center on features.

    Args, returns and errors as `multidd.text.random`; the seed changes nothing.

    Reference:
        Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
        Approach", ICLR 2018.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> kcenter(few, per_class=1).card.method
        'kcenter'
    """
    settings, run = selection_options("kcenter", options, seed)
    return _select("kcenter", dataset, per_class, model, settings, run)


def medoids(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    seed: int = 0,
    **options: Unpack[Source],
) -> TextSummary:
    """The real text nearest to each centroid of class-wise k-means on features.

    Some papers on text call this "K-centers"; greedy k-center is another method.

    Args, returns and errors as `multidd.text.random`.

    Reference:
        Maekawa, Kosugi, Funakoshi, Okumura, "DiLM: Distilling Dataset into Language
        Model for Text-level Dataset Distillation", Findings of NAACL 2024.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> medoids(few, per_class=1, weights=True).weight.tolist()
        [1.0, 1.0]
    """
    settings, run = selection_options("medoids", options, seed)
    return _select("medoids", dataset, per_class, model, settings, run)


def kmeans(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    seed: int = 0,
    **options: Unpack[Source],
) -> TextSummary:
    """Centroids of class-wise k-means on features: embeddings, without texts.

    Args, returns and errors as `multidd.text.random`.

    Reference:
        Lloyd, "Least Squares Quantization in PCM", IEEE Trans. Inf. Theory, 1982.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> kmeans(few, per_class=1).texts is None
        True
    """
    settings, run = selection_options("kmeans", options, seed)
    return _select("kmeans", dataset, per_class, model, settings, run)


SELECTIONS: dict[str, Callable[..., TextSummary]] = {
    "random": random,
    "herding": herding,
    "kcenter": kcenter,
    "medoids": medoids,
    "kmeans": kmeans,
}


def of_counts(
    name: str,
    task: TextTask,
    counts: Sequence[int],
    recipe: Mapping[str, Any],
    seed: int,
) -> TextSummary:
    """The selection of that name with `counts[i]` texts of class i. A class with fewer
    texts than its count gives all that it has.

    Args:
        name: a key of `CHOOSERS`.
        task: the training texts and their features.
        counts: of each class.
        recipe: what the card tells besides.
        seed: of the draw.

    Returns:
        A `TextSummary`.
    """
    fitting, chooser = at_most(counts, task.texts.counts.tolist()), CHOOSERS[name]
    settings = dict(recipe) | {"counts": fitting} | describe(chooser)
    return select(task, chooser, fitting, seed=seed, card=CardInfo(name, settings))


def _select(
    name: str,
    dataset: Any,
    per_class: int | None,
    model: Any,
    settings: Settings,
    run: RunSettings,
) -> TextSummary:
    rest, chooser = run.without_loop(name), CHOOSERS[name]
    setup = prepare(dataset, model, per_class, settings)
    counts = setup.parameterization.counts
    shared = {n: v for n, v in setup.settings.items() if n in SELECTION_CARD}
    card = CardInfo(name, shared | describe(chooser), setup.seconds)
    return select(setup.task, chooser, counts, card=card, **rest)
