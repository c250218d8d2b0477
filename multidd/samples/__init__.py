"""Small real datasets that ship with the library: no download, no cache.

Licences and sources are in `README.md` beside the files. The modalities read the
files; each function here loads the modality of its data when it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch_geometric.data import Data

__all__ = ["cora", "fashion", "movietweetings", "sms"]


def cora() -> "Data":
    """Cora with Planetoid's public split, features row-normalized.

    2,708 papers, 1,433 words, 7 classes, 10,556 directed edges; 140 training, 500
    validation and 1,000 test nodes. The same values as PyG's
    `Planetoid(root, "Cora", transform=NormalizeFeatures())`.

    Returns:
        A PyG `Data`: `x` float32 `[2708, 1433]`, `edge_index` `[2, 10556]`, `y`, and
        the three masks.

    Reference:
        Sen et al., "Collective Classification in Network Data", AI Magazine, 2008;
        Yang, Cohen, Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph
        Embeddings", ICML 2016.

    Example:
        >>> data = cora()
        >>> data.num_nodes, int(data.train_mask.sum())
        (2708, 140)
    """
    return import_module("multidd.graph.data.benchmarks").load("sample:cora")


def fashion() -> Any:
    """Part of Fashion-MNIST: 3,500 training and 1,000 test images of 1 x 28 x 28.

    Both parts hold equally many of each of the 10 classes.

    Returns:
        The `Splits` of `multidd.images.load("sample:fashion")`: `(train, test)`.

    Reference:
        Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
        Machine Learning Algorithms", 2017.

    Example:
        >>> train, test = fashion()
        >>> len(train), len(test), train.classes[1]
        (3500, 1000, 'Trouser')
    """
    return import_module("multidd.images.data.benchmarks").load("sample:fashion")


def movietweetings() -> Any:
    """Part of MovieTweetings: 53,556 ratings of 2,146 films by 2,290 users.

    Every user has ten at least, every film five. Divided by chance within each user:
    about 80 % to train, 10 % to validate, the rest to test.

    Returns:
        The `InteractionLog` of `multidd.recsys.load("sample:movietweetings")`.

    Reference:
        Dooms, De Pessemier, Martens, "MovieTweetings: a Movie Rating Dataset Collected
        From Twitter", CrowdRec at RecSys 2013.

    Example:
        >>> log = movietweetings()
        >>> log.num_users, log.num_items, log.num_interactions
        (2290, 2146, 53556)
    """
    return import_module("multidd.recsys.data.benchmarks").load("sample:movietweetings")


def sms() -> Any:
    """SMS Spam Collection: 4,165 training and 1,000 test messages, 13 % of them spam.

    Messages that come twice in the collection are here once; the split is stratified.

    Returns:
        The `Splits` of `multidd.text.load("sample:sms")`: `train, test = sms()`.

    Reference:
        Almeida, Gomez Hidalgo, Yamakami, "Contributions to the Study of SMS Spam
        Filtering: New Collection and Results", DocEng 2011.

    Example:
        >>> train, test = sms()
        >>> len(train), len(test), train.classes
        (4165, 1000, ('ham', 'spam'))
    """
    return import_module("multidd.text.data.benchmarks").load("sample:sms")
