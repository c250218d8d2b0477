"""Small real datasets that ship with the library: no download, no cache.

Licences and sources are in `README.md` beside the files.
"""

import pathlib

import numpy as np
import torch
from torch_geometric.data import Data

__all__ = ["cora"]

_HERE = pathlib.Path(__file__).parent


def cora() -> Data:
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
    with np.load(_HERE / "cora.npz", allow_pickle=False) as file:
        part = {name: file[name] for name in file.files}
    counts = part["words_per_node"].astype(np.int64)
    n = len(counts)
    x = torch.zeros(n, int(part["num_words"]))
    rows = np.repeat(np.arange(n), counts)
    x[rows, part["words"].astype(np.int64)] = torch.from_numpy(
        (1.0 / np.maximum(counts, 1)[rows]).astype(np.float32)
    )
    half = torch.from_numpy(part["edges"].astype(np.int64))
    edges = torch.cat([half, half.flip(0)], dim=1)
    edges = edges[:, (edges[0] * n + edges[1]).argsort()]
    data = Data(x=x, edge_index=edges, y=torch.from_numpy(part["y"].astype(np.int64)))
    for name in ("train", "val", "test"):
        mask = torch.zeros(n, dtype=torch.bool)
        mask[torch.from_numpy(part[name].astype(np.int64))] = True
        data[f"{name}_mask"] = mask
    return data
