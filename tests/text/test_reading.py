"""`as_texts`: every form that labelled texts come in gives the same `Texts`."""

import copy
import json
import warnings

import datasets
import numpy as np
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
import torch

from multidd.errors import MultiddWarning
from multidd.text.data.readers import as_texts
from multidd.text.data.texts import Texts

TEXTS = ["It rains.", 'He said "no",\nand left', "Größe\tzählt", "  so good ", "007"]
SECOND = ["Wet.", "Dry.", "big", "small", "Bond"]
LABELS = [1, 0, 0, 1, 1]
NAMES = ["bad", "good"]


def columns(**more):
    return {"text": list(TEXTS), "label": list(LABELS)} | more


def hf(names=None, **more):
    data = datasets.Dataset.from_dict(columns(**more))
    kind = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    return data.cast_column("label", kind)


def parquet(folder, data=None):
    path = folder / "some.parquet"
    pyarrow.parquet.write_table(pyarrow.table(data or columns()), path)
    return path


def delimited(folder, suffix=".csv", **options):
    path = folder / f"some{suffix}"
    sep = {".csv": ",", ".tsv": "\t"}[suffix]
    pandas.DataFrame(columns()).to_csv(path, sep=sep, index=False, **options)
    return path


def json_lines(folder):
    path = folder / "some.jsonl"
    rows = [json.dumps(row) for row in listed()]
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
    return path


def listed():
    return [{"text": t, "label": y} for t, y in zip(TEXTS, LABELS, strict=True)]


class Stream:
    """A frame of another library, known by the Arrow stream protocol."""

    def __arrow_c_stream__(self, requested_schema=None):
        return pyarrow.table(columns()).__arrow_c_stream__(requested_schema)


def batches():
    return pyarrow.table(columns()).to_batches(max_chunksize=2)


def saved(folder):
    hf().save_to_disk(str(folder / "saved"))
    return folder / "saved"


def saved_splits(folder):
    both = datasets.DatasetDict(train=hf(), test=hf().select([0]))
    both.save_to_disk(str(folder / "saved"))
    return str(folder / "saved")


def in_folder(folder):
    parquet(folder).rename(folder / "train.parquet")
    return folder


