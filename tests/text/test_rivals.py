"""Text that others published, judged as ours is."""

import pytest

import multidd
from multidd import text
from multidd.errors import MultiddError
from multidd.text.evaluation.published import dilm


@pytest.fixture
def train():
    return text.as_texts(["a fine film", "a dull film"], ["positive", "negative"])


@pytest.mark.data("text/dilm_sst2")
def test_sets_are_told_apart_by_seed_and_size(train):
    first, other = (dilm(train, 5, seed=seed) for seed in (0, 1))
    assert len(first.texts) == len(other.texts) == 10
    assert first.texts != other.texts
    assert first.tensors["y"].bincount().tolist() == [5, 5]
    exam = text.as_texts(["a fine film", "a dull film"], ["positive", "negative"])
    report = multidd.evaluate(
        first, exam, models=["logistic"], rows=[], seeds=1, progress=False
    )
    assert 0 <= report.accuracy("logistic") <= 1


@pytest.mark.data("text/dilm_sst2")
@pytest.mark.parametrize(("per_class", "seed"), [(7, 0), (5, 20)])
def test_other_sizes_and_numbers_are_refused(train, per_class, seed):
    with pytest.raises(ValueError, match="5, 10 and 20"):
        dilm(train, per_class, seed=seed)


def test_without_the_file(train, monkeypatch, tmp_path):
    monkeypatch.setenv("MULTIDD_DATA", str(tmp_path))
    with pytest.raises(MultiddError, match="dilm_sst2.parquet"):
        dilm(train, 5)
