"""Selections as methods: random, herding, kcenter, medoids, kmeans."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multidd.arguments import public_function
from multidd.data.splitting import at_most
from multidd.engine.card import CardInfo
from multidd.engine.loop import select
from multidd.engine.options import RunOptions, RunSettings
from multidd.protocols import Selection
from multidd.selection.basic import Herding, KCenter, KMeans, Medoids, Random
from multidd.settings import describe
from multidd.text.methods.options import TextSelectionOptions
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


@public_function
def random(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    options: TextSelectionOptions = TextSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    """Real texts drawn uniformly within each class.

    Args:
        data: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class; or
        total: texts in all, each class by its size, one at least.
        encoder: of the features that go with the texts: what `multidd.text.Encoder.of`
            takes.
        options: columns of the data, settings of the encoder, and weights of rows.
        seed: seed of the draw.
        device: where the selection computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        run: a time limit; there is no loop, and settings of one are refused.

    Returns:
        A `TextSummary` of real texts.

    Raises:
        ValueError: bad texts, budget or encoder; says what would fit.
        TypeError: a setting of a loop.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(random(few, per_class=1).texts)
        2
    """
    settings = RunSettings(seed, device, progress, None, run)
    return _select("random", data, (per_class, total), encoder, options, settings)


@public_function
def herding(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    options: TextSelectionOptions = TextSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
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
    settings = RunSettings(seed, device, progress, None, run)
    return _select("herding", data, (per_class, total), encoder, options, settings)


@public_function
def kcenter(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    options: TextSelectionOptions = TextSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
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
    settings = RunSettings(seed, device, progress, None, run)
    return _select("kcenter", data, (per_class, total), encoder, options, settings)


@public_function
def medoids(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    options: TextSelectionOptions = TextSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    """The real text nearest to each centroid of class-wise k-means on features.

    Some papers on text call this "K-centers"; greedy k-center is another method.

    Args, returns and errors as `multidd.text.random`.

    Reference:
        Maekawa, Kosugi, Funakoshi, Okumura, "DiLM: Distilling Dataset into Language
        Model for Text-level Dataset Distillation", Findings of NAACL 2024.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> options = TextSelectionOptions(weights=True)
        >>> medoids(few, per_class=1, options=options).weight.tolist()
        [1.0, 1.0]
    """
    settings = RunSettings(seed, device, progress, None, run)
    return _select("medoids", data, (per_class, total), encoder, options, settings)


@public_function
def kmeans(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    options: TextSelectionOptions = TextSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
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
    settings = RunSettings(seed, device, progress, None, run)
    return _select("kmeans", data, (per_class, total), encoder, options, settings)


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
    """The selection of that name with `counts[i]` texts of class i.

    A class with fewer texts than its count gives all that it has.

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
    data: Any,
    budget: tuple[int | None, int | None],
    encoder: Any,
    options: TextSelectionOptions,
    run: RunSettings,
) -> TextSummary:
    """The selection of that name, of `budget` texts: per class, or in all."""
    rest, chooser = run.without_loop(name), CHOOSERS[name]
    setup = prepare(data, *budget, encoder, options)
    counts = setup.parameterization.counts
    card = CardInfo(name, setup.settings | describe(chooser), setup.seconds)
    return select(setup.task, chooser, counts, card=card, **rest)
