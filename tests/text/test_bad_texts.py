"""Every kind of bad texts is refused before any work, with where it is."""

import datasets
import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import torch

from multidd.text.data.readers import as_texts

X, Y = ["one", "two", "three", "four"], [0, 1, 1, 0]


def refuses(message, data=X, y=Y, error=ValueError, **options):
    with pytest.raises(error, match=message):
        as_texts(data, y, **options)


# --- texts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        ("", "''"),
        (" \t\n", r"' \\t\\n'"),
        ("\u00a0\u3000", r"'\\xa0\\u3000'"),
        (None, "None"),
        (float("nan"), "nan"),
        (pandas.NA, "<NA>"),
    ],
)
def test_empty_and_missing_texts(bad, shown):
    expected = rf"2 of 4 texts are empty or missing, the first at row 1 \({shown}\)"
    refuses(expected, ["one", bad, "three", bad])
    frame = pandas.DataFrame({"text": ["one", bad, "three", bad], "label": Y})
    refuses("2 of 4 texts in 'text' are empty.* row 1 .*drop these rows", frame, None)
    pairs = list(zip(X, ["a", bad, "c", bad], strict=True))
    refuses("2 of 4 second texts are empty .*row 1", pairs)


def test_empty_cells_of_files(tmp_path):
    (tmp_path / "x.csv").write_text("text,label\none,0\n,1\n")
    refuses("1 of 2 texts in 'text' are empty.* row 1", tmp_path / "x.csv", None)
    table = pyarrow.table({"text": ["one", None], "label": [0, 1]})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    refuses("1 of 2 texts in 'text' .* row 1 .None", tmp_path / "x.parquet", None)


@pytest.mark.parametrize("bad", [3, b"three", 2.5, ["a"], ("a", "b"), True])
def test_texts_that_are_no_strings(bad):
    text = rf"row 2 \(from 0\) holds {type(bad).__name__}: .*convert them first"
    refuses(text, ["one", "two", bad, "four"], error=TypeError)


def test_pairs_that_are_none():
    refuses("all be pairs of strings; row 1 .* holds 'b'", [("a", "b"), "b"], [0, 1],
            TypeError)  # fmt: skip
    refuses("holds ..c., .d., .e..", [("a", "b"), ("c", "d", "e")], [0, 1], TypeError)
    refuses("second texts must be strings; row 0", [("a", 1)], [0], TypeError)


def test_columns_of_other_lengths():
    data = {"text": X, "more": X[:2], "label": Y}
    refuses("4 texts in 'text' have 2 texts in 'more'; there must be one for each",
            data, None, pair="more")  # fmt: skip


def test_half_a_surrogate_pair():
    refuses("row 2 .* half of a surrogate pair at character 3", ["a", "b", "the\ud83d"],
            [0, 1, 0])  # fmt: skip


def test_no_texts():
    for data in ([], (), np.array([], dtype=str)):
        refuses("there are no texts", data, [])
    frame = pandas.DataFrame({"text": [], "label": []})
    refuses("there are no texts: texts in 'text' hold no rows", frame, None)
    refuses("no column 'text'", {}, None)


# --- labels -------------------------------------------------------------------


@pytest.mark.parametrize("y", [[0, 1], [0, 1, 1, 0, 1], torch.tensor([0, 1])])
def test_lengths_differ(y):
    refuses(f"4 texts have {len(y)} labels; there must be one for each text", y=y)


def test_a_column_of_fewer_labels():
    text = "4 texts have 2 labels; there must be one for each text"
    refuses(text, {"text": X, "label": Y[:2]}, None)


def test_fractions_and_nan():
    refuses(r"2 are not, the first at text 1 \(0\.5\)", y=[0, 0.5, 1, 1.5])
    refuses(r"1 are not, the first at text 3 \(nan\)", y=[0, 1, 1, np.nan])
    refuses(r"1 are not, the first at text 3 \(inf\)", y=[0, 1, 1, np.inf])
    refuses("1 are not, the first at text 0", y=[1e300, 1, 1, 0])


@pytest.mark.parametrize("hole", [None, "", " ", float("nan"), pandas.NA])
def test_holes_in_labels(hole):
    refuses("2 labels are missing, the first at text 1 ", y=["a", hole, "b", hole])
    if not isinstance(hole, str):
        refuses("are missing, the first at text 3|whole numbers.* text 3",
                y=[0, 1, 1, hole])  # fmt: skip


def test_holes_in_files(tmp_path):
    (tmp_path / "x.csv").write_text("text,label\none,0\ntwo,\nthree,1\n")
    refuses("1 labels are missing, the first at text 1", tmp_path / "x.csv", None)
    (tmp_path / "x.csv").write_text("text,label\none,ham\ntwo,\nthree,spam\n")
    refuses("1 labels are missing, the first at text 1", tmp_path / "x.csv", None)
    (tmp_path / "x.jsonl").write_text('{"text":"a","label":0}\n{"text":"b"}\n')
    refuses("1 of 2 rows of .*x.jsonl have no 'label', the first is row 1",
            tmp_path / "x.jsonl", None)  # fmt: skip


