"""Tiny sets of every modality for the golden runs, made of whole numbers: every machine
makes the same bits, so that stored checkpoints know their data again."""

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch_geometric.data import Data

from multidd.recsys import InteractionLog
from multidd.text import Encoder, StaticTable

CLASSES = 3


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _eighths(rng: np.random.Generator, most: int, *shape: int) -> np.ndarray:
    """Multiples of an eighth between `-most` and `most`."""
    return rng.integers(-8 * most, 8 * most + 1, shape) / 8


# --- graphs -------------------------------------------------------------------


def nodes(size: int = 24, features: int = 8) -> Data:
    """A graph of three communities; in each 8 training and 6 validation nodes."""
    rng, y = _rng(0), np.repeat(np.arange(CLASSES), size)
    chance = np.where(y[:, None] == y, 0.25, 0.02)
    upper = np.triu(rng.random(chance.shape) < chance, 1)
    edges = np.ascontiguousarray(np.argwhere(upper | upper.T).T)
    x = _eighths(rng, 3, CLASSES, features)[y] + _eighths(rng, 2, len(y), features)
    place = torch.arange(size).repeat(CLASSES)
    data = Data(
        x=torch.from_numpy(x.astype(np.float32)),
        edge_index=torch.from_numpy(edges),
        y=torch.from_numpy(y),
    )
    data.train_mask, data.val_mask = place < 8, (place >= 8) & (place < 14)
    data.test_mask = place >= 14
    return data


def nodes_of_labels() -> Data:
    """The same graph, in which the communities share labels."""
    data = nodes()
    data.y = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]])[data.y]
    return data


def graphs(count: int = 8, features: int = 3) -> list[Data]:
    """So many rings and stars each, of four to eight nodes."""
    rng, results = _rng(1), []
    for i in range(2 * count):
        n, y = 4 + i % 5, i % 2
        others = torch.arange(1, n)
        ring = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
        star = torch.stack([torch.zeros_like(others), others])
        x = _eighths(rng, 2, n, features) + np.array([2.0 * y, 0, 0])
        results.append(
            Data(
                x=torch.from_numpy(x.astype(np.float32)),
                edge_index=star if y else ring,
                y=torch.tensor([y]),
            )
        )
    return results


# --- images -------------------------------------------------------------------


def images(sizes: tuple[int, ...] = (14, 12, 10)) -> tuple[np.ndarray, list[int]]:
    """Images of 8 x 8 with a bright corner, by which the classes differ, and labels."""
    rng, labels = _rng(2), np.repeat(np.arange(CLASSES), sizes)
    labels = labels[rng.permutation(len(labels))]
    x = rng.integers(0, 90, (len(labels), 8, 8))
    for place, label in enumerate(labels):
        down, right = 4 * (label // 2), 4 * (label % 2)
        x[place, down : down + 4, right : right + 4] += 120
    return x.astype(np.uint8), labels.tolist()


# --- interactions -------------------------------------------------------------


def log(users: int = 40, items: int = 16) -> InteractionLog:
    """Half the users like the first items, the others the last."""
    rng = _rng(3)
    likes = np.arange(users)[:, None] * 2 // users == np.arange(items) * 2 // items
    seen = rng.random((users, items)) < np.where(likes, 0.5, 0.05)
    return InteractionLog.from_csr(csr_array(seen.astype(np.float32))).split(seed=1)


# --- texts --------------------------------------------------------------------

TOPICS = (
    "city river country mountain town capital".split(),
    "film actor plot scene movie music".split(),
    "number sum hundred three count ten".split(),
)
MORE = "the and a of is in how what good bad long red blue . ?".split()
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (*SPECIAL, *MORE, *(word for topic in TOPICS for word in topic))


def texts(sizes: tuple[int, ...] = (10, 9, 8)) -> tuple[list[str], list[int]]:
    """Sentences that tell their class by their words, no two alike, and labels."""
    rows, labels = [], []
    for label, size in enumerate(sizes):
        words = TOPICS[label]
        for i in range(size):
            more = MORE[2 + 5 * i % 11]
            rows.append(f"the {words[i % 6]} and {words[(i + 1 + i // 6) % 6]} {more}")
            labels.append(label)
    return rows, labels


def vectors(width: int = 6) -> StaticTable:
    """A vector for each word of the texts."""
    words = sorted({word for row in texts()[0] for word in row.split()})
    rows = _eighths(_rng(4), 1, len(words), width).astype(np.float32)
    return StaticTable.of((words, torch.from_numpy(rows)))


def encoder() -> Encoder:
    """A BERT of two narrow layers and its tokenizer; a new one each time, for settings
    tell whether it has been learned through before."""
    return Encoder.of(_bert(), _tokenizer(), max_length=16)


def _bert() -> Any:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "max_position_embeddings": 16}
    with torch.random.fork_rng(devices=[]):
        model = BertModel(BertConfig(vocab_size=len(WORDS), **sizes)).eval()
    rng = _rng(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("LayerNorm.weight"):
                weight.fill_(1.0)
            elif name.endswith("bias"):
                weight.zero_()
            else:
                drawn = _eighths(rng, 4, *weight.shape) / 8
                weight.copy_(torch.from_numpy(drawn.astype(np.float32)))
    return model


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(WORDS)}
    result = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    result.normalizer = normalizers.BertNormalizer(lowercase=True)
    result.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    result.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    named = {f"{word[1:-1].lower()}_token": word for word in SPECIAL}
    return PreTrainedTokenizerFast(
        tokenizer_object=result, model_max_length=16, **named
    )
