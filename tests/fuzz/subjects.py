"""The kinds of file: a valid small one, and all that is done with it after loading."""

import json
import os
import socket
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

import multidd
from multidd import modality
from multidd.cli.run_folder import RunFolder
from multidd.errors import DivergedError, MultiddError, MultiddWarning
from multidd.evaluation.protocol import Protocol
from multidd.recsys import RecsysSummary
from multidd.storage import cache as json_cache
from multidd.storage import files
from multidd.summary import FILE
from tests.fuzz import tables
from tests.fuzz.mutations import Content, Mutation, mutate, seal, to_text
from tests.fuzz.sound import faults_of
from tests.golden import tiny
from tests.golden.make_stored_runs import CHECKPOINT, EXPERTS, STORED, half_done
from tests.golden.runs import RUNS

QUICK = asdict(Protocol("quick", epochs=2, check_every=1))


@dataclass(frozen=True)
class Subject:
    """A kind of file.

    Attributes:
        valid: what a sound one holds.
        use: writes a mutated one into an empty folder, reads it and uses it; what it
            returns are the fields that are wrong though nothing was refused.
        change: makes a mutation of the valid one by a seed.
    """

    valid: Callable[[], Content]
    use: Callable[[Mutation, Path], list[str]]
    change: Callable[[Content, str], Mutation] = mutate


def read_content(path: Path) -> Content:
    """What a sound file holds."""
    kind, _, info = files.peek(path)
    return Content(info, dict(sorted(files.read(path)[0].items())), kind)


# --- summaries ----------------------------------------------------------------


@cache
def data_of(kind: str) -> tuple[Any, dict[str, Any]]:
    """Real data to evaluate on, and settings of the evaluator."""
    if kind == "graph":
        return tiny.nodes(), {}
    if kind == "graph.sets":
        graphs = tiny.graphs()
        return graphs, {"train": graphs, "val": graphs}
    if kind == "images":
        return tiny.images(), {"train": tiny.images()}
    if kind == "recsys":
        return tiny.log(), {}
    encoder = tiny.encoder()
    return tiny.texts(), {"train": tiny.texts(), "encoder": encoder}


def evaluator_of(kind: str) -> Any:
    """A new evaluator of the modality."""
    data, settings = data_of(kind)
    return modality.parts(kind.partition(".")[0]).evaluators[kind](data, **settings)


def use_summary(summary: Any, place: str) -> list[str]:
    """Whatever is done first with a summary."""
    faults = faults_of(summary)
    repr(summary), summary.num_bytes, summary.listing()
    for name in ("to_tensors", "to_pyg", "to_csr", "decode"):
        if hasattr(summary, name) and (name != "decode" or summary.texts is not None):
            getattr(summary, name)()
    evaluator = evaluator_of(summary.kind)
    try:
        evaluator.check(summary)
    except ValueError:  # a sound summary of other data
        return faults
    evaluator.size(summary)
    if summary.kind == "graph":
        summary.adjacency.sum()
        evaluator._records(summary, Protocol("quick"))
    elif summary.kind == "images":
        records = evaluator._records(summary, Protocol("quick"))
        if records.draw_views is not None:
            records.draw_views(torch.arange(1), torch.Generator())
    scores, protocol = summary.card.score, summary.card.protocol
    # A training takes long beside all else: only where a setting of it was changed.
    if scores and protocol and ("protocol" in place or "score" in place):
        for model, score in scores.items():
            if model in evaluator.models and isinstance(score, dict):
                multidd.evaluate(
                    summary,
                    evaluator,
                    models=[model],
                    seeds=score["seeds"],
                    protocol=Protocol(**protocol),
                    rows=[],
                    progress=False,
                )
    return faults


def _load(mutation: Mutation, folder: Path) -> list[str]:
    seal(folder / FILE, mutation.content)
    return use_summary(multidd.load(folder), mutation.place)


def _stored(name: str) -> Content:
    content = read_content(STORED / name / FILE)
    model = {"recsys": "ease"}.get(content.kind)
    if model is None:
        model = evaluator_of(content.kind).models[0]
    metric = {"recsys": "HR@10", "graph.sets": "accuracy"}.get(content.kind, "accuracy")
    if content.kind == "recsys":
        metric = evaluator_of("recsys").metric
    content.info["card"]["protocol"] = dict(QUICK)
    score = {"metric": metric, "values": [0.5, 0.25], "seeds": [0, 1]}
    # Vectors of a static table train no encoder.
    content.info["card"]["score"] = {} if name == "text-tbptt" else {model: score}
    return content


