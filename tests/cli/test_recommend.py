"""`multidd recommend`: from synthetic users alone."""

import re

import numpy as np
import pandas
import pytest

import multidd
from multidd.cli.run_folder import RunFolder
from tests.cli.logs import COLUMNS, FILMS


@pytest.mark.parametrize("k", ["1", "7", "99"])
def test_recommend(call, run_folder, k):
    history = ["film 0", "film 2", "film 4"]
    code, printed, err = call(
        "recommend", run_folder, "--history", ", ".join(history), "-k", k
    )
    assert (code, err) == (0, "")
    items = printed.splitlines()
    assert len(items) == min(int(k), FILMS - 3)
    assert not set(items) & set(history)
    summary = multidd.load(run_folder)
    assert items == multidd.recsys.recommend(summary, history, int(k))
    even = [int(name.split()[1]) % 2 == 0 for name in items]
    assert all(even[:3])  # who likes even films gets them


def test_recommend_ten_to_anybody(call, run_folder):
    code, printed, err = call("recommend", run_folder)
    assert (code, err) == (0, "")
    summary = multidd.load(run_folder)
    counts = dict(zip(summary.item_ids, summary.to_csr().sum(axis=0), strict=True))
    popular = sorted(counts.values(), reverse=True)[:10]
    assert [counts[name] for name in printed.splitlines()] == popular


def test_recommend_by_numbers(call, tmp_path, events, distill):
    """Ids that are numbers are written as numbers."""
    frame = pandas.read_parquet(events)
    names = frame[COLUMNS["item"]].str.split().str[1].astype("uint64")
    frame[COLUMNS["item"]] = names + np.uint64(2**63)
    frame.to_parquet(tmp_path / "numbers.parquet")
    words = [*distill, "--data", tmp_path / "numbers.parquet", "--method", "random"]
    assert call(*words, "--out", tmp_path / "run")[0] == 0
    known = f"{2**63},{2**63 + 2}"
    code, printed, err = call(
        "recommend", tmp_path / "run", "--history", known, "-k", "3"
    )
    assert (code, err) == (0, "")
    assert all(0 < int(line) - 2**63 < FILMS for line in printed.splitlines())


def test_recommend_refuses(call, fails, run_folder, tmp_path):
    words = ["recommend", run_folder, "--history"]
    fails("1 of 2 items are not known: 'tea'", *words, "film 1,tea")
    assert call("recommend", run_folder, "-k", "0")[0] == 2
    fails(re.escape(str(tmp_path)), "recommend", tmp_path)


def test_only_logs_recommend(fails, tmp_path):
    summary = multidd.images.random(multidd.samples.fashion().train, ipc=1)
    RunFolder(tmp_path).write(summary, {"data": "sample:fashion", "seed": 0})
    fails("holds images; only summaries of interaction logs", "recommend", tmp_path)
