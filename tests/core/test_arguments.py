"""The door of public functions: what is a number, a device, and what is refused."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from multidd.arguments import check_device, public_function, real_number, whole_number
from multidd.learning.optim import SGD


@dataclass(frozen=True)
class Settings:
    """Settings with settings in them."""

    count: int = 1
    share: float = 0.5
    sizes: tuple[int, ...] = (1, 2)
    inner: SGD = SGD(lr=0.1)
    name: str | int = "all"


@public_function
def method(
    data: Any, budget: int | None = None, *, rate: float = 1.0, options: Settings
) -> tuple[Any, ...]:
    return budget, rate, options


def test_numbers_of_settings_within_settings_are_plain() -> None:
    options = Settings(
        np.int32(3), np.float32(0.5), (np.int64(4),), SGD(np.float64(0.2)), np.int8(7)
    )
    budget, rate, plain = method("data", torch.tensor(5), rate=2, options=options)
    assert (type(budget), budget, type(rate), rate) == (int, 5, int, 2)
    assert plain == Settings(3, 0.5, (4,), SGD(0.2), 7)
    kinds = [type(v) for v in (plain.count, plain.share, plain.sizes[0], plain.name)]
    assert kinds == [int, float, int, int] and type(plain.inner.lr) is float


def test_types_for_checkers_alone_hide_no_other_field() -> None:
    @dataclass(frozen=True)
    class Hidden:
        steps: int
        other: "NoSuchType" = None  # type: ignore[name-defined]  # noqa: F821

    def function(data: Any, hidden: Hidden) -> Any:
        return hidden

    function.__annotations__["hidden"] = Hidden
    plain = public_function(function)("data", Hidden(np.int64(3), np.int8(1)))
    assert [type(plain.steps), type(plain.other)] == [int, int]


def test_plain_settings_are_the_same_object() -> None:
    options = Settings()
    assert method("data", options=options)[2] is options


@pytest.mark.parametrize("value", ["1", True, None, [1], np.ones(2), 1j])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match="rate must be a number, got "):
        real_number("rate", value)
    with pytest.raises(TypeError, match="steps must be a whole number, got "):
        whole_number("steps", value)


def test_a_wrong_call_is_named_by_the_function() -> None:
    with pytest.raises(
        TypeError, match="^method has no setting budgets; it has .*rate"
    ):
        method("data", budgets=3, options=Settings())  # type: ignore[call-arg]


def test_fields_of_settings_by_their_names() -> None:
    """Read by their types, in the place of those that are in the settings."""
    settings: Any = {"options": Settings(count=2), "share": np.float32(0.25)}
    options = method("data", **settings)[2]
    assert (options.count, options.share, type(options.share)) == (2, 0.25, float)
    with pytest.raises(TypeError, match="share must be a number, got 'x'"):
        method("data", **settings | {"share": "x"})


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps", "meta", "xpu", "", 3.5])
def test_a_device_that_is_not_there(device: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"no device '.*' here; .* one of cpu$"):
        check_device(device)


def test_devices_that_are_there(monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for device in ("cuda", "cuda:1", "mps", torch.device("cuda:0")):
        assert check_device(device) == str(device)
    assert check_device("cpu:0") == "cpu"
    with pytest.raises(ValueError, match="one of cpu, cuda:0, cuda:1, mps$"):
        check_device("cuda:2")
