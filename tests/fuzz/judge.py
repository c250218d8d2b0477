"""Mutations by the hundred, each tried in a child with bounded memory and time."""

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from multidd.errors import MultiddError
from tests.fuzz.mutations import Mutation
from tests.fuzz.subjects import STAND_INS, SUBJECTS, NamedInWarning, Subject

MEMORY, SECONDS = 2**30, 10.0
"""What a mutated file may take: bytes of address space beyond those before, and
seconds."""

GOOD = ("refused", "valid")
BAD = ("unnamed", "silent", "traceback", "over 1 GB", "over 10 s")
OUTCOMES = (*GOOD, *BAD)
"""What may become of a mutated file, and what may not."""


def judge(subject: Subject, mutation: Mutation, folder: Path) -> tuple[str, str]:
    """The outcome of one mutated file, and a word on it."""
    try:
        faults = subject.use(mutation, folder)
    except NamedInWarning:
        return "refused", ""
    except MultiddError as error:
        text, names = str(error), mutation.place.split(".")
        table = type(error).__name__ == "RefusedTableError"
        file = table or any(p.name in text for p in folder.rglob("*"))
        whole = mutation.action in ("drop", "add", *STAND_INS)
        fields = [name for name in names if not name.isdigit()]
        named = whole or not fields or any(f.split(":")[-1] in text for f in fields)
        return ("refused" if file and named else "unnamed"), text[:300]
    except (MemoryError, RuntimeError, OSError) as error:
        if isinstance(error, MemoryError) or "allocate" in str(error):
            return "over 1 GB", str(error)[:200]
        return "traceback", _last_lines(error)
    except Exception as error:
        return "traceback", _last_lines(error)
    return ("silent", ", ".join(faults)) if faults else ("valid", "")


def _last_lines(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{type(error).__name__}: {str(error)[:160]} ({place})"


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _child(name: str, seeds: list[str], start: int, pipe: int) -> None:
    """Try the mutations from `start` on, and write a line of each."""
    subject = SUBJECTS[name]
    valid = subject.valid()
    _limit_memory()
    with os.fdopen(pipe, "w") as out:
        for number in range(start, len(seeds)):
            mutation = subject.change(valid, seeds[number])
            with tempfile.TemporaryDirectory() as folder:
                line = [number, *judge(subject, mutation, Path(folder))]
            out.write(json.dumps([*line, mutation.place, mutation.action]) + "\n")
            out.flush()


def run(name: str, count: int, seed: str = "0") -> list[dict[str, str]]:
    """The outcome of so many mutations of a kind of file."""
    SUBJECTS[name].valid()  # what it takes to make one is made once, before the forks
    seeds = [f"{seed}/{name}/{number}" for number in range(count)]
    outcomes: list[dict[str, str]] = []
    while len(outcomes) < count:
        outcomes += _batch(name, seeds, len(outcomes))
    return outcomes


def _batch(name: str, seeds: list[str], start: int) -> list[dict[str, str]]:
    """Outcomes until a child ends, or hangs and is ended."""
    receive, send = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(receive)
        try:
            _child(name, seeds, start, send)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(send)
    outcomes, rest = [], b""
    hung = False
    while True:
        ready, _, _ = select.select([receive], [], [], SECONDS + 20 * (not outcomes))
        if not ready:
            hung = True
            os.kill(child, signal.SIGKILL)
            break
        part = os.read(receive, 1 << 16)
        if not part:
            break
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            _, outcome, text, place, action = json.loads(line)
            outcomes.append(
                {"outcome": outcome, "text": text, "place": place, "action": action}
            )
    os.close(receive)
    os.waitpid(child, 0)
    number = start + len(outcomes)
    if number < len(seeds):
        change = SUBJECTS[name].change(SUBJECTS[name].valid(), seeds[number])
        outcome = "over 10 s" if hung else "traceback"
        entry = {"outcome": outcome, "text": "the process ended"}
        outcomes.append(entry | {"place": change.place, "action": change.action})
    return outcomes


def table(results: dict[str, list[dict[str, str]]]) -> str:
    """Counts of each kind of file, as a Markdown table."""
    lines = ["| file | " + " | ".join(OUTCOMES) + " |"]
    lines.append("|---" * (len(OUTCOMES) + 1) + "|")
    total: Counter[str] = Counter()
    for name, outcomes in results.items():
        counts = Counter(one["outcome"] for one in outcomes)
        total += counts
        lines.append(
            f"| {name} | " + " | ".join(str(counts[o]) for o in OUTCOMES) + " |"
        )
    lines.append("| all | " + " | ".join(str(total[o]) for o in OUTCOMES) + " |")
    return "\n".join(lines)


def main(count: int, names: list[str], report: str | None = None) -> int:
    """Try every kind of file; print counts, and the first of what should not be."""
    import warnings

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MULTIDD_CACHE"] = cache
        experts = Path(cache) / "multidd" / "experts"
        from tests.golden.make_stored_runs import EXPERTS

        shutil.copytree(EXPERTS, experts)
        results = {}
        for name in names or SUBJECTS:
            results[name] = run(name, count)
            bad = [one for one in results[name] if one["outcome"] in BAD]
            for one in bad[:3]:
                print(
                    f"{name}:",
                    *(one[n] for n in ("outcome", "place", "action", "text")),
                )
            sys.stdout.flush()
    print(table(results))
    if report:
        Path(report).write_text(json.dumps(results, indent=1))
    return sum(one["outcome"] in BAD for each in results.values() for one in each)


if __name__ == "__main__":
    wrong = main(
        int(os.environ.get("FUZZ", "300")), sys.argv[1:], os.environ.get("REPORT")
    )
    sys.exit(bool(wrong))
