"""A page for each public name and each public package, written before a build.

A name is public when it stands in `__all__` of a package of `PACKAGES`. A name without
a docstring is a warning, and warnings end the build.
"""

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import to_rst
from sphinx.application import Sphinx
from sphinx.util import logging

import multidd

PACKAGES = {
    "multidd": "Run, judge, load",
    "multidd.graph": "Graphs",
    "multidd.images": "Images",
    "multidd.recsys": "Recommender logs",
    "multidd.text": "Texts",
    "multidd.samples": "Small data that ship with the library",
    "multidd.selection": "Real records: selections",
    "multidd.objectives": "What is matched: objectives",
    "multidd.parameterizations": "How a synthetic set is stored",
    "multidd.learning": "Learners, optimizers, experts",
    "multidd.sketches": "Data larger than a machine",
    "multidd.parallel": "Work on many workers",
    "multidd.kernels": "Kernels and regression on them",
}
ROOMS = {
    "methods": "Methods",
    "settings": "Settings",
    "data": "Data in",
    "summary": "Summaries",
    "evaluation": "Evaluation",
    "models": "Models",
    "tasks": "Tasks",
    "more": "More",
}
"""Room of a modality -> heading, in the order of a page."""

log = logging.getLogger(__name__)


def names(package: ModuleType) -> list[str]:
    """Public names of a package that have a page; packages have pages of their own."""
    return [
        name for name in package.__all__ if f"{package.__name__}.{name}" not in PACKAGES
    ]


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]


def _room(package: ModuleType, name: str) -> str:
    value = getattr(package, name)
    if name in ("METHODS", "LEARNED"):
        return "methods"
    if name.endswith("Options") or name == "Settings":
        return "settings"
    parts = getattr(value, "__module__", "").split(".")
    if len(parts) > 2 and parts[2] == "methods":
        return "methods" if name in package.METHODS else "more"
    return parts[2] if len(parts) > 2 and parts[2] in ROOMS else "more"


def _about(package: ModuleType, name: str) -> str:
    """The one line of a name in lists."""
    value = getattr(package, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        if value.__name__ != name:
            return f"Older name of `{package.__name__}.{value.__name__}`."
        return _first_line(value)
    keys = list(value)
    return f"{len(keys)} names: " + ", ".join(f"`{key}`" for key in keys[:6]) + " ..."


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _table(package: ModuleType, chosen: list[str]) -> list[str]:
    lines = [".. list-table::", "   :class: names", "   :widths: 30 70", ""]
    for name in chosen:
        full = f"{package.__name__}.{name}"
        about = to_rst(_about(package, name), package.__name__)
        lines += [f"   * - :doc:`{name} <{full}>`", f"     - {about}"]
    return [*lines, ""]


def package_page(package: ModuleType) -> str:
    """Reference of a package: its docstring, and its names by what they are for."""
    text = to_rst(inspect.getdoc(package) or "", package.__name__)
    lines = [*_heading(package.__name__, "="), f".. module:: {package.__name__}", ""]
    lines += [text, ""]
    public = names(package)
    if hasattr(package, "METHODS"):
        for room, heading in ROOMS.items():
            chosen = [name for name in public if _room(package, name) == room]
            chosen.sort(key=str.isupper)  # lists of names come last
            if chosen:
                lines += [*_heading(heading, "-"), *_table(package, chosen)]
    else:
        lines += _table(package, public)
    lines += [".. toctree::", "   :hidden:", ""]
    lines += [f"   {name} <{package.__name__}.{name}>" for name in public]
    return "\n".join(lines) + "\n"


def name_page(package: ModuleType, name: str) -> str:
    """Reference of a name: how it is imported, its signature, text and source."""
    value, full = getattr(package, name), f"{package.__name__}.{name}"
    lines = _heading(full, "=")
    lines += [".. code-block:: python", ""]
    lines += [f"   from {package.__name__} import {name}", ""]
    if inspect.isclass(value) or inspect.isroutine(value):
        doc = (value.__doc__ or "").strip()
        if not doc or doc.startswith(f"{name}("):
            log.warning("%s is public and has no docstring", full)
        if value.__name__ != name:
            about = f"Older name of `{package.__name__}.{value.__name__}`."
            lines += [f".. py:data:: {full}", "   :no-typesetting:", ""]
            return "\n".join([*lines, to_rst(about, package.__name__)]) + "\n"
        kind = "class" if inspect.isclass(value) else "function"
        lines += [f".. auto{kind}:: {full}"]
        if kind == "class":
            lines += ["   :members:", "   :show-inheritance:"]
        return "\n".join(lines) + "\n"
    what = "Methods by name." if name == "METHODS" else "Names."
    what = "Methods that learn by steps." if name == "LEARNED" else what
    lines += [f".. py:data:: {full}", "", f"   {what} It holds:", ""]
    for key in value:
        item = value[key] if isinstance(value, dict) else getattr(package, key, None)
        about = to_rst(_first_line(item), package.__name__) if callable(item) else ""
        lines += [f"   - ``{key}``{': ' if about else ''}{about}"]
    return "\n".join(lines) + "\n"


def index_page() -> str:
    """All packages, and how names are found."""
    lines = ["# API reference", ""]
    lines += ["Every public name: how it is imported, its signature, an example that"]
    lines += ["is run before a release, and its source.", ""]
    for path, title in PACKAGES.items():
        about = _first_line(importlib.import_module(path))
        lines += [f"- [`{path}`]({path}.rst): **{title}.** {about}"]
    lines += ["", "```{toctree}", ":hidden:", ""]
    lines += [*PACKAGES, "```", ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """File below api/ -> text."""
    texts = {"index.md": index_page()}
    for path in PACKAGES:
        package = importlib.import_module(path)
        texts[f"{path}.rst"] = package_page(package)
        for name in names(package):
            texts[f"{path}.{name}.rst"] = name_page(package, name)
    return texts


def write(app: Sphinx) -> None:
    """Write what changed, remove what is gone."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    texts = pages()
    for path in folder.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def check(app: Sphinx, env: Any) -> None:
    """Every public name is an object that links and the search know."""
    known = set(env.get_domain("py").objects)
    public = {f"{p}.{n}" for p in PACKAGES for n in names(importlib.import_module(p))}
    for name in sorted(public - known):
        log.warning("%s is public and is not in the reference", name)
    faces = {f"multidd.{n}" for n in multidd.__all__ if n.islower()}
    for name in sorted(faces & {f"multidd.{m}" for m in _modules()} - set(PACKAGES)):
        log.warning("%s is a public package and has no page", name)


def _modules() -> set[str]:
    return {n for n in multidd.__all__ if inspect.ismodule(getattr(multidd, n))}


def setup(app: Sphinx) -> dict[str, bool]:
    """Write before reading, check after."""
    app.connect("builder-inited", write)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
