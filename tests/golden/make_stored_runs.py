"""Makes `stored/`: `OMP_NUM_THREADS=1 python -m tests.golden.make_stored_runs [NAME]`.

For each golden run its summary and, where it has a loop, the checkpoint of a run that
was killed half way; the experts that some of them follow; and `stored.json`, the digest
of every summary and the machine that made them. With names, only those runs are made
anew, and the machine that made each is noted. To be called where results should change,
and at no other time: what lies there says what an earlier version did.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

import multidd
from tests.golden.runs import HALF, LEARNED, RUNS, Killed, Watch, machine, versions

STORED = Path(__file__).with_name("stored")
NOTE = STORED / "stored.json"
EXPERTS = STORED / "experts"
CHECKPOINT = f"step-{HALF:08d}.safetensors"
SUMMARY = "summary.safetensors"


def cached_experts() -> Path:
    """Where the library keeps experts."""
    return Path(os.environ["MULTIDD_CACHE"]) / "multidd" / "experts"


def half_done(call: Callable[..., Any], folder: Path) -> None:
    """Run to the middle, and let the checkpoint lie in the folder."""
    killer = Watch(HALF + 1)
    try:
        call(checkpoint=str(folder), checkpoint_every=HALF, callbacks=[killer])
    except Killed:
        return
    raise AssertionError(f"it was not stopped: {killer.seen}")


def store(name: str) -> str:
    """Make one run whole and one by halves; the digest of both."""
    result, folder = RUNS[name](), STORED / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    result.save(folder / SUMMARY)
    assert multidd.load(folder).digest() == result.digest() == RUNS[name]().digest()
    if name in LEARNED:
        with tempfile.TemporaryDirectory() as path:
            half_done(RUNS[name], Path(path))
            shutil.copy(Path(path) / CHECKPOINT, folder)
            watch = Watch()
            again = RUNS[name](checkpoint=path, callbacks=[watch])
        assert again.digest() == result.digest() and watch.seen[0] == HALF + 1
    return str(result.digest())


def main(names: Iterable[str] = ()) -> None:
    """Make the runs of these names, or all."""
    torch.set_num_threads(1)
    note = json.loads(NOTE.read_text()) if names else {}
    if not names:
        shutil.rmtree(STORED, ignore_errors=True)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MULTIDD_CACHE"] = cache
        digests = {name: store(name) for name in names or RUNS}
        if cached_experts().is_dir():
            shutil.copytree(cached_experts(), EXPERTS, dirs_exist_ok=True)
    stored = note.get("digests", {}) | digests
    note = {"machine": machine(), "versions": versions(), "machines": {}} | note
    note["machines"] |= dict.fromkeys(digests, machine()) if names else {}
    note["digests"] = {name: stored[name] for name in RUNS}
    NOTE.write_text(json.dumps(note, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
