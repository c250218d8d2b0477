"""Settings of a run, apart from what it learns: `RunOptions` and `SelectBest`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from multidd.data.splitting import check_count
from multidd.engine.stages import Stages
from multidd.learning.precision import Precision, check_precision
from multidd.protocols import Callback
from multidd.storage.atomic import PathLike
from multidd.storage.packing import check_bits

__all__ = ["RunOptions", "RunSettings", "SelectBest"]


@dataclass(frozen=True)
class SelectBest:
    """Keep the best iterate, judged on validation data by `task.score`.

    Attributes:
        every: steps between two scores; the start is scored too.
        patience: scores without a gain after which the run stops; None never stops.

    Raises:
        ValueError: `every` is below 1.

    Example:
        >>> SelectBest(every=5)
        SelectBest(every=5, patience=None)
    """

    every: int = 10
    patience: int | None = None

    def __post_init__(self) -> None:
        check_count("every", self.every)


@dataclass(frozen=True)
class RunOptions:
    """Settings of a run: time limit, checkpoints, best iterate, callbacks.

    Attributes:
        timeout: seconds after which the run stops, its result usable. A method without
            a loop looks at the clock between its parts, and fails with an
            `OutOfTimeError` where it has no result yet.
        checkpoint_every: steps between two checkpoints.
        select_best: keep the best iterate by validation instead of the last.
        callbacks: objects with `on_start`, `on_step`, `on_end`.
        bits: of a number, 2 to 8: from half of the steps on the set is compared as it
            will be stored in so many, and `summary.compress(bits)` ends the run.
        threads: of torch in the loop; None takes one where models are small and run
            stacked, which gives the same bits on any number of cores, and else as many
            as torch does, but no more than there are cores.
        precision: of the passes through networks: `"float32"`, exact; `"bf16"`,
            bfloat16 where torch's autocast takes it, half the memory and on a GPU
            several times the speed; or `"tf32"`, products of 10-bit factors on NVIDIA's
            GPUs. What is compared, solved and updated stays float32 or float64.
        compile: let `torch.compile` compile the passes through the network, which takes
            a minute at the first step and pays in long runs on a GPU; for methods that
            differentiate once, such as `dm` for images.

    Raises:
        ValueError: `checkpoint_every` or `threads` is below 1, `bits` is not 2 to 8, or
            no such precision.

    Example:
        >>> RunOptions(timeout=60.0).checkpoint_every
        50
    """

    timeout: float | None = None
    checkpoint_every: int = 50
    select_best: SelectBest | None = None
    callbacks: Sequence[Callback] = ()
    bits: int | None = None
    threads: int | None = None
    precision: Precision = "float32"
    compile: bool = False

    def __post_init__(self) -> None:
        check_count("checkpoint_every", self.checkpoint_every)
        check_precision(self.precision)
        if self.threads is not None:
            check_count("threads", self.threads)
        if self.bits is not None:
            object.__setattr__(self, "bits", check_bits(self.bits))


@dataclass(frozen=True)
class RunSettings:
    """All that a run is told: one value for recipes to hand on.

    Attributes:
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        options: the rest.

    Example:
        >>> RunSettings(seed=1, options=RunOptions(timeout=60.0)).timeout
        60.0
    """

    seed: int = 0
    device: str = "cpu"
    progress: bool | None = None
    checkpoint: PathLike | None = None
    options: RunOptions = RunOptions()

    @property
    def timeout(self) -> float | None:
        """Seconds that the run may take."""
        return self.options.timeout

    @property
    def select_best(self) -> SelectBest | None:
        """How the best iterate is chosen, if it is."""
        return self.options.select_best

    def keywords(self) -> dict[str, Any]:
        """The settings as `multidd.distill` takes them.

        Example:
            >>> sorted(RunSettings().keywords())
            ['checkpoint', 'device', 'progress', 'run', 'seed']
        """
        rest = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"run": rest.pop("options"), **rest}

    def without_loop(self, method: str) -> dict[str, Any]:
        """The settings as `multidd.select` takes them; those of a loop are refused.

        Args:
            method: its name, for the error.

        Raises:
            TypeError: a setting that is for loops only was given.

        Example:
            >>> sorted(RunSettings().without_loop("herding"))
            ['device', 'progress', 'run', 'seed']
        """
        default = RunOptions()
        names = ["checkpoint_every", "select_best", "callbacks", "bits", "threads"]
        names += ["precision", "compile"]
        looped = [n for n in names if getattr(self.options, n) != getattr(default, n)]
        looped = ["checkpoint"] * (self.checkpoint is not None) + looped
        if looped:
            raise TypeError(f"{method} takes no {', '.join(looped)}: it has no loop")
        settings = self.keywords()
        del settings["checkpoint"]
        return settings

    def stages(self, method: str, seconds: float = 0.0) -> Stages:
        """The parts of a method without a loop: timed, told, and within `timeout`.

        Args:
            method: its name.
            seconds: that were taken before.

        Raises:
            TypeError: a setting that is for loops only was given.

        Example:
            >>> RunSettings(options=RunOptions(timeout=60.0)).stages("cgc").late
            False
        """
        self.without_loop(method)
        return Stages(method, self.progress, self.timeout, seconds)
