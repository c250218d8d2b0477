"""The shared base of evaluators: what `multidd.evaluate` asks of every modality."""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from multidd.arguments import check_device
from multidd.data.splitting import hold_out
from multidd.evaluation.custom_models import check_custom, custom_name, is_estimator
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.report import PER_CLASS
from multidd.summary import DataSummary

__all__ = [
    "BaseEvaluator",
    "LabelledEvaluator",
    "PreparedValues",
    "class_accuracies",
    "largest",
]

S = TypeVar("S", bound=DataSummary)
T = TypeVar("T")

MAX_HELD_OUT = 2000
"""Training records, and at most a tenth, that what is chosen is chosen on."""

MAX_PREPARED_BYTES = 2**28
"""Bytes of prepared values that an evaluator keeps between trainings."""

MAX_TRIES, CLOSE = 8, 0.97
"""How often a control's size is guessed, and the share of the bytes that is enough."""


class PreparedValues:
    """Values that are made once and kept, up to a number of bytes.

    The oldest go first; a value that is larger than all the room is made anew each
    time.

    Args:
        max_bytes: of all values together.

    Example:
        >>> prepared = PreparedValues(100)
        >>> prepared.get("features", lambda: [1, 2], num_bytes=80)
        [1, 2]
        >>> prepared.get("features", lambda: [3], num_bytes=80)
        [1, 2]
    """

    def __init__(self, max_bytes: int = MAX_PREPARED_BYTES) -> None:
        self.max_bytes = max_bytes
        self._values: dict[Hashable, tuple[Any, int]] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # What is dear to make goes to workers too; a lock is of one process.
        return {"max_bytes": self.max_bytes, "_values": dict(self._values)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def num_bytes(self) -> int:
        """Bytes of the values that are kept now."""
        return sum(size for _, size in self._values.values())

    def fits(self, num_bytes: int) -> bool:
        """Whether a value of that size is kept."""
        return num_bytes <= self.max_bytes

    def get(
        self, key: Hashable, make: Callable[[], T], num_bytes: int | None = None
    ) -> T:
        """The value of a key, made at the first call.

        Args:
            key: what the value stands for.
            make: makes it.
            num_bytes: its size; that of a tensor, or of several, unless given.
        """
        with self._lock:
            if key in self._values:
                value: T = self._values[key][0]
                return value
        # Made without the lock: what makes it may ask for other values, or wait for a
        # thread that does. Two threads may make the same value; the first one stays.
        value = make()
        size = _tensor_bytes(value) if num_bytes is None else num_bytes
        if self.fits(size):
            with self._lock:
                if key in self._values:
                    value = self._values[key][0]
                    return value
                while self.num_bytes + size > self.max_bytes:
                    del self._values[next(iter(self._values))]
                self._values[key] = value, size
        return value


def _tensor_bytes(value: Any) -> int:
    """Bytes of a tensor, or of those that a container or a dataclass holds."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if is_dataclass(value):
        value = [getattr(value, part.name) for part in fields(value)]
    parts = value if isinstance(value, list | tuple) else ()
    return sum(map(_tensor_bytes, parts))


class BaseEvaluator(ABC, Generic[S]):
    """Trains models on a summary, or on a baseline of its size, and tests them.

    What a modality must give are the four abstract methods, `models` and `protocols`;
    everything else has its default here. An evaluator reads its data once and keeps
    what it prepares of them, so one object may evaluate many summaries.

    Args:
        device: where models are trained, such as `"cpu"`, `"cuda"` or `"auto"`. What is
            solved by scikit-learn or SciPy stays on the CPU, and so do summaries.

    Attributes:
        models: names of models, the default first.
        protocols: protocols by name, the default first.
        rows: names of the baselines beside a summary; `"whole"` stands for whole data.
        metric: the metric that decides.
        extra_metrics: further metrics of the table.
        digits: after the point, in the table.
        closed_form_models: models that are solved to the optimum, by no protocol.
        plain: plain trainings, which a stranger would do: name -> what it is.
        seedless_plain: those that a seed does not change.
        regime_rows: rows beside that only label regimes have.
        device: where models are trained; scores and labels come back to the CPU.
        prepared: what was made of the data, for all rows and seeds.
    """

    models: Sequence[str] = ()
    protocols: Mapping[str, Protocol] = {}
    rows: Sequence[str] = ()
    metric: str = "accuracy"
    extra_metrics: Sequence[str] = ()
    digits: int = 1
    closed_form_models: Sequence[str] = ()
    plain: Mapping[str, str] = {}
    seedless_plain: Sequence[str] = ()
    regime_rows: Sequence[str] = ()
    device: str = "cpu"

    def __init__(self, device: str = "cpu") -> None:
        self.device = check_device(device)

    @property
    def place(self) -> dict[str, str]:
        """What scores and teachers of whole data are kept by beside the data: the kind
        of the device; nothing of the CPU."""
        kind = torch.device(self.device).type
        return {} if kind == "cpu" else {"device": kind}

    @property
    def prepared(self) -> PreparedValues:
        """What was made of the data, for all rows and seeds."""
        values: PreparedValues = self.__dict__.setdefault("_prepared", PreparedValues())
        return values

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """JSON-able fingerprint of the data; scores of whole data are kept by it."""

    @abstractmethod
    def check(self, summary: S) -> None:
        """Refuse a summary that does not fit the data.

        Raises:
            ValueError: says what does not fit.
        """

    @abstractmethod
    def row(self, name: str, summary: S, seed: int) -> S | None:
        """A baseline of the summary's size; None stands for whole data."""

    @abstractmethod
    def fit(
        self, summary: S | None, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Scores of a model trained on a summary, or on whole data where it is None."""

    def fit_plain(self, summary: S | None, name: str, seed: int) -> float | None:
        """Score of a plain training on a summary, or on whole data where it is None.

        Returns:
            The score by `metric`; None where the training cannot take the summary.
        """
        raise NotImplementedError(f"{type(self).__name__} has no plain trainings")

    def has_soft_labels(self, summary: S) -> bool:
        """Whether a summary has soft labels of its own."""
        return "y_soft" in summary.tensors

    def regime_note(self, regime: str, summary: S, model: str) -> str:
        """Why a set cannot be trained on under a label regime; empty where it can."""
        if is_estimator(self.custom_models.get(model)) and regime != "HL":
            return f"{model} is fitted on classes, not on soft labels"
        if model == "kernel" and regime == "SL+KD":
            return "the kernel predictor is solved at once and sees no views"
        return ""

    def size(self, summary: S | None) -> tuple[int | None, int | None]:
        """Records and bytes of a training set; nothing of whole data."""
        if summary is None:
            return None, None
        return len(summary.tensors["y"]), summary.num_bytes

    def form(self, summary: S | None) -> str:
        """What else a table says of the size of a training set, such as `40 tiles`."""
        return ""

    def supports(self, row: str, model: str) -> bool:
        """Whether a model can be trained on a baseline."""
        return True

    def model_key(self, model: str) -> str:
        """What scores of a model on whole data are kept by, beside the protocol."""
        return model

    def describe_protocol(self, protocol: Protocol) -> str:
        """What stands below a table; empty for the settings of the protocol."""
        return ""

    @property
    def custom_models(self) -> dict[str, Any]:
        """Models of the caller's own, by the names that they have in a table."""
        models: dict[str, Any] = self.__dict__.setdefault("_custom_models", {})
        return models

    def add_model(self, model: Any) -> str:
        """The name by which `fit` trains a model of the caller's own from now on.

        Args:
            model: what makes an `nn.Module`, an estimator of scikit-learn, or what else
                the modality trains.

        Raises:
            TypeError: none of these.
            ValueError: a module that does not fit the data.
        """
        for name, known in self.custom_models.items():
            if known is model:
                return name
        name = label = self.name_of(model)
        count = 1
        while name in self.models or name in self.custom_models:
            count += 1
            name = f"{label}-{count}"
        self.custom_models[name] = model
        return name

    def name_of(self, model: Any) -> str:
        """What a table calls a model of the caller's own, once it is known to fit."""
        check_custom(model)
        return custom_name(model)


class LabelledEvaluator(BaseEvaluator[S]):
    """An evaluator of labelled records, which reads them as a summary's labels say.

    Args:
        on: test data. Labels mean what they meant in the data of the summary.
        train: training data, which baselines are taken from. None goes without.
        device: where models are trained.

    Attributes:
        default_kernel: settings of the kernel predictor of cards that name none.
        test: the test data, once a summary was checked.
        train: the training data, once a summary was checked.
        kernel: settings of the kernel predictor that whole data is given to: those of
            the summary that was checked last.
    """

    default_kernel: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, on: Any, train: Any = None, device: str = "cpu") -> None:
        super().__init__(device)
        self._sources = (on, train)
        self.rows = () if train is None else type(self).rows
        self.test: Any = None
        self.train: Any = None
        self.kernel: dict[str, Any] = dict(self.default_kernel)

    def __getstate__(self) -> dict[str, Any]:
        # A worker gets what was read, and not the sources beside it.
        state = dict(self.__dict__)
        return state | ({"_sources": (None, None)} if self.test is not None else {})

    @abstractmethod
    def read(self, data: Any, values: tuple[Any, ...]) -> Any:
        """The records of `data`; `values[i]` are the labels of class i."""

    @abstractmethod
    def check_records(self, summary: S) -> None:
        """Refuse a summary whose records do not fit those that were read."""

    def describe(self) -> dict[str, Any]:
        """Fingerprints of the test data and, where given, of the training data."""
        if self.test is None:
            raise ValueError("check a summary first: it says what the labels mean")
        train = None if self.train is None else self.train.describe()
        fingerprint: dict[str, Any] = self.test.describe() | {"train": train}
        return fingerprint

    def check(self, summary: S) -> None:
        """Read the data as the summary's labels say, and refuse what does not fit.

        Raises:
            ValueError: records of another form, or of other classes.
        """
        values = tuple(summary.card.source["labels"])
        if self.test is None:
            on, train = self._sources
            self.test = self.read(on, values)
            self.train = None if train is None else self.read(train, values)
        if self.test.values != values:
            raise ValueError(
                f"the summaries are of different classes: {list(self.test.values)} and "
                f"{list(values)}; evaluate each on its own"
            )
        self.check_records(summary)
        self.kernel = self.kernel_of(summary)

    def model_key(self, model: str) -> str:
        """The name of a model; the kernel predictor's with its settings."""
        if model != "kernel":
            return model
        return f"kernel {json.dumps(self.kernel, sort_keys=True)}"

    def kernel_of(self, summary: S | None) -> dict[str, Any]:
        """Settings of the kernel predictor of a card; of whole data `kernel`."""
        if summary is None:
            return self.kernel
        return dict(summary.card.settings.get("kernel") or self.default_kernel)

    @property
    def training_data(self) -> Any:
        """The training data.

        Raises:
            ValueError: there are none.
        """
        if self.train is None:
            raise ValueError(
                "rows beside, regimes and an audit need the training data: give "
                "train=, or leave them out by rows=[], regimes=[] and audit=False"
            )
        return self.train

    @cached_property
    def split_rows(self) -> tuple[Tensor, Tensor]:
        """Rows of the training data to train on, and of those held out, which choose.

        Held out is a tenth of each class, `MAX_HELD_OUT` records at most. Where classes
        have single records there is nothing to hold out: all rows choose too.
        """
        data = self.training_data
        count = min(MAX_HELD_OUT, max(1, len(data) // 10))
        if len(data) - data.num_classes < count:
            return torch.arange(len(data)), torch.arange(len(data))
        return hold_out(data.labels, data.num_classes, count, 0, noun="record")


def class_counts(summary: DataSummary, num_classes: int) -> list[int]:
    """Records of each class of a summary.

    Args:
        summary: with labels `y`.
        num_classes: c.
    """
    counts: list[int] = summary.tensors["y"].bincount(minlength=num_classes).tolist()
    return counts


def class_accuracies(
    predicted: Tensor, labels: Tensor, classes: Sequence[str]
) -> dict[str, float]:
    """Accuracy of predicted classes, and `accuracy/NAME` on each class that is there.

    Args:
        predicted: `[n]`.
        labels: `[n]`.
        classes: name of each class.

    Example:
        >>> import torch
        >>> labels = torch.tensor([0, 0, 1])
        >>> scores = class_accuracies(torch.tensor([0, 1, 1]), labels, ("cat", "dog"))
        >>> scores["accuracy/cat"], scores["accuracy/dog"]
        (0.5, 1.0)
    """
    right = predicted == labels
    scores = {"accuracy": float(right.float().mean())}
    for label, name in enumerate(classes):
        members = right[labels == label]
        if len(members):
            scores[PER_CLASS + name] = float(members.float().mean())
    return scores


def largest(make: Callable[[int], S], num_bytes: int, start: int) -> S | None:
    """The set of the largest budget that takes at most so many bytes.

    Args:
        make: a budget -> a set; it raises `ValueError` for one that is too large or
            too small for the data.
        num_bytes: at most so many.
        start: a budget to begin with.

    Returns:
        The set, or None where no budget fits.
    """
    sizes: dict[int, int] = {}  # of budgets that were tried
    best, best_budget, too_large, budget = None, 0, 0, start
    for _ in range(MAX_TRIES):
        try:
            summary = make(budget)
            sizes[budget] = summary.num_bytes
        except ValueError:  # more than there are, or fewer than classes
            summary = None
        if summary is not None and summary.num_bytes <= num_bytes:
            best, best_budget = summary, budget
        else:
            too_large = budget
        if best is not None and sizes[best_budget] >= CLOSE * num_bytes:
            break
        # Bytes grow nearly as items do; what is left grows as from zero items on.
        known = best_budget or min(sizes, default=start)
        guess = round(known * num_bytes / max(sizes.get(known, num_bytes), 1))
        if too_large:
            middle = (best_budget + too_large) // 2
            within = best_budget < guess < too_large and guess != budget
            guess = guess if within and too_large in sizes else middle
        if guess in (best_budget, too_large, 0):
            break
        budget = guess
    return best
