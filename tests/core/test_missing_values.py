"""Ids and labels: a number only where it gives the text back, missing is missing."""

import numpy as np
import pandas
import pytest
import torch

from multidd.data.labels import as_labels
from multidd.images.data.images import as_images
from multidd.recsys.data.ids import id_array
from multidd.recsys.data.readers import read_log
from multidd.text.data.readers import as_texts

LIMITS = {"float16": 2**11, "float32": 2**24, "float64": 2**53}
NOTHING = [None, np.nan, pandas.NA, pandas.NaT, "", "  "]
NAMES = ["007", "1e5", "1_000", "+1", "1.50", "-0", "0x1", "1" * 30, "٣"]


@pytest.mark.parametrize("kind", LIMITS)
def test_float_ids_that_may_have_merged_are_refused(kind):
    limit = LIMITS[kind]
    sound = np.array([(limit - 1, 1), (3, 2)], kind)
    assert read_log(sound).user_ids.tolist() == [3, limit - 1]
    merged = np.array([(limit, 1), (limit + 1, 2)], kind)
    for source in (merged, pandas.DataFrame(merged, columns=["user_id", "item_id"])):
        with pytest.raises(ValueError, match=f"{kind} tells whole .* below {limit}"):
            read_log(source)
    assert id_array(sound[:, 0]).tolist() == [limit - 1, 3]
    with pytest.raises(TypeError, match=f"{kind} tells whole .* below {limit}"):
        id_array(merged[:, 0])
    with pytest.raises(ValueError, match=f"{kind} tells whole numbers apart"):
        as_labels(merged[:, 0])
    assert as_labels(sound[:, 0])[1] == (3, limit - 1)


@pytest.mark.parametrize("rating", [1e39, 1e-50, np.inf, np.nan, -1.0])
def test_ratings_that_float32_does_not_hold_are_refused(rating):
    with pytest.raises(ValueError, match=r"row 1 .*: ratings must be finite"):
        read_log([(1, 2, 5.0), (1, 3, rating)])
    largest = float(np.finfo(np.float32).max)
    assert read_log([(1, 2, largest), (1, 3, 0.0)]).rating.tolist() == [largest, 0.0]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_number_would_not_give_back_stays_text(name, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"user_id,item_id\n{name},1\n8,2\n", encoding="utf-8")
    for source in (path, [(name, 1), ("8", 2)]):
        assert read_log(source).user_ids.tolist() == sorted([name, "8"])
    path.write_text(f"text,label\na,{name}\nb,8\n", encoding="utf-8")
    labels = [name, "8"]
    for texts in (as_texts(path), as_texts(["a", "b"], labels)):
        assert texts.values == tuple(sorted(labels))


def test_numbers_of_a_text_file_are_numbers(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\na,0\nb,1\n")
    assert as_texts(path).values == (0, 1)
    path.write_text("text,label\na,0.0\nb,1.0\n")  # as pandas writes them
    assert as_texts(path).values == (0, 1)


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
def test_missing_ids_are_left_out_and_counted(nothing, tmp_path):
    rows = [("a", 1), (nothing, 2), ("b", 3)]
    frame = pandas.DataFrame(rows, columns=["user_id", "item_id"])
    frame.to_csv(tmp_path / "x.csv", index=False)
    for source in (rows, frame, tmp_path / "x.csv"):
        log = read_log(source)
        assert log.user_ids.tolist() == ["a", "b"]
        assert log.dropped["missing ids"] == 1


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
def test_missing_labels_are_refused_with_their_count(nothing, tmp_path):
    labels = ["a", nothing, "b"]
    frame = pandas.DataFrame({"text": ["x", "y", "z"], "label": labels})
    frame.to_csv(tmp_path / "x.csv", index=False)
    x = torch.zeros(3, 1, 4, 4)
    for call, source in (
        (as_texts, (["x", "y", "z"], labels)),
        (as_texts, frame),
        (as_texts, tmp_path / "x.csv"),
        (as_images, (x, labels)),
        (as_images, (x, frame["label"])),
        (as_images, (x, np.array(labels, dtype=object))),
    ):
        with pytest.raises(ValueError, match=r"1 labels are missing, the first at .*1"):
            call(source)


@pytest.mark.parametrize("word", ["nan", "NaN", "<NA>"])
def test_nan_in_a_text_file_is_missing(word, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"user_id,item_id\n{word},1\nb,2\n")
    assert read_log(path).dropped["missing ids"] == 1
    path.write_text(f"text,label\nx,{word}\ny,b\n")
    with pytest.raises(ValueError, match="1 labels are missing"):
        as_texts(path)


def test_nan_that_numpy_made_text_is_refused():
    labels = np.array(["a", np.nan])
    for call, source in (
        (as_texts, (["x", "y"], labels)),
        (as_images, (torch.zeros(2, 1, 4, 4), labels)),
        (read_log, np.array([("a", "x"), (np.nan, "y")])),
    ):
        with pytest.raises(ValueError, match="hold the text 'nan' 1 times"):
            call(source)
    assert as_texts(["x", "y"], ["a", "nan"]).classes == ("a", "nan")
