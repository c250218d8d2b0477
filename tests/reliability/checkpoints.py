"""Small checkpoints: saved, listed and checked."""

import warnings
from pathlib import Path

import torch

from multidd.engine.checkpoint import CheckpointFolder


def save(folder: CheckpointFolder, step: int) -> Path:
    folder.save(step, {"x": torch.full((50,), float(step))}, {"seed": step})
    return folder.path / f"step-{step:08d}.safetensors"


def saved(path: Path, *steps: int, keep: int = 2) -> CheckpointFolder:
    with CheckpointFolder(path, keep=keep) as folder:
        for step in steps:
            save(folder, step)
    return folder


def steps(path: Path) -> list[int]:
    return sorted(int(file.name[5:13]) for file in path.glob("step-*.safetensors"))


def assert_latest(path: Path, step: int) -> None:
    """The newest is `step`, whole, and found without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        latest = CheckpointFolder(path).latest()
    assert latest is not None
    assert latest[0] == step
    assert torch.equal(latest[1]["x"], torch.full_like(latest[1]["x"], step))
    assert latest[2] == {"seed": step}
