"""Random numbers are keyed: by seed, stream and step, the same everywhere."""

import itertools
import random

import numpy as np
import torch

from multidd import seeds


def test_key_is_pinned() -> None:
    """The first bytes of SHA-256, on every platform and in every version."""
    assert seeds.key(0, "draw", 1) == KEYS[0]
    assert seeds.key(123, "advance", 10**9) == KEYS[1]


# The first 16 hex digits of `printf 0/draw/1 | sha256sum`, halved.
KEYS = (4_643_373_652_518_890_509, 3_279_380_993_066_147_281)


def test_keys_differ_in_every_part() -> None:
    names = itertools.product(range(5), ("draw", "redraw", "loss"), range(20))
    keys = [seeds.key(*name) for name in names]
    assert len(set(keys)) == len(keys) == 300
    assert all(0 <= key < 2**63 for key in keys)


def test_generators_do_not_disturb_one_another() -> None:
    alone = torch.rand(3, generator=seeds.at(1, "a", 2))
    first, other = seeds.at(1, "a", 2), seeds.at(1, "b", 2)
    torch.rand(100, generator=other)
    assert torch.equal(torch.rand(3, generator=first), alone)
    assert not torch.equal(torch.rand(3, generator=seeds.at(1, "a", 3)), alone)


def test_global_generators_are_neither_read_nor_moved() -> None:
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
    result = seeds.child(seeds.at(0, "x"))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()
    assert result == seeds.child(seeds.at(0, "x"))


def test_children_follow_one_another() -> None:
    rng = seeds.at(0, "x")
    drawn = [seeds.child(rng) for _ in range(50)]
    assert len(set(drawn)) == 50 and all(0 <= n < 2**31 for n in drawn)
