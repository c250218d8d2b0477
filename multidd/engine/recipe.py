"""What recipes share: from their settings to the one loop.

A recipe sets up a task and a synthetic set (a `Setup`, made by its modality), and goes
through the loop (`learn`). Recipes that follow experts share `Trajectories`. `call`
calls a method with settings by name.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from multidd.arguments import grouped
from multidd.engine.card import CardInfo
from multidd.engine.loop import distill
from multidd.engine.options import RunSettings
from multidd.engine.presets import with_preset
from multidd.engine.schedules import Always, Schedule
from multidd.learning.experts import Experts, record
from multidd.learning.functional import Cost
from multidd.learning.optim import SGD, Adam, Optimizer, with_labels
from multidd.learning.states import Frozen, States
from multidd.learning.unroll import Backprop, InnerLoop
from multidd.objectives import Representative, TrajectoryMatching
from multidd.parameterizations import Labels
from multidd.parameterizations.labels import Policy
from multidd.protocols import Objective, Parameterization

__all__ = [
    "Setup",
    "Trajectories",
    "call",
    "call_named",
    "learn",
    "with_label_policy",
    "with_representative_batches",
]

S = TypeVar("S")
T = TypeVar("T")
P = TypeVar("P", bound=Parameterization)

_ALWAYS = Always()


@dataclass(frozen=True, eq=False)
class Setup(Generic[T, P]):
    """What a recipe runs on, once its data and settings are checked.

    Attributes:
        task: the task.
        parameterization: the synthetic set.
        settings: those of the recipe that are known so far, for the card.
        seconds: wall time of the preparing.
    """

    task: T
    parameterization: P
    settings: dict[str, Any]
    seconds: float


def call(method: Callable[..., S], data: Any, /, **flat: Any) -> S:
    """Call a method with all its settings by name, wherever its signature has them.

    Args:
        method: takes some by name, the rest in `options` and `run`.
        data: its first argument.
        **flat: of its parameters, of the fields of its options, and of `RunOptions`;
            they beat the `preset` among them one by one.

    Returns:
        What the method gives.

    Raises:
        TypeError: a name that is none of them; those that are, are listed.

    Example:
        >>> def method(data, *, steps=2, options=SGD(lr=0.1)):
        ...     return data, steps, options.lr
        >>> call(method, "data", steps=3, lr=0.5)
        ('data', 3, 0.5)
    """
    data, flat = with_preset(method, data, flat)
    return method(data, **grouped(method, flat))


def call_named(
    methods: Mapping[str, Callable[..., S]],
    name: str | None,
    default: str,
    data: Any,
    budget: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> S:
    """Call a method of a modality by its name.

    Args:
        methods: those of the modality.
        name: which; None takes the default.
        default: the name of that.
        data: its first argument.
        budget: budgets by name; those that are None are left out.
        settings: further ones by name, see `call`.

    Raises:
        TypeError: a setting that the method does not have.
        ValueError: no such method.

    Example:
        >>> methods = {"first": lambda data, ipc: data[:ipc]}
        >>> call_named(methods, None, "first", "abc", {"ipc": 2, "total": None}, {})
        'ab'
    """
    name = default if name is None else name
    if name not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}; got {name!r}")
    sizes = {key: value for key, value in budget.items() if value is not None}
    return call(methods[name], data, **{**settings, **sizes})


def learn(
    method: str,
    setup: Setup[Any, Any],
    objective: Objective,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
    schedule: Schedule = _ALWAYS,
    settings: Mapping[str, Any] | None = None,
    lr_labels: float | None = None,
    center: bool = False,
) -> Any:
    """Run the loop on what a recipe set up.

    Args:
        method: name for the card.
        setup: what it runs on.
        objective: what is matched.
        steps: updates.
        optimizer: of each learned group; learned labels move by Adam unless named.
        run: settings of the run.
        schedule: which groups move at which step.
        settings: settings of the recipe beside those of the setup, for the card.
        lr_labels: of Adam on the labels; that of the first group unless given.
        center: soft labels have mean zero.

    Returns:
        The modality's summary.
    """
    if "y_soft" in setup.parameterization.groups:
        optimizer = with_labels(optimizer, lr_labels, center=center)
    return distill(
        setup.task,
        objective,
        setup.parameterization,
        steps=steps,
        optimizer=optimizer,
        schedule=schedule,
        card=CardInfo(
            method,
            setup.settings | dict(settings or {}) | run.preset_settings(),
            setup.seconds,
        ),
        **run.keywords(),
    )


def with_label_policy(
    form: Parameterization,
    policy: Policy,
    *,
    center: bool = False,
    teacher: States | None = None,
    loss: Cost = "cross_entropy",
) -> Parameterization:
    """A parameterization of records with labels by a policy.

    Args:
        form: the records.
        policy: see `multidd.parameterizations.Labels`.
        center: soft labels have mean zero.
        teacher: whose labels they start as, where the policy says so.
        loss: of the teacher; under cross-entropy its outputs are logits.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> with_label_policy(Free(Random(), (1, 1)), "onehot").groups
        ('x', 'y_soft')
    """
    if policy == "hard":
        return form
    # Regressed, a teacher's outputs are near one-hot as they are.
    logits = loss == "cross_entropy"
    return Labels(form, policy, center, teacher=teacher or Frozen(), softmax=logits)


def with_representative_batches(
    setup: Setup[T, P], objective: Objective, batch_size: int | None
) -> tuple[Setup[T, P], Objective]:
    """The setup and the objective, whose real records lie next to cluster centers.

    Args:
        setup: with a task that has a `batch_size`.
        objective: what is matched.
        batch_size: representative records of each class, chosen from four times as
            many; 64 unless given.
    """
    size = batch_size or 64
    task: Any = setup.task
    wide = replace(setup, task=replace(task, batch_size=4 * size))
    return wide, Representative(objective, per_class=size)


@dataclass(frozen=True)
class Trajectories:
    """Settings that all recipes of trajectories share, by the names on their cards.

    Attributes:
        experts: which experts, and where they are kept.
        start: first and last epoch at which the learner starts.
        epochs: M, epochs of an expert that the learner is to go.
        inner: N, steps of the learner.
        rate: the learner's rate at the start.
        lr_rate: of Adam on the logarithm of the rate.
        memory: what is kept of the N steps.
        rows: synthetic records at a step of the learner; None takes all.
        grow: last epoch at which the learner starts at the first step, and the steps in
            which it grows to the last of `start`; None has all from the start.

    Example:
        >>> mtt = Trajectories(Experts(), (0, 1), 1, 5, 0.1, 0.01, "exact")
        >>> mtt.objective().expert_epochs
        1
    """

    experts: Experts
    start: tuple[int, int]
    epochs: int
    inner: int
    rate: float
    lr_rate: float
    memory: Backprop
    rows: int | None = None
    grow: tuple[int, int] | None = None

    def objective(self) -> TrajectoryMatching:
        """What is matched.

        Raises:
            ValueError: settings that do not fit the experts.
        """
        inner = InnerLoop(self.inner, SGD(lr=self.rate), self.rows, self.memory)
        low, high = self.start
        window = (low, high)
        return TrajectoryMatching(self.experts, inner, window, self.epochs, self.grow)

    def optimizer(self, group: str = "objective.log_rate") -> dict[str, Optimizer]:
        """How the learned rate moves.

        Args:
            group: its name in the run.
        """
        return {group: Adam(lr=self.lr_rate)}

    def record(
        self, setup: Setup[Any, P], run: RunSettings, executor: Executor | None = None
    ) -> Setup[Any, P]:
        """Record the experts that are missing, on the device of the run.

        Args:
            setup: of the recipe, which does not run yet.
            run: settings of the run.
            executor: to record in parallel.

        Returns:
            The setup; its seconds count those of the recording. Nothing is recorded
            where `experts.record_missing` is off.

        Raises:
            StorageError: an expert cannot be written; those before it are kept.
        """
        if not self.experts.record_missing:
            return setup
        task = setup.task.to(run.device)
        recorded = record(task, self.experts, executor=executor)
        return replace(setup, seconds=setup.seconds + recorded.seconds)

    def settings(self) -> dict[str, Any]:
        """The settings for the card; `rows` are told by the recipes that have them."""
        names = ("experts", "start", "epochs", "inner", "rate", "lr_rate", "memory")
        settings = {name: getattr(self, name) for name in names}
        if self.grow is not None:
            settings |= dict(zip(("first", "growing"), self.grow, strict=True))
        return settings
