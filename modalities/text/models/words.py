"""Texts as lower-case words, as benchmarks and GloVe write them."""

import re

__all__ = ["split"]

_WORD = re.compile(
    r"""
    [^\W_]+?(?=n't\b) | n't\b               # does n't
    | '(?:s|re|ve|ll|d|m)\b                 # it 's
    | -[lr][rscb]b-                         # brackets of a treebank
    | (?:[^\W\d_]\.){2,}                    # u.s.
    | [^\W_]+(?:[.,:]\d+)+                  # 3.5, 10,000
    | [^\W_]+(?:-[^\W_]+)*                  # well-made
    | `` | '' | --+ | \.\.\.                # quotes, dashes
    | [^\s\w] | _
    """,
    re.VERBOSE,
)


def split(text: str) -> list[str]:
    """Words and marks of a text, in lower case.

    Texts that are cut into words already (TREC, SST-2) stay cut as they are, but for
    rare forms such as "mr.".

    Example:
        >>> split("It doesn't cost $3.50, it's free!")
        ['it', 'does', "n't", 'cost', '$', '3.50', ',', 'it', "'s", 'free', '!']
    """
    return _WORD.findall(text.lower().replace("\u2019", "'"))
