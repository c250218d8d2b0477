"""A log for tests of tasks; modules that want another one have their own `log`."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from multidd.recsys.data.log import InteractionLog
from tests.recsys.worlds import two_tastes


@pytest.fixture(scope="module")
def log():
    """Sixty users; the third has nothing in the training part."""
    whole = InteractionLog.from_csr(two_tastes()).split(seed=1)
    part = whole.part.copy()
    part[whole.indptr[2] : whole.indptr[3]] = 2
    return replace(whole, part=part)


@pytest.fixture(scope="module")
def known(log):
    """`[59, I]`, training histories with an item."""
    return torch.from_numpy(np.delete(log.train.toarray(), 2, axis=0))
