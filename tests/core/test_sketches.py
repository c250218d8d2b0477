"""Sketches of labelled records, k-means in shards, and what all sketches share."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from multidd import sketches
from multidd.sketches import BottomK, hash_ids, hash_record, mix
from multidd.sketches.costs import worker_costs
from multidd.sketches.labelled import LabelledSketch, class_values

RECORDS = st.lists(
    st.tuples(st.sampled_from([0, 1, "x"]), st.binary(max_size=1)), max_size=30
)


def state(sketch: BottomK) -> tuple:
    return sketch.counts, list(sketch.records())


def of(records, keep: int) -> BottomK:
    return BottomK(keep, key=3).add(records)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(RECORDS, min_size=3, max_size=3), keep=st.integers(1, 6))
def test_records_merge_in_any_order(parts, keep):
    a, b, c = (of(records, keep) for records in parts)
    before = state(a)
    whole = of([record for part in parts for record in part], keep)
    assert state(a.merge(b.merge(c))) == state(a.merge(b).merge(c)) == state(whole)
    assert state(a.merge(b)) == state(b.merge(a))
    assert state(a) == before  # a merge changes neither
    times = [sum(p.count(record) for p in parts) for record in parts[0]]
    for record, count in zip(parts[0], times, strict=True):
        for one in whole.records():
            if (one.label, one.record) == record:
                assert one.repeats == count


def test_many_records_are_cut_to_those_of_the_smallest_hashes():
    records = [("a", bytes([n % 256, n // 256])) for n in range(3000)]
    sketch = of(records, 10)
    ordered = sorted(hash_record(record, 3) for _, record in records)
    hashes = [hash_record(one.record, 3) for one in sketch.records()]
    assert hashes == ordered[:10] and sketch.counts == {"a": 3000}


def test_sketches_of_other_sizes_or_seeds_do_not_merge():
    with pytest.raises(ValueError, match="do not merge; make both with the same K"):
        BottomK(1, 0).merge(BottomK(2, 0))
    with pytest.raises(ValueError, match="keep must be at least 1; got 0"):
        BottomK(0, 0)


def test_hashes_are_the_same_everywhere():
    """Also in a process that hashes text by another secret, and written out here."""
    text = pyarrow.array(["ann", "7", "-7", "007"], pyarrow.large_string())
    values = hash_ids(text, 5).values.tolist()
    assert values == [
        int.from_bytes(hash_record(b"ann", 5)[:8], "big"),
        *mix(np.array([7, -7]), 5).tolist(),
        int.from_bytes(hash_record(b"007", 5)[:8], "big"),
    ]
    assert values[:2] == [5551946142805442194, 10682531704454680323]


def test_hashes_of_numbers_spread_evenly():
    hashes = mix(np.arange(40_000), 1)
    assert len(np.unique(hashes)) == 40_000
    counts = np.bincount((hashes >> np.uint64(60)).astype(int), minlength=16)
    assert abs(counts - 2500).max() < 5 * 2500**0.5
    # One bit of the id turns half of the bits of its hash.
    flipped = mix(np.arange(40_000) ^ 1, 1) ^ hashes
    bits = np.unpackbits(flipped.view(np.uint8)).reshape(40_000, 64).mean(0)
    assert abs(bits - 0.5).max() < 0.02


class Sum:
    """The smallest sketch there is."""

    def __init__(self, total: int) -> None:
        self.total = total

    def merge(self, other: "Sum") -> "Sum":
        return Sum(self.total + other.total)


def summed(shards) -> Sum:
    return Sum(sum(shards))


@pytest.mark.parametrize("count", [1, 5, 300])
def test_merged_in_a_tree(count):
    with ThreadPoolExecutor(2) as executor:
        total = sketches.sketched(summed, range(count), executor).total
    assert total == sketches.sketched(summed, range(count)).total == sum(range(count))


def test_nothing_to_sketch():
    with pytest.raises(ValueError, match="there are no shards to sketch"):
        sketches.sketched(summed, [])
    with pytest.raises(ValueError, match="there are no sketches to merge"):
        sketches.merged([])


def test_an_error_of_a_shard_is_raised_as_it_is():
    def broken(shards):
        raise ValueError(f"shard {shards[0]} is odd")

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match="shard 4 is odd"):
            sketches.sketched(broken, [4], executor)


# --- labels ---------------------------------------------------------------------------


def labelled(label, **facts) -> LabelledSketch:
    return LabelledSketch(BottomK(2, 0).add([(label, b"r")]), **facts)


@pytest.mark.parametrize(
    "one, other, words",
    [
        (
            labelled("1", source="a.csv", is_text=True),
            labelled(1, source="b.parquet"),
            "labels of a.csv are text and those of b.parquet numbers",
        ),
        (
            labelled(1, source="a", classes=("x", "y")),
            labelled(1, source="b", classes=("y", "x")),
            r"the classes of a are \('x', 'y'\), those of b \('y', 'x'\)",
        ),
    ],
)
def test_labels_that_mean_other_things_do_not_merge(one, other, words):
    for pair in (one, other), (other, one):
        with pytest.raises(ValueError, match=words):
            pair[0].merge(pair[1])


def test_a_shard_without_rows_has_no_say():
    empty = LabelledSketch(BottomK(2, 0), "a", is_text=True)
    full = labelled(1, source="b", classes=("x", "y"))
    for merged in empty.merge(full), full.merge(empty):
        assert merged.classes == ("x", "y") and not merged.is_text
        assert merged.shards == 2


@pytest.mark.parametrize(
    "label, words",
    [
        (None, "lacks a label in row 8"),
        (float("nan"), "lacks a label in row 8"),
        (" ", "lacks a label in row 8"),
        (0.5, "row 8 .from 0. holds 0.5"),
        ([1], "row 8 .from 0. holds list"),
    ],
)
def test_labels_that_are_none(label, words):
    with pytest.raises((ValueError, TypeError), match=words):
        class_values([1, label], "column 'y' of x.csv", start=7)


# --- k-means --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(3000, 5)) + rng.integers(0, 4, (3000, 1)) * 6


def test_kmeans_is_that_of_one_machine(vectors, tmp_path):
    """From the same start as scikit-learn's, from files, round for round."""
    paths = []
    for number, part in enumerate((vectors[:100], vectors[100:1500], vectors[1500:])):
        paths.append(tmp_path / f"{number}.npy")
        np.save(paths[-1], part)
    start = vectors[:7]
    for rounds in (1, 4):
        ours = sketches.kmeans(paths, 7, start=start, rounds=rounds)
        theirs = KMeans(7, init=start, n_init=1, tol=0, max_iter=rounds).fit(vectors)
        assert ours.rounds == theirs.n_iter_ == rounds
        assert np.allclose(ours.centers, theirs.cluster_centers_, atol=1e-5)
    assert ours.counts.sum() == 3000 and ours.centers.dtype == np.float32


