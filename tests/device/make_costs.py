"""Write what a step of each method costs: `python -m tests.device.make_costs`.

Costs may only fall. One that has risen stays as it was and is printed; `--allow NAME`
lets that of a method rise, which its commit has to explain.
"""

import json
import sys
import warnings
from pathlib import Path

from tests.device.walk import walked
from tests.methods.cases import CASES

COSTS = Path(__file__).with_name("costs.json")


def main(names: list[str]) -> None:
    """Walk the methods with a loop, or those named."""
    warnings.simplefilter("ignore")
    costs = json.loads(COSTS.read_text()) if COSTS.is_file() else {}
    allowed = {names[i + 1] for i, word in enumerate(names) if word == "--allow"}
    chosen = {name for name in names if name != "--allow"}
    for case in CASES:
        name = str(case)
        if not case.has_loop or (chosen and name not in chosen):
            continue
        now = walked(case).costs
        old = costs.get(name, now) if name not in allowed else now
        risen = {kind: n for kind, n in now.items() if n > old.get(kind, 0)}
        if name in costs and risen and name not in allowed:
            print(f"{name}: {risen} were {old}")
        costs[name] = {k: min(n, old.get(k, n)) for k, n in sorted(now.items())}
        print(name, costs[name], flush=True)
        COSTS.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