def test_labels_of_other_kinds():
    refuses("all of one kind; got int, str", y=[0, "a", 1, "b"], error=TypeError)
    refuses("integers or texts.*complex", y=np.array(Y, complex), error=TypeError)
    refuses("one class for each text; got lists of labels", y=[[0], [0, 1], [1], [0]])
    refuses(r"got shape \[4, 2\]; for one-hot labels", y=np.eye(2)[Y])
    refuses("labels must be a list, an array or a column; got str", y="0110",
            error=TypeError)  # fmt: skip


def test_one_class():
    refuses(r"all texts have one class \('3'\); there is nothing", y=[3, 3, 3, 3])


def test_a_class_without_texts():
    names = datasets.ClassLabel(names=["a", "b", "c"])
    data = datasets.Dataset.from_dict({"text": X, "label": Y})
    refuses("1 of 3 classes have no texts: 'c'", data.cast_column("label", names), None)


def test_unknown_labels():
    expected = (
        r"labels hold \[5, 8\] \(first at text 2\).* none of the 2 classes \[0, 1\]"
    )
    refuses(expected, y=[0, 1, 5, 8], values=(0, 1))
    refuses(r"hold \['maybe'\]", y=["yes", "no", "maybe", "no"], values=("no", "yes"))
    unlabelled = datasets.Dataset.from_dict({"text": X, "label": [0, 1, -1, -1]})
    kind = datasets.ClassLabel(names=["a", "b"])
    refuses(r"hold \[-1\] \(first at text 2\)", unlabelled.cast_column("label", kind),
            None)  # fmt: skip


# --- columns ------------------------------------------------------------------


@pytest.mark.parametrize("form", ["frame", "dataset", "dict", "rows", "csv", "parquet"])
def test_missing_columns_name_those_that_exist(form, tmp_path):
    data = {"sentence": X, "labels": Y}
    frame = pandas.DataFrame(data)
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    forms = {
        "frame": frame,
        "dataset": datasets.Dataset.from_dict(data),
        "dict": data,
        "rows": frame.to_dict("records"),
        "csv": tmp_path / "x.csv",
        "parquet": tmp_path / "x.parquet",
    }
    there = "its columns are sentence, labels"
    expected = rf"no column 'text' \(text\); {there}; name the right one with text="
    refuses(expected, forms[form], None)
    close = rf"no column 'label' \(label\); {there}; did you mean 'labels'\?; name"
    refuses(close, forms[form], None, text="sentence")
    refuses(rf"'premise' \(pair\); {there}", forms[form], None, text="sentence",
            pair="premise", label="labels")  # fmt: skip


def test_columns_named_twice():
    frame = pandas.DataFrame([["a", "b", 0]], columns=["text", "text", "label"])
    refuses("the frame has 2 columns 'text'; rename one", frame, None)
    refuses("column 'text' is named as text and as pair", {}, None, pair="text")
    refuses("label must be the name of a column; got 3", {}, None, TypeError, label=3)


def test_rows_that_are_no_dicts():
    rows = [{"text": "a", "label": 0}, ("b", 1)]
    refuses("row 1 .* is tuple", rows, None, TypeError)
    rows = [{"text": "a", "label": 0}, {"label": 1}, {}]
    refuses("2 of 3 rows of the list have no 'text', the first is row 1", rows, None)


# --- forms --------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [None, 3, (X,), (X, Y, Y), {"a"}, torch.zeros(2), iter(X), b"a"]
)
def test_other_forms(data):
    refuses("texts must be a datasets.Dataset, a frame, a list of dicts, a pair .*got",
            data, None, TypeError)  # fmt: skip


def test_a_lazy_frame_is_not_collected_for_you():
    class Lazy:
        def collect(self):
            raise AssertionError("collected")

        collect_schema = collect

    refuses("pass frame.collect()", Lazy(), None, TypeError)


def test_texts_without_labels():
    for data in (X, tuple(X), ["one", "two"]):
        refuses(r"texts need labels: as_texts\(texts, labels\)", data, None, TypeError)
    refuses("Texts have labels", as_texts(X, Y), Y, TypeError)


def test_streams_and_splits():
    data = datasets.Dataset.from_dict({"text": X, "label": Y})
    refuses("data is a stream of unknown length", data.to_iterable_dataset(), None,
            TypeError)  # fmt: skip
    streams = datasets.IterableDatasetDict(train=data.to_iterable_dataset())
    refuses("data is a stream of unknown length", streams, None, TypeError)
    refuses("texts must be a list, an array or a column; got generator",
            (x for x in X), Y, TypeError)  # fmt: skip
    splits = datasets.DatasetDict(test=data, valid=data)
    refuses(r"holds the splits \['test', 'valid'\] and none to train on; pass one of "
            r"them, such as data\['test'\]", splits, None)  # fmt: skip