def test_kmeans_starts_from_the_same_sample_for_any_cut(vectors):
    few = partial(sketches.kmeans, k=7, sample=400, restarts=2, seed=1)
    one = few([vectors])
    with ThreadPoolExecutor(2) as executor:
        cut = few([vectors[2000:], vectors[:10], vectors[10:2000]], executor=executor)
    assert np.allclose(one.centers, cut.centers, atol=1e-5)
    assert one.inertia == pytest.approx(cut.inertia) and one.rounds == cut.rounds
    whole = KMeans(7, n_init=4, random_state=0).fit(vectors).inertia_ / 3000
    assert one.inertia < 1.1 * whole


def test_a_center_that_nothing_is_nearest_to_stays():
    start = np.array([[0.0], [9.0], [99.0]])
    clusters = sketches.kmeans([np.array([[0.0], [1.0], [9.0]])], 3, start=start)
    assert clusters.centers.ravel().tolist() == [0.5, 9, 99]
    assert clusters.counts.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "shards, options, words",
    [
        ([np.zeros((2, 3))], {"k": 5}, "k must be at most the number of vectors, 2"),
        ([np.zeros((9, 3)), np.zeros((9, 4))], {}, "shard 1 holds vectors of 4"),
        ([np.full((9, 3), np.nan)], {}, "shard 0 holds NaN or infinity"),
        ([np.zeros(9)], {}, "shard 0 must hold vectors"),
        ([np.zeros((9, 3))], {"start": np.zeros((1, 3))}, "start must be 2 centers"),
        ([np.zeros((9, 3))], {"rounds": 0}, "rounds must be at least 1; got 0"),
        ([], {}, "there are no shards"),
    ],
)  # fmt: skip
def test_what_kmeans_refuses(shards, options, words):
    with pytest.raises(ValueError, match=words):
        sketches.kmeans(shards, **{"k": 2, **options})


# --- costs and loading ----------------------------------------------------------------


def test_workers_tell_what_they_take():
    with ThreadPoolExecutor(1) as executor:
        (costs,) = worker_costs(executor, 1)
    assert costs.megabytes > 50 and costs.seconds > 0


def test_what_workers_import_is_light():
    """Each worker of a cluster loads it: torch would treble the memory of all."""
    code = """
import sys
import multidd.recsys.data.shard_reader, multidd.text.data.shard_reader
import multidd.images.data.shard_reader, multidd.sketches.kmeans
heavy = "torch pandas scipy datasets sklearn matplotlib PIL transformers".split()
print({*heavy} & {*sys.modules})
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "set()", done.stderr