FORMS = {
    "pair": lambda _: (TEXTS, LABELS),
    "list of two": lambda _: [TEXTS, LABELS],
    "arrays": lambda _: (np.array(TEXTS), np.array(LABELS)),
    "objects": lambda _: (np.array(TEXTS, object), np.array(LABELS, object)),
    "tensor labels": lambda _: (TEXTS, torch.tensor(LABELS)),
    "series": lambda _: (pandas.Series(TEXTS), pandas.Series(LABELS, dtype="Int64")),
    "columns of hf": lambda _: (hf()["text"], hf()["label"]),
    "frame": lambda _: pandas.DataFrame(columns(), index=[5, 5, 1, 0, 9]),
    "category": lambda _: pandas.DataFrame(columns()).astype({"label": "category"}),
    "table": lambda _: pyarrow.table(columns()),
    "stream": lambda _: Stream(),
    "reader": lambda _: pyarrow.table(columns()).to_reader(max_chunksize=2),
    "batches": lambda _: batches(),
    "arrow dataset": lambda folder: pyarrow.dataset.dataset(parquet(folder)),
    "dict": lambda _: columns(),
    "list of dicts": lambda _: listed(),
    "dataset": lambda _: hf(),
    "torch format": lambda _: hf().with_format("torch"),
    "transform": lambda _: hf().with_transform(lambda batch: {"none": [0]}),
    "rows of it": lambda _: hf().select([4, 3, 2, 1, 0]).select([4, 3, 2, 1, 0]),
    "splits": lambda _: datasets.DatasetDict(test=hf().select([0]), train=hf()),
    "dict of splits": lambda _: {"train": hf(), "test": hf().select([0])},
    "parquet": parquet,
    "csv": delimited,
    "csv with a mark": lambda folder: delimited(folder, encoding="utf-8-sig"),
    "tsv": lambda folder: delimited(folder, ".tsv"),
    "json lines": json_lines,
    "saved": saved,
    "saved splits": saved_splits,
    "folder": in_folder,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(form, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MultiddWarning)
        texts = as_texts(FORMS[form](tmp_path))
    assert texts.texts == tuple(TEXTS)
    assert all(type(text) is str for text in texts.texts)
    assert texts.labels.tolist() == LABELS and texts.labels.dtype == torch.int64
    assert (texts.classes, texts.values, texts.pairs) == (("0", "1"), (0, 1), None)


class Frame:
    """As polars has it: a frame of another library that gives an Arrow table."""

    def to_arrow(self):
        return pyarrow.table(columns())


def test_a_file_gives_its_name(tmp_path):
    assert as_texts(parquet(tmp_path)).name == "some"
    assert as_texts(in_folder(tmp_path)).name == ""


@pytest.mark.parametrize("note", [b"{", b"[1]", b'{"info": 3}'])
def test_notes_of_other_libraries_in_a_parquet_file(note, tmp_path):
    table = pyarrow.table(columns()).replace_schema_metadata({b"huggingface": note})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    texts = as_texts(tmp_path / "x.parquet")
    assert texts.texts == tuple(TEXTS) and texts.classes == ("0", "1")


def test_frames_of_other_libraries():
    assert as_texts(Frame()).texts == tuple(TEXTS)


# --- columns ------------------------------------------------------------------


@pytest.mark.parametrize("form", ["frame", "dataset", "rows", "csv", "json lines"])
def test_other_columns_and_pairs(form, tmp_path):
    data = {"id": range(5), "one": TEXTS, "two": SECOND, "gold": LABELS}
    frame = pandas.DataFrame(data)
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    forms = {
        "frame": frame,
        "dataset": datasets.Dataset.from_pandas(frame),
        "rows": frame.to_dict("records"),
        "csv": tmp_path / "x.csv",
        "json lines": tmp_path / "x.jsonl",
    }
    texts = as_texts(forms[form], text="one", pair="two", label="gold")
    assert (texts.texts, texts.pairs) == (tuple(TEXTS), tuple(SECOND))
    assert texts.labels.tolist() == LABELS


def test_pairs_in_a_list():
    for kind in (tuple, list):
        both = [kind(pair) for pair in zip(TEXTS, SECOND, strict=True)]
        texts = as_texts(both, LABELS)
        assert (texts.texts, texts.pairs) == (tuple(TEXTS), tuple(SECOND))


def test_labels_beside_a_table():
    for data in (pandas.DataFrame({"text": TEXTS}), [{"text": t} for t in TEXTS]):
        assert as_texts(data, LABELS).labels.tolist() == LABELS


def test_texts_of_digits_stay_texts(tmp_path):
    (tmp_path / "x.csv").write_text("text,label\n007,1\n12,0\n1.5,1\n")
    assert as_texts(tmp_path / "x.csv").texts == ("007", "12", "1.5")


# --- labels -------------------------------------------------------------------


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 1],
        [0.0, 1.0, 1.0],
        np.array([0, 1, 1], np.uint8),
        np.array([[0], [1], [1]]),
        [False, True, True],
        np.array([False, True, True]),
        torch.tensor([0.0, 1.0, 1.0]),
        pandas.Series([0, 1, 1], dtype="Int64"),
    ],
)
def test_labels_from_0_are_silent(y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = as_texts(["a", "b", "c"], y)
    assert texts.labels.tolist() == [0, 1, 1] and texts.values == (0, 1)


def test_words_are_names_and_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = as_texts(["a", "b", "c"], ["spam", "ham", "spam"])
    assert texts.classes == texts.values == ("ham", "spam")
    assert texts.labels.tolist() == [1, 0, 1]


def test_other_numbers_are_mapped_and_said_once():
    with pytest.warns(MultiddWarning, match="-1 -> 0, 4 -> 1") as message:
        texts = as_texts(["a", "b"], [4, -1])
    assert len(message) == 1 and message[0].filename == __file__
    assert texts.describe()["labels"] == [-1, 4]


def test_class_labels_keep_names_and_order(tmp_path):
    data = hf(["wrong", "right"])
    data.to_parquet(str(tmp_path / "x.parquet"))
    data.save_to_disk(str(tmp_path / "x"))
    for form in (data, tmp_path / "x.parquet", tmp_path / "x"):
        texts = as_texts(form)
        assert texts.classes == ("wrong", "right"), form
        assert (texts.values, texts.labels.tolist()) == ((0, 1), LABELS)


def test_numbers_in_text_files(tmp_path):
    for cells, values in [
        (["1", "0"], (0, 1)),
        (["1.0", "0.0"], (0, 1)),
        (["007", "7"], ("007", "7")),
        (["1_0", "10"], ("10", "1_0")),
        (["yes", "1"], ("1", "yes")),
    ]:
        rows = "".join(f"some,{cell}\n" for cell in cells)
        (tmp_path / "x.csv").write_text(f"text,label\n{rows}")
        assert as_texts(tmp_path / "x.csv").values == values


def test_labels_like_another_set():
    train = as_texts(["a", "b", "c"], ["yes", "no", "maybe"])
    test = as_texts(["d", "e"], ["yes", "yes"], values=train.values)
    assert test.labels.tolist() == [2, 2] and test.counts.tolist() == [0, 0, 2]
    assert test.classes == train.classes
    part = as_texts(hf(NAMES).select([0]), values=(0, 1))
    assert (part.classes, part.labels.tolist()) == (("bad", "good"), [1])


def test_texts_pass_and_are_relabelled():
    texts = as_texts(TEXTS, LABELS)
    assert as_texts(texts) is texts
    assert as_texts(texts, values=(0, 1)) is texts
    named = as_texts(hf(NAMES))
    other = as_texts(named, values=(1, 0))
    assert torch.equal(other.labels, 1 - named.labels)
    assert other.classes == ("good", "bad")


# --- nothing is changed -------------------------------------------------------


@pytest.mark.parametrize("form", ["pair", "dict", "list of dicts", "frame", "splits"])
def test_inputs_stay_as_they_are(form, tmp_path):
    data = FORMS[form](tmp_path)
    before = copy.deepcopy(data)
    texts = as_texts(data)
    assert isinstance(texts, Texts)
    if form == "frame":
        pandas.testing.assert_frame_equal(data, before)
    elif form == "splits":
        assert {k: v.to_dict() for k, v in data.items()} == {
            k: v.to_dict() for k, v in before.items()
        }
    else:
        assert data == before


def test_folders_stay_as_they_are(tmp_path):
    for path in (saved(tmp_path), delimited(tmp_path), json_lines(tmp_path)):
        before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
        as_texts(path)
        assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


def test_labels_are_no_view_of_the_input():
    y = torch.tensor(LABELS)
    as_texts(TEXTS, y).labels.zero_()
    assert y.tolist() == LABELS
