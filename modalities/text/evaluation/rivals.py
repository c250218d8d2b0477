"""Distilled text that others published, as summaries that are judged as ours are."""

import torch

from multidd.data.sources import below_root
from multidd.errors import MultiddError
from multidd.settings import versions
from multidd.summary import Card
from multidd.text.data.texts import Texts
from multidd.text.methods.setup import told
from multidd.text.models.encoder import Encoder
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import DEFAULT
from multidd.text.summary.summary import TextSummary

__all__ = ["dilm"]

_FOLDER = "dilm_sst2"


def dilm(train: Texts, per_class: int, *, seed: int = 0) -> TextSummary:
    """The text of SST-2 that DiLM's authors published, made for BERT by theirs.

    Args:
        train: SST-2, for its classes.
        per_class: 5, 10 or 20.
        seed: which of their twenty sets.

    Raises:
        MultiddError: the file is not below the data root.
        ValueError: another size, or no set of this number.

    Reference:
        Maekawa, Kosugi, Funakoshi, Okumura, "DiLM: Distilling Dataset into Language
        Model for Text-level Dataset Distillation", Findings of NAACL 2024.
    """
    import pandas

    folder = below_root([f"text/{_FOLDER}", _FOLDER])
    if folder is None:
        raise MultiddError(
            f"the published text is not here: put {_FOLDER}.parquet into a folder "
            f"text/{_FOLDER} below MULTIDD_DATA"
        )
    table = pandas.read_parquet(folder / f"{_FOLDER}.parquet")
    some = table[(table["dpc"] == per_class) & (table["dataset_id"] == seed)]
    if some.empty:
        raise ValueError(
            f"there are sets of 5, 10 and 20 texts of each class, numbered from 0 to "
            f"19; got per_class={per_class} and seed={seed}"
        )
    encoder, texts = Encoder.of(), [str(text) for text in some["text"]]
    source = train.describe() | {"names": list(train.classes)}
    settings = {"per_class": per_class, "encoder": told(encoder), "kernel": DEFAULT}
    card = Card("dilm", settings, seed, source, versions())
    y = torch.from_numpy(some["label"].to_numpy().copy())
    return TextSummary.of({"x": features(encoder, texts), "y": y}, card, texts)
