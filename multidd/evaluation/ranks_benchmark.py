"""What a second rank gains and what `ranks()` costs: CPU seconds of a step.

Each rank is a process of one thread on this machine. All ranks take turns: some steps
alone, outside of the block, and some steps shared, so that both are disturbed alike by
what else runs. Processor seconds are what that disturbs least; wall time is not
measured.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["LINES", "RankLine", "alone_inside", "images_by_classes", "users_by_rows"]

PROGRAM = """
import contextlib, json, sys, time
import torch
torch.set_num_threads(1)
import multidd
from multidd.parallel import ranks
{data}

def seconds(steps):
    started = time.process_time()
    summary = {call}
    return time.process_time() - started, summary

def of_a_step():
    few, _ = seconds({few})
    many, summary = seconds({many})
    return (many - few) / ({many} - {few}), summary.digest(), summary.card.history[-1]

turns = (contextlib.nullcontext, ranks)
for turn in turns:
    with turn():
        seconds(1)
results = []
for repeat in range({repeats}):
    for turn in turns:
        with turn():
            results.append(of_a_step())
json.dump(results, sys.stdout)
"""

IMAGES = {
    "data": "train = multidd.samples.fashion().train",
    "call": "multidd.images.dm(train, ipc=10, steps=steps, progress=False)",
}
SMALL_IMAGES = IMAGES | {
    "call": (
        "multidd.images.dm(train, ipc=1, steps=steps, width=4, batch_size=8, "
        "progress=False)"
    ),
}
"""Steps of milliseconds, beside which what comes on top would be seen."""

USERS = {
    "data": (
        "from multidd.recsys.methods.kernel import DistillCFOptions\n"
        "log = multidd.recsys.power_law(20_000, 2_000, 600_000)\n"
        "options = DistillCFOptions(batch_size=8_000)"
    ),
    "call": (
        "multidd.recsys.distill_cf(log, users=200, steps=steps, options=options, "
        "progress=False)"
    ),
}


@dataclass(frozen=True)
class RankLine:
    """One measured line.

    Attributes:
        name: what ran.
        ranks: how many processes shared it.
        alone: processor seconds of a step of one process.
        shared: of a rank, the slowest one.
        same_bits: whether the summaries are alike bit for bit.
        loss_gap: of the last step, relative.

    Example:
        >>> RankLine("dm", 2, 0.2, 0.1, True, 0.0).gain
        2.0
    """

    name: str
    ranks: int
    alone: float
    shared: float
    same_bits: bool
    loss_gap: float

    @property
    def gain(self) -> float:
        """How many times less a rank computes than one process."""
        return self.alone / self.shared

    def cells(self) -> dict[str, str]:
        """The line as columns of a table."""
        return {
            "run": self.name,
            "ranks": str(self.ranks),
            "CPU s a step": f"{self.alone:.4f}",
            "of a rank": f"{self.shared:.4f}",
            "gain": f"{self.gain:.2f}",
            "bits": "equal" if self.same_bits else f"loss {self.loss_gap:.1e}",
        }


def images_by_classes(world: int = 2) -> RankLine:
    """`dm` with ten images of each class, whose classes the ranks share.

    Args:
        world: how many ranks.
    """
    return _in_turns("images dm, by classes", world, IMAGES, (2, 8), repeats=3)


def users_by_rows(world: int = 2) -> RankLine:
    """`distill_cf` with 8,000 users of a generated log at a step, which ranks share.

    Args:
        world: how many ranks.
    """
    return _in_turns("recsys distill_cf, 8,000 users", world, USERS, (2, 7), repeats=3)


def alone_inside() -> RankLine:
    """A small `dm` of one process, outside of `ranks()` and inside."""
    name = "images dm, small, inside of ranks()"
    return _in_turns(name, 1, SMALL_IMAGES, (10, 110), repeats=15)


LINES: dict[str, Callable[[], RankLine]] = {
    "images by classes": images_by_classes,
    "users by rows": users_by_rows,
    "ranks() alone": alone_inside,
}
"""Name of a line -> what measures it."""


def _in_turns(
    name: str, world: int, run: dict[str, str], steps: tuple[int, int], repeats: int
) -> RankLine:
    few, many = steps
    program = PROGRAM.format(**run, few=few, many=many, repeats=repeats)
    return _line(name, _outputs(program, world))


def _line(name: str, results: list[list[Any]]) -> RankLine:
    """The least of the repeats: what others took comes on top of it."""
    alone = min(seconds for rank in results for seconds, _, _ in rank[::2])
    slowest = max(min(seconds for seconds, _, _ in rank[1::2]) for rank in results)
    _, digest, loss = results[0][0]
    ends = [end for rank in results for end in rank]
    same = all(other == digest for _, other, _ in ends)
    gap = max(abs(other - loss) / abs(loss) for _, _, other in ends)
    return RankLine(name, len(results), alone, slowest, same, gap)


def _outputs(program: str, world: int) -> list[Any]:
    """What each rank of a program prints, as JSON."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    place |= {"WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        place["GLOO_SOCKET_IFNAME"] = "lo"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **place, "RANK": str(rank)},
            stdout=subprocess.PIPE,
        )
        for rank in range(world)
    ]
    outputs = [process.communicate()[0] for process in processes]
    for process in processes:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, "rank")
    return [json.loads(output) for output in outputs]
