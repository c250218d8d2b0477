"""`read_log`: one log from every form of the same events."""

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

from multidd.data import table_source
from multidd.recsys.data import id_encoder
from multidd.recsys.data.readers import read_log
from tests.recsys.forms import FORMS, SOURCES, parquet
from tests.recsys.logs import by_hand, events, frame_of, same, triples

NAMES = {"user": "user_id", "item": "item_id", "rating": "rating", "time": "time"}
COUNTED = ("users", "items")
KINDS = st.sampled_from(["numbers", "hashes", "texts"])


def rows_dropped(log):
    """Rows left out, for the reasons that count rows."""
    return sum(n for why, n in log.dropped.items() if why.split()[0] not in COUNTED)


@given(KINDS.flatmap(events), st.sampled_from([None, 3]), st.integers(1, 3), st.data())
def test_any_events_are_read_as_by_hand(rows, min_rating, least, data):
    least_item = data.draw(st.integers(1, 3))
    limits = dict(min_rating=min_rating, min_user=least, min_item=least_item)
    expected, dropped = by_hand(rows, min_rating, least, least_item)
    if not expected:
        with pytest.raises(ValueError, match=f"are left of the {len(rows)} rows"):
            read_log(rows, **limits)
        return
    log = read_log(rows, **limits)
    assert triples(log) == expected
    assert log.user_ids.tolist() == sorted({user for user, _ in expected})
    assert log.item_ids.tolist() == sorted({item for _, item in expected})
    assert log.num_interactions + rows_dropped(log) == len(rows)
    for why in ("below min_rating", "duplicates"):
        assert log.dropped.get(why, 0) == dropped[why]
    for side, at in (("users", 0), ("items", 1)):
        gone = sum(n for why, n in log.dropped.items() if why.startswith(side))
        assert gone == len({row[at] for row in rows}) - len({p[at] for p in expected})


@given(KINDS.flatmap(events), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    # Of a pair at one time the last row stays: let such rows be equal.
    rows = list({(u, i, t): (u, i, r, t) for u, i, r, t in rows}.values())
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert same(read_log(rows), read_log(shuffled))


# --- forms --------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["numbers", "hashes", "texts"])
def test_every_form_gives_the_same_log(form, kind, tmp_path):
    rows = SOURCES[kind]
    expected, _ = by_hand(rows)
    first = read_log(rows, **NAMES)
    assert triples(first) == expected
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
    assert read_log(parquet(table, tmp_path)).num_interactions == 1


@given(KINDS.flatmap(events), st.integers(1, 7), st.integers(1, 9))
@settings(max_examples=40)
def test_batches_of_any_size_give_the_same(rows, size, pending):
    whole = read_log(rows, **NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_source, "BATCH_ROWS", size)
        patch.setattr(id_encoder, "PENDING", pending)
        assert same(read_log(rows, **NAMES), whole)
        if isinstance(rows[0][0], str) or max(row[0] for row in rows) < 2**63:
            assert same(read_log(frame_of(rows), **NAMES), whole)
