"""Features of texts, kept on disk: encoding takes most of the time on a CPU."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from multidd.arguments import public_function
from multidd.errors import MultiddWarning, StorageError
from multidd.storage import cache, files
from multidd.storage.fields import Number, Record
from multidd.storage.schema import Schema, TensorField
from multidd.text.data.texts import fingerprint
from multidd.text.models.encoder import Encoder
from multidd.text.models.function_encoder import FunctionEncoder
from multidd.text.models.tokenization import Columns, columns, warn_cut

__all__ = ["features"]

_KIND = "text features"


@public_function
def features(
    encoder: Encoder | FunctionEncoder,
    texts: Any,
    pairs: Sequence[str] | None = None,
) -> Tensor:
    """Features `[n, d]` of texts: `encoder.encode`, done once for these texts.

    They are kept in the folder `features` of the cache (`MULTIDD_CACHE`), under the
    encoder's key and the texts' digest. A damaged file is named in a warning and made
    again; where the folder cannot be written, nothing is kept, nor of a function.

    Args:
        encoder: makes the features.
        texts: n strings, or a `Texts`.
        pairs: second texts, for an encoder of pairs.

    Raises:
        TypeError, ValueError: as `Encoder.encode`.

    Example:
        >>> encoder = Encoder.of()
        >>> features(encoder, ["a fine film"]).equal(encoder.encode(["a fine film"]))
        True
    """
    if isinstance(encoder, FunctionEncoder):  # whose code no key can tell
        return encoder.encode(texts, pairs)
    both = columns(texts, pairs)
    path = place(encoder, both)
    counted = _recall(path, len(both.texts), encoder.dim)
    if counted is None:
        counted = encoder.encode_counted(*both)
        _keep(path, *counted)
    x, cut = counted
    warn_cut(cut, len(x), encoder.max_length)
    return x


def place(encoder: Encoder, columns: Columns) -> Path:
    """The file that keeps the features of some texts."""
    both = f"{encoder.key}/{fingerprint(*columns)}".encode()
    name = hashlib.sha256(both).hexdigest()[:32]
    return cache.folder() / "features" / f"{name}.safetensors"


def schema(count: int, dim: int) -> Schema:
    """What a file of features of so many texts holds, and how many were cut.

    Example:
        >>> str(schema(3, 2).tensors({}, {})["features"])
        'torch.float32 [3, 2]'
    """
    features = {"features": TensorField((count, dim))}
    cut = Number(low=0, high=count, whole=True)
    return Schema(Record({"cut": cut}), lambda info, forms: features)


def _recall(path: Path, count: int, dim: int) -> tuple[Tensor, int] | None:
    """What a file keeps; None where there is none, or none that can be used."""
    try:
        tensors, info = files.read(path, kind=_KIND, schema=schema(count, dim))
    except FileNotFoundError:
        return None
    except StorageError as error:
        warnings.warn(
            f"kept features cannot be used and are made again: {error}",
            MultiddWarning,
            stacklevel=3,
        )
        return None
    return tensors["features"], info["cut"]


def _keep(path: Path, x: Tensor, cut: int) -> None:
    try:
        files.check_writable(path.parent)
        files.write(path, {"features": x}, {"cut": cut}, kind=_KIND)
    except StorageError:
        return  # a cache that cannot be written only costs time
