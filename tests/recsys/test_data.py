"""`load`, `load_for_evaluation` and `power_law`: benchmarks and generated logs."""

import os
import shutil
import time

import numpy as np
import pyarrow.parquet
import pytest

from multidd.errors import MultiddError
from multidd.recsys.data import generators
from multidd.recsys.data.benchmarks import DATASETS, SAMPLE, load, load_for_evaluation
from multidd.recsys.data.generators import power_law
from multidd.recsys.data.readers import read_log
from tests.recsys.logs import same

SIZES = {
    # users, items, interactions, train, validation, test
    "ml-1m": (6040, 3706, 1000209, 791718, 99692, 108799),
    "ml-100k": (943, 1682, 100000, 78676, 9942, 11382),
    "movietweetings": (4333, 2414, 68055, 48408, 6698, 12949),
    "sample:movietweetings": (2290, 2146, 53556, 39634, 5173, 8749),
}


def sizes(log):
    parts = tuple(log.count(part) for part in range(3))
    return (log.num_users, log.num_items, log.num_interactions, *parts)


@pytest.mark.data(*(f"recsys/{source.file}" for source in DATASETS.values()))
@pytest.mark.parametrize("name", [*DATASETS])
def test_benchmarks(name):
    log = load(name)
    assert sizes(log) == SIZES[name]
    assert log.name == name and not log.dropped
    assert (log.time is None) == (name == "ml-1m")
    counts = np.diff(log.test.indptr)
    assert counts.min() >= 1  # at least one item of each user is test
    if name == "ml-1m":  # ids are the numbers of rows and columns of the authors
        assert log.user_ids.tolist() == list(range(log.num_users))
        assert log.item_ids.tolist() == list(range(log.num_items))


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.delenv("MULTIDD_DATA", raising=False)


def test_the_sample_ships_with_the_library(no_data):
    log = load("sample:movietweetings")
    assert sizes(log) == SIZES["sample:movietweetings"]
    assert log.divided == "user-random 0.8/0.1/0.1 seed 42"
    assert same(load("sample:movietweetings", seed=5), log)
    description = log.describe()
    assert description["users_without_test"] == 0 and description["dropped"] == {}
    assert min(np.diff(log.indptr)) >= 10
    assert SAMPLE.stat().st_size < 400_000


@pytest.mark.data("recsys/movietweetings_small.parquet")
def test_the_sample_is_that_of_the_data_folder(data_root):
    theirs = data_root / "recsys/movietweetings_small.parquet"
    assert theirs.read_bytes() == SAMPLE.read_bytes()


@pytest.mark.data("recsys/ml-100k")
def test_recbole_and_parquet_give_one_log(data_root):
    columns = dict(rating="rating", time="timestamp")
    one = read_log(data_root / "recsys/ml-100k/ml-100k.inter", **columns)
    other = load("ml-100k")
    for name in ("indptr", "items", "user_ids", "item_ids", "rating", "time"):
        assert (getattr(one, name) == getattr(other, name)).all(), name


@pytest.mark.data("recsys/ml-1m_official/ml1m_split.parquet")
def test_a_million_rows_take_less_than_a_second(data_root):
    path = data_root / "recsys" / DATASETS["ml-1m"].file
    taken = []
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.perf_counter()
        read_log(path, rating="rating", split="split")
        taken.append(time.perf_counter() - start)
    assert min(taken) < 1


def test_a_benchmark_that_is_not_here(no_data, tmp_path, monkeypatch):
    text = "ml-1m is not here: MULTIDD_DATA is not set; set it to a folder that holds"
    with pytest.raises(MultiddError, match=f"{text} recsys/ml-1m_official/ml1m_split"):
        load("ml-1m")
    monkeypatch.setenv("MULTIDD_DATA", str(tmp_path))
    with pytest.raises(MultiddError, match="MULTIDD_DATA is '/.* use 'sample:movie"):
        load("ml-100k")


@pytest.mark.parametrize("name", ["ml-2m", "sample:other", "/nowhere/log.parquet"])
def test_unknown_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="log must be one of ml-1m, ml-100k, .* path"):
        load(name)


def test_a_path_is_split_with_the_seed(tmp_path):
    path = tmp_path / "log.parquet"
    shutil.copy(SAMPLE, path)
    one = load(path, seed=1)
    assert one.name == "log" and one.divided == "user-random 0.8/0.1/0.1 seed 1"
    assert (load(str(path), seed=1).part == one.part).all()
    assert (load(path, seed=2).part != one.part).any()
    assert load(path, min_user=20, rating="rating", min_rating=8).dropped
    assert os.listdir(tmp_path) == ["log.parquet"]


