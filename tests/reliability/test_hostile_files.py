"""No hostile file of any kind runs anything, whatever public reader it is handed to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from multidd import images, recsys
from multidd.data.sources import load_saved
from multidd.errors import CorruptFileError, StorageError
from tests.graph import raw_folders
from tests.reliability import hostile_files

ROOT = Path(__file__).parents[2]

LEAST = {
    "arrays": 150,
    "images": 100,
    "texts": 110,
    "logs": 110,
    "graphs": 2 * len(raw_folders.hostile("nowhere")) + 100,
    "encoders": 30,
    "summaries": 30,
    "runs": 140,
    "checkpoints": 20,
    "experts": 14,
    "caches": 40,
}
"""Hostile files that each reader is handed, at least."""


def test_hostile_files_run_nothing(tmp_path: Path) -> None:
    """Under an audit hook: no import, call, process, connection or write."""
    cache = {"MULTIDD_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    (tmp_path / "files").mkdir()
    result = subprocess.run(
        [sys.executable, "-m", "tests.reliability.hostile_readers", tmp_path / "files"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | cache,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert not report["faults"], "\n".join(report["faults"][:20])
    assert set(report["counts"]) == set(LEAST)
    assert all(report["counts"][name] >= least for name, least in LEAST.items())
    noticed = [event.split()[0] for event in report["noticed"]]
    assert noticed == ["compile", "exec", "open"]  # the hook listens


def test_saved_datasets_name_their_own_files_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    folders = hostile_files.saved_folders(
        tmp_path / "saved", tmp_path / "mark", tmp_path / "secret"
    )
    with pytest.raises(CorruptFileError, match="state.json names '../outside.arrow'; "):
        load_saved(folders["files above it"])
    with pytest.raises(CorruptFileError, match="dict.json names '../above'; only file"):
        load_saved(folders["parts above it"])
    with pytest.raises(CorruptFileError, match="state.json is damaged: it has no list"):
        load_saved(folders["names of no files"])
    with pytest.raises(StorageError, match="data-0.arrow: not a file but a pipe"):
        load_saved(folders["a pipe of data"])


def test_tables_of_pictures_name_their_own_files_only(tmp_path: Path) -> None:
    for part in ("train/cat", "train/dog", "val/images"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "a.png").write_bytes(hostile_files.png())
    table = tmp_path / "val" / "val_annotations.txt"
    for line in ("../../train/cat/a.png\tcat", "a.png", f"{tmp_path}/a.png\tcat"):
        table.write_text(f"a.png\tdog\n{line}\n")
        with pytest.raises(ValueError, match="annotations.txt has the line .*images/"):
            images.load(str(tmp_path))
    table.write_text("a.png\tdog\t0\t0\n")
    assert len(images.load(str(tmp_path)).test.labels) == 1


def test_a_log_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("usér,item\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match="a.csv is not UTF-8 .*; convert it first"):
        recsys.read_log(path)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")  # opening it would wait for ever
    with pytest.raises(StorageError, match="a.npz: not a file but a pipe"):
        images.as_images(tmp_path / "a.npz")
    (tmp_path / "a.csv").symlink_to("/dev/zero")
    with pytest.raises(StorageError, match="a.csv: not a file but a device"):
        recsys.read_log(tmp_path / "a.csv")
    np.savez(tmp_path / "b.npz", x=np.zeros((2, 8, 8), np.uint8), y=[0, 1])
    assert len(images.as_images(tmp_path / "b.npz").labels) == 2
