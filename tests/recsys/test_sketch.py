"""Sketches of logs: the same bytes for any cut, order and executor; whole users."""

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import fields, replace
from functools import reduce
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from datasets import Dataset, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st

from multidd import recsys
from multidd.errors import CorruptFileError, MultiddError, MultiddWarning
from multidd.recsys.data.shard_reader import Request, read_shards
from multidd.recsys.data.sketch import write_log
from multidd.sketches import shards
from multidd.sketches.shards import TableShard

COLUMNS = {"user": "user", "item": "item", "rating": "stars", "time": "at"}
SKETCHED = {"item_events", "sketch"}


def events(n: int = 4000, users: int = 300, items: int = 60, seed: int = 0):
    """A table of events, some of which come again with other stars and times."""
    rng = np.random.default_rng(seed)
    return pyarrow.table(
        {
            "user": rng.integers(users, size=n) * 7,
            "item": (items * rng.random(n) ** 3).astype(np.int64),
            "stars": rng.integers(1, 6, n).astype(np.float32),
            "at": rng.integers(50, size=n),
        }
    )


def folder_of(table: pyarrow.Table, folder: Path, files: int = 4) -> Path:
    folder.mkdir(parents=True)
    bounds = np.linspace(0, len(table), files + 1).astype(int)
    for part, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False)):
        path = folder / f"part-{part}.parquet"
        pyarrow.parquet.write_table(table[low:high], path, row_group_size=300)
    return folder


def differences(one, other, without=frozenset()) -> list[str]:
    """Fields in which two logs are not the same bytes."""
    results = []
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "dropped":  # users and items without rows are not counted
            a, b = ({k: v for k, v in d.items() if "without" not in k} for d in (a, b))
        if field.name == "sketch":
            a, b = ({k: v for k, v in s.items() if k != "seconds"} for s in (a, b))
            a, b = ({k: v for k, v in s.items() if k != "shards"} for s in (a, b))
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            same = a.dtype == b.dtype and a.tolist() == b.tolist()
        else:
            same = type(a) is type(b) and a == b
        if not same and field.name not in without:
            results.append(field.name)
    return results


# --- what is kept ---------------------------------------------------------------------


def test_enough_users_give_the_log_itself(tmp_path):
    table = events()
    folder = folder_of(table, tmp_path / "log")
    whole = recsys.read_log(folder, **COLUMNS, name="log")
    log = replace(recsys.sketch(folder, users=300, **COLUMNS), name="log")
    # Of equal times `read_log` takes the last row read, which no order has.
    assert differences(log, whole, SKETCHED | {"rating"}) == []
    assert log.sketch["users"] == whole.num_users and log.sketch["users_exact"]
    counts = pandas.Series(table["item"].to_numpy()).value_counts().sort_index()
    assert log.item_events.tolist() == counts.tolist()
    assert log.sketch["unmet_items"] == 0 and log.sketch["shards"] == 4


def test_users_are_whole_and_counts_exact(tmp_path):
    table = events(items=900)
    whole = recsys.read_log(table, **COLUMNS)
    log = recsys.sketch(folder_of(table, tmp_path / "log"), users=40, **COLUMNS)
    same = whole.users(whole.user_index(log.user_ids))
    assert log.num_users == 40
    assert log.indptr.tolist() == same.indptr.tolist()
    assert log.time.tolist() == same.time.tolist()
    assert log.item_ids[log.items].tolist() == same.item_ids[same.items].tolist()
    counts = pandas.Series(table["item"].to_numpy()).value_counts()
    assert log.item_events.tolist() == counts[log.item_ids].tolist()
    facts = log.sketch
    unmet = facts["events"] * facts["unmet_events"]
    assert log.item_events.sum() + unmet == pytest.approx(len(table), abs=0.1)
    assert facts["unmet_items"] == whole.num_items - log.num_items > 0
    # Rows of the source are here, or the log says why not.
    dropped = log.dropped["duplicates"] + log.dropped["events of other users"]
    assert log.num_interactions + dropped == len(table)
    assert not facts["users_exact"]
    assert abs(facts["users"] - whole.num_users) < 4 * whole.num_users / 40**0.5


def test_of_a_pair_the_latest_then_the_highest_stays():
    rows = {"user": [1] * 4, "item": [2] * 4, "stars": [5, 1, 3, 2], "at": [1, 2, 2, 0]}
    log = recsys.sketch(pyarrow.table(rows), **COLUMNS)
    assert (log.time.tolist(), log.rating.tolist()) == ([2], [3])
    assert log.dropped == {"duplicates": 3} and log.item_events.tolist() == [4]


