"""Denormals are flushed inside the block alone, whatever happens there."""

import pytest
import torch

from multidd.numerics import flush_denormals, flushes_denormals

TINY = 1e-40


def product() -> float:
    return (torch.full((64,), TINY) * 1.0).max().item()


def test_only_inside_the_block() -> None:
    assert product() > 0 and not flushes_denormals()
    with flush_denormals():
        assert product() == 0 and flushes_denormals()
        assert (torch.tensor([1e-30]) * 1.0).item() > 0
    assert product() > 0 and not flushes_denormals()


def test_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), flush_denormals():
        assert product() == 0
        raise KeyError("inside")
    assert product() > 0


def test_nested_and_already_on() -> None:
    with flush_denormals():
        with flush_denormals():
            assert product() == 0
        assert product() == 0
    assert product() > 0