def _of(summary: Any) -> Content:
    info = {"card": json.loads(json.dumps(asdict(summary.card)))}
    return Content(info, dict(sorted(summary.tensors.items())), summary.kind)


def _views() -> Content:
    from multidd.images import relabel

    summary = multidd.load(STORED / "images-herding")
    options: dict[str, Any] = {"views": 2, "teacher_steps": 1, "width": 2}
    return _of(relabel(summary, tiny.images(), **options))


def _named_items() -> Content:
    summary = multidd.load(STORED / "recsys-kmeans")
    names = [f"item {i}" for i in summary.item_ids]
    return _of(RecsysSummary.of(summary.to_csr(), summary.card, item_ids=names))


def _compressed(name: str) -> Content:
    """A summary in three bits: tensors of bytes, and how they are decoded."""
    summary = multidd.load(STORED / name / FILE).compress(bits=3)
    content = _of(summary)
    packing = summary.packing
    assert packing is not None
    content.info["compression"] = json.loads(json.dumps(packing.record()))
    content.tensors, content.format = dict(packing.data()), 2
    return content


def _compressed_summary(name: str) -> Subject:
    return Subject(lambda: _compressed(name), _load)


def _summary(name: str) -> Subject:
    return Subject(lambda: _stored(name), _load)


# --- checkpoints and experts --------------------------------------------------


@cache
def _halves(name: str) -> Content:
    folder = Path(os.environ["MULTIDD_CACHE"]) / f"halves-{name}"
    half_done(RUNS[name], folder)
    return read_content(folder / CHECKPOINT)


@cache
def _ends(name: str) -> str:
    return RUNS[name]().digest()


def _resume(name: str, mutation: Mutation, folder: Path) -> list[str]:
    seal(folder / CHECKPOINT, mutation.content)
    changed = mutation.content.tensors
    valid = _halves(name).tensors
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            RUNS[name](checkpoint=str(folder))
        except DivergedError:  # a number that is too large to go on from is a number
            return []
    if _names(notes, CHECKPOINT):
        raise NamedInWarning
    shapes = {n: (t.dtype, t.shape) for n, t in changed.items()}
    sound = shapes == {n: (t.dtype, t.shape) for n, t in valid.items()}
    nan = [n for n, t in changed.items() if t.is_floating_point() and t.isnan().any()]
    wrong_info = mutation.place.startswith(("info", "step")) and (
        mutation.action not in ("add", "a fraction")
    )
    numbers = ("info.seconds", "info.best_score", "info.stale", "info.finished")
    harmless = mutation.place.startswith(numbers)
    return [mutation.place] * (not sound or bool(nan) or (wrong_info and not harmless))


class NamedInWarning(Exception):
    """Nothing was raised: a warning names the file, which was left out or made anew."""


def _names(notes: Any, name: str) -> bool:
    return any(
        issubclass(note.category, MultiddWarning) and name in str(note.message)
        for note in notes
    )


def _checkpoint(name: str) -> Subject:
    return Subject(lambda: _halves(name), lambda m, f: _resume(name, m, f))


def _expert_path(folder: Path) -> Path:
    return sorted(folder.rglob("expert-0000.safetensors"))[0]


def _expert_content() -> Content:
    return read_content(_expert_path(EXPERTS))


def _use_expert(mutation: Mutation, folder: Path) -> list[str]:
    from multidd.learning.expert_store import ExpertStore
    from multidd.learning.experts import find_sound

    store = ExpertStore(folder, _expert_content().info["key"])
    store.folder.mkdir()
    path = store.path(0)
    seal(path, mutation.content)
    checksums, errors = find_sound(store, 1)
    ExpertStore(folder, "0" * 64).others()
    if not checksums[0]:
        if path.name in " ".join(errors):
            raise NamedInWarning
        return [mutation.place]
    valid = _expert_content().tensors
    epochs = len(next(iter(valid.values()))) - 1
    weights = store.weights(0, epochs)
    shapes = {n: t.shape[1:] for n, t in weights.items()}
    sound = shapes == {n: t.shape[1:] for n, t in valid.items()}
    return [mutation.place] * (not sound)


