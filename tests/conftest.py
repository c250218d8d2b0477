"""Two rules for every test: leave no global changed, and name the real data used."""

import gc
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import rich.style  # noqa: F401  (its first import draws a random number: do it now)
import torch

matplotlib.use("agg")

# A look through all objects takes a quarter of a second, thousands of tests ask for
# hundreds, and find little: most garbage dies young.
gc.set_threshold(20_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def _own_cache() -> Iterator[None]:
    """What the library caches in a test run stays out of the user's cache."""
    before = os.environ.get("MULTIDD_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MULTIDD_CACHE"] = folder
        yield
    os.environ.pop("MULTIDD_CACHE")
    if before is not None:
        os.environ["MULTIDD_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def _no_plain_trainings() -> Iterator[None]:
    """Reports have plain trainings where a test asks for them: they take seconds."""
    from multidd.evaluation import evaluate

    before, evaluate.REGIMES = evaluate.REGIMES, ()
    yield
    evaluate.REGIMES = before


# --- globals ------------------------------------------------------------------


def _numpy_state() -> tuple:
    kind, keys, *rest = np.random.get_state()
    return (kind, keys.tobytes(), *rest)


def _set_numpy_state(state: tuple) -> None:
    kind, keys, *rest = state
    np.random.set_state((kind, np.frombuffer(keys, dtype=np.uint32), *rest))


def _set_torch_state(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(state: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(state[0], warn_only=state[1])


def _flushes_denormals() -> bool:
    # The flag cannot be asked for: see whether a denormal survives a product.
    return bool((torch.tensor([1e-40]) * 1 == 0).item())


def _rc_params() -> dict[str, Any]:
    # As a plain dict: its own copy() checks each value, and every test reads them.
    return {k: v for k, v in dict.items(matplotlib.rcParams) if k != "backend"}


def _signal(number: int) -> tuple[Callable, Callable]:
    return lambda: signal.getsignal(number), lambda old: signal.signal(number, old)


# name -> (read it, put it back)
GLOBALS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch default device": (torch.get_default_device, torch.set_default_device),
    "torch number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch anomaly mode": (
        torch.is_anomaly_enabled,
        torch.autograd.set_detect_anomaly,
    ),
    "torch deterministic algorithms": (_deterministic, _set_deterministic),
    "torch matmul precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch cudnn.deterministic": (
        lambda: torch.backends.cudnn.deterministic,
        lambda old: setattr(torch.backends.cudnn, "deterministic", old),
    ),
    "torch cudnn.benchmark": (
        lambda: torch.backends.cudnn.benchmark,
        lambda old: setattr(torch.backends.cudnn, "benchmark", old),
    ),
    "torch flush_denormal": (_flushes_denormals, torch.set_flush_denormal),
    "torch random state": (
        lambda: torch.get_rng_state().numpy().tobytes(),
        _set_torch_state,
    ),
    "numpy random state": (_numpy_state, _set_numpy_state),
    "random state": (random.getstate, random.setstate),
    "matplotlib rcParams": (_rc_params, matplotlib.rcParams.update),
    "working directory": (os.getcwd, os.chdir),
    "SIGTERM handler": _signal(signal.SIGTERM),
    "SIGINT handler": _signal(signal.SIGINT),
}


@pytest.fixture(autouse=True)
def globals_unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a global changed; put the global back either way."""
    before = {name: read() for name, (read, _) in GLOBALS.items()}
    yield
    changed = [name for name, (read, _) in GLOBALS.items() if read() != before[name]]
    for name in changed:
        GLOBALS[name][1](before[name])
    if changed and request.node.get_closest_marker("changes_globals") is None:
        pytest.fail(f"the test changed a global: {', '.join(changed)}", pytrace=False)


# --- short runs ---------------------------------------------------------------


@pytest.fixture
def short_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher of `condense`, of fewer and smaller networks trained for less, and
    its students and the networks that judge edges, trained for less too."""
    from multidd.graph.models.teachers import best_teacher

    short = partial(best_teacher, members=2, width=16, epochs=40)
    monkeypatch.setattr("multidd.graph.methods.condense.best_teacher", short)
    monkeypatch.setattr("multidd.graph.models.students.EPOCHS", 40)
    monkeypatch.setattr("multidd.graph.methods.edge_validation.TRAININGS", 1)


# --- real data ----------------------------------------------------------------

DESELECTED = pytest.StashKey[int]()


def _data_root() -> Path | None:
    root = os.environ.get("MULTIDD_DATA")
    return Path(root) if root else None


def _required() -> bool:
    return os.environ.get("MULTIDD_REQUIRE_DATA") == "1"


def _missing(what: str) -> None:
    """A missing set fails the test where data are required, and else skips it."""
    (pytest.fail if _required() else pytest.skip)(f"missing real data: {what}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A data root without files, and a hub that gives what is put into it."""
    import datasets

    from multidd.data import sources

    monkeypatch.setenv("MULTIDD_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(sources, "check_hub", lambda: None)
    shelf: dict[str, Any] = {}

    def load_dataset(name: str) -> Any:
        if name not in shelf:
            raise ConnectionError(f"Couldn't reach {name!r}\non the hub")
        return shelf[name]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return shelf


@pytest.fixture
def data_root() -> Path:
    """The folder MULTIDD_DATA names."""
    root = _data_root()
    if root is None or not root.is_dir():
        _missing(f"MULTIDD_DATA is {root and str(root)!r}, not a folder")
    return root


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if _data_root() is not None or _required():
        return
    data = [item for item in items if item.get_closest_marker("data")]
    if data:
        items[:] = [item for item in items if item not in data]
        config.hook.pytest_deselected(items=data)
    config.stash[DESELECTED] = len(data)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if count := config.stash.get(DESELECTED, 0):
        terminalreporter.write_line(
            f"{count} real-data tests left out: MULTIDD_DATA is not set"
        )


@pytest.fixture(autouse=True)
def named_data_exist(request: pytest.FixtureRequest) -> None:
    """Look for the paths that the marker `data("graph/Cora", ...)` names."""
    for marker in request.node.iter_markers("data"):
        root = request.getfixturevalue("data_root")
        for path in marker.args:
            if not (root / path).exists():
                _missing(f"{root / path}")
