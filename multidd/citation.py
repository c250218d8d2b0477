"""`cite`: BibTeX for what a summary was made with."""

from multidd._works_more import WORKS
from multidd.summary import DataSummary

_OURS = """@software{multidd,
  title = {multidd: dataset distillation in every modality},
  year = {2026},
  version = {%s},
}"""


def cite(made: DataSummary | str) -> str:
    """BibTeX for the method of a summary, and for this library.

    Args:
        made: a summary, or the name of a method.

    Returns:
        BibTeX entries. A method that has no paper of its own gives the library alone.

    Example:
        >>> print(cite("gcond").splitlines()[0])
        @inproceedings{jin2022gcond,
    """
    import multidd

    method = made if isinstance(made, str) else made.card.method
    ours = _OURS % multidd.__version__
    return f"{WORKS[method]}\n\n{ours}" if method in WORKS else ours
