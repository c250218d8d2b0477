"""What every summary does, whatever it holds: files, digests, words, pictures.

What is special to a kind of summary is beside its modality.
"""

import inspect
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import multidd
from multidd.errors import CorruptFileError, NonFiniteError, WrongKindError
from multidd.storage import files
from multidd.summary import DataSummary
from tests.methods.cases import CASES, MODALITIES, Case, made_by

pytestmark = pytest.mark.usefixtures("short_teachers")

NAMES = {
    # edges with weights, none, soft labels, real nodes; a set of graphs
    "graph": "gcond kmeans condense random doscond_graphs",
    # real images, centered and soft labels, tiles, codes with what decodes them
    "images": "random kip sldd idc kfs haba gtn linba itgan",
    # a dense matrix, a sparse one
    "recsys": "distill_cf random",
    # texts, vectors of texts, vectors of tokens
    "text": "medoids kip tokens tbptt attention_labels",
}
KINDS = {str(c): c for c in CASES if c.name in NAMES[c.kind].split()}
PLAIN = ["graph-random", "graph-doscond_graphs", "images-random", "recsys-random"]
PLAIN += ["text-medoids"]
"""One of each class."""

every = pytest.mark.parametrize("case", KINDS.values(), ids=str)
plain = pytest.mark.parametrize("case", [KINDS[name] for name in PLAIN], ids=str)


def test_every_class_of_summary_is_tried() -> None:
    public = {
        value
        for on in MODALITIES.values()
        for value in (getattr(on.face, name) for name in on.face.__all__)
        if inspect.isclass(value) and issubclass(value, DataSummary)
    }
    assert public == {type(made_by(KINDS[name])) for name in PLAIN}


# --- digests --------------------------------------------------------------------------


@every
def test_digest_sees_every_bit(case: Case) -> None:
    """Of every tensor; the order of the tensors is none of it."""
    summary = made_by(case)
    for name, tensor in summary.tensors.items():
        if tensor.numel():
            raw = tensor.clone().contiguous()
            raw.view(-1).view(torch.uint8)[-1] ^= 1
            changed = dict(summary.tensors) | {name: raw}
            assert files.digest(changed) != summary.digest(), name
    again = {k: v.clone() for k, v in reversed(summary.tensors.items())}
    assert type(summary)(again, summary.card).digest() == summary.digest()


# --- files ----------------------------------------------------------------------------


@every
@pytest.mark.parametrize("where", ["folder", "file.safetensors"])
def test_save_and_load(case: Case, where: str, tmp_path: Path) -> None:
    summary = made_by(case)
    path = summary.save(tmp_path / where)
    assert path.name == ("summary.safetensors" if where == "folder" else where)
    for again in (multidd.load(tmp_path / where), type(summary).load(path)):
        assert type(again) is type(summary)
        assert again.digest() == summary.digest()
        assert again.card == summary.card
        assert repr(again) == repr(summary) and again.listing() == summary.listing()
    first = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == first


@every
def test_a_damaged_file_is_refused(case: Case, tmp_path: Path) -> None:
    path = made_by(case).save(tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 4
    for raw in (whole[:-7], bytes(flipped), b"", b"no summary at all"):
        path.write_bytes(raw)
        with pytest.raises(CorruptFileError, match=re.escape(str(path))):
            multidd.load(tmp_path)


@plain
def test_an_incomplete_card_is_refused(case: Case, tmp_path: Path) -> None:
    summary, path = made_by(case), tmp_path / "half.safetensors"
    files.write(path, summary.tensors, {"card": {"method": "x"}}, kind=summary.kind)
    with pytest.raises(CorruptFileError, match=r"half\.safetensors has an inc"):
        multidd.load(path)


@plain
def test_a_file_of_another_kind_is_refused(case: Case, tmp_path: Path) -> None:
    summary = made_by(case)
    summary.save(tmp_path)
    other = next(c for c in map(KINDS.get, PLAIN) if c is not case)
    cls = type(made_by(other))
    with pytest.raises(WrongKindError, match=f"{cls.kind} one was asked for"):
        cls.load(tmp_path)
    path = tmp_path / "other.safetensors"
    files.write(path, {"x": torch.ones(2)}, {"card": {}}, kind="checkpoint")
    message = r"other\.safetensors holds 'checkpoint', not a summary; .*graph"
    for reader in (multidd.load, type(summary).load):
        with pytest.raises(WrongKindError, match=message):
            reader(path)


@plain
def test_nan_is_neither_written_nor_read(case: Case, tmp_path: Path) -> None:
    summary, path = made_by(case), tmp_path / "nan.safetensors"
    name = next(n for n, t in summary.tensors.items() if t.is_floating_point())
    bad = dict(summary.tensors) | {name: summary.tensors[name] * torch.nan}
    count = bad[name].numel()
    message = rf"nan\.safetensors: tensor '{name}' holds {count} values that are NaN"
    with pytest.raises(NonFiniteError, match=message):
        Bare(bad, summary.card).save(path)
    assert not path.exists()
    card = {"card": asdict(summary.card)}
    files.write(path, bad, card, kind=summary.kind, allow_nonfinite=True)
    with pytest.raises(NonFiniteError, match=message):
        multidd.load(path)


class Bare(DataSummary):
    """Tensors that no modality looks at."""


@plain
def test_a_missing_file_is_named(case: Case, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"summary\.safetensors"):
        type(made_by(case)).load(tmp_path)


# --- words ----------------------------------------------------------------------------


@every
def test_repr_is_one_line(case: Case) -> None:
    summary = made_by(case)
    shown = rf"{type(summary).__name__}\({summary.card.method}, .*\d+ KiB, \d+\.\d s\)"
    assert re.fullmatch(shown, repr(summary))


# --- pictures -------------------------------------------------------------------------

HEADS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@plain
def test_a_picture_of_each(case: Case, tmp_path: Path) -> None:
    """Alone, or beside the real data in a folder that is made."""
    summary, path = made_by(case), tmp_path / "deeper" / "picture.png"
    assert summary.plot().axes
    settings = {"encoder": case.on.fixed()["encoder"]} if case.kind == "text" else {}
    summary.plot(path, data=case.on.data(), **settings)
    assert path.read_bytes().startswith(HEADS["png"]) and path.stat().st_size > 5_000
    with pytest.raises(ValueError, match=r"a picture is \.png, \.pdf or \.svg"):
        summary.plot(tmp_path / "picture.jpg")


@pytest.mark.parametrize("ending", HEADS)
def test_the_ending_says_the_format(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{ending}"
    made_by(KINDS["images-random"]).plot(path)
    assert path.read_bytes().startswith(HEADS[ending])
