"""The registry of modalities: what a modality gives, and how it is discovered.

A modality is one folder or package and one `Modality` entry, named in the packaging
metadata of whoever ships it; multidd's own four are registered the same way:

    [project.entry-points."multidd.modalities"]
    my_tables = "my_tables.modality:ENTRY"

Discovery reads metadata alone: a modality is imported when it is asked for by name.
"""

import pathlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from multidd.errors import ModalityError, MultiddWarning, first_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from multidd.summary import DataSummary

__all__ = [
    "DISTILL",
    "Bench",
    "Curve",
    "Demo",
    "Listed",
    "Modality",
    "Parts",
    "entries",
    "entry",
    "lazy_face",
    "name_of",
    "names",
    "own_names",
    "parts",
    "with_parts",
]

GROUP = "multidd.modalities"
PACKAGE = "multidd"
DISTILL = "distill"
"""Name of a modality's `distill` where it is no method of its own."""


@dataclass(frozen=True)
class Parts:
    """The working parts of a modality, imported when one of them is first needed.

    Attributes:
        summaries: kind of a file -> class of its summaries. The first kind is the
            modality's name, others are `"<name>.<more>"`.
        evaluators: kind -> `multidd.protocols.Evaluator` of its summaries.
        methods: name -> method or selection: `method(train, <budget>=, seed=)`.
        with_loop: names of the methods that take `steps`, `checkpoint` and `progress`.
        load_for_evaluation: `(name, **settings)` of a data set -> what methods take,
            and the keywords with which `multidd.evaluate` judges a summary of it.
        data_names: what it takes that is no path: names of benchmarks and samples, and
            beginnings of names that end in a colon. The files of a run with another
            name are opened by their SHA-256 alone.
        published: what has `LINES`, the lines of `multidd bench`, such as a module; see
            `multidd.evaluation.benchmark.PublishedLines`.
        choices: what has `CHOICES`, the settings of `multidd bench settings`, and
            `held_out`: (name of data, seed) -> training data without a part that is
            held out, and the keywords with which the evaluator judges on that part;
            `METHODS` has further methods by name. See
            `multidd.evaluation.settings_choice`.
        sketch: `(paths, seed=, executor=, **settings)` of data larger than a machine ->
            a sample of them with a `sketch`, what was seen; see `multidd.sketches`.
        write_data: `(data, path)`: writes a file that `load_for_evaluation` reads.
        distill: what the modality's `distill` does where no method is named, if that is
            none of `methods`, called `DISTILL`; it has a loop.
    """

    summaries: Mapping[str, "type[DataSummary]"]
    evaluators: Mapping[str, Any]
    methods: Mapping[str, "Callable[..., DataSummary]"]
    with_loop: Collection[str]
    load_for_evaluation: Callable[..., tuple[Any, dict[str, Any]]]
    data_names: Collection[str] = ()
    published: Any = None
    choices: Any = None
    sketch: Callable[..., Any] | None = None
    write_data: Callable[[Any, pathlib.Path], None] | None = None
    distill: "Callable[..., DataSummary] | None" = None

    @property
    def commands(self) -> "dict[str, Callable[..., DataSummary]]":
        """What `multidd distill <name>` runs, by name: `distill` itself, the methods.

        Example:
            >>> from multidd.modality import parts
            >>> next(iter(parts("images").commands)), next(iter(parts("text").commands))
            ('distill', 'kip')
        """
        chosen = {} if self.distill is None else {DISTILL: self.distill}
        return {**chosen, **self.methods}

    def has_loop(self, name: str) -> bool:
        """Whether one of `commands` takes `steps`, `checkpoint` and `progress`."""
        return name in self.with_loop or (name == DISTILL and self.distill is not None)


@dataclass(frozen=True)
class Demo:
    """What `multidd demo` shows of a modality.

    Attributes:
        title: the sentence that is printed first.
        data: name of a data set that ships with the package.
        method: name of the method.
        options: its settings.
        evaluate: settings of `multidd.evaluate`.
    """

    title: str
    data: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluate: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """Defaults of `multidd curve` for a modality.

    Attributes:
        data: name of the data set.
        methods: names of methods.
        budget: name of the budget that varies, such as `"ipc"`.
        values: its values.
        option: the command's option for them, such as `"ipcs"`.
        whole: values are whole numbers.
    """

    data: str
    methods: Sequence[str]
    budget: str
    values: Sequence[float]
    option: str
    whole: bool = True


@dataclass(frozen=True)
class Bench:
    """Defaults of `multidd bench` for a modality.

    Attributes:
        runs: distillations of each line.
        trainings: trainings on each of them.
    """

    runs: int = 3
    trainings: int = 1


@dataclass(frozen=True)
class Listed:
    """Names that a shell completes without loading the parts; tests compare them.

    Attributes:
        methods: of methods.
        models: of models that are trained, of all kinds of summaries.
        protocols: of protocols.
        data: of data sets, and beginnings of names that end in a colon.
    """

    methods: Sequence[str] = ()
    models: Sequence[str] = ()
    protocols: Sequence[str] = ()
    data: Sequence[str] = ()


