"""What condensing a large graph takes: seconds of every stage, of the processor, and
peak memory.

Stochastic block models of four sizes are drawn and condensed, each in a fresh process;
an SGC is trained on every result and tested on the graph, beside random nodes. Small
ones by default; two million nodes take several minutes and about 8 GB:

python examples/large_graph.py --nodes 2000000 --edges 40000000
"""

import argparse
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import multidd
from multidd.evaluation.table import aligned
from multidd.graph import CondenseOptions

QUICK = multidd.Protocol("quick", epochs=100, lr=0.05, check_every=50, width=64)
MIB = 2**20 if sys.platform == "darwin" else 2**10
"""Units of `ru_maxrss` in a MiB."""


def peak() -> float:
    """MiB at the peak of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def measure(nodes: int, edges: int, asked: argparse.Namespace) -> list[str]:
    """One line of the table."""
    blocks = multidd.graph.blocks  # loads what is loaded once
    began = time.perf_counter()
    data = blocks(nodes, edges, asked.features, asked.classes)
    drawn, memory = time.perf_counter() - began, peak()
    size, work = min(asked.condensed, nodes // 4), time.process_time()
    options = CondenseOptions(teacher="hops", max_memory=asked.memory)
    summary = multidd.graph.condense(data, nodes=size, options=options, progress=True)
    stages, work = summary.card.stages, time.process_time() - work
    cells = [f"{nodes:,}", f"{edges:,}", str(size), f"{drawn:.1f}", f"{memory:.0f}"]
    cells += [f"{seconds:.1f}" for seconds in stages.values()]
    cells += [f"{summary.card.seconds:.1f}", f"{work:.1f}", f"{1e6 * work / edges:.2f}"]
    cells.append(f"{peak():.0f}")
    return [*cells, *scores(summary, data, asked.judge)]


def scores(summary: Any, data: Any, judge: bool) -> list[str]:
    """Accuracies of an SGC trained on the summary and on random nodes."""
    if not judge:
        return ["", ""]
    report = multidd.evaluate(
        summary, data, models=["sgc"], seeds=1, rows=["random"], protocol=QUICK
    )
    rows = (None, "random")
    return [f"{100 * report.accuracy('sgc', row):.1f}" for row in rows]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--nodes", type=int, default=24_000)
    parser.add_argument("--edges", type=int, default=240_000)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--condensed", type=int, default=400)
    parser.add_argument("--sizes", type=int, default=4, help="each half of the next")
    parser.add_argument("--memory", help="such as '4 GB'; else what is free")
    parser.add_argument("--no-judge", dest="judge", action="store_false")
    asked = parser.parse_args()
    head = ["nodes", "edges", "condensed", "drawing s", "MiB drawn", "reading s"]
    head += ["propagation s", "teacher s", "clusters s", "card s", "all s", "CPU s"]
    table = [[*head, "CPU s / million edges", "peak MiB", "sgc %", "random %"]]
    for power in reversed(range(asked.sizes)):
        sizes = asked.nodes >> power, asked.edges >> power
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            table.append(fresh.submit(measure, *sizes, asked).result())
        print("  ".join(table[-1]), file=sys.stderr, flush=True)
    print(aligned(table))


if __name__ == "__main__":
    main()
