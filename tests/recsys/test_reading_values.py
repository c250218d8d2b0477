"""`read_log`: columns and values it takes, what is left out, sources left alone."""

import datetime

import numpy as np
import pandas
import pyarrow
import pytest
from scipy.sparse import coo_array

from multidd.recsys.data.columns import as_parts
from multidd.recsys.data.readers import read_log
from tests.recsys.forms import SOURCES, text
from tests.recsys.logs import frame_of, triples

# --- columns ------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, result",
    [
        (("userId", "movieId"), ("userId", "movieId")),
        (("uid", "iid"), ("uid", "iid")),
        (("USER-ID", "Item ID"), ("USER-ID", "Item ID")),
        (("user", "item"), ("user", "item")),
    ],
)
def test_common_names_are_found(names, result):
    log = read_log(frame_of([(1, 2, 0, 0)], (*names, "user_name", "item_title")))
    assert (log.columns["user"], log.columns["item"]) == result


def test_the_commonest_name_is_taken_first():
    frame = pandas.DataFrame({"user": ["a"], "user_id": [1], "item_id": [2]})
    assert read_log(frame).columns == {"user": "user_id", "item": "item_id"}


def test_recbole_names_with_and_without_types(tmp_path):
    path = tmp_path / "x.inter"
    path.write_text("user_id:token\titem_id:token\trating:float\n1\t2\t4.5\n")
    for rating in ("rating", "rating:float"):
        log = read_log(path, user="user_id:token", rating=rating)
        assert triples(log) == {(1, 2): (4.5, None, None)}
        assert log.columns["rating"] == "rating"


# --- values -------------------------------------------------------------------


def test_duplicates_keep_the_latest():
    rows = [("a", 1, 5, 30), ("a", 1, 1, 40), ("a", 1, 3, 10), ("b", 1, 2, 0)]
    log = read_log(rows)
    assert triples(log) == {("a", 1): (1, 40, None), ("b", 1): (2, 0, None)}
    assert log.dropped == {"duplicates": 2}
    untimed = read_log([row[:3] for row in rows])
    assert triples(untimed)["a", 1] == (3, None, None)


def test_k_core_repeats_until_it_is_stable():
    # Each round takes one end off the chain; the square at its end stays.
    chain = [(u, u + s) for u in range(6) for s in (0, 1)]
    square = [(u, i) for u in (10, 11) for i in (20, 21)]
    log = read_log(chain + square + [(5, 20)], min_user=2, min_item=2)
    assert set(triples(log)) == set(square)
    assert log.dropped["below min_item"] + log.dropped["below min_user"] == 13
    assert log.dropped["users below min_user"] == 6


def test_users_all_of_whose_rows_are_left_out():
    log = read_log([(1, 5, 4), (1, 6, 1), (2, 6, 1)], min_rating=2)
    assert log.dropped == {
        "below min_rating": 2,
        "users without items": 1,
        "items without users": 1,
    }


def test_missing_ids_are_left_out():
    frame = pandas.DataFrame(
        {"user": [1, None, 3, None], "item": ["a", "b", None, None]}
    )
    log = read_log(frame)
    assert triples(log) == {(1, "a"): (None, None, None)}
    assert log.user_ids.dtype == np.int64
    assert log.dropped == {
        "missing ids": 3,
        "users without items": 1,
        "items without users": 1,
    }


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 2, -1, None],
        ["train", "valid", "TEST", None, "-1"],
        [0.0, 1.0, 2.0, -1.0, float("nan")],
        ["0", "1", "2", "-1", "-2"],
        ["0.0", "1.0", "2.0", "-1.0", None],
    ],
)
def test_parts(values):
    frame = pandas.DataFrame({"user": range(5), "item": range(5), "part": values})
    log = read_log(frame, split="part")
    assert log.part.tolist() == [0, 1, 2] and log.part.dtype == np.int8
    assert log.dropped["in no part"] == 2
    assert log.divided == "column part"


def test_parts_of_categories_and_of_nothing():
    values = pandas.Series(["train", "test", None, "test"]).astype("category")
    frame = pandas.DataFrame({"user": range(4), "item": range(4), "part": values})
    assert read_log(frame, split="part").part.tolist() == [0, 2, 2]
    assert as_parts(pyarrow.nulls(2), "column 'part'").tolist() == [-1, -1]


def test_blank_ids_are_left_out(tmp_path):
    frame = pandas.DataFrame({"user": ["a", " ", "", "nan"], "item": [1, 2, 3, 4]})
    assert read_log(frame).user_ids.tolist() == ["a", "nan"]
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert read_log(tmp_path / "x.csv").user_ids.tolist() == ["a"]


@pytest.mark.parametrize("ids", [["-1", str(2**63)], ["7", str(2**64)]])
def test_numbers_of_more_than_64_bits_stay_text(tmp_path, ids):
    frame = pandas.DataFrame({"user": ids, "item": [1, 2]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert read_log(tmp_path / "x.csv").user_ids.tolist() == sorted(ids)


def test_times():
    day = datetime.datetime(2020, 1, 2, 3, 4, 5, 678901)
    expected = 1577934245678901

    def time_of(*values):
        frame = pandas.DataFrame({"user": [1], "item": [2], "t": [*values]})
        return read_log(frame, time="t").time

    assert time_of(pandas.Timestamp(day)).tolist() == [expected]
    assert time_of(pandas.Timestamp(day, tz="Asia/Tokyo")).dtype == np.int64
    assert time_of(day.date()).tolist() == [1577923200000000]
    assert time_of(1.5).tolist() == [1.5] and time_of(7).dtype == np.int64
    assert time_of("1577934245").dtype == np.int64
    assert time_of("1.5e9").tolist() == [1.5e9]
    assert time_of(2**62 + 1).tolist() == [2**62 + 1]  # no float on the way


def test_times_out_of_order_are_fine():
    log = read_log([(1, 5, 1, 30), (1, 6, 1, 10), (1, 7, 1, 20)])
    assert log.split("leave-last-out").part.tolist() == [2, 0, 1]


def test_ratings_of_any_type():
    for values in ([1, 0], [True, False], ["1.0", " 0"], [1.0, 0.0]):
        frame = pandas.DataFrame({"user": [1, 2], "item": [1, 2], "r": values})
        assert read_log(frame, rating="r").rating.tolist() == [1, 0]


# --- the sources stay as they are ---------------------------------------------


def test_sources_are_not_changed(tmp_path):
    rows = SOURCES["numbers"]
    array = np.array(rows)
    array.flags.writeable = False
    frame, matrix = frame_of(rows), coo_array(np.eye(3))
    matrix.data.flags.writeable = False
    before = frame.copy(deep=True), array.copy(), matrix.copy()
    csv = text(".csv", ",")(pyarrow.Table.from_pandas(frame), tmp_path)
    content = open(csv, "rb").read()
    for source in (array, frame, matrix, csv, rows):
        read_log(source, min_user=1)
    pandas.testing.assert_frame_equal(frame, before[0])
    assert (array == before[1]).all() and (matrix != before[2]).nnz == 0
    assert open(csv, "rb").read() == content


def test_a_log_shares_no_memory_with_its_source():
    array = np.array([[1, 2], [3, 4]])
    log = read_log(array)
    array[:] = 0
    assert set(triples(log)) == {(1, 2), (3, 4)}
