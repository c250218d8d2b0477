"""Files of a folder for all readers: nothing is left out in silence."""

import os
import pathlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from multidd.errors import warn_caller

HIDDEN = (".", "~")
"""How names begin that people do not see, or that an editor holds open."""

SPARK_HIDDEN = (*HIDDEN, "_")
"""The same with what Spark and Arrow pass over, such as `_temporary`."""

_TEMPORARY = (".tmp", ".temp", ".swp", "~")
_OF_SYSTEMS = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "__macosx",
        "lost+found",
        "$recycle.bin",
        "system volume information",
    }
)


@dataclass(frozen=True, eq=False)
class Listing:
    """What lies in a folder and below it, hidden and temporary names left out.

    Attributes:
        folder: the folder.
        files: regular files, links to such ones too, in the order of their names.
        others: links to nothing or in a circle, pipes, devices.
    """

    folder: pathlib.Path
    files: tuple[pathlib.Path, ...]
    others: tuple[pathlib.Path, ...] = ()

    def of_suffix(self, suffixes: Collection[str]) -> list[pathlib.Path]:
        """Files whose suffix, in small letters, is one of these."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def warn(
        self, read: Iterable[pathlib.Path], forms: str, notes: Sequence[str] = ()
    ) -> None:
        """Say once what is left out: how many files of each suffix, and which links.

        Args:
            read: the files that are read, or that another call speaks of.
            forms: what is read, for the message.
            notes: what else is to be said of the folder.
        """
        chosen = set(read)
        rest = [path for path in self.files if path not in chosen]
        texts = list(notes)
        if rest:
            texts.append(
                f"left out {len(rest):,} of {len(self.files):,} files "
                f"({suffix_counts(rest)}), such as {self._short(rest[0])}; read are "
                f"{forms}"
            )
        if self.others:
            texts.append(
                f"left out {len(self.others):,} links that lead to nothing or in a "
                f"circle, or other things that are no files, such as "
                f"{self._short(self.others[0])}"
            )
        if texts:
            warn_caller(f"{self.folder}: {'; '.join(texts)}")

    def _short(self, path: pathlib.Path) -> str:
        return path.relative_to(self.folder).as_posix()


def list_files(
    folder: pathlib.Path, hidden_prefixes: tuple[str, ...] = HIDDEN
) -> Listing:
    """Every file in a folder and below it; links are followed.

    Args:
        folder: to look into; its own name may be a hidden one.
        hidden_prefixes: how names begin that are passed over.

    Example:
        >>> pathlib.Path("pets/.cache").mkdir(parents=True)
        >>> for name in ("a.png", "Thumbs.db", ".cache/b.png"):
        ...     _ = pathlib.Path("pets", name).write_bytes(b"")
        >>> [path.name for path in list_files(pathlib.Path("pets")).files]
        ['a.png']
    """
    files: list[pathlib.Path] = []
    others: list[pathlib.Path] = []

    def walk(place: pathlib.Path, above: frozenset[str]) -> None:
        with os.scandir(place) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            path = place / entry.name
            if is_hidden(entry.name, hidden_prefixes):
                continue
            if path.is_dir():
                # Only a link can lead back to a folder above.
                real = os.path.realpath(path) if entry.is_symlink() else str(path)
                if real in above:
                    others.append(path)
                else:
                    walk(path, above | {os.path.realpath(path)})
            elif path.is_file():
                files.append(path)
            else:
                others.append(path)

    walk(folder, frozenset({os.path.realpath(folder)}))
    return Listing(folder, tuple(files), tuple(others))


def sub_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Folders in a folder in the order of their names, hidden ones left out.

    Example:
        >>> sub_folders(pathlib.Path("nowhere"))
        []
    """
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name))


def is_hidden(name: str, prefixes: tuple[str, ...] = HIDDEN) -> bool:
    """Whether a name is a hidden or temporary one, or an operating system's.

    Example:
        >>> [is_hidden(name) for name in (".x", "~$x.csv", "x.TMP", "Thumbs.db", "x")]
        [True, True, True, True, False]
    """
    # Hive's columns may begin with an underscore: _day=3.
    begins = name.startswith(prefixes) and not ("=" in name and name[0] == "_")
    small = name.lower()
    return begins or small in _OF_SYSTEMS or small.endswith(_TEMPORARY)


def suffix_counts(paths: Iterable[pathlib.Path], max_shown: int = 8) -> str:
    """How many files there are of each suffix, the most first.

    Example:
        >>> suffix_counts(map(pathlib.Path, ["a.txt", "b.TXT", "c"]))
        '2 .txt, 1 without a suffix'
    """
    counts = Counter(path.suffix.lower() or "without a suffix" for path in paths)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f"{count:,} {suffix}" for suffix, count in ordered[:max_shown]]
    return ", ".join(shown + ["..."] * (len(ordered) > max_shown))


# --- names of parts -------------------------------------------------------------------

_AFFIXES = frozenset(
    "data dataset datasets set sets split splits part parts folder image images img "
    "imgs picture pictures photo photos jpg jpeg png text texts file files of".split()
)


def part_words(
    names: Collection[str], parts: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The words for parts that names of files or folders stand for.

    A name stands for a part if it is a word for it in any letters, alone or with
    numbers and words such as data or images around it (`Training`, `train_data`,
    `TestSet2`), or with other words that the name for another part has as well
    (`seg_train` and `seg_test`).

    Args:
        names: without suffixes.
        parts: part -> the words for it.

    Returns:
        Name -> word, of the names that stand for a part.

    Example:
        >>> parts = {"train": ["train", "training"], "test": ["test", "testing"]}
        >>> part_words(["Training", "test_data", "test tube", "seg_train"], parts)
        {'Training': 'training', 'test_data': 'test'}
    """
    part_of = {word: part for part, words in parts.items() for word in words}
    results: dict[str, str] = {}
    rests: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        word, rest = _divided(name, part_of)
        if word is not None and not rest:
            results[name] = word
        elif word is not None:
            rests.setdefault(rest, {})[name] = word
    for alike in rests.values():
        if len({part_of[word] for word in alike.values()}) > 1:
            results |= alike
    return {name: results[name] for name in names if name in results}


def has_part_word(name: str, parts: Mapping[str, Sequence[str]]) -> bool:
    """Whether a word for a part is among the words of a name.

    Example:
        >>> has_part_word("seg_train", {"train": ["train"]})
        True
    """
    words = {word for of_part in parts.values() for word in of_part}
    return any(word in words for word in _words(name))


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)  # TrainData
    return [word.lower() for word in re.split(r"[\W\d_]+", spaced) if word]


def _divided(
    name: str, part_of: Mapping[str, str]
) -> tuple[str | None, tuple[str, ...]]:
    """The word for a part in a name, if there is one only, and the others of it."""
    if name.lower() in part_of:
        return name.lower(), ()
    hits, rest = [], []
    for word in _words(name):
        starts = [w for w in part_of if word.startswith(w) and word != w]
        glued = [w for w in starts if word[len(w) :] in _AFFIXES]  # trainset
        if word in part_of or glued:
            hits.append(word if word in part_of else glued[0])
        elif word not in _AFFIXES:
            rest.append(word)
    return (hits[0] if len(set(hits)) == 1 else None), tuple(rest)
