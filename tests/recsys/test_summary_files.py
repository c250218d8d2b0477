"""Synthetic users through files, tables and logs; damaged and foreign ones."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas
import pytest
import torch
from scipy.sparse import csr_array

import multidd
from multidd import errors
from multidd.recsys.summary.summary import RecsysSummary
from multidd.storage import files
from multidd.summary import Card
from tests.fuzz.mutations import Content
from tests.fuzz.tables import write_users
from tests.recsys.rows import IDS, ITEMS, SOURCE, USERS, make, matrix, weights

KINDS = ("dense", "sparse", "binary")


def same(one, other):
    """Equal, bit for bit, ids and their type too."""
    assert type(other) is RecsysSummary and one.digest() == other.digest()
    assert one.item_ids.tolist() == other.item_ids.tolist()
    assert one.item_ids.dtype == other.item_ids.dtype


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["alike", "weighted"])
def weight(request):
    return weights() if request.param else None


@pytest.mark.parametrize("ids", IDS)
def test_file(tmp_path, kind, ids, weight):
    summary = make(kind, ids, weight)
    path = summary.save(tmp_path)
    for again in (multidd.load(path), RecsysSummary.load(tmp_path)):
        same(summary, again)
        assert again.card == summary.card and repr(again) == repr(summary)


@pytest.mark.parametrize("ids", IDS)
def test_parquet(tmp_path, kind, ids, weight):
    summary = make(kind, ids, weight)
    card = replace(summary.card, history=(0.5, 0.25), score={"hr@10": 0.3})
    summary = RecsysSummary(summary.tensors, card)
    path = summary.to_parquet(tmp_path / "new" / "users.parquet")
    again = RecsysSummary.from_parquet(path)
    same(summary, again)
    assert again.card == summary.card
    # Anyone else's reader sees the table of to_frame.
    table, expected = pandas.read_parquet(path), summary.to_frame()
    assert list(table) == list(expected)
    for name in table:
        assert table[name].tolist() == expected[name].tolist()


@pytest.mark.parametrize("ids", IDS)
def test_frame(ids, weight):
    summary = make("dense", ids, weight)
    again = RecsysSummary.from_frame(
        summary.to_frame().sample(frac=1, random_state=0),
        source=SOURCE,
        method="mine",
        item_ids=IDS[ids],
    )
    same(summary, again)


def test_frame_by_hand():
    rows = np.array([[0.5, 0, 0], [0, 0.25, 1]])
    source = {"users": 9, "train": 9, "columns": {"user": "u", "item": "i"}}
    summary = RecsysSummary.from_csr(
        rows, source=source, method="mine", item_ids=["x", "y", "z"], weight=[1, 2]
    )
    assert summary.to_frame().to_dict("list") == {
        "u": [0, 1, 1],
        "i": ["x", "y", "z"],
        "weight": [0.5, 0.5, 2.0],
        "user_weight": [1.0, 2.0, 2.0],
    }
    plain = RecsysSummary.from_csr(rows, source=source, method="mine")
    assert list(plain.to_frame()) == ["u", "i", "weight"]


def test_a_table_of_others():
    frame = pandas.DataFrame({"user": ["b", "a", "b"], "item": [30, 10, 10]})
    source = {"users": 9, "train": 9}
    summary = RecsysSummary.from_frame(frame, source=source, method="mine")
    assert summary.to_csr().toarray().tolist() == [[1, 0], [1, 1]]
    assert summary.item_ids.tolist() == [10, 30] and summary.binary


FRAME = pandas.DataFrame({"who": [0, 0, 1], "what": [7, 8, 7], "weight": 0.5})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="what"), "no column 'what', but 'who', 'weight'"),
        (FRAME.assign(what=[7, 7, 7]), "user 0 has item 7 twice"),
        (
            FRAME.assign(what=np.full(3, 2**64 - 1, np.uint64)),
            "user 0 has item 18446744073709551615 twice",
        ),
        (
            FRAME.assign(what=[7, 9, 7]),
            r"item .*9.* \(.*int.*\) is not among the 2 item_ids",
        ),
        (FRAME.assign(what=["7", "8", "7"]), r"item '7' \(str\) is not among"),
        (FRAME.assign(who=[0, None, 1]), "column 'who' has missing values"),
        (FRAME.assign(weight=["a", "b", "c"]), "'weight' must hold numbers"),
        (FRAME.assign(weight=[1, -1, 1]), "is -1.0; entries must be 0 or more"),
        (FRAME.assign(user_weight=[1, 2, 1]), "one positive number for a user"),
        (FRAME.assign(user_weight=[0, 0, 1]), "one positive number for a user"),
        (FRAME.iloc[:0], "the table is empty"),
    ],
)
def test_tables_that_do_not_fit(frame, message):
    before = frame.copy()
    source = {**SOURCE, "items": 2}
    with pytest.raises(ValueError, match=message):
        RecsysSummary.from_frame(frame, source=source, method="mine", item_ids=[7, 8])
    pandas.testing.assert_frame_equal(frame, before)


# --- as a log ------------------------------------------------------------------------


@pytest.mark.parametrize("ids", IDS)
def test_log(ids):
    summary = make("sparse", ids, weights())
    log = summary.to_log()
    np.testing.assert_array_equal(log.train.toarray(), np.ceil(matrix("sparse")))
    assert log.num_interactions == summary.nnz == log.train.nnz
    assert log.item_ids.tolist() == list(IDS[ids])
    assert log.columns["user"] == "who" and log.columns["item"] == "what"
    again = RecsysSummary.from_csr(
        log.train, source=SOURCE, method="mine", item_ids=log.item_ids
    )
    same(make("binary", ids), again)


def test_a_dense_matrix_is_no_log():
    with pytest.raises(ValueError, match=r"100% .* every history; call binarize\(\)"):
        make("dense").to_log()
    assert make("dense").binarize().to_log().num_interactions == 8 * USERS
    full = RecsysSummary.from_csr(
        np.ones((2, 3)), source={"users": 9, "train": 9}, method="mine"
    )
    assert full.to_log().num_interactions == 6  # whole interactions, so a log


# --- damaged and foreign files -------------------------------------------------------


def _put(tensors, **new):
    return {n: t for n, t in {**tensors, **new}.items() if t is not None}


SPARSE, TEXT, DENSE = make("sparse"), make("sparse", "str"), make("dense")
PTR, COL, VAL = (SPARSE.tensors[n] for n in ("indptr", "indices", "values"))
TURNED = COL.clone()
TURNED[:2] = COL[:2].flip(0)
BAD = {
    "indptr falls": (SPARSE, {"indptr": PTR.flip(0)}, "indptr must rise from 0"),
    "indptr ends early": (SPARSE, {"indptr": PTR[:-1]}, "indptr must rise from 0"),
    "indptr of int32": (SPARSE, {"indptr": PTR.int()}, "indptr must be torch.int64"),
    "index too large": (SPARSE, {"indices": COL + 30}, "run from .* are 40 item ids"),
    "index below 0": (SPARSE, {"indices": COL - 30}, "run from -"),
    "row out of order": (SPARSE, {"indices": TURNED}, "must rise, each item once"),
    "item twice": (SPARSE, {"indices": COL * 0}, "must rise, each item once"),
    "fewer values": (SPARSE, {"values": VAL[:-1]}, "values for"),
    "negative value": (SPARSE, {"values": -VAL}, "is -0.*entries must be 0 or more"),
    "NaN": (SPARSE, {"values": VAL * torch.nan}, "NaN or infinite"),
    "infinite": (DENSE, {"x": DENSE.tensors["x"] / 0}, "NaN or infinite"),
    "all 0": (DENSE, {"x": DENSE.tensors["x"] * 0}, "every entry is 0"),
    "x of other width": (DENSE, {"x": DENSE.tensors["x"][:, 1:]}, "are 40 item ids"),
    "x flat": (DENSE, {"x": DENSE.tensors["x"].flatten()}, "2 axes"),
    "no values": (SPARSE, {"values": None}, "there is no tensor values"),
    "no weight": (DENSE, {"weight": None}, "there is no tensor weight"),
    "weight of others": (DENSE, {"weight": torch.ones(5)}, "5 weights for 6 rows"),
    "weight 0": (DENSE, {"weight": torch.zeros(6)}, "weights must be positive"),
    "ids too few": (SPARSE, {"items": torch.arange(39)}, "39 item ids.* of 40 items"),
    "ids twice": (SPARSE, {"items": torch.arange(40) // 2}, "0 occurs twice"),
    "no ids": (SPARSE, {"items": None}, "lack items"),
    "cut strings": (
        TEXT,
        {"items.bytes": TEXT.tensors["items.bytes"][:-1]},
        "items.offsets must rise",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_tensors_that_are_no_summary(tmp_path, name):
    result, change, message = BAD[name]
    tensors = _put(result.tensors, **change)
    info = {"card": dict(vars(result.card))}
    files.write(
        tmp_path / "a.safetensors", tensors, info, kind="recsys", allow_nonfinite=True
    )
    with pytest.raises(errors.CorruptFileError, match=message):
        multidd.load(tmp_path / "a.safetensors", allow_nonfinite=True)
    with pytest.raises(errors.CorruptFileError, match="are no recsys summary"):
        RecsysSummary(tensors, result.card)


def test_a_card_without_sizes():
    with pytest.raises(errors.CorruptFileError, match="source lacks users, train"):
        RecsysSummary(SPARSE.tensors, Card("mine", {}, 0, {"item_type": "int"}, {}))


def test_parquet_files_of_others(tmp_path):
    summary, path = make("sparse", weight=weights()), tmp_path / "a.parquet"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        RecsysSummary.from_parquet(path)
    summary.to_frame().to_parquet(path)
    with pytest.raises(errors.WrongKindError, match="not of a recsys summary"):
        RecsysSummary.from_parquet(path)


def test_a_flipped_byte(tmp_path):
    """Parquet itself overlooks many; what comes out is the same, or nothing."""
    summary = make("sparse")
    path = summary.to_parquet(tmp_path / "a.parquet")
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 11):
        raw = bytearray(whole)
        raw[place] ^= 0x15
        path.write_bytes(raw)
        try:
            again = RecsysSummary.from_parquet(path)
            assert again.card == summary.card
            same(summary, again)
        except errors.StorageError as error:
            assert "a.parquet" in str(error)
            refused += 1
    assert refused > len(whole) / 11 / 3  # the rest is read by nobody


def test_a_file_that_was_cut(tmp_path):
    path = make("dense").to_parquet(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(errors.CorruptFileError, match="no parquet file, or damaged"):
        RecsysSummary.from_parquet(path)


@pytest.mark.parametrize("change", ["filtered", "rescaled", "renamed", "foreign user"])
def test_a_table_that_was_changed(tmp_path, change):
    from pyarrow import parquet

    path = make("sparse").to_parquet(tmp_path / "a.parquet")
    table = parquet.read_table(path)
    frame, about = table.to_pandas(), table.schema.metadata
    changed = {
        "filtered": frame[frame["who"] < 2],
        "rescaled": frame.assign(weight=frame["weight"] / 2),
        "renamed": frame.rename(columns={"what": "item"}),
        "foreign user": frame.assign(who=frame["who"] + 3),
    }[change]
    new = table.from_pandas(changed, preserve_index=False)
    parquet.write_table(new.replace_schema_metadata(about), path)
    with pytest.raises(errors.CorruptFileError, match="changed by another program"):
        RecsysSummary.from_parquet(path)


PARQUET = {
    "no user": ({"column:who": torch.tensor([])}, "columns 'who', 'what', .*are empty"),
    "a truth": (
        {"column:who": torch.ones(40).bool()},
        "'who' is of type bool; it must",
    ),
    "half a user": (
        {"column:who": torch.arange(40) / 2},
        "'who' is of float.*be int64",
    ),
    "user below 0": (
        {"column:who": torch.arange(40) - 9},
        r"'who' holds -9\.\.30; it must be 0\.\.5, as there are 6 weights",
    ),
    "infinite": (
        {"column:weight": torch.full([40], torch.inf)},
        "'weight' holds infin",
    ),
    "weight 0": ({"column:weight": torch.zeros(40)}, "'weight' holds 0.0; .*above 0"),
    "a column": ({"column:note": torch.ones(40)}, "an unknown column 'note'"),
    "a table": ({"table:note": torch.ones(2)}, "an unknown tensor 'note'"),
    "no weight": ({"table:weight": None}, "there is no tensor 'weight'"),
    "weight of int64": (
        {"table:weight": torch.ones(6).long()},
        r"'weight' is torch.int64 \[6\]; it must be F32 \[m\]",
    ),
    "no ids": ({"table:items": None}, "tensor 'items' is wrong: .* lack items"),
}
"""A column or a table of a parquet file -> what its reader says."""


@pytest.mark.parametrize("name", PARQUET)
def test_parquet_files_that_do_not_fit(tmp_path, name):
    change, message = PARQUET[name]
    _write_parquet(tmp_path / "a.parquet", **change)
    with pytest.raises(errors.SchemaError, match=message) as refused:
        RecsysSummary.from_parquet(tmp_path / "a.parquet")
    assert "a.parquet does not fit its schema: " in str(refused.value)


def test_a_parquet_file_with_nan_beside_its_table(tmp_path):
    _write_parquet(
        tmp_path / "a.parquet", **{"table:weight": torch.ones(6) * torch.nan}
    )
    message = "a.parquet: tensor 'weight' holds NaN or infinity"
    with pytest.raises(errors.NonFiniteError, match=message):
        RecsysSummary.from_parquet(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (500, "its 40 rows of 3 columns take 960 bytes, more than 500; if the file"),
        (1000, "tables takes more than 1,000 bytes; if the file is what you expect"),
    ],
)
def test_a_parquet_file_above_the_limits(tmp_path, monkeypatch, limit, message):
    ids = torch.arange(200)
    _write_parquet(tmp_path / "a.parquet", **{"table:items": ids})
    monkeypatch.setenv("MULTIDD_LIMITS", f"decoded_bytes={limit}")
    with pytest.raises(errors.StorageError, match=message):
        RecsysSummary.from_parquet(tmp_path / "a.parquet")


def _write_parquet(path, **change):
    """As `to_parquet` writes `make("sparse")`, but for a column or a table."""
    summary = make("sparse")
    columns = summary.to_frame().to_dict("list")
    whole = {f"column:{n}": torch.tensor(c) for n, c in columns.items()}
    whole |= {f"table:{n}": summary.tensors[n] for n in ("items", "weight")}
    card = {"card": json.loads(json.dumps(asdict(summary.card)))}
    write_users(path, Content(card, _put(whole, **change), "recsys"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    summary = make("sparse")
    path = summary.to_parquet(tmp_path / "a.parquet")
    clash = {**SOURCE, "columns": {"user": "weight", "item": "what"}}
    other = RecsysSummary.from_csr(
        csr_array(np.eye(ITEMS)), source=clash, method="mine"
    )
    with pytest.raises(ValueError, match="'weight' and 'what' must differ"):
        other.to_parquet(path)
    same(summary, RecsysSummary.from_parquet(path))
