"""Item ids as tensors: exact both ways, and what is refused."""

import numpy as np
import pytest
import torch

from multidd.recsys.data.ids import (
    as_table,
    find,
    pack,
    require_same_items,
    sorting,
    unpack,
)
from tests.recsys.rows import IDS, ITEMS

KIND = {"int": "int", "negative": "int", "uint": "uint", "str": "str"}


@pytest.mark.parametrize("name", IDS)
def test_ids_come_back_as_they_were(name):
    tensors, kind = pack(IDS[name])
    back = unpack(tensors, kind)
    assert kind == KIND[name] and back.tolist() == list(IDS[name])
    assert back.dtype == {"int": np.int64, "uint": np.uint64, "str": object}[kind]
    assert {type(x) for x in back.tolist()} == {str if kind == "str" else int}


def test_stored_form():
    assert pack([5, 3])[0]["items"].tolist() == [5, 3]
    assert pack([2**64 - 1, 1])[0]["items"].tolist() == [-1, 1]
    texts = pack(["é", "", "b"])[0]
    assert bytes(texts["items.bytes"].tolist()) == "éb".encode()
    assert texts["items.offsets"].tolist() == [0, 2, 2, 3]


def test_a_wrongly_decoded_name_survives():
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert unpack(*pack([broken])).tolist() == [broken]


def test_input_is_not_shared():
    ids = np.arange(4)
    tensors, kind = pack(ids)
    tensors["items"][0] = 9
    unpack(tensors, kind)[1] = 8
    assert ids.tolist() == [0, 1, 2, 3] and tensors["items"].tolist() == [9, 1, 2, 3]


def test_ids_that_occur_twice():
    with pytest.raises(ValueError, match="'b' occurs twice"):
        as_table(["a", "b", "c", "b"])
    with pytest.raises(ValueError, match="7 occurs twice"):
        as_table(np.array([7, 1, 7]))


def _altered(name, tensor):
    tensors, kind = pack(["ab", "c", "d"])
    return {**tensors, name: tensor}, kind


@pytest.mark.parametrize(
    ("tensors", "kind", "message"),
    [
        (*pack([1, 2])[:1], "str", "lack items.bytes, items.offsets"),
        (*pack(["a"])[:1], "int", "lack items"),
        (*pack([1, 2])[:1], "float", "one of int, uint, str; got 'float'"),
        ({"items": torch.ones(3)}, "int", r"items must be .*int64; got .*float32"),
        ({"items": torch.tensor([1, 1])}, "int", "1 occurs twice"),
        (*_altered("items.offsets", torch.tensor([0, 3, 2, 4])), "must rise from 0"),
        (*_altered("items.offsets", torch.tensor([0, 2, 3, 5])), "to the 4 bytes"),
        (*_altered("items.offsets", torch.tensor([1, 2, 3, 4])), "must rise from 0"),
        (*_altered("items.offsets", torch.zeros(0, dtype=torch.int64)), "must rise"),
        (*_altered("items.bytes", torch.full((4,), 255, dtype=torch.uint8)), "utf-8"),
        (*_altered("items.bytes", torch.full((4,), 65)), "must be .*uint8; got"),
    ],
)
def test_damaged_tables(tensors, kind, message):
    with pytest.raises(ValueError, match=message):
        unpack(tensors, kind)


def test_a_tensor_of_ids():
    assert as_table(torch.tensor([3, 1])).tolist() == [3, 1]
    with pytest.raises(TypeError, match=r"item ids must be a list; got shape \[1, 2\]"):
        as_table(torch.tensor([[3, 1]]))


def test_numbers_are_found_among_texts():
    table = as_table(["1", "b", "30"])
    assert find(table, sorting(table), [30, 1]).tolist() == [2, 0]
    numbers = as_table([30, 1, 2**63])
    order = sorting(numbers)
    assert find(numbers, order, ["1", str(2**63)]).tolist() == [1, 2]
    assert find(numbers, order, np.array([30])).tolist() == [0]
    with pytest.raises(ValueError, match="2 of 3 ids are not in the log: '01', 'a'; "):
        find(numbers, order, ["30", "01", "a"])
    with pytest.raises(ValueError, match="1 of 2 ids are not in the log: -1; its ids"):
        find(numbers, order, [30, -1])
    few = as_table([3, 1])
    with pytest.raises(ValueError, match="1 of 1 ids are not in the log: 92233720368"):
        find(few, sorting(few), [2**63])


def test_logs_with_other_items():
    ours = as_table(IDS["str"])
    require_same_items(ours, ours.copy())
    with pytest.raises(ValueError, match=f"{ITEMS} of its {ITEMS} .*another order"):
        require_same_items(ours, ours[::-1])
    with pytest.raises(ValueError, match="0 of its 40 items are among the 2"):
        require_same_items(ours, as_table([1, 2]))
