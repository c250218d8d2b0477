"""`Texts`: rows, splits, fingerprints, and what it refuses to hold."""

import pytest
import torch

from multidd.text.data.texts import Texts, fingerprint


def make_texts(counts=(4, 6), pairs=False):
    """So many texts of each class, no two alike."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    texts = tuple(f"text {i}" for i in range(len(labels)))
    second = tuple(f"and {i}" for i in range(len(labels))) if pairs else None
    names = ("ham", "spam", "egg")[: len(counts)]
    return Texts(texts, second, labels, names, tuple(range(len(counts))))


def test_repr_and_sizes():
    texts = make_texts()
    assert repr(texts) == "Texts(10 texts, 2 classes)"
    assert repr(make_texts(pairs=True)) == "Texts(10 pairs of texts, 2 classes)"
    assert (len(texts), texts.num_classes) == (10, 2)
    assert texts.counts.tolist() == [4, 6]


def test_it_is_frozen():
    with pytest.raises(AttributeError):
        make_texts().texts = ()


@pytest.mark.parametrize("pairs", [False, True])
def test_take_keeps_order_and_classes(pairs):
    texts = make_texts(pairs=pairs)
    mask = torch.arange(10) > 7
    for rows, expected in [
        ([9, 0], [9, 0]),
        (torch.tensor([9, 0]), [9, 0]),
        (mask, [8, 9]),
    ]:
        part = texts.take(rows)
        assert part.texts == tuple(f"text {i}" for i in expected)
        assert part.pairs == (tuple(f"and {i}" for i in expected) if pairs else None)
        assert part.labels.tolist() == [int(i >= 4) for i in expected]
        assert part.classes == texts.classes
    assert len(texts.take([])) == 0


@pytest.mark.parametrize(
    "rows, message",
    [
        ([10], r"rows must be 0\.\.9, got 10\.\.10"),
        ([-1, 3], r"got -1\.\.3"),
        ([0.5], r"whole numbers \[b\] or a mask \[10\]; got torch.float32"),
        (torch.ones(3, dtype=torch.bool), r"got torch.bool \[3\]"),
        ([[1]], r"got torch.int64 \[1, 1\]"),
    ],
)
def test_take_rows_that_are_none(rows, message):
    with pytest.raises(ValueError, match=message):
        make_texts().take(rows)


@pytest.mark.parametrize(("held", "counts"), [(0.25, [5, 10]), (15, [5, 10])])
def test_split_is_stratified_and_keyed(held, counts):
    texts = make_texts((20, 40), pairs=True)
    rest, out = texts.split(held, seed=3)
    assert out.counts.tolist() == counts
    assert sorted(rest.texts + out.texts) == sorted(texts.texts)
    assert all(a[5:] == b[4:] for a, b in zip(out.texts, out.pairs, strict=True))
    assert texts.split(held, seed=3)[1].texts == out.texts
    assert texts.split(held, seed=4)[1].texts != out.texts


@pytest.mark.parametrize("held", [0, 1.0, -0.5, "half", True])
def test_shares_that_are_none(held):
    with pytest.raises((TypeError, ValueError), match="share"):
        make_texts((3, 3)).split(held)


def test_split_leaves_one_of_each_class():
    rest, _ = make_texts((1, 2, 30)).split(0.9)
    assert min(rest.counts.tolist()) == 1
    with pytest.raises(
        ValueError, match="of 10 texts, but each class keeps one; at mo"
    ):
        make_texts().split(9)
    with pytest.raises(ValueError, match="0.01 of 10 texts is none"):
        make_texts().split(0.01)


def test_fingerprint_follows_texts_labels_and_order():
    texts, description = make_texts(), make_texts().describe()
    assert description == texts.describe()
    assert (description["texts"], description["classes"], description["counts"]) == (
        10,
        2,
        [4, 6],
    )
    assert len(description["sha256"]) == 48
    turned = texts.take(list(range(9, -1, -1)))
    other = (
        turned,
        make_texts(pairs=True),
        Texts(("x", *texts.texts[1:]), None, texts.labels, *names(texts)),
        Texts(texts.texts, None, texts.labels.flip(0), *names(texts)),
    )
    assert len({description["sha256"], *(t.describe()["sha256"] for t in other)}) == 5
    # Features depend on texts alone: their key must not depend on labels.
    assert other[3].fingerprint == texts.fingerprint


def names(texts):
    return texts.classes, texts.values


def test_fingerprint_is_the_same_on_every_machine():
    assert fingerprint(["Größe", "spam\n"]) == "00f35e044d16c83c87b3863f59c288d7"
    alike = [(["ab"], None), (["a", "b"], None), (["a"], ["b"]), ([], ["a", "b"])]
    assert len({fingerprint(*pair) for pair in alike}) == 4
    split = [(["a1 b"], None), (["a", "b"], None), (["1 a", "b"], None)]
    assert len({fingerprint(*pair) for pair in split}) == 3


def test_it_is_checked_when_made():
    good = make_texts()
    for change, error, message in [
        (
            {"texts": list(good.texts)},
            TypeError,
            "texts must be a tuple of strings, got l",
        ),
        ({"texts": (1,) * 10}, TypeError, "as_texts takes other forms"),
        ({"pairs": ("a",)}, ValueError, "10 texts have 1 second texts"),
        ({"labels": good.labels[:9]}, ValueError, r"labels must be int64 \[10\]"),
        ({"labels": good.labels.int()}, ValueError, "got torch.int32"),
        ({"labels": good.labels + 1}, ValueError, r"must be 0\.\.1, got 1\.\.2"),
        ({"values": (0,)}, ValueError, "2 classes need 2 values, got 1"),
    ]:
        held = {n: getattr(good, n) for n in ("texts", "pairs", "labels", "classes")}
        with pytest.raises(error, match=message):
            Texts(**({**held, "values": (0, 1)} | change))
