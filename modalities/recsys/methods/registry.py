"""Every method of the modality by name, and which of them have a loop."""

from collections.abc import Callable

from multidd.recsys.methods.kernel import distill_cf
from multidd.recsys.methods.selection import SELECTIONS
from multidd.recsys.summary.summary import RecsysSummary

METHODS: dict[str, Callable[..., RecsysSummary]] = {
    "distill_cf": distill_cf,
    **SELECTIONS,
}


LEARNED = ("distill_cf",)
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""
