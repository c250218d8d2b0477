"""`InteractionLog`: matrices, ids both ways, parts of it, what it says of itself."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array, csr_matrix

from multidd.recsys.data.ids import find, id_array, kind_of, to_bytes
from multidd.recsys.data.log import InteractionLog
from tests.recsys.logs import random_log, same, triples

X = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], np.float32)


@pytest.fixture
def small():
    """Three users, the second without items, and four items."""
    return InteractionLog.from_csr(csr_array(X), ["ann", "bob", "eve"], [7, 3, 5, 1])


@pytest.fixture
def divided(small):
    """The same, with parts."""
    return small.split([0, 1, 2, 0, 2])


def test_matrices(divided):
    parts = {
        "train": [[1, 0, 0, 0], [0] * 4, [0, 1, 0, 0]],
        "val": [[0, 0, 1, 0], [0] * 4, [0] * 4],
        "test": [[0, 0, 0, 1], [0] * 4, [0, 0, 1, 0]],
        "context": [[1, 0, 1, 0], [0] * 4, [0, 1, 0, 0]],
        "matrix": X.tolist(),
    }
    for name, expected in parts.items():
        result = getattr(divided, name)
        assert isinstance(result, csr_array) and result.dtype == np.float32
        assert result.toarray().tolist() == expected, name
        assert result.has_sorted_indices and result.has_canonical_format
        assert getattr(divided, name) is result  # made once


def test_a_log_that_is_not_divided_is_all_training(small):
    assert small.train is small.matrix and small.context is small.matrix
    assert small.val.nnz == small.test.nnz == 0
    assert small.val.shape == small.test.shape == (3, 4)
    assert [small.count(part) for part in (0, 1, 2)] == [5, 0, 0]


@pytest.mark.parametrize("kind", [csr_array, csr_matrix, coo_array])
def test_from_any_sparse_matrix(kind, small):
    matrix = kind(X)
    log = InteractionLog.from_csr(matrix, ["ann", "bob", "eve"], [7, 3, 5, 1])
    assert same(log, small) and log.rating is None
    assert (matrix.toarray() == X).all()
    assert not np.shares_memory(matrix.data, log.matrix.data)


def test_values_become_ratings_and_zeros_nothing():
    matrix = csr_array(([2.0, 0.0, 0.5], ([0, 0, 1], [1, 0, 0])), shape=(2, 2))
    before = matrix.data.copy(), matrix.indices.copy()
    log = InteractionLog.from_csr(matrix)
    assert triples(log) == {(0, 1): (2.0, None, None), (1, 0): (0.5, None, None)}
    assert log.matrix.data.tolist() == [1, 1]
    assert (matrix.data == before[0]).all() and (matrix.indices == before[1]).all()


def test_ids_both_ways(small):
    assert small.item_index([1, 7, 7]).tolist() == [3, 0, 0]
    assert small.item_index(np.array([5.0])).tolist() == [2]
    assert small.item_index(["1", "5"]).tolist() == [3, 2]  # as the command line has it
    assert small.user_index(["eve", "ann"]).tolist() == [2, 0]
    assert small.history("ann").tolist() == [7, 5, 1]
    assert small.history("bob").tolist() == []
    assert small.item_index([]).tolist() == []
    everyone = small.user_index(small.user_ids)
    assert everyone.tolist() == [0, 1, 2]


def test_hashes_are_exact():
    ids = [2**64 - 1, 2**63 + 1, 2**63 + 2, 5]
    log = InteractionLog.from_csr(csr_array(np.ones((1, 4))), item_ids=ids)
    assert log.item_ids.dtype == np.uint64 and log.item_ids.tolist() == ids
    assert log.item_index(ids).tolist() == [0, 1, 2, 3]
    assert log.item_index([str(2**63 + 2), "5"]).tolist() == [2, 3]
    for unknown in ([2**63 + 3], [2**63], [-1], ["-1"], [str(2**70)]):
        with pytest.raises(ValueError, match="are not in the log"):
            log.item_index(unknown)


@pytest.mark.parametrize(
    "ids, message",
    [
        ([3, 8, 9], "2 of 3 item ids are not in the log: 8, 9; .* like 7, 3, 5, ..."),
        (["x"], "1 of 1 item ids are not in the log: 'x'"),
        (["03"], "not in the log: '03'"),
        ([2**63], f"not in the log: {2**63}"),
    ],
)
def test_unknown_ids(small, ids, message):
    with pytest.raises(ValueError, match=message):
        small.item_index(ids)


def test_ids_in_an_empty_table():
    with pytest.raises(ValueError, match="1 of 1 ids are not in the log: 4"):
        find(np.empty(0, np.int64), np.empty(0, np.int64), [4])


@pytest.mark.parametrize(
    "ids, message",
    [
        ([1, "a"], "must be all whole numbers or all text; got int, str"),
        ([1.5], "all whole numbers or all text; got float"),
        (np.array([1.5]), "must be whole numbers or text; got 1.5"),
        ([True], "must be all whole numbers or all text"),
        (np.array([True]), "must be whole numbers or text, not bool"),
        ([float("nan")], "must be"),
        (["a", None], "all text; got NoneType, str"),
        (3, "must be a list"),
        ("abc", "must be a list"),
        ([[1, 2]], "must be"),
        ([2**64], "must fit 64 bits"),
        ([-1, 2**63], "must fit 64 bits"),
    ],
)
def test_ids_that_are_none(ids, message):
    with pytest.raises(TypeError, match=message):
        id_array(ids)


def test_ids_of_every_kind():
    assert id_array(np.array([3], np.uint64)).dtype == np.int64  # only where needed
    assert id_array(np.array(["ab", "c"])).tolist() == ["ab", "c"]
    assert kind_of(id_array([2**63])) == "uint"
    assert to_bytes(id_array([1, 2])) == bytes([1] + [0] * 7 + [2] + [0] * 7)


def test_users(divided):
    log = divided.users([2, 0])
    assert log.user_ids.tolist() == ["eve", "ann"]
    assert log.matrix.toarray().tolist() == X[[2, 0]].tolist()
    assert log.part.tolist() == [0, 2, 0, 1, 2]
    assert log.item_ids is divided.item_ids
    assert same(divided.users([True, False, True]), divided.users([0, 2]))
    assert divided.users([]).matrix.shape == (0, 4)
    assert divided.train.nnz == 2  # as it was


def test_select(divided):
    log = divided.select(divided.part != 1)
    assert log.matrix.toarray().tolist() == [[1, 0, 0, 1], [0] * 4, [0, 1, 1, 0]]
    assert log.part.tolist() == [0, 2, 0, 2]
    assert log.num_users == 3
    nothing = divided.select(np.zeros(5, bool))
    assert nothing.matrix.nnz == 0 and nothing.describe()["density"] == 0


@pytest.mark.parametrize(
    "rows, message",
    [
        ([3], r"rows must be in 0..2; got 3"),
        ([-1], r"rows must be in 0..2; got -1"),
        ([0, 0], "must name each user once"),
        ([True], "or a mask of 3; got bool"),
        ([0.5], "numbers of users"),
        ([[0]], "numbers of users"),
    ],
)
def test_rows_that_are_none(small, rows, message):
    with pytest.raises(ValueError, match=message):
        small.users(rows)


@pytest.mark.parametrize("mask", [[True], [0, 1, 0, 1, 0], np.ones((5, 1), bool)])
def test_a_mask_that_is_none(small, mask):
    with pytest.raises(ValueError, match="mask must be 5 booleans"):
        small.select(mask)


def test_describe(divided):
    description = divided.describe()
    assert json.loads(json.dumps(description)) == description
    sizes = ("users", "items", "interactions", "train", "val", "test")
    assert [description[name] for name in sizes] == [3, 4, 5, 2, 1, 2]
    assert (
        description["users_without_val"] == 2 and description["users_without_test"] == 1
    )
    assert description["density"] == 5 / 12
    assert description["item_type"] == "int" and description["split"] == "given"
    assert description["columns"] == {"user": "user_id", "item": "item_id"}


def test_one_line(divided):
    assert repr(divided) == (
        "InteractionLog(users=3, items=4, interactions=5, density=41.7 %, "
        "train/val/test=2/1/2)"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_it_keeps_to_the_width_of_a_terminal(divided, width, monkeypatch):
    whole = replace(
        divided, name="movies of a long name", dropped={"duplicates": 10**6}
    )
    line = repr(whole)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("COLUMNS", str(width))
    lines = repr(whole).splitlines()
    assert len(line) > 120 and len(lines) > 1
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("InteractionLog(movies of a long name, users=3")
    assert all(row.startswith(" " * 15) and row[15] != " " for row in lines[1:])
    assert " ".join(map(str.strip, lines)) == line


def test_the_fingerprint_is_of_training_and_items(divided):
    first = divided.fingerprint
    assert divided.split([0, 2, 1, 0, 1]).fingerprint == first  # the same training
    assert divided.split([0, 0, 2, 0, 2]).fingerprint != first
    other = InteractionLog.from_csr(csr_array(X), item_ids=[7, 3, 5, 2])
    assert other.split([0, 1, 2, 0, 2]).fingerprint != first
    again = InteractionLog.from_csr(csr_array(X), [1, 2, 3], [7, 3, 5, 1])
    assert again.split([0, 1, 2, 0, 2]).fingerprint == first  # users have no say
    texts = InteractionLog.from_csr(csr_array(X), item_ids=["7", "3", "5", "1"])
    assert texts.split([0, 1, 2, 0, 2]).fingerprint != first


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"indptr": np.array([0, 3, 3])}, "one number more than user_ids, 4; got 3"),
        ({"indptr": np.array([0, 3, 2, 5])}, "indptr must ascend from 0 to 5"),
        ({"indptr": np.array([1, 3, 3, 5])}, "indptr must ascend from 0 to 5"),
        ({"indptr": np.array([0, 3, 3, 4])}, "indptr must ascend from 0 to 5"),
        ({"items": np.array([0, 2, 3, 1, 4], np.int32)}, "items must be in 0..3"),
        ({"items": np.array([-1, 2, 3, 1, 2], np.int32)}, "items must be in 0..3"),
        ({"items": np.array([0, 2, 2, 1, 2], np.int32)}, "items must ascend"),
        ({"items": np.array([2, 0, 3, 1, 2], np.int32)}, "items must ascend"),
        ({"part": np.zeros(4, np.int8)}, "part must have a value for each of 5"),
        ({"time": np.zeros(6, np.int64)}, "time must have a value for each of 5"),
        ({"rating": np.zeros((5, 1))}, r"rating must have .* got shape \[5, 1\]"),
    ],
)
def test_arrays_that_do_not_fit(small, changed, message):
    names = ("indptr", "items", "user_ids", "item_ids")
    fields = {name: getattr(small, name) for name in names}
    with pytest.raises(ValueError, match=message):
        InteractionLog(**{**fields, **changed})


def test_other_types_of_arrays(small):
    items = small.items.astype(np.int64)
    with pytest.raises(TypeError, match="items int32; got int64 and int64"):
        InteractionLog(small.indptr, items, small.user_ids, small.item_ids)


@pytest.mark.parametrize(
    "matrix, error, message",
    [
        (X, TypeError, "from a sparse matrix, users x items; got ndarray"),
        (csr_array([[1.0, -2.0]]), ValueError, r"entry \[0, 1\] .* is -2.0"),
        (csr_array([[1.0], [np.nan]]), ValueError, r"entry \[1, 0\] .* is nan"),
        (csr_array([[np.inf]]), ValueError, "is inf: ratings must be finite"),
        (csr_array([[1j]]), TypeError, "a matrix of numbers"),
    ],
)
def test_matrices_that_are_no_log(matrix, error, message):
    with pytest.raises(error, match=message):
        InteractionLog.from_csr(matrix)


def test_ids_that_do_not_fit_a_matrix():
    with pytest.raises(ValueError, match="item_ids must be 2, .* got 1"):
        InteractionLog.from_csr(csr_array([[1, 1]]), item_ids=[1])
    with pytest.raises(ValueError, match="item_ids must differ"):
        InteractionLog.from_csr(csr_array([[1, 1]]), item_ids=["a", "a"])


def test_parts_of_a_log_agree():
    log = random_log().split(seed=1)
    parts = log.train + log.val + log.test
    assert (parts != log.matrix).nnz == 0
    assert (log.train + log.val != log.context).nnz == 0
    one = log.users(np.arange(10))
    assert (one.train != log.train[:10]).nnz == 0
    assert (one.rating == log.rating[: log.indptr[10]]).all()
