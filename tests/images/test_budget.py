"""Budgets in images and in bytes: shares of the classes, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidd.data.splitting import apportion
from multidd.images.methods.budget import Budget, item_bytes, plan

SIZES = st.lists(st.integers(1, 60), min_size=2, max_size=9)


@given(SIZES, st.data())
def test_equal_gives_each_class_as_many(sizes, data):
    ipc = data.draw(st.integers(1, min(sizes)))
    c = len(sizes)
    assert plan(sizes, ipc, item_bytes=7) == Budget((ipc,) * c, ipc * c, 7 * ipc * c)


@given(SIZES, st.data())
def test_proportional_spends_all_and_keeps_limits(sizes, data):
    ipc = data.draw(st.integers(1, sum(sizes) // len(sizes)))
    budget = plan(sizes, ipc, item_bytes=5, class_balance="proportional")
    assert budget.items == sum(budget.counts) == ipc * len(sizes)
    assert budget.bytes == 5 * budget.items
    assert all(1 <= k <= size for k, size in zip(budget.counts, sizes, strict=True))
    exact = [budget.items * size / sum(sizes) for size in sizes]
    if min(exact) >= 1:
        assert max(abs(k - e) for k, e in zip(budget.counts, exact, strict=True)) < 1
    pairs = sorted(zip(sizes, budget.counts, strict=True))
    for (size, k), (larger, more) in zip(pairs[:-1], pairs[1:], strict=True):
        assert k <= more or size == larger


@given(SIZES, st.integers(1, 50), st.sampled_from(["equal", "proportional"]), st.data())
def test_bytes_are_never_exceeded(sizes, item, balance, data):
    c = len(sizes)
    most = c * min(sizes) if balance == "equal" else sum(sizes)
    total = data.draw(st.integers(c * item, (most + 1) * item - 1))
    budget = plan(sizes, None, total, item_bytes=item, class_balance=balance)
    assert budget.bytes == budget.items * item <= total
    assert total - budget.bytes < item * (c if balance == "equal" else 1)


def test_largest_remainder():
    assert plan(
        [500, 300, 200], 5, item_bytes=1, class_balance="proportional"
    ).counts == (
        8,
        4,
        3,
    )  # 7.5, 4.5, 3: the first of two equal remainders wins
    assert plan([97, 2, 1], 4, item_bytes=1, class_balance="proportional").counts == (
        10,
        1,
        1,
    )
    assert plan([9, 2, 1], 4, item_bytes=1, class_balance="proportional").counts == (
        9,
        2,
        1,
    )
    assert apportion(3, [5, 5, 90], [5, 5, 90], min_count=0) == [0, 0, 3]


def test_bytes_of_an_image():
    assert item_bytes((1, 28, 28)) == 784 * 4 + 8
    assert item_bytes((3, 32, 32), soft=10) == 3072 * 4 + 8 + 40
    ten = plan([50] * 10, None, 32_000, item_bytes=item_bytes((1, 28, 28)))
    assert ten == Budget((1,) * 10, 10, 31_440)


@pytest.mark.parametrize(
    ("budgets", "got"),
    [((None, None), "none"), ((3, 900), "ipc=3 and budget_bytes=900")],
)
def test_none_or_two(budgets, got):
    with pytest.raises(ValueError, match=f"one of ipc and budget_bytes; got {got}$"):
        plan([5, 5], *budgets, item_bytes=1)


def test_ipc_above_a_class():
    expected = r"ipc=4 is 4 of each class, but class 'cat' has 3 .* at most 3 of each"
    with pytest.raises(ValueError, match=expected):
        plan([9, 3, 8], 4, item_bytes=1, names=["dog", "cat", "cow"])
    with pytest.raises(ValueError, match=r"but class '1' has 3"):
        plan([9, 3, 8], 4, item_bytes=1)
    with pytest.raises(ValueError, match=r"ipc=7 is 21 images; there is room for 20"):
        plan([9, 3, 8], 7, item_bytes=1, class_balance="proportional")


def test_bytes_above_the_data():
    with pytest.raises(ValueError, match=r"budget_bytes=120, 12 images, is 4 of each"):
        plan([9, 3, 8], None, 120, item_bytes=10)
    with pytest.raises(ValueError, match=r"budget_bytes=300, 30 images, is 30 images"):
        plan([9, 3, 8], None, 300, item_bytes=10, class_balance="proportional")


def test_bytes_below_one_of_each_class():
    expected = r"budget_bytes=29 holds 2 images of 10 bytes.* smallest that fits is 30$"
    with pytest.raises(ValueError, match=expected):
        plan([9, 3, 8], None, 29, item_bytes=10)
    assert plan([9, 3, 8], None, 30, item_bytes=10).counts == (1, 1, 1)


def test_a_class_without_images():
    with pytest.raises(ValueError, match="class 'cat' has no training images"):
        plan([9, 0], 1, item_bytes=1, names=["dog", "cat"])


@pytest.mark.parametrize("name", ["ipc", "budget_bytes"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError)]
)
def test_not_a_number_of_images(name, value, error):
    with pytest.raises(error, match=f"{name} must be"):
        plan([5, 5], item_bytes=1, **{"ipc": None, "budget_bytes": None, name: value})


def test_unknown_balance():
    with pytest.raises(ValueError, match="balance must be one of .*got 'even'"):
        plan([5, 5], 1, item_bytes=1, class_balance="even")
