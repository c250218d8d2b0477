"""Files of texts that cannot be read are refused, with what is wrong in them."""

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from multidd.errors import CorruptFileError
from multidd.text.data.readers import as_texts

X, Y = ["one", "two", "three", "four"], [0, 1, 1, 0]


def refuses(message, data=X, y=Y, error=ValueError, **options):
    with pytest.raises(error, match=message):
        as_texts(data, y, **options)


# --- files --------------------------------------------------------------------


def test_paths_of_nothing(tmp_path):
    refuses("no file or folder .*nowhere.csv", tmp_path / "nowhere.csv", None,
            FileNotFoundError)  # fmt: skip
    refuses(
        "no file or folder some some .*texts in a list",
        "some " * 999,
        Y,
        FileNotFoundError,
    )
    refuses("holds no texts to train on", tmp_path, None)
    (tmp_path / "x.docx").write_text("x")
    refuses("x.docx is none of .parquet, .csv, .tsv, .jsonl", tmp_path / "x.docx", None)


MARK = b"cos\nsystem\n(S'touch ran'\ntR."  # a pickle that would make a file


@pytest.mark.parametrize("name", ["x.pkl", "x.pickle", "x.pt", "x.joblib", "x.bin"])
def test_pickles_are_never_read(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(MARK)
    refuses(
        "may hold pickled objects, which are never unpickled", tmp_path / name, None
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_a_pickle_by_another_name(suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"x{suffix}").write_bytes(MARK)
    error = CorruptFileError if suffix == ".parquet" else ValueError
    refuses(f"x{suffix}", tmp_path / f"x{suffix}", None, error)
    assert not (tmp_path / "ran").exists()


def test_damaged_parquet(tmp_path):
    path, table = (
        tmp_path / "x.parquet",
        pyarrow.table({"text": X * 99, "label": Y * 99}),
    )
    options = {"write_page_checksum": True, "use_dictionary": False}
    pyarrow.parquet.write_table(table, path, compression="none", **options)
    whole = path.read_bytes()
    at = whole.index(b"three")
    for bad in (whole[:-9], b"", whole[:at] + b"T" + whole[at + 1 :]):
        path.write_bytes(bad)
        refuses("x.parquet cannot be read as parquet: .*use another copy", path, None,
                CorruptFileError)  # fmt: skip


def test_a_damaged_saved_dataset(tmp_path):
    data = datasets.Dataset.from_dict({"text": X, "label": Y})
    data.save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "saved" / "state.json").write_text("{")
    refuses("state.json is damaged .*use another copy", tmp_path / "saved", None,
            CorruptFileError)  # fmt: skip
    splits = datasets.DatasetDict(other=data)
    splits.save_to_disk(str(tmp_path / "splits"))
    refuses(r"no training split; it has \['other'\]", tmp_path / "splits", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\na,0\nb,1,2\n", "line 3: 3 cells, and 2 columns"),
        (b'text,label\n"so" good,0\nb,1\n', "line 2: .*pass the frame.*quoting=3"),
        (b'text,label\n"so good,0\nb,1\n', "unexpected end of data"),
        (b"text,label\n\xff,0\n", "is not UTF-8"),
        (b"", "is empty; it must begin with the names"),
    ],
)
def test_broken_csv(content, message, tmp_path):
    (tmp_path / "x.csv").write_bytes(content)
    refuses(f"x.csv.*{message}", tmp_path / "x.csv", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a", "label": 0}\n\n{"text": ', "line 3 is no JSON object"),
        (b'{"text": "a", "label": 0}\n["b", 1]\n', r"line 2 is no .* \(it is list\)"),
        (b"[" * 100_000, "line 1 is no JSON object"),
        (b'{"text": "\xff"}', "is not UTF-8"),
        (b"", "no column 'text'"),
    ],
)
def test_broken_json_lines(content, message, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(content)
    refuses(f"x.jsonl.*{message}", tmp_path / "x.jsonl", None)


def test_two_files_for_one_part(tmp_path):
    for name in ("train.csv", "train.tsv"):
        (tmp_path / name).write_text("text,label\na,0\n")
    refuses("holds train.csv, train.tsv for one part; keep one", tmp_path, None)