def test_the_sample_is_uniform_and_seeded():
    table = pyarrow.table({"user": np.arange(20_000), "item": np.zeros(20_000, int)})
    logs = [recsys.sketch(table, users=2000, seed=seed) for seed in (0, 0, 1)]
    assert differences(*logs[:2]) == []
    shared = set(logs[0].user_ids.tolist()) & set(logs[2].user_ids.tolist())
    assert 120 < len(shared) < 280  # a tenth of a tenth, 200, and chance
    for log in logs[1:]:
        counts = np.bincount(log.user_ids // 2000, minlength=10)
        # Of 2,000 in ten equal parts each has 200 +- 13.
        assert 130 < counts.min() and counts.max() < 270


def test_rows_below_min_rating_are_left_out():
    table = events()
    options = {**COLUMNS, "min_rating": 4}
    whole = recsys.read_log(table, **options)
    log = recsys.sketch(table, **options)
    assert differences(log, whole, SKETCHED | {"rating"}) == []
    assert log.item_events.sum() == (table["stars"].to_numpy() >= 4).sum()


def test_limits_of_a_log_that_is_kept_whole_are_those_of_read_log():
    table = events()
    options = {**COLUMNS, "min_user": 8, "min_item": 20}
    whole = recsys.read_log(table, **options)
    log = recsys.sketch(table, **options)
    assert differences(log, whole, SKETCHED | {"rating"}) == []
    assert 0 < log.num_users < 300
    facts = log.sketch
    assert facts["users_below"] == 300 - whole.num_users > 0
    assert facts["items_below"] == facts["items"] - log.num_items > 0


def test_limits_of_a_sample_are_exact_for_what_it_holds(tmp_path):
    """Items by their events in all data, then users by the items that are left."""
    table = events(items=300)
    options = {**COLUMNS, "min_user": 9, "min_item": 15}
    folder = folder_of(table, tmp_path / "log")
    log = recsys.sketch(folder, users=80, **options)
    free = recsys.sketch(folder, users=80, **COLUMNS)
    frame = table.to_pandas()
    counts = frame["item"].value_counts()
    often = set(counts[counts >= 15].index)
    here = frame[frame["user"].isin(free.user_ids) & frame["item"].isin(often)]
    sizes = here.drop_duplicates(["user", "item"]).groupby("user").size()
    assert log.user_ids.tolist() == sizes[sizes >= 9].index.tolist()
    assert set(log.item_ids.tolist()) <= often
    assert log.item_events.tolist() == counts[log.item_ids].tolist()
    facts = log.sketch
    assert (facts["min_user"], facts["min_item"]) == (9, 15)
    assert facts["users_below"] == 80 - log.num_users
    assert facts["items_below"] == facts["items"] - len(often)
    assert facts["unmet_items"] == len(often) - log.num_items
    # Every row of the source is here, or the log says why not.
    reasons = ("duplicates", "events of other users", "below min_item")
    lost = sum(log.dropped[why] for why in (*reasons, "below min_user"))
    assert log.num_interactions + lost == len(table)
    assert recsys.random(log, users=5).card.source["sketch"]["users_below"] > 0
    with pytest.raises(ValueError, match="no interactions are left.*below min_item"):
        recsys.sketch(folder, users=80, min_item=9999)


def test_a_column_of_parts_divides_it():
    rows = {"user": [1, 1, 2, 2], "item": [1, 2, 1, 3], "part": [0, 2, 0, -1]}
    table = pyarrow.table(rows)
    whole = recsys.read_log(table, split="part")
    assert differences(recsys.sketch(table, split="part"), whole, SKETCHED) == []


def test_its_record_is_of_the_data_and_not_of_the_run(tmp_path):
    table = events()
    one, other = (
        replace(recsys.sketch(folder_of(table, tmp_path / n, k), users=50), name="log")
        for n, k in (("a", 2), ("b", 5))
    )
    assert one.describe() == other.describe()
    assert one.describe()["sketch"]["kept_users"] == 50
    assert one.sketch["shards"] == 2 and other.sketch["seconds"] >= 0
    summary = recsys.random(one, users=5)
    assert summary.card.source["sketch"]["events"] == 4000


def test_it_is_written_as_a_file_that_load_reads(tmp_path):
    log = recsys.sketch(events(), users=50, **COLUMNS)
    path = tmp_path / "sample.parquet"
    write_log(log, path)
    again = recsys.read_log(path, rating="rating", time="time")
    others = {"item_events", "columns", "name", "dropped"}
    assert differences(again, log, others) == []
    assert again.describe()["sketch"] == log.describe()["sketch"]
    divided = log.split()
    write_log(divided, path)
    assert recsys.load(path).part.tolist() == divided.part.tolist()
    # Notes that others wrote under that name are none.
    table = pyarrow.parquet.read_table(path)
    for note in (b"[1]", b"{", b"\xff", b'{"users": 1e999}', b'{"users": {}}'):
        odd = table.replace_schema_metadata({b"multidd.sketch": note})
        pyarrow.parquet.write_table(odd, path)
        assert recsys.read_log(path).sketch == {}
    with pytest.raises(ValueError, match="written as a .parquet file; got"):
        write_log(log, tmp_path / "sample.csv")


# --- merge laws -----------------------------------------------------------------------

IDS = st.one_of(
    st.just(pyarrow.int64()), st.just(pyarrow.uint64()), st.just(pyarrow.large_string())
)
ROWS = st.lists(
    st.tuples(
        st.integers(0, 12), st.integers(0, 5), st.integers(0, 2), st.integers(0, 2)
    ),
    max_size=40,
)


def part_of(rows, kind, keep) -> "object":
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    ids = [
        pyarrow.array(map(str, c) if kind == pyarrow.large_string() else c, kind)
        for c in map(list, columns[:2])
    ]
    table = pyarrow.table(
        {
            "user": ids[0],
            "item": ids[1],
            "stars": pyarrow.array(columns[2], pyarrow.float32()),
            "at": pyarrow.array(columns[3], pyarrow.int64()),
        }
    )
    request = Request(keep, 7, COLUMNS, COLUMNS)
    return read_shards([TableShard(table, "rows")], request)


def state(sketch) -> tuple:
    """All that a sketch holds, but for how it was read."""
    return (
        sketch.users.to_pylist(),
        sketch.hashes.tolist(),
        sketch.read.tolist(),
        sketch.sizes.tolist(),
        sketch.items.tolist(),
        {role: values.tolist() for role, values in sketch.values.items()},
        sketch.item_ids.to_pylist(),
        sketch.item_events.tolist(),
        sketch.facts.events,
        sketch.facts.is_cut,
        sketch.num_users,
    )


@settings(max_examples=20, deadline=None)
@given(parts=st.lists(ROWS, min_size=3, max_size=3), kind=IDS, keep=st.integers(1, 9))
def test_merge_is_associative_and_commutative(parts, kind, keep):
    a, b, c = (part_of(rows, kind, keep) for rows in parts)
    assert state(a.merge(b.merge(c))) == state(a.merge(b).merge(c))
    assert state(a.merge(b)) == state(b.merge(a))


@settings(max_examples=20, deadline=None)
@given(rows=ROWS, kind=IDS, keep=st.integers(1, 9), data=st.data())
def test_any_cut_and_any_order_give_the_same(rows, kind, keep, data):
    order = data.draw(st.permutations(range(len(rows))))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(rows)), max_size=4)))
    bounds = [0, *cuts, len(rows)]
    shuffled = [rows[at] for at in order]
    parts = [shuffled[low:high] for low, high in zip(bounds, bounds[1:], strict=False)]
    sketches = [part_of(part, kind, keep) for part in parts]
    merged = reduce(lambda one, other: one.merge(other), sketches)
    whole = part_of(rows, kind, keep)
    assert state(merged) == state(whole)
    users = {row[0] for row in rows}
    assert len(whole.users) == min(keep, len(users))
    assert whole.facts.is_cut == (len(users) > keep)


