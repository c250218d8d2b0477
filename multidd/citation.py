"""BibTeX of methods and of this library."""

import re
from functools import cache
from importlib.resources import files

from multidd._version import __version__
from multidd.summary import DataSummary

_OURS = """@software{multidd,
  title = {multidd: dataset distillation in every modality},
  year = {2026},
  version = {%s},
}"""

_METHODS = re.compile(r"\n  keywords = \{([^}]*)\},")
"""The line of an entry in works.bib that names the methods it is cited for."""


@cache
def works() -> dict[str, str]:
    """Method -> BibTeX of the works behind it, read from `works.bib`.

    Example:
        >>> works()["dd"].splitlines()[0]
        '@article{wang2018dd,'
    """
    text = files("multidd").joinpath("works.bib").read_text(encoding="utf-8")
    entries: dict[str, list[str]] = {}
    for entry in re.split(r"\n\n(?=@)", text.strip()):
        keywords = _METHODS.search(entry)
        if keywords is None:
            raise ValueError(f"works.bib names no method for {entry.splitlines()[0]}")
        for method in keywords[1].split(", "):
            entries.setdefault(method, []).append(_METHODS.sub("", entry))
    return {method: "\n\n".join(texts) for method, texts in entries.items()}


def cite(summary: DataSummary | str) -> str:
    """BibTeX for the method of a summary, and for this library.

    Args:
        summary: a summary, or the name of a method.

    Returns:
        BibTeX entries. A method that has no paper of its own gives the library alone.

    Example:
        >>> print(cite("gcond").splitlines()[0])
        @inproceedings{jin2022gcond,
    """
    method = summary if isinstance(summary, str) else summary.card.method
    ours = _OURS % __version__
    return f"{works()[method]}\n\n{ours}" if method in works() else ours
