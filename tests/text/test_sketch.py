"""Sketches of texts: K of each class, exact counts, from every kind of source."""

import json

import pyarrow
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from multidd import text
from multidd.errors import MultiddWarning
from multidd.text.data.sketch import write_texts

WORDS = "so good bad fine film plot dull long warm cold".split()


def rows(n: int = 300) -> dict:
    """Texts of two classes, one of three; some stand twice."""
    texts = [f"{WORDS[i % 7]} {WORDS[i % 10]} {i % 150}" for i in range(n)]
    return {"text": texts, "label": [int(i % 3 == 0) for i in range(n)]}


def content(texts) -> tuple:
    return texts.texts, texts.pairs, texts.labels.tolist(), texts.classes


def test_counts_are_exact_and_repeated_texts_kept_once():
    table = pyarrow.table(rows())
    some = text.sketch(table, per_class=20)
    assert some.counts.tolist() == [20, 20] and some.sketch["counts"] == [200, 100]
    assert len(set(zip(some.texts, some.labels.tolist(), strict=True))) == 40
    assert some.sketch["records"] == 300 and some.sketch["kept"] == 40
    everything = text.sketch(table, per_class=1000)
    pairs = set(zip(*rows().values(), strict=True))
    texts = set(zip(everything.texts, everything.labels.tolist(), strict=True))
    assert texts == pairs and everything.sketch["repeated"] == 300 - len(pairs)
    assert content(text.sketch(table, 20, seed=1)) != content(some)


def test_any_source_gives_the_same(tmp_path, monkeypatch):
    table = pyarrow.table(rows())
    whole = content(text.sketch(table, per_class=20))
    monkeypatch.setattr("multidd.sketches.shards.SHARD_ROWS", 90)
    monkeypatch.setattr("multidd.text.data.files.BATCH_ROWS", 32)
    frame = table.to_pandas()
    folder = tmp_path / "parts"
    folder.mkdir()
    frame[:100].to_csv(folder / "a.csv", index=False)
    frame[100:].to_csv(folder / "b.csv", index=False)
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet", row_group_size=50)
    lines = [json.dumps(row) for row in table.to_pylist()]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    data = Dataset(table)
    data.save_to_disk(tmp_path / "saved")
    sources = [
        folder,
        [tmp_path / "x.parquet"],
        tmp_path / "x.jsonl",
        tmp_path / "saved",
        data.to_iterable_dataset(num_shards=3),
        frame,
    ]
    for source in sources:
        assert content(text.sketch(source, per_class=20)) == whole


def test_names_of_classes_travel(tmp_path):
    label = ClassLabel(names=["no", "yes"])
    features = Features({"text": Value("string"), "label": label})
    data = Dataset.from_dict(rows(), features=features)
    data.to_parquet(tmp_path / "x.parquet")
    for source in (data, tmp_path / "x.parquet", data.to_iterable_dataset()):
        assert text.sketch(source, per_class=3).classes == ("no", "yes")


def test_pairs_are_hashed_as_pairs():
    columns = {**rows(), "second": [f"{i}" for i in range(300)]}
    some = text.sketch(pyarrow.table(columns), per_class=1000, pair="second")
    assert len(some) == 300
    place = some.texts.index(columns["text"][7])
    assert some.pairs[place] in {"7", "157"}


def test_a_folder_of_parts_gives_the_training_part(tmp_path):
    for part in "train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001":
        pyarrow.parquet.write_table(pyarrow.table(rows()), tmp_path / f"{part}.parquet")
    with pytest.warns(MultiddWarning, match="left out 1 of 3 files"):
        some = text.sketch(tmp_path, per_class=5)
    assert some.sketch["records"] == 600 and some.sketch["shards"] == 2
    for path in tmp_path.glob("train*"):
        path.unlink()
    with pytest.raises(ValueError, match="holds the parts .* and none to train on"):
        text.sketch(tmp_path)


def test_methods_take_it_and_its_record_is_of_the_data():
    parts = [pyarrow.table(rows())[low : low + 100] for low in (0, 100, 200)]
    one, other = text.sketch(parts, 20), text.sketch(parts[::-1], 20)
    assert one.describe() == other.describe()
    assert one.describe()["sketch"]["counts"] == [200, 100]
    assert one.take([0, 1]).sketch == one.sketch


def test_it_is_written_as_a_file_that_load_reads(tmp_path):
    label = ClassLabel(names=["no", "yes"])
    features = Features({"text": Value("string"), "label": label})
    named = text.sketch(Dataset.from_dict(rows(), features=features), per_class=5)
    words = {"text": ["a", "b", "c"], "label": ["x", "y", "x"]}
    odd = {"text": ["a", "b", "c"], "label": [3, 7, 3]}
    for columns in (named, words, odd):
        texts = columns if columns is named else text.sketch(pyarrow.table(columns))
        write_texts(texts, tmp_path / "x.parquet")
        again = text.as_texts(tmp_path / "x.parquet")
        assert content(again) == content(texts) and again.values == texts.values
    with pytest.raises(ValueError, match="written as a .parquet file; got"):
        write_texts(named, tmp_path / "x.csv")


def parquet(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize(
    "columns, words",
    [
        ({"text": ["a"]}, "x.parquet has no column 'label' .label."),
        ({"text": ["a", " "], "label": [0, 1]}, "'text' of .*x.parquet are empty"),
        ({"text": ["a", "b"], "label": [0, None]}, "x.parquet lacks a label in row 1"),
        ({"text": [1, 2], "label": [0, 1]}, "x.parquet must be strings; row 0"),
        ({"text": ["a"], "label": ["yes"]}, "x.parquet are text and those of .*good"),
        ({"text": ["a"], "label": [0.5]}, "x.parquet must hold whole numbers"),
    ],
)
def test_a_shard_that_does_not_fit_is_named(tmp_path, columns, words):
    good = parquet(tmp_path / "good.parquet", text=["a", "b"], label=[0, 1])
    odd = parquet(tmp_path / "x.parquet", **columns)
    for paths in ([good, odd], [odd, good]):
        with pytest.raises((ValueError, TypeError), match=words):
            text.sketch(paths)


@pytest.mark.parametrize(
    "name, lines, words",
    [
        ("x.csv", "text,label\na,1\nb\n", r"x.csv, line 3: 1 cells, and 2 columns"),
        ("x.csv", "", "x.csv is empty; it must begin with the names of columns"),
        ("x.csv", "text,label\n", "there are no texts: .*x.csv has no rows"),
        ("x.csv", "text,label\na,\nb,1\n", "x.csv lacks a label in row 0"),
        ("x.jsonl", '{"text": "a"\n', "x.jsonl, line 1 is no JSON object"),
        ("x.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}', "1 of 2 rows of"),
        ("x.pkl", "x", "x.pkl is none of .parquet"),
    ],
)  # fmt: skip
def test_a_text_file_that_cannot_be_read_is_named(tmp_path, name, lines, words):
    (tmp_path / name).write_text(lines)
    with pytest.raises(ValueError, match=words):
        text.sketch(tmp_path / name)


def test_cells_are_numbers_where_all_are(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,1\nb,0\n")
    (tmp_path / "b.csv").write_text("text,label\nc,2\nd,x\n")
    assert text.sketch(tmp_path / "a.csv").values == (0, 1)
    assert text.sketch(tmp_path).values == ("0", "1", "2", "x")
