"""Protocols: task, parameterization, objective, selection, callback, evaluator.

A *task* is what a modality supplies, a *parameterization* is how the synthetic set
is stored and drawn, an *objective* is what is matched, a *selection* picks real
records without a loop. `multidd.distill` and `multidd.select` compose them. An
*evaluator* is what a modality supplies to `multidd.evaluate`.

Axis letters, everywhere in the library: `n` real records, `m` synthetic ones, `d`
features, `c` classes, `o` outputs of a layer, `b` batch, `k` models side by side.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    runtime_checkable,
)

import torch
from torch import Tensor

from multidd.classes import ClassIndex

if TYPE_CHECKING:
    from multidd.evaluation.protocol import Protocol as TrainingProtocol


Batch: TypeAlias = Any
"""Real or synthetic records as a task lays them out; opaque to the core."""

Draw: TypeAlias = dict[str, Tensor]
"""A synthetic set as named tensors: `x`, `y`, and what the modality adds."""

Params: TypeAlias = dict[str, Tensor]
"""Everything learned. The group of a name is what stands before its first `/`."""

Tree: TypeAlias = Mapping[str, Any]
"""Tensors in nested dicts: a state that is saved and resumed as it is."""

View: TypeAlias = Callable[[Batch], Batch]
"""One draw of an augmentation: the same object transforms the real and the synthetic
side, which is what makes it siamese."""


@dataclass(frozen=True)
class Records:
    """What a selection sees of the training split.

    Attributes:
        features: `[n, d]`, the space in which records are compared.
        labels: `[n]`, integers `0..c-1`.
        num_classes: c.
        weights: `[n]`, how much each record counts in a mean; equal where None.
    """

    features: Tensor
    labels: Tensor
    num_classes: int
    weights: Tensor | None = None

    def check(self, counts: Sequence[int]) -> None:
        """Refuse counts that these records cannot fill.

        Raises:
            ValueError: a class has fewer records than its count, or a count is below
                one, or there is not one for each class.
        """
        if len(counts) != self.num_classes:
            raise ValueError(f"got {len(counts)} counts for {self.num_classes} classes")
        have = torch.bincount(self.labels, minlength=self.num_classes).tolist()
        for label, (count, size) in enumerate(zip(counts, have, strict=True)):
            if count < 1:
                raise ValueError(
                    f"class {label} would get {count} records; give it one"
                )
            if count > size:
                raise ValueError(
                    f"class {label} has {size} training records, {count} were asked "
                    f"for; ask for at most {size} of it"
                )


@dataclass(frozen=True)
class Picks:
    """What a selection chose: every synthetic record as a weighted mean of real ones.

    Attributes:
        weights: sparse COO `[m, n]`; each row sums to one.
        labels: `[m]`, the class of each row.
        real: whether rows stand for records as they are; else for means, also where a
            mean is of one record.
    """

    weights: Tensor
    labels: Tensor
    real: bool = True

    @property
    def indices(self) -> Tensor:
        """`[m]`, the record behind each row; for real picks only."""
        if not self.real:
            raise ValueError("these picks are means of several records, not records")
        rows, columns = self.weights.coalesce().indices()
        return columns[rows.argsort()]


S_co = TypeVar("S_co", covariant=True)


class Task(Protocol[S_co]):
    """What a modality supplies.

    Model weights are dicts of tensors with a leading axis `k`: that many models side
    by side. Matrices are `[k, o, ...]`, output channel first. A task whose summaries
    decode what is stored (`multidd.parameterizations.decoding`) has `decodes = True`;
    of any other, summaries get what models run on. `decodes`, the fixed real batch
    `held`, `device`, `choose_ridge(kernel, synthetic, grid)`, `codec_of(name)`, how a
    tensor of the summary is stored in few bits, `lower_precision`, whether networks may
    pass records in bfloat16, and `shareable`, in which ways ranks may cut a batch (see
    `ways_to_share`), are optional members;
    `TaskDefaults` has what most tasks share.
    """

    @property
    def num_classes(self) -> int:
        """c."""

    @property
    def vectorize_models(self) -> bool:
        """Whether models run stacked (small heads) or one by one (convolutions)."""

    def to(self, device: str) -> Self:
        """The same task on another device."""

    def describe(self) -> dict[str, Any]:
        """JSON-able settings and the fingerprint of the data."""

    def batch(self, rng: torch.Generator) -> Batch:
        """Real training records, drawn by `rng` where there are too many for one."""

    def with_fixed_batch(self, batch: Batch) -> Self:
        """The same task whose real batch is always this one."""

    def synthetic(self, draw: Draw) -> Batch:
        """A draw as a batch that models run on; differentiable in the draw."""

    def take(self, batch: Batch, rows: Tensor) -> Batch:
        """Some rows of a batch, as a batch."""

    def view(self, rng: torch.Generator) -> View:
        """One draw of the augmentation; the identity where there is none."""

    def classes(self, batch: Batch) -> ClassIndex:
        """The rows of each class."""

    def inputs(self, batch: Batch) -> Any:
        """The records `[b, ...]` as kernels compare them: a tensor or `SparseRows`."""

    def targets(self, batch: Batch) -> Any:
        """One-hot or learned labels, `[b, c]`.

        A tensor, or, of real records only, `multidd.kernels.multinomial.SparseTargets`.
        """

    def weights(self, rng: torch.Generator, models: int) -> Params:
        """Fresh random weights of `models` models."""

    def losses(self, weights: Params, batch: Batch) -> Tensor:
        """`[b]`, loss of each example under one model (no leading axis)."""

    def features(
        self, weights: Params, batch: Batch, last: int | None = None
    ) -> list[Tensor]:
        """Outputs of each layer under one model, `[b, h]`, the logits last.

        With `last`, of so many last layers only.
        """

    def linear_features(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Features `[b, d]` and targets `[b, o]` of a linear softmax head, or None.

        Where the model is one on fixed features, class gradients are closed form.
        """

    def detached_gradients(
        self, weights: Params, batch: Batch, classes: ClassIndex
    ) -> Params | None:
        """Gradients of each class's mean loss under one model, `[c, ...]`, or None.

        Without a graph, where the task has a faster way than autograd.
        """

    def records(self) -> Records:
        """The training split as selections compare it."""

    def from_selection(self, picks: Picks) -> Draw:
        """The synthetic set that a selection stands for."""

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """How well a cheap learner trained on `draw` does on validation data."""

    def summary(self, draw: Draw, card: Any) -> S_co:
        """The modality's `DataSummary` of a finished draw."""


