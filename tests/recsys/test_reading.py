"""`read_log`: one log from every form of the same events, and what is left out."""

import datetime
import gzip

import numpy as np
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

from multidd.recsys import events as events_module
from multidd.recsys import files, frames, id_columns
from multidd.recsys.reading import read_log
from tests.recsys.logs import by_hand, events, frame_of, same, triples

NAMES = {"user": "user_id", "item": "item_id", "rating": "rating", "time": "time"}
COUNTED = ("users", "items")


def rows_dropped(log):
    """Rows left out, for the reasons that count rows."""
    return sum(n for why, n in log.dropped.items() if why.split()[0] not in COUNTED)


KINDS = st.sampled_from(["numbers", "hashes", "texts"])


@given(KINDS.flatmap(events), st.sampled_from([None, 3]), st.integers(1, 3), st.data())
def test_any_events_are_read_as_by_hand(rows, min_rating, least, data):
    least_item = data.draw(st.integers(1, 3))
    limits = dict(min_rating=min_rating, min_user=least, min_item=least_item)
    wanted, dropped = by_hand(rows, min_rating, least, least_item)
    if not wanted:
        with pytest.raises(ValueError, match=f"are left of the {len(rows)} rows"):
            read_log(rows, **limits)
        return
    log = read_log(rows, **limits)
    assert triples(log) == wanted
    assert log.user_ids.tolist() == sorted({user for user, _ in wanted})
    assert log.item_ids.tolist() == sorted({item for _, item in wanted})
    assert log.num_interactions + rows_dropped(log) == len(rows)
    for why in ("below min_rating", "duplicates"):
        assert log.dropped.get(why, 0) == dropped[why]
    for side, at in (("users", 0), ("items", 1)):
        gone = sum(n for why, n in log.dropped.items() if why.startswith(side))
        assert gone == len({row[at] for row in rows}) - len({p[at] for p in wanted})