def test_a_path_with_a_split_keeps_it(tmp_path):
    path = tmp_path / "log.parquet"
    table = pyarrow.table({"u": [1, 1, 2], "i": [1, 2, 2], "split": [0, 2, 1]})
    pyarrow.parquet.write_table(table, path)
    assert load(path).part.tolist() == [0, 2, 1]
    other = table.rename_columns(["u", "i", "part"])
    pyarrow.parquet.write_table(other, path)
    assert load(path).divided.startswith("user-random")
    assert load(path, split="part").part.tolist() == [0, 2, 1]


def test_load_for_evaluation(tmp_path):
    log, exam = load_for_evaluation("sample:movietweetings")
    assert exam == {"on": log}
    path = tmp_path / "x.csv"
    path.write_text("who,what,stars\na,1,5\nb,2,1\n")
    log, exam = load_for_evaluation(
        path, user="who", item="what", rating="stars", min_rating=2
    )
    assert exam["on"] is log and log.user_ids.tolist() == ["a"]
    with pytest.raises(ValueError, match="user= are for paths; 'ml-1m' has its own"):
        load_for_evaluation("ml-1m", user="who")


def test_a_generated_log_by_name():
    log, exam = load_for_evaluation("power-law:30x20x200")
    assert log.name == "power-law:30x20x200"
    assert (log.num_users, log.num_items, log.num_interactions) == (30, 20, 200)
    assert exam == {"on": log, "users": 2000} and log.test.nnz > 0
    again = load("power-law:30x20x200", seed=1)  # its seed is its own
    assert again.describe() == log.describe()


@pytest.mark.parametrize("sizes", ["30x20", "30x20xmany", ""])
def test_generated_logs_without_sizes(sizes):
    with pytest.raises(ValueError, match=f"such as .*; got 'power-law:{sizes}'"):
        load(f"power-law:{sizes}")


# --- generated ----------------------------------------------------------------


def test_power_law_has_the_sizes_asked_for():
    log = power_law(2000, 500, 60_000, seed=1)
    assert sizes(log)[:3] == (2000, 500, 60_000)
    lengths = np.diff(log.indptr)
    assert lengths.min() >= 1 and lengths.max() <= 250
    assert np.median(lengths) < lengths.mean()  # long histories are rare
    assert same(power_law(2000, 500, 60_000, seed=1), log)
    other = power_law(2000, 500, 60_000, seed=2)
    assert (other.indptr != log.indptr).any()


def test_power_law_popularity():
    log = power_law(5000, 2000, 50_000, groups=1)
    counts = np.sort(np.bincount(log.items, minlength=2000))[::-1]
    # Between ranks 10 and 1,000 the count falls about as one over the rank.
    slope = np.log(counts[10] / counts[1000]) / np.log(1000 / 10)
    assert 0.7 < slope < 1.1
    flat = np.bincount(power_law(5000, 2000, 50_000, exponent=0, groups=1).items)
    assert flat.max() < 2.5 * flat.mean()


def test_power_law_tastes():
    """With groups of items, neighbours of a user's items beat the popular ones."""

    def gain(groups):
        log = power_law(3000, 600, 60_000, exponent=0.5, groups=groups).split()
        x, test = log.train, log.test.toarray()
        count = np.maximum(1, x.sum(0))
        cosine = (x.T @ x).toarray() / np.sqrt(count[:, None] * count)
        np.fill_diagonal(cosine, 0)

        def hits(scores):
            unseen = np.where(x.toarray() > 0, -1, scores)
            top = np.argsort(-unseen, axis=1)[:, :20]
            return np.take_along_axis(test, top, 1).sum()

        return hits(x @ cosine) / hits(np.broadcast_to(count, x.shape))

    assert gain(20) > 1.3 > 1.05 > gain(1)


@pytest.mark.parametrize(
    "sizes_asked", [(1, 2, 1), (10, 4, 20), (3, 2, 3), (50, 10, 250), (1, 100, 50)]
)
def test_power_law_at_its_limits(sizes_asked, monkeypatch):
    monkeypatch.setattr(generators, "BLOCK", 16)
    log = power_law(*sizes_asked, groups=2)
    assert sizes(log)[:3] == sizes_asked
    assert np.diff(log.indptr).max() <= sizes_asked[1] // 2


@pytest.mark.parametrize(
    "asked, message",
    [
        ((10, 10, 9), r"interactions must be from 10 .* to 50 .*; got 9"),
        ((10, 10, 51), r"interactions must be from 10 .* to 50 .*; got 51"),
        ((0, 10, 0), "a user and two items at least; got users=0"),
        ((5, 1, 5), "got users=5, items=1"),
    ],
)
def test_power_law_refuses(asked, message):
    with pytest.raises(ValueError, match=message):
        power_law(*asked)


def test_power_law_refuses_other_settings():
    for options in ({"groups": 0}, {"groups": 11}, {"exponent": -1.0}):
        with pytest.raises(ValueError, match="groups must be from 1 to 10"):
            power_law(10, 10, 20, **{"groups": 2, **options})