def test_small_batches_and_blocks_change_nothing(tmp_path, monkeypatch):
    folder = folder_of(events(), tmp_path / "log")
    whole = recsys.sketch(folder, users=60, **COLUMNS)
    monkeypatch.setattr("multidd.recsys.data.shard_reader.PENDING", 50)
    monkeypatch.setattr("multidd.recsys.data.log_sketch.BLOCK", 64)
    monkeypatch.setattr("multidd.recsys.data.id_tables.MAX_DENSE", 9)
    monkeypatch.setattr("multidd.recsys.data.id_tables.PENDING", 5)
    monkeypatch.setattr(shards, "SHARD_ROWS", 300)
    monkeypatch.setattr(shards, "BATCH_ROWS", 97)
    small = recsys.sketch(folder, users=60, **COLUMNS)
    assert differences(small, whole) == [] and small.sketch["shards"] == 16


def test_users_of_one_hash_stand_by_their_ids(monkeypatch):
    """All users have one hash: the smallest ids are kept, whatever the order."""
    from multidd.recsys.data import log_sketch, shard_reader
    from multidd.sketches.hashing import IdHashes

    def alike(ids, key):
        return IdHashes(np.full(len(ids), 5, np.uint64), True, False)

    monkeypatch.setattr(log_sketch, "hash_ids", alike)
    monkeypatch.setattr(shard_reader, "hash_ids", alike)
    rows = [(user, 0, 0, 0) for user in (4, 9, 1, 7, 3)]
    parts = [
        part_of(rows[:2], pyarrow.int64(), 3),
        part_of(rows[2:], pyarrow.int64(), 3),
    ]
    for one, other in (parts, parts[::-1]):
        assert one.merge(other).users.to_pylist() == [1, 3, 4]