@dataclass(frozen=True)
class Modality:
    """The one entry that registers a modality.

    Attributes:
        name: `multidd.<name>`, `multidd distill <name>` and the kind of its files.
        about: what it does, such as `"Graph condensation"`.
        face: the module that `multidd.<name>` is, such as `"my_tables"`.
        method: the method of `multidd distill` unless another is asked for; `DISTILL`
            where the parts have a `distill`.
        options: its own options of `multidd distill`, as the parameters of a function
            behind `method`, each `Annotated[type, "help"]`. The function returns the
            settings of `load_for_evaluation`, the name of the data under `"data"`, and
            those of the method; the first line of its docstring is the command's help.
        parts: returns the `Parts`; imports them, so that the entry itself stays light.
        demo: what `multidd demo` shows, if anything.
        curve: defaults of `multidd curve`; without them it has no such command.
        bench: defaults of `multidd bench`; the same.
        listed: names for the completion of shells.
        sketch: its options of `multidd sketch`, as `options` has them, without a first
            parameter. The function returns the settings of `Parts.sketch`; the first
            line of its docstring is the command's help. None: no such command.

    Example:
        >>> from multidd.modality import entry
        >>> entry("images").face, entry("images").curve.budget
        ('multidd.images', 'ipc')
    """

    name: str
    about: str
    face: str
    method: str
    options: Callable[..., tuple[dict[str, Any], dict[str, Any]]]
    parts: Callable[[], Parts]
    demo: Demo | None = None
    curve: Curve | None = None
    bench: Bench | None = None
    listed: Listed = Listed()
    sketch: Callable[..., dict[str, Any]] | None = None


@dataclass(frozen=True)
class _Claim:
    """A package's claim to a name, not imported yet."""

    package: str
    load: Callable[[], Any]