# --- caches -------------------------------------------------------------------


def _feature_content() -> Content:
    x = data_of("text")[1]["encoder"].encode(tiny.texts()[0])
    return Content({"cut": 0}, {"features": x}, "text features")


def _use_features(mutation: Mutation, folder: Path) -> list[str]:
    from multidd.text.models import feature_cache
    from multidd.text.models.tokenization import columns

    encoder, texts = data_of("text")[1]["encoder"], tiny.texts()[0]
    os.environ["MULTIDD_CACHE"] = str(folder)
    path = feature_cache.place(encoder, columns(texts, None))
    path.parent.mkdir(parents=True)
    seal(path, mutation.content)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        x = feature_cache.features(encoder, texts)
    valid = _feature_content().tensors["features"]
    sound = x.shape == valid.shape and x.dtype == valid.dtype
    if _names(notes, path.name):
        raise NamedInWarning
    same = set(mutation.content.tensors) == {"features"} and mutation.place != "cut"
    return [] if sound and (same or mutation.action == "add") else [mutation.place]


SCORE_KEY = {"data": {"sha256": "ab", "train": 3}, "model": "gcn", "seed": 0}


def _score_content() -> Content:
    return Content({"key": SCORE_KEY, "value": {"accuracy": 0.5, "macro_f1": 0.4}})


def _use_scores(mutation: Mutation, folder: Path) -> list[str]:
    from multidd.evaluation.whole_data import fit_scores

    os.environ["MULTIDD_CACHE"] = str(folder)
    evaluator = tables.Counted()
    protocol = Protocol("quick")
    fit_scores(evaluator, None, "gcn", protocol, 0, True)
    (path,) = folder.rglob("*.json")
    content = json.loads(path.read_text())
    info = mutation.content.info
    changed = info
    if isinstance(info, dict):
        changed = {name: info[name] for name in info if name != "key"}
        same = info.get("key") == SCORE_KEY
        changed |= (
            {"key": content["key"] if same else info["key"]} if "key" in info else {}
        )
    path.write_text(to_text(changed))
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        scores, _ = fit_scores(evaluator, None, "gcn", protocol, 0, True)
    if evaluator.fits == 2 and _names(notes, path.name):
        raise NamedInWarning
    numbers = all(type(v) in (int, float) and abs(v) < 1e300 for v in scores.values())
    expected = set(scores) >= {"accuracy"}
    return [] if expected and numbers else [mutation.place]


# --- run folders and tables ---------------------------------------------------


def _note_content() -> Content:
    note = {"data": "cora", "seed": 0, "inductive": False, "version": None}
    return Content(note)


def _use_note(mutation: Mutation, folder: Path) -> list[str]:
    (folder / "run.json").write_text(to_text(mutation.content.info))
    note = RunFolder(folder).source()
    sound = isinstance(note["data"], str) and type(note["seed"]) is int
    return [] if sound else [mutation.place]


def _use_parquet(mutation: Mutation, folder: Path) -> list[str]:
    path = folder / "users.parquet"
    tables.write_users(path, mutation.content)
    summary = RecsysSummary.from_parquet(path)
    return use_summary(summary, mutation.place)


def _use_dataset(mutation: Mutation, folder: Path) -> list[str]:
    from multidd.text import TextSummary

    dataset = tables.dataset_of(mutation.content)
    try:
        summary = TextSummary.from_dataset(dataset)
    except (MultiddError, ValueError) as error:  # it has no file that could be named
        raise tables.RefusedTableError(str(error)) from None
    return use_summary(summary, mutation.place)


# --- things in the place of a file --------------------------------------------


