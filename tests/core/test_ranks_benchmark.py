"""Lines of what ranks gain: their arithmetic, and one that is measured."""

import pytest

from multidd.evaluation import ranks_benchmark as module
from multidd.evaluation.ranks_benchmark import RankLine


def test_a_line_takes_the_least_of_repeats_and_the_slowest_rank():
    first = [[0.5, "a", 2.0], [0.3, "a", 2.0], [0.4, "a", 2.0], [0.1, "a", 2.0]]
    second = [[0.6, "a", 2.0], [0.2, "a", 2.0], [0.5, "a", 2.0], [0.25, "b", 2.5]]
    line = module._line("dm", [first, second])
    assert (line.alone, line.shared, line.gain) == (0.4, 0.2, 2.0)
    assert not line.same_bits and line.loss_gap == 0.25
    assert line.cells()["bits"] == "loss 2.5e-01"
    assert RankLine("dm", 2, 0.2, 0.1, True, 0.0).cells()["bits"] == "equal"


@pytest.mark.full
def test_a_line_is_measured():
    call = "multidd.images.dm(train, 1, steps=steps, width=4, progress=False)"
    line = module._in_turns("dm", 2, module.IMAGES | {"call": call}, (1, 4), 1)
    assert line.ranks == 2 and line.same_bits and line.gain > 0