def lazy_face(
    package: str,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that loads its names on first use.

    So that an entry inside the package, and with it the command line, does not load
    torch.

    Args:
        package: its name; the names lie in its module `public`.

    Example:
        >>> load, listed = lazy_face("multidd.graph")
        >>> load("herding").__module__, "herding" in listed()
        ('multidd.graph.methods.selection', True)
    """

    def public() -> Any:
        return import_module(f"{package}.public")

    def load(name: str) -> Any:
        if not name.startswith("_") or name == "__all__":
            names = public()
            if hasattr(names, name):
                return getattr(names, name)
            # Loading the names has bound the package's own modules to it.
            modules = vars(sys.modules[package])
            if name in modules:
                return modules[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *public().__all__})

    return load, listed


def own_names() -> list[str]:
    """Names of the modalities that come with multidd.

    Example:
        >>> own_names()
        ['graph', 'images', 'recsys', 'text']
    """
    return [name for name, claims in _claims().items() if _ours(claims)]


def names() -> list[str]:
    """Names of all installed modalities, multidd's own first; imports none.

    Example:
        >>> names()[:2]
        ['graph', 'images']
    """
    return list(_claims())


def name_of(kind: str) -> str:
    """Name of the modality whose summaries have this kind.

    Example:
        >>> name_of("graph.sets")
        'graph'
    """
    return kind.partition(".")[0]


def entry(name: str) -> Modality:
    """The entry of a modality.

    Args:
        name: its name.

    Raises:
        ValueError: no modality of that name is installed.
        ModalityError: the package that ships it offers no sound entry, or two do.

    Example:
        >>> entry("graph").about
        'Graph condensation'
    """
    claims = _claims().get(name)
    if claims is None:
        raise ValueError(f"modality must be one of {', '.join(names())}; got {name!r}")
    if _ours(claims):
        return _checked(name, claims[0])
    if len(claims) > 1:
        packages = " and ".join(claim.package for claim in claims)
        raise ModalityError(
            f"the packages {packages} both name a modality {name!r}; uninstall one"
        )
    return _checked(name, claims[0])


def parts(kind: str) -> Parts:
    """The working parts of a modality, imported.

    Args:
        kind: its name, or a kind of its summaries.

    Raises:
        ValueError: no such modality is installed.
        ModalityError: its package does not give them all.

    Example:
        >>> sorted(parts("graph").evaluators)
        ['graph', 'graph.sets']
    """
    name = name_of(kind)
    modality = entry(name)
    package = _claims()[name][0].package
    try:
        loaded = modality.parts()
    except Exception as error:
        raise _refused(name, package, f"does not load ({_said(error)})") from error
    if fault := _fault_of_parts(modality, loaded):
        raise _refused(name, package, fault)
    return loaded


def entries() -> Iterator[Modality]:
    """The entries of all modalities that load; a warning names each that does not.

    Example:
        >>> [modality.name for modality in entries()][:2]
        ['graph', 'images']
    """
    for name, claims in _claims().items():
        if _ours(claims):
            for claim in claims[1:]:
                _warn(
                    f"the package {claim.package} names a modality {name!r}, which "
                    f"multidd has itself; it is left out"
                )
        try:
            yield entry(name)
        except ModalityError as error:
            _warn(f"{error}; it is left out")


def with_parts() -> Iterator[tuple[Modality, Parts]]:
    """The entries and parts of all modalities that load; as `entries`."""
    for modality in entries():
        try:
            yield modality, parts(modality.name)
        except ModalityError as error:
            _warn(f"{error}; it is left out")


def _warn(text: str) -> None:
    warnings.warn(text, MultiddWarning, stacklevel=3)


@cache
def _claims() -> dict[str, list[_Claim]]:
    """Name -> the packages that claim it, multidd first."""
    from importlib import metadata

    claims: dict[str, list[_Claim]] = {}
    others = [
        point
        for point in metadata.entry_points(group=GROUP)
        if point.dist is None or point.dist.name != PACKAGE
    ]
    for point in [*sorted(_own_points()), *sorted(others)]:
        package = PACKAGE if point.dist is None else point.dist.name
        claims.setdefault(point.name, []).append(_Claim(package, point.load))
    return claims


def _own_points() -> "list[EntryPoint]":
    """multidd's own: of a checkout from its pyproject.toml, which is never stale."""
    from importlib import metadata

    from multidd import CHECKOUT

    if CHECKOUT is not None:
        import tomllib

        with open(CHECKOUT / "pyproject.toml", "rb") as file:
            group = tomllib.load(file)["project"]["entry-points"][GROUP]
        return [metadata.EntryPoint(name, at, GROUP) for name, at in group.items()]
    try:
        points = metadata.distribution(PACKAGE).entry_points
    except metadata.PackageNotFoundError:  # copied somewhere without its metadata
        return []
    return list(points.select(group=GROUP))


def _ours(claims: Sequence[_Claim]) -> bool:
    return claims[0].package == PACKAGE


def _checked(name: str, claim: _Claim) -> Modality:
    try:
        modality = claim.load()
    except Exception as error:
        fault = f"does not load ({_said(error)})"
        raise _refused(name, claim.package, fault) from error
    if fault := _fault_of_entry(name, claim, modality):
        raise _refused(name, claim.package, fault)
    return modality


def _refused(name: str, package: str, fault: str) -> ModalityError:
    return ModalityError(f"the modality {name!r} of the package {package} {fault}")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _fault_of_entry(name: str, claim: _Claim, modality: Any) -> str:
    """What is wrong with an entry; empty for nothing."""
    if not isinstance(modality, Modality):
        return f"is a {type(modality).__name__}, not a multidd.modality.Modality"
    if modality.name != name:
        return f"has an entry that names itself {modality.name!r}"
    if not name.isidentifier() or name.startswith("_"):
        return "has a name that is no attribute; use letters, digits and _"
    if claim.package != PACKAGE and _is_taken(name):
        return f"has a name that multidd uses itself: multidd.{name}"
    for label in ("options", "parts"):
        if not callable(getattr(modality, label)):
            return f"has {label} that cannot be called"
    if not isinstance(modality.listed, Listed):
        return "has a listed that is not a multidd.modality.Listed"
    for label, cls in (("demo", Demo), ("curve", Curve), ("bench", Bench)):
        value = getattr(modality, label)
        if not (value is None or isinstance(value, cls)):
            return f"has a {label} that is not a multidd.modality.{cls.__name__}"
    return ""


def _is_taken(name: str) -> bool:
    """Whether multidd has a module or a public name of this name."""
    from importlib.util import find_spec

    import multidd

    return name in multidd._NAMES or find_spec(f"{PACKAGE}.{name}") is not None


def _fault_of_parts(modality: Modality, loaded: Any) -> str:
    """What is wrong with the parts of a modality; empty for nothing."""
    if not isinstance(loaded, Parts):
        return f"gives a {type(loaded).__name__}, not multidd.modality.Parts"
    name, kinds = modality.name, set(loaded.summaries)
    if name not in kinds or any(name_of(kind) != name for kind in kinds):
        return (
            f"has summaries of the kinds {', '.join(sorted(kinds)) or 'none'}; they "
            f"must be {name!r} and '{name}.<more>'"
        )
    for kind, cls in loaded.summaries.items():
        if getattr(cls, "kind", None) != kind:
            return f"has summaries whose kind is not {kind!r}: {cls!r}"
    if set(loaded.evaluators) != kinds:
        return "lacks an evaluator for each kind of its summaries"
    if not callable(loaded.load_for_evaluation):
        return "has a load_for_evaluation that cannot be called"
    named = {"method": {modality.method}, "with_loop": set(loaded.with_loop)}
    named |= {"demo": {modality.demo.method}} if modality.demo else {}
    named |= {"curve": set(modality.curve.methods)} if modality.curve else {}
    for label, methods in named.items():
        known = loaded.commands if label == "method" else loaded.methods
        if unknown := sorted(methods - set(known)):
            return f"names methods under {label} that it lacks: {', '.join(unknown)}"
    if modality.bench and not hasattr(loaded.published, "LINES"):
        return "has a bench, but no published LINES for it"
    return ""