# --- executors ------------------------------------------------------------------------


def test_processes_threads_and_none_give_the_same(tmp_path):
    folder = folder_of(events(), tmp_path / "log", files=6)
    alone = recsys.sketch(folder, users=50, **COLUMNS)
    with ThreadPoolExecutor(3) as threads:
        log = recsys.sketch(folder, 50, **COLUMNS, executor=threads)
    assert differences(log, alone) == []
    with ProcessPoolExecutor(1, get_context("spawn")) as processes:
        log = recsys.sketch(folder, 50, **COLUMNS, executor=processes)
        heavy = "{'torch', 'pandas', 'scipy', 'datasets'}"
        modules = processes.submit(eval, f"{heavy} & {{*__import__('sys').modules}}")
        # A worker that loads torch is three times as large.
        assert modules.result() == set()
    assert differences(log, alone) == []


class Ends:
    """A job whose worker ends when it reads it."""

    def __call__(self, *args, **options):
        raise AssertionError("it is sent to a worker")

    def __reduce__(self):
        return os.abort, ()


def test_a_killed_worker_is_said(tmp_path, monkeypatch):
    folder = folder_of(events(), tmp_path / "log")
    monkeypatch.setattr("multidd.recsys.data.sketch.read_shards", Ends())
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        with pytest.raises(MultiddError, match="a worker ended before its job did"):
            recsys.sketch(folder, executor=executor)


# --- sources --------------------------------------------------------------------------


def test_csv_and_parquet_keep_the_same_users(tmp_path):
    table = events()
    path = tmp_path / "log.csv"
    pyarrow.csv.write_csv(table, path)
    of_parquet = replace(recsys.sketch(table, users=50, **COLUMNS), name="log")
    of_csv = recsys.sketch(path, users=50, **COLUMNS)
    assert differences(of_csv, of_parquet) == []


def test_ids_of_text_are_numbers_only_where_all_are(tmp_path):
    rows = [f"u{n}" if n == 0 else f"{n}" for n in range(40)]
    path = tmp_path / "log.csv"
    lines = ["user,item", *(f"{user},{n % 4}" for n, user in enumerate(rows))]
    path.write_text("\n".join(lines))
    whole = recsys.read_log(path)
    assert differences(recsys.sketch(path), whole, SKETCHED) == []
    # Also where the one user whose id is no number is not among those that are kept.
    log = next(
        log
        for seed in range(20)
        for log in [recsys.sketch(path, 5, seed=seed)]
        if "u0" not in log.user_ids
    )
    assert all(isinstance(user, str) for user in log.user_ids)
    assert log.item_ids.dtype == np.int64


def test_datasets_saved_or_streamed(tmp_path, monkeypatch):
    table = events()
    whole = recsys.sketch(table, users=50, **COLUMNS)
    data = Dataset(table)
    data.save_to_disk(tmp_path / "saved")
    monkeypatch.setattr(shards, "SHARD_ROWS", 1500)
    sources = [
        data,
        tmp_path / "saved",
        data.to_iterable_dataset(num_shards=3),
        [data.select(range(1000)), data.select(range(1000, 4000))],
        table.to_pandas(),
    ]
    for source in sources:
        log = recsys.sketch(source, users=50, **COLUMNS)
        assert differences(replace(log, name=whole.name), whole) == []


def rows_of(numbers):
    for number in numbers:
        yield {"user": number % 7, "item": number % 5}


def test_a_stream_of_unknown_columns_tells_by_its_first_row():
    stream = IterableDataset.from_generator(
        rows_of, gen_kwargs={"numbers": list(range(60))}
    )
    assert recsys.sketch(stream).num_users == 7


def test_parts_of_hive_and_hidden_files(tmp_path):
    table = events()
    for day in (1, 2):
        folder_of(table[2000 * (day - 1) : 2000 * day], tmp_path / f"log/day={day}", 2)
    (tmp_path / "log/_SUCCESS").write_text("")
    (tmp_path / "log/copy.csv").write_text("user,item\n1,2\n")
    with pytest.warns(MultiddWarning, match="left out 1 of 5 files"):
        log = recsys.sketch(tmp_path / "log", item="day")
    assert log.item_ids.tolist() == [1, 2] and log.sketch["events"] == 4000