class TaskDefaults:
    """Members that most tasks have alike, to inherit.

    Models run one after another, there is no augmentation, gradients have no closed
    form, and a fixed batch is the field `held` of a dataclass.
    """

    decodes: ClassVar[bool] = False
    lower_precision: ClassVar[bool] = False

    @property
    def vectorize_models(self) -> bool:
        """False: models run one after another."""
        return False

    @property
    def shareable(self) -> tuple[str, ...]:
        """None: a batch that is cut might be another batch; see `ways_to_share`."""
        return ()

    def with_fixed_batch(self, batch: Batch) -> Self:
        """The same task whose real batch is always this one."""
        task: Any = self
        return cast(Self, replace(task, held=batch))

    def view(self, rng: torch.Generator) -> View:
        """The identity: no augmentation."""
        return lambda batch: batch

    def linear_features(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """None: the model is no linear head on fixed features."""
        return None

    def detached_gradients(
        self, weights: Params, batch: Batch, classes: ClassIndex
    ) -> Params | None:
        """None: autograd is the fastest way."""
        return None


def device_of(task: Any) -> str:
    """The device that a task lives on; the CPU where it does not say."""
    return str(getattr(task, "device", "cpu"))


def has_fixed_batch(task: Any) -> bool:
    """Whether a task's real batch is always the same one."""
    return getattr(task, "held", None) is not None


def decodes(task: Any) -> bool:
    """Whether a task's summaries decode what is stored."""
    return bool(getattr(task, "decodes", False))


class Parameterization(Protocol):
    """How the synthetic set is stored and drawn.

    Optional members are read by `label_kind` and `decoder_info`: one whose labels are
    not hard, or whose records are stored in another form than models run on, says so
    for the card in `label_kind` and `decoder`. One that goes around another one, its
    `base`, has that one's labels unless it says otherwise. A subclass inherits `final`
    and `decode`.
    """

    @property
    @abstractmethod
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that an optimizer may move."""

    @abstractmethod
    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The tensors at the start, moving and fixed ones."""

    @abstractmethod
    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """A synthetic set, differentiable in `params`."""

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """What the summary stores: by default all tensors, detached."""
        return {name: tensor.detach() for name, tensor in params.items()}

    def decode(self, stored: Draw) -> Draw:
        """What models run on, of what the summary stores: by default the same."""
        return stored


def label_kind(parameterization: Any) -> str:
    """`"hard"`, `"soft"` or `"centered"`, by the outermost part that says so."""
    while parameterization is not None and not hasattr(parameterization, "label_kind"):
        parameterization = getattr(parameterization, "base", None)
    return getattr(parameterization, "label_kind", "hard")


def decoder_info(parameterization: Any) -> dict[str, Any]:
    """A parameterization's `decoder`; empty where records are stored as they are."""
    return getattr(parameterization, "decoder", {})


class Objective(Protocol):
    """What is matched. Settings are frozen; state goes in and out.

    One that learns tensors of its own has an optional method `learned() -> Params`,
    which is read by `learned_tensors`; they are groups called `objective.<name>`, and
    `loss` gets them in `state["learned"]`. One whose loss ranks can share has an
    optional method `shareable(task)`, which is read by `ways_to_share`. One whose state
    has lists of varying length names them in an optional `varying`. A subclass inherits
    `init` and `advance`.
    """

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """State at the start; none by default."""
        return {}

    @abstractmethod
    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """A scalar, differentiable in the synthetic batch."""

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """The next state, the same by default.

        Names, types and shapes stay those of `init`, but for `varying`: a checkpoint is
        compared with them. `synthetic` is a detached redraw after the update.
        """
        return state


def learned_tensors(objective: Any) -> Params:
    """The tensors that an objective learns by itself; none for most."""
    learned: Params = getattr(objective, "learned", dict)()
    return learned


def ways_to_share(objective: Any, task: Any) -> tuple[str, ...]:
    """In which ways ranks can share an objective's loss on a task, to the same result.

    `"classes"`: each rank has some classes of both sides; the loss is a sum over
    classes, and no record's features depend on those of others. `"rows"`: each has
    some rows of the real batch. None for what does not say.
    """
    ways: tuple[str, ...] = getattr(objective, "shareable", lambda task: ())(task)
    return ways


def task_ways(task: Any) -> tuple[str, ...]:
    """In which ways a task's batches can be cut; none for one that does not say."""
    ways: tuple[str, ...] = getattr(task, "shareable", ())
    return ways


class Selection(Protocol):
    """Real records chosen or averaged without a loop."""

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` rows of class i, for every class."""


class Callback(Protocol):
    """Any object with these three methods; `run` is a `multidd.engine.loop.Run`.

    Of several ranks the first alone calls it, unless it says `on_all_ranks = True`.
    """

    def on_start(self, run: Any) -> None:
        """Called before the first step."""

    def on_step(self, run: Any) -> bool | None:
        """Called after each step; True stops the run."""

    def on_end(self, run: Any) -> None:
        """Called after the last step, also when the run was stopped."""


@runtime_checkable
class Evaluator(Protocol):
    """What a modality supplies to `multidd.evaluate`: it trains and tests models.

    `multidd.evaluation.evaluator.BaseEvaluator` has defaults for all but `models`,
    `protocols`, `describe`, `check`, `row` and `fit`. Summaries are of the modality's
    own class.
    """

    @property
    def models(self) -> Sequence[str]:
        """Names of models, the default first."""

    @property
    def protocols(self) -> "Mapping[str, TrainingProtocol]":
        """Protocols by name, the default first."""

    @property
    def rows(self) -> Sequence[str]:
        """Names of the baselines beside a summary; `"whole"` stands for whole data."""

    @property
    def metric(self) -> str:
        """The metric that decides."""

    @property
    def extra_metrics(self) -> Sequence[str]:
        """Further metrics of the table."""

    @property
    def digits(self) -> int:
        """After the point, in the table."""

    @property
    def closed_form_models(self) -> Sequence[str]:
        """Models that are solved to the optimum, by no protocol."""

    def describe(self) -> dict[str, Any]:
        """JSON-able fingerprint of the data; scores of whole data are kept by it."""

    def check(self, summary: Any) -> None:
        """Refuse a summary that does not fit the data."""

    def row(self, name: str, summary: Any, seed: int) -> Any:
        """A baseline of the summary's size; None stands for whole data."""

    def fit(
        self, summary: Any, model: str, protocol: "TrainingProtocol", seed: int
    ) -> Mapping[str, float]:
        """Scores of a model trained on a summary, or on whole data where it is None."""

    def size(self, summary: Any) -> tuple[int | None, int | None]:
        """Records and bytes of a training set; None where there is nothing to tell."""

    def form(self, summary: Any) -> str:
        """What else a table says of the size of a training set."""

    def supports(self, row: str, model: str) -> bool:
        """Whether a model can be trained on a baseline."""

    def model_key(self, model: str) -> str:
        """What scores of a model on whole data are kept by, beside the protocol."""

    def describe_protocol(self, protocol: "TrainingProtocol") -> str:
        """What stands below a table; empty for the settings of the protocol."""
