"""Bad events are refused by column, value and row."""

import datetime

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset
from scipy.sparse import csr_array

from multidd.recsys.data.readers import read_log

NAN, INF = float("nan"), float("inf")


def frame(**columns):
    """Events of two users, with other columns in place of these."""
    plain = {"user_id": [1, 2, 2], "item_id": [5, 5, 6], "stars": [3, 4, 5]}
    return pandas.DataFrame({**plain, **columns})


def as_frame(values):
    return frame(stars=values)


def as_csv(values, folder):
    path = folder / "log.csv"
    rows = ["user_id,item_id,stars", *(f"{i},{i},{v}" for i, v in enumerate(values))]
    path.write_text("\n".join(rows) + "\n")
    return path


# --- columns ------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked, message",
    [
        (
            {"user": "usr_id"},
            r"no column 'usr_id' \(user\); its columns are user_id",
        ),
        ({"user": "usr_id"}, "item_id, stars; did you mean 'user_id'"),
        ({"rating": "score"}, r"the frame has no column 'score' \(rating\)"),
        ({"time": "when"}, r"no column 'when' \(time\)"),
        ({"split": "part"}, r"no column 'part' \(split\)"),
        ({"user": "item_id"}, "'item_id' is named as user and as item"),
        ({"min_rating": 3}, "min_rating=3 needs rating='the column of .* stars"),
        ({"min_user": 1.5}, "min_user must be a whole number, got 1.5"),
        ({"min_item": True}, "min_item must be a whole number, got True"),
        ({"min_rating": NAN, "rating": "stars"}, "min_rating must be a finite number"),
    ],
)
def test_columns_that_are_not_there(asked, message):
    with pytest.raises((TypeError, ValueError), match=message):
        read_log(frame(), **asked)


def test_no_known_name():
    events = pandas.DataFrame({"a": [1], "b": [2]})
    text = "no column that is known to hold users .*its columns are a, b; .* with user="
    with pytest.raises(ValueError, match=text):
        read_log(events)
    with pytest.raises(ValueError, match="known to hold items .* with item="):
        read_log(events, user="a")
    with pytest.raises(TypeError, match="user must be the name of a column; got 0"):
        read_log(events, user=0)


def test_a_column_that_comes_twice(tmp_path):
    events = pandas.DataFrame([[1, 2, 3]], columns=["user", "item", "user"])
    with pytest.raises(ValueError, match="'user' comes twice in the frame"):
        read_log(events)
    (tmp_path / "x.csv").write_text("user,item,user\n1,2,3\n")
    with pytest.raises(ValueError, match="'user' comes twice in .*x.csv"):
        read_log(tmp_path / "x.csv")


def test_a_file_without_a_column_of_the_others(tmp_path):
    for at, name in enumerate(("item", "thing")):
        table = pyarrow.table({"user": [1], name: [2]})
        pyarrow.parquet.write_table(table, tmp_path / f"{at}.parquet")
    with pytest.raises(ValueError, match="1.parquet has no column 'item', .* thing"):
        read_log(tmp_path)
    batches = [pyarrow.record_batch({"user": [1], name: [2]}) for name in ("item", "x")]
    with pytest.raises(ValueError, match="a batch has no column 'item'"):
        read_log(batches)


def test_triples_have_no_other_columns():
    with pytest.raises(ValueError, match="the triples hold no time .got time='t'"):
        read_log([(1, 2, 3)], time="t")
    with pytest.raises(ValueError, match="the matrix hold no split"):
        read_log(csr_array([[1]]), split="s")


# --- ratings ------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, message",
    [
        ([3, -1, -2], "holds -1 in row 1 .from 0.: ratings must be finite and not neg"),
        ([3, 4, NAN], "holds n(othing|an) in row 2"),
        ([INF, 4, 4], "holds inf in row 0"),
        (["3", "many", "4"], "must hold numbers; row 1 .from 0. holds 'many'"),
        (["3", "4", "1,5"], "must hold numbers; row 2 .from 0. holds '1,5'"),
    ],
)
@pytest.mark.parametrize("form", ["frame", "csv"])
def test_ratings_that_are_none(values, message, form, tmp_path):
    if form == "csv":
        values = [f'"{v}"' if "," in str(v) else v for v in values]
        events = as_csv(values, tmp_path)
    else:
        events = as_frame(values)
    with pytest.raises(ValueError, match=f"column 'stars' of .*{message}"):
        read_log(events, rating="stars")


def test_ratings_of_several_kinds():
    text = "'stars' of the frame mixes int and str: row 2 .from 0. holds 'five'"
    with pytest.raises(ValueError, match=text):
        read_log(as_frame([3, None, "five"]), rating="stars")
    with pytest.raises(ValueError, match="'rating' of the triples mixes float and str"):
        read_log([(1, 2, 3.5), (1, 3, "x")])


@pytest.mark.parametrize("value", [datetime.date(2020, 1, 1), [3], {"a": 3}, b"3"])
def test_ratings_of_other_types(value):
    with pytest.raises(ValueError, match="'stars' of .* must hold numbers; it holds"):
        read_log(as_frame([value] * 3), rating="stars")