# --- refusals -------------------------------------------------------------------------


def write(path: Path, **columns) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


GOOD = {"user_id": [1, 2], "item_id": [3, 4]}
TEXT = {"user_id": ["a", "b"], "item_id": [3, 4]}


@pytest.mark.parametrize(
    "other, words",
    [
        ({"user_id": [1]}, "other.parquet has no column 'item_id'"),
        ({"user": [1], "item_id": [2]}, "other.parquet has no column 'user_id'"),
        (TEXT, "column 'user_id' of [^ ]*other.parquet holds text and"),
        ({"user_id": [1.5], "item_id": [2]}, "'user_id' of .*other.parquet must hold"),
        ({"user_id": [True], "item_id": [2]}, "other.parquet must hold ids"),
        (
            {**GOOD, "item_id": ["x", "y"]},
            "column 'item_id' of [^ ]*other.parquet holds",
        ),
    ],
)
@pytest.mark.parametrize("is_first", [False, True])
def test_a_shard_that_does_not_fit_is_named(tmp_path, other, words, is_first):
    good, odd = write(tmp_path / "good.parquet", **GOOD), tmp_path / "other.parquet"
    paths = [write(odd, **other), good] if is_first else [good, write(odd, **other)]
    if is_first and "no column" in words:
        words = "good.parquet|other.parquet"
    with pytest.raises(ValueError, match=words):
        recsys.sketch(paths)


def test_columns_that_differ_by_shard_are_refused(tmp_path):
    """Each shard has users, but by another name: whose ids these are nobody knows."""
    one = write(tmp_path / "one.parquet", user=[1], item=[2])
    both = write(tmp_path / "both.parquet", user=[1], user_id=[5], item=[2])
    for paths in ([one, both], [both, one]):
        with pytest.raises(ValueError, match="(both|one).parquet has"):
            recsys.sketch(paths)
    assert recsys.sketch([one, both], user="user").num_interactions == 1


def test_shards_that_are_taken_by_rule(tmp_path):
    paths = [
        write(tmp_path / "good.parquet", **GOOD),
        write(tmp_path / "empty.parquet", user_id=pyarrow.array([], pyarrow.string()),
              item_id=pyarrow.array([], pyarrow.int64())),
        write(tmp_path / "null.parquet", user_id=[None, 5], item_id=[1, None]),
        write(tmp_path / "floats.parquet", user_id=[1.0, float("nan")], item_id=[9, 9]),
        write(tmp_path / "small.parquet", user_id=pyarrow.array([2], pyarrow.int8()),
              item_id=pyarrow.array([4], pyarrow.uint64())),
    ]  # fmt: skip
    log = recsys.sketch(paths)
    assert log.user_ids.tolist() == [1, 2] and log.item_ids.tolist() == [3, 4, 9]
    assert log.dropped == {"missing ids": 3, "duplicates": 1}
    assert log.user_ids.dtype == log.item_ids.dtype == np.int64


def test_ids_that_no_type_holds_together(tmp_path):
    one = write(tmp_path / "one.parquet", user_id=[-1], item_id=[2])
    large = pyarrow.array([2**63], pyarrow.uint64())
    other = write(tmp_path / "other.parquet", user_id=large, item_id=[2])
    with pytest.raises(ValueError, match="no 64-bit number type holds together"):
        recsys.sketch([one, other])


def test_a_damaged_shard_is_named(tmp_path):
    folder = folder_of(events(), tmp_path / "log")
    path = folder / "part-2.parquet"
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"part-2.parquet is damaged: row group"):
        recsys.sketch(folder, **COLUMNS)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(CorruptFileError, match=r"part-2.parquet cannot be opened"):
        recsys.sketch(folder, **COLUMNS)


@pytest.mark.parametrize(
    "source, options, words",
    [
        ([], {}, "nothing to sketch: an empty list"),
        ([(1, 2)], {}, "must be paths, datasets, streams or tables"),
        ("nowhere.parquet", {}, "there is no file or folder nowhere.parquet"),
        (pyarrow.table(GOOD), {"users": 0}, "users must be at least 1; got 0"),
        (pyarrow.table(GOOD), {"min_rating": 3}, "needs rating='the column of"),
        (pyarrow.table(GOOD), {"item": "x"}, "the table has no column 'x'"),
        (pyarrow.table({"user": [None], "item": [1]}), {}, "left out were 1 missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_sketched_is_refused(source, options, words):
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=words):
        recsys.sketch(source, **options)
