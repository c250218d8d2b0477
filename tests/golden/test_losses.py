"""Short loss curves of every learned method on the shipped Cora, kept in the repo.

A change that should not change results leaves them as they are. To renew them after one
that should: python tests/golden/test_losses.py
"""

import json
from pathlib import Path

import pytest

import multidd
from multidd.graph import LEARNED, METHODS

KEPT = Path(__file__).with_name("losses.json")
STEPS = 5


def curve(method: str) -> list[float]:
    """Losses of the first steps at two nodes a class."""
    data = multidd.samples.cora()
    made = METHODS[method](data, per_class=2, steps=STEPS, labels="train", seed=0)
    return list(made.card.history)


@pytest.mark.parametrize("method", LEARNED)
def test_losses_are_those_kept(method: str) -> None:
    """Equal up to what another processor's arithmetic changes."""
    kept = json.loads(KEPT.read_text())[method]
    assert len(kept) == STEPS
    assert curve(method) == pytest.approx(kept, rel=1e-3)


if __name__ == "__main__":
    found = {method: curve(method) for method in LEARNED}
    KEPT.write_text(json.dumps(found, indent=1) + "\n")