def _put(shape: str, path: Path) -> None:
    """A pipe, a folder, a device or a socket where a file should be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if shape == "pipe":
        os.mkfifo(path)
    elif shape == "folder":
        path.mkdir()
    elif shape == "device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))


def _read_features(folder: Path, shape: str) -> None:
    from multidd.text.models import feature_cache
    from multidd.text.models.tokenization import columns

    encoder, texts = data_of("text")[1]["encoder"], tiny.texts()[0]
    os.environ["MULTIDD_CACHE"] = str(folder)
    _put(shape, feature_cache.place(encoder, columns(texts, None)))
    feature_cache.features(encoder, texts)


def _read_scores(folder: Path, shape: str) -> None:
    os.environ["MULTIDD_CACHE"] = str(folder)
    _put(shape, json_cache._path("whole", SCORE_KEY))
    json_cache.read_cached("whole", SCORE_KEY)


def _read_experts(folder: Path, shape: str) -> None:
    from multidd.learning.expert_store import ExpertStore
    from multidd.learning.experts import find_sound

    store = ExpertStore(folder, _expert_content().info["key"])
    _put(shape, store.path(0))
    _, errors = find_sound(store, 1)
    ExpertStore(folder, "0" * 64).others()
    if store.path(0).name in " ".join(errors):
        raise NamedInWarning


def _read_checkpoint(folder: Path, shape: str) -> None:
    _put(shape, folder / CHECKPOINT)
    RUNS["text-kip"](checkpoint=str(folder))


def _read(reader: Callable[[Path], Any], name: str) -> Callable[[Path, str], None]:
    def read(folder: Path, shape: str) -> None:
        _put(shape, folder / name)
        reader(folder / name)

    return read


READERS: dict[str, Callable[[Path, str], None]] = {
    "summary": _read(lambda path: multidd.load(path.parent), FILE),
    "header": _read(files.peek, FILE),
    "note": _read(lambda path: RunFolder(path.parent).source(), "run.json"),
    "table": _read(RecsysSummary.from_parquet, "users.parquet"),
    "checkpoint": _read_checkpoint,
    "expert": _read_experts,
    "features": _read_features,
    "scores": _read_scores,
}
"""What reads a file, and puts something else in its place first."""

STAND_INS = ("pipe", "folder", "device", "socket")


def _stand_in(content: Content, seed: str) -> Mutation:
    number = int(seed.rpartition("/")[2])
    names = sorted(READERS)
    place = names[number % len(names)]
    shape = STAND_INS[number // len(names) % len(STAND_INS)]
    return Mutation(place, shape, content)


def _read_stand_in(mutation: Mutation, folder: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        READERS[mutation.place](folder, mutation.action)
    if mutation.place == "checkpoint":  # links and folders are no checkpoints
        return []
    names = [path.name for path in folder.rglob("*") if not path.is_dir()]
    folders = [path.name for path in folder.rglob("*.*")]
    if any(_names(notes, name) for name in names + folders):
        raise NamedInWarning
    return [mutation.place]


IMAGES = "herding dm-whitened ld idc kfs haba linba gtn rded itgan".split()
SUMMARIES = ["graph-gcond", "graph-condense", "graph-doscond_graphs"]
SUMMARIES += [f"images-{name}" for name in IMAGES]
SUMMARIES += ["recsys-distill_cf", "recsys-kmeans"]
SUMMARIES += ["text-medoids", "text-kip", "text-tokens", "text-tbptt"]

COMPRESSED = ["graph-gcond", "graph-doscond_graphs", "images-kfs", "images-ld"]
COMPRESSED += ["recsys-distill_cf", "recsys-kmeans", "text-kip", "text-tokens"]

SUBJECTS: dict[str, Subject] = {name: _summary(name) for name in SUMMARIES}
SUBJECTS |= {f"{name}, compressed": _compressed_summary(name) for name in COMPRESSED}
SUBJECTS |= {
    "images-views": Subject(_views, _load),
    "recsys-names": Subject(_named_items, _load),
    "checkpoint-graph": _checkpoint("graph-doscond"),
    "checkpoint-text": _checkpoint("text-kip"),
    "checkpoint-expert": _checkpoint("text-mtt"),
    "checkpoint-pool": _checkpoint("images-idm"),
    "expert": Subject(_expert_content, _use_expert),
    "features": Subject(_feature_content, _use_features),
    "scores": Subject(_score_content, _use_scores),
    "run.json": Subject(_note_content, _use_note),
    "parquet": Subject(lambda: tables.users_content(), _use_parquet),
    "dataset": Subject(lambda: tables.texts_content(), _use_dataset),
    "no file": Subject(lambda: Content({}), _read_stand_in, _stand_in),
}
"""Kind of file -> a valid one, and its use."""