@given(KINDS.flatmap(events), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    # Of a pair at one time the last row stays: let such rows be equal.
    rows = list({(u, i, t): (u, i, r, t) for u, i, r, t in rows}.values())
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert same(read_log(rows), read_log(shuffled))


# --- forms --------------------------------------------------------------------


class Stand:
    """A frame of another library, known by `to_arrow` as those of polars are."""

    def __init__(self, table):
        self.table = table

    def to_arrow(self):
        return self.table


class Stream:
    """A frame of another library, known by the Arrow stream protocol."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def _parquet(table, tmp):
    pyarrow.parquet.write_table(table, tmp / "log.parquet", row_group_size=7)
    return tmp / "log.parquet"


def _folder(table, tmp):
    half = table.num_rows // 2
    (tmp / "parts/deep").mkdir(parents=True)
    pyarrow.parquet.write_table(table[:half], tmp / "parts/a.parquet")
    pyarrow.parquet.write_table(table[half:], tmp / "parts/deep/b.parquet")
    (tmp / "parts/_SUCCESS").write_text("")
    return tmp / "parts"


def _text(suffix, delimiter, packed=False):
    def write(table, tmp):
        path = tmp / f"log{suffix}"
        options = pyarrow.csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
        pyarrow.csv.write_csv(table, path, options)
        if not packed:
            return str(path)
        packed_path = tmp / f"log{suffix}.gz"
        packed_path.write_bytes(gzip.compress(path.read_bytes()))
        return packed_path

    return write


def _inter(table, tmp):
    types = {"user_id": "token", "item_id": "token"}
    named = [f"{n}:{types.get(n, 'float')}" for n in table.column_names]
    return _text(".inter", "\t")(table.rename_columns(named), tmp)


def _batches(table):
    return table.to_batches(max_chunksize=5)


FORMS = {
    "parquet": _parquet,
    "folder": _folder,
    "csv": _text(".csv", ","),
    "csv.gz": _text(".csv", ",", packed=True),
    "tsv": _text(".tsv", "\t"),
    "inter": _inter,
    "table": lambda table, _: table,
    "chunked table": lambda table, _: pyarrow.Table.from_batches(_batches(table)),
    "one batch": lambda table, _: table.combine_chunks().to_batches()[0],
    "reader": lambda table, _: table.to_reader(max_chunksize=5),
    "iterator of batches": lambda table, _: iter(_batches(table)),
    "list of batches": lambda table, _: _batches(table),
    "dataset": lambda table, tmp: pyarrow.dataset.dataset(_folder(table, tmp)),
    "dataset in memory": lambda table, _: pyarrow.dataset.dataset(table),
    "filtered dataset": lambda table, tmp: pyarrow.dataset.dataset(
        _parquet(table, tmp)
    ).filter(pyarrow.dataset.field("rating") >= 0),
    "pandas": lambda table, _: table.to_pandas(),
    "pandas categories": lambda table, _: table.to_pandas().astype(
        {"user_id": "category", "item_id": "category"}
    ),
    "to_arrow": lambda table, _: Stand(table),
    "stream": lambda table, _: Stream(table),
    "hf": lambda table, _: Dataset(table),
    "dictionaries": lambda table, _: table.set_column(
        0, "user_id", table.column(0).dictionary_encode()
    ),
}

SOURCES = {
    "numbers": [(3, 70, 5, 10), (1, 70, 2, 11), (3, 5, 0, 12), (-2, 9, 4, 9)] * 5
    + [(i % 7, i % 5, i % 4, i) for i in range(30)],
    "hashes": [(2**63 + i % 5, 2**64 - 1 - i % 3, 4, i) for i in range(20)]
    + [(1, 2, 3, 4)],
    "texts": [(f"u{i % 6}", f"é,{i % 4} b", i % 3, i) for i in range(25)],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["numbers", "hashes", "texts"])
def test_every_form_gives_the_same_log(form, kind, tmp_path):
    rows = SOURCES[kind]
    wanted, _ = by_hand(rows)
    first = read_log(rows, **NAMES)
    assert triples(first) == wanted
    arrays = {
        name: np.array([row[at] for row in rows], np.uint64)
        if kind == "hashes" and at < 2
        else [row[at] for row in rows]
        for at, name in enumerate(NAMES.values())
    }
    source = FORMS[form](pyarrow.table(arrays), tmp_path)
    log = read_log(source, **NAMES)
    assert same(log, first)
    assert log.dropped == first.dropped and log.columns == NAMES
    assert log.name in ("", "log", "parts")


def test_text_that_is_not_written_like_a_number_stays_text(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("uid,sku\n1,007\n2,7\n")
    log = read_log(path, item="sku")
    assert log.user_ids.tolist() == [1, 2]
    assert log.item_ids.tolist() == ["007", "7"]


@pytest.mark.parametrize("dtype", [np.int32, np.float64, np.uint8, object])
def test_arrays_of_triples(dtype):
    rows = np.array([[1, 2, 5], [3, 2, 4]], dtype)
    assert triples(read_log(rows)) == {(1, 2): (5, None, None), (3, 2): (4, None, None)}
    pairs = read_log(rows[:, :2], user="reader", item="book")
    assert pairs.rating is None
    assert pairs.columns == {"user": "reader", "item": "book"}
    assert triples(read_log(np.array([["a", "b", "5"]]))) == {
        ("a", "b"): (5, None, None)
    }


def test_sparse_matrices():
    x = csr_array(([1.0, 0.0, 1.0, 1.0], ([0, 0, 2, 2], [1, 0, 1, 3])), shape=(4, 5))
    log = read_log(x)
    assert log.matrix.toarray().tolist() == [[1, 0], [1, 1]]
    assert log.user_ids.tolist() == [0, 2] and log.item_ids.tolist() == [1, 3]
    assert log.rating is None
    assert log.dropped == {
        "stored zeros": 1,
        "users without items": 2,
        "items without users": 3,
    }
    rated = read_log(coo_array(([4.0, 2.0], ([0, 0], [1, 1]))))  # twice the same pair
    assert triples(rated) == {(0, 1): (2.0, None, None)}
    assert rated.dropped["duplicates"] == 1
    assert same(read_log(log.matrix, min_user=1), read_log(csr_array([[1, 0], [1, 1]])))


def test_a_column_that_a_folder_names(tmp_path):
    for part in ("train", "test"):
        (tmp_path / f"part={part}").mkdir()
        table = pyarrow.table({"user": [1, 2], "item": [len(part), 9]})
        pyarrow.parquet.write_table(table, tmp_path / f"part={part}/x.parquet")
    log = read_log(tmp_path, split="part")
    assert log.dropped == {"duplicates": 1}
    parts = {pair: part for pair, (_, _, part) in triples(log).items()}
    # Files come in the order of their names: of (2, 9) the one of train is the last.
    assert parts == {(1, 4): 2, (1, 5): 0, (2, 9): 0}


def test_files_may_differ_in_their_types(tmp_path):
    for at, kind in enumerate((pyarrow.int32(), pyarrow.int64(), pyarrow.uint64())):
        ids = pyarrow.array([at, 100], kind)
        table = pyarrow.table({"user": ids, "item": ids})
        pyarrow.parquet.write_table(table, tmp_path / f"{at}.parquet")
    log = read_log(tmp_path)
    assert log.user_ids.tolist() == [0, 1, 2, 100]
    assert log.user_ids.dtype == np.int64


def test_only_the_columns_named_are_read(tmp_path):
    table = pyarrow.table({"user": [1], "item": [2], "rating": [-1], "x": [[{"y": 1}]]})
    assert read_log(table).rating is None
    assert read_log(_parquet(table, tmp_path)).num_interactions == 1


@given(KINDS.flatmap(events), st.integers(1, 7), st.integers(1, 9))
@settings(max_examples=40)
def test_batches_of_any_size_give_the_same(rows, size, pending):
    whole = read_log(rows, **NAMES)
    with pytest.MonkeyPatch.context() as patch:
        for module in (events_module, files, frames):
            patch.setattr(module, "BATCH", size)
        patch.setattr(id_columns, "PENDING", pending)
        assert same(read_log(rows, **NAMES), whole)
        if isinstance(rows[0][0], str) or max(row[0] for row in rows) < 2**63:
            assert same(read_log(frame_of(rows), **NAMES), whole)


# --- columns ------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, found",
    [
        (("userId", "movieId"), ("userId", "movieId")),
        (("uid", "iid"), ("uid", "iid")),
        (("USER-ID", "Item ID"), ("USER-ID", "Item ID")),
        (("user", "item"), ("user", "item")),
    ],
)
def test_common_names_are_found(names, found):
    log = read_log(frame_of([(1, 2, 0, 0)], (*names, "user_name", "item_title")))
    assert (log.columns["user"], log.columns["item"]) == found


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


def test_times():
    day = datetime.datetime(2020, 1, 2, 3, 4, 5, 678901)
    wanted = 1577934245678901

    def time_of(*values):
        frame = pandas.DataFrame({"user": [1], "item": [2], "t": [*values]})
        return read_log(frame, time="t").time

    assert time_of(pandas.Timestamp(day)).tolist() == [wanted]
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
    csv = _text(".csv", ",")(pyarrow.Table.from_pandas(frame), tmp_path)
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
