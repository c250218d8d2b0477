"""Bottom-K by class: a uniform sample of the records of each, and exact counts."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from multidd.sketches.hashing import DIGEST_BYTES, hash_record

__all__ = ["BottomK", "SampledRecord"]

SLACK = 256  # records above K before a class is cut to K again
LAST = b"\xff" * DIGEST_BYTES


@dataclass(frozen=True)
class SampledRecord:
    """A record of a sketch.

    Attributes:
        label: its class.
        record: the record itself.
        repeats: how often it stands in the data, in this class.
    """

    label: Any
    record: bytes
    repeats: int


class _OfClass:
    """The records of one class whose hashes are smallest."""

    def __init__(self, keep: int) -> None:
        self.keep, self.count, self.limit = keep, 0, LAST
        self.records: dict[bytes, tuple[bytes, int]] = {}  # by hash

    def put(self, digest: bytes, record: bytes, repeats: int) -> None:
        """A record, or the same one again: of several names the first in order."""
        if digest > self.limit:
            return
        if digest in self.records:
            before, times = self.records[digest]
            record, repeats = min(before, record), times + repeats
        self.records[digest] = (record, repeats)
        if len(self.records) > 2 * self.keep + SLACK:
            self.cut()

    def cut(self) -> None:
        """Leave out what is above the K-th hash."""
        if len(self.records) > self.keep:
            chosen = sorted(self.records)[: self.keep]
            self.records = {digest: self.records[digest] for digest in chosen}
            self.limit = chosen[-1] if chosen else b""


class BottomK:
    """The K records of each class with the smallest hashes, and exact counts.

    A record has the hash of its content and of the seed alone, so the sample is uniform
    over the different records of a class and does not depend on their order. A record
    that stands several times in a class is one record here: it is kept once, `repeats`
    says how often it stands there, and the counts count every time.

    Args:
        keep: K, records of each class at most.
        key: of the seed; see `seed_key`.

    Example:
        >>> sketch = BottomK(keep=1, key=0)
        >>> _ = sketch.add([("yes", b"good"), ("no", b"bad"), ("yes", b"good")])
        >>> sketch.counts, [record.repeats for record in sketch.records()]
        ({'no': 1, 'yes': 2}, [1, 2])
    """

    def __init__(self, keep: int, key: int) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1; got {keep}")
        self.keep, self.key = keep, key
        self._classes: dict[Hashable, _OfClass] = {}

    def add(self, records: Iterable[tuple[Hashable, bytes]]) -> Self:
        """Look at records, each with its class, and give the sketch itself.

        Args:
            records: label and record of each.
        """
        for label, record in records:
            self.put(label, record, hash_record(record, self.key))
        return self

    def put(self, label: Hashable, record: bytes, digest: bytes) -> None:
        """Look at one record that is known by a hash made elsewhere.

        Args:
            label: its class.
            record: what is kept, such as the name of a file.
            digest: `hash_record` of its content.
        """
        of_class = self._classes.get(label)
        if of_class is None:
            of_class = self._classes[label] = _OfClass(self.keep)
        of_class.count += 1
        of_class.put(digest, record, 1)

    def merge(self, other: "BottomK") -> "BottomK":
        """The sketch of the records of both; neither changes.

        Raises:
            ValueError: another K or seed.
        """
        if (self.keep, self.key) != (other.keep, other.key):
            raise ValueError(
                f"sketches of keep={self.keep} and keep={other.keep}, or of several "
                "seeds, do not merge; make both with the same K and seed"
            )
        result = BottomK(self.keep, self.key)
        for part in (self, other):
            for label, of_class in part._classes.items():
                into = result._classes.setdefault(label, _OfClass(self.keep))
                into.count += of_class.count
                into.limit = min(into.limit, of_class.limit)
                for digest, (record, repeats) in of_class.records.items():
                    into.put(digest, record, repeats)
        for of_class in result._classes.values():
            of_class.cut()
        return result

    @property
    def counts(self) -> Mapping[Any, int]:
        """Label -> records of the class in all data, each counted whenever it comes."""
        return {label: of_class.count for label, of_class in self._ordered()}

    def records(self) -> Iterator[SampledRecord]:
        """The sample: class by class, by the hash within a class."""
        for label, of_class in self._ordered():
            of_class.cut()
            for digest in sorted(of_class.records):
                yield SampledRecord(label, *of_class.records[digest])

    def _ordered(self) -> list[tuple[Any, _OfClass]]:
        """Classes by their labels: numbers, then texts."""

        def order(item: tuple[Any, _OfClass]) -> tuple[str, Any]:
            return type(item[0]).__name__, item[0]

        return sorted(self._classes.items(), key=order)