def test_a_missing_rating_is_refused(tmp_path):
    path = as_csv([3, "", 4], tmp_path)
    with pytest.raises(ValueError, match="holds nothing in row 1 .from 0.: ratings"):
        read_log(path, rating="stars")
    with pytest.raises(ValueError, match="holds nothing in row 0"):
        read_log(as_frame([None] * 3), rating="stars")


def test_the_row_is_counted_over_batches():
    batch = pyarrow.record_batch({"user": [1, 2], "item": [3, 4], "r": [1.0, 2.0]})
    bad = pyarrow.record_batch({"user": [1, 2], "item": [5, 6], "r": [1.0, -2.0]})
    with pytest.raises(ValueError, match="holds -2.0 in row 5"):
        read_log([batch, batch, bad], rating="r")


@pytest.mark.parametrize("value", [-1.0, NAN, INF])
def test_matrices_of_bad_ratings(value):
    with pytest.raises(ValueError, match=r"entry \[1, 0\] of the matrix is"):
        read_log(csr_array([[1.0, 0.0], [value, 0.0]]))


# --- times and parts ----------------------------------------------------------


@pytest.mark.parametrize(
    "values, message",
    [
        (["2020-01-01", "x", "y"], "must hold numbers; row 0 .from 0. holds '2020-"),
        ([1.0, NAN, 2.0], "holds nothing in row 1 .from 0.: times must be finite"),
        ([1.0, 2.0, INF], "holds inf in row 2"),
        ([pandas.Timestamp(0), pandas.NaT, pandas.NaT], "holds nothing in row 1"),
        ([None] * 3, "holds nothing in row 0"),
    ],
)
def test_times_that_are_none(values, message):
    with pytest.raises(ValueError, match=f"column 'when' of the frame {message}"):
        read_log(frame(when=values), time="when")


@pytest.mark.parametrize(
    "values, message",
    [
        ([0, 1, 3], "holds 3 in row 2 .from 0.: parts are 0, 1, 2 or train"),
        (["train", "tset", "test"], "holds 'tset' in row 1"),
        ([0.0, 0.5, 1.0], "holds 0.5 in row 1"),
        ([True, True, False], "holds True in row 0"),
        ([datetime.date(2020, 1, 1)] * 3, "holds datetime.* in row 0 "),
    ],
)
def test_parts_that_are_none(values, message):
    with pytest.raises(ValueError, match=f"column 'part' of the frame {message}"):
        read_log(frame(part=values), split="part")


# --- ids ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids, message",
    [
        ([1.5, 2.0, 3.0], "whole numbers or text; it holds 1.5"),
        (
            [2.0**60, 2.0, 3.0],
            "float64 tells whole numbers apart below 9007199254740992",
        ),
        ([INF, 2.0, 3.0], "it holds inf"),
        ([True, False, True], "must hold ids that are whole numbers or text; .* bool"),
        ([b"a", b"b", b"c"], "must hold ids that are whole numbers or text; .* binary"),
        ([1, "two", 3], "mixes int and str: row 1 .from 0. holds 'two'"),
        ([2**64, 1, 2], "cannot be read"),
        ([2**63, -1, 2], "cannot be read"),
    ],
)
def test_ids_that_are_none(ids, message):
    with pytest.raises(ValueError, match=f"column 'user_id' of the frame.*{message}"):
        read_log(frame(user_id=ids))


@pytest.mark.parametrize(
    "second, message",
    [
        (["a"], "holds text in one place .'a'. and numbers in another"),
        ([2**63], "holds negative ids and ids of 2..63 or more"),
    ],
)
def test_ids_whose_type_changes(second, message):
    batches = [
        pyarrow.record_batch({"user": pyarrow.array(ids), "item": [1]})
        for ids in ([-1], second if second == ["a"] else np.array(second, np.uint64))
    ]
    with pytest.raises(ValueError, match=f"column 'user' of the batches {message}"):
        read_log(batches)
    with pytest.raises(ValueError):
        read_log(batches[::-1])


# --- nothing to read ----------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        [],
        frame()[:0],
        pyarrow.table({"user": [], "item": []}),
        np.empty((0, 2)),
        csr_array((3, 4)),
        Dataset.from_dict({"user": [], "item": []}),
    ],
    ids=["triples", "pandas", "arrow", "array", "matrix", "hf"],
)
def test_an_empty_log(source):
    with pytest.raises(ValueError, match="holds no events: it has no rows"):
        read_log(source)


def test_empty_files(tmp_path):
    (tmp_path / "header.csv").write_text("user,item\n")
    with pytest.raises(ValueError, match="header.csv holds no events"):
        read_log(tmp_path / "header.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="empty.csv cannot be read as .csv text"):
        read_log(tmp_path / "empty.csv")
    with pytest.raises(ValueError, match="an empty iterable was given"):
        read_log(iter(()))


def test_nothing_is_left():
    text = "are left of the 3 rows of the frame; left out were 2 below min_rating, 1 "
    with pytest.raises(ValueError, match=text + "missing ids; loosen"):
        read_log(frame(user_id=[1, 2, None]), rating="stars", min_rating=9)
    with pytest.raises(ValueError, match="left out were 3 below min_user"):
        read_log(frame(), min_user=3)
    with pytest.raises(ValueError, match="3 missing ids"):
        read_log(frame(user_id=[None] * 3))
