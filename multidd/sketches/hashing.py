"""Hashes by which sketches choose: the same on every machine, in every process.

A whole number is mixed by the finalizer of SplitMix64 after a key of the seed was
added, which maps the 64-bit numbers one to one; text and bytes go through BLAKE2b with
that key. Python's own `hash` differs from process to process and is not used.

Reference:
    Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014;
    Aumasson et al., "BLAKE2: simpler, smaller, fast as MD5", ACNS 2013.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from multidd.data.cells import as_bools, as_numbers

__all__ = ["DIGEST_BYTES", "IdHashes", "hash_ids", "hash_record", "mix", "seed_key"]

DIGEST_BYTES = 16
"""Of the hash of a record: among 10**12 records no two are likely to share one."""

_WHOLE = r"^(0|-?[1-9][0-9]{0,19})$"
_TOP = 2**64


def seed_key(seed: int) -> int:
    """The key of a seed for all hashes of a sketch, in `[0, 2**63)`.

    Example:
        >>> seed_key(0) == seed_key(0), seed_key(0) == seed_key(1)
        (True, False)
    """
    from multidd import seeds  # which loads torch: workers get the key itself

    return seeds.key(seed, "sketch")


def mix(numbers: np.ndarray, key: int) -> np.ndarray:
    """Hashes of whole numbers: different for different ones.

    Args:
        numbers: `[n]` int64 or uint64; negative ones count modulo `2**64`.
        key: of the seed; see `seed_key`.

    Returns:
        `[n]` uint64, as good as uniform.

    Example:
        >>> mix(np.array([1, 2, 1]), key=0).tolist()[::2]
        [10451216379200822465, 10451216379200822465]
    """
    shift = (key + 0x9E3779B97F4A7C15) % _TOP
    # In place: a batch of a log is hashed in the memory of two.
    x = numbers.astype(np.uint64)
    x += np.uint64(shift)
    high = x >> np.uint64(30)
    x ^= high
    x *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(x, np.uint64(27), out=high)
    x ^= high
    x *= np.uint64(0x94D049BB133111EB)
    np.right_shift(x, np.uint64(31), out=high)
    x ^= high
    return x


def hash_record(record: bytes, key: int) -> bytes:
    """The hash of a record: 16 bytes, which compare as they stand.

    Args:
        record: all of it.
        key: of the seed; see `seed_key`.

    Example:
        >>> hash_record(b"good", key=0).hex()[:8], len(hash_record(b"", key=0))
        ('daab3494', 16)
    """
    secret = key.to_bytes(8, "little")
    return hashlib.blake2b(record, digest_size=DIGEST_BYTES, key=secret).digest()


@dataclass(frozen=True, eq=False)
class IdHashes:
    """Hashes of ids, and what the ids are.

    Attributes:
        values: `[n]` uint64.
        fits_int: all are numbers that int64 holds, or text that is written as these.
        fits_uint: the same of uint64.
    """

    values: np.ndarray
    fits_int: bool
    fits_uint: bool


def hash_ids(ids: Any, key: int) -> IdHashes:
    """Hashes of ids; an id that is written as a number hashes as that number.

    So a log in CSV, whose ids are text until all of it is read, gives the same users
    as in parquet.

    Args:
        ids: `[n]` Arrow array of int64, uint64 or large_string; the hash of a missing
            one means nothing.
        key: of the seed; see `seed_key`.

    Example:
        >>> import pyarrow
        >>> text = pyarrow.array(["7", "ann"], pyarrow.large_string())
        >>> hashes = hash_ids(text, key=0)
        >>> bool(hashes.values[0] == mix(np.array([7]), 0)[0]), hashes.fits_int
        (True, False)
    """
    import pyarrow

    if not pyarrow.types.is_large_string(ids.type):
        numbers = as_numbers(ids, 0)
        is_int = numbers.dtype == np.int64
        return IdHashes(mix(numbers, key), is_int, not is_int)
    encoded = ids.dictionary_encode()
    distinct = _hash_texts(encoded.dictionary, key)
    codes = as_numbers(encoded.indices, 0)
    values = (
        distinct.values[codes] if len(distinct.values) else np.zeros(len(ids), "u8")
    )
    return IdHashes(values, distinct.fits_int, distinct.fits_uint)


def _hash_texts(texts: Any, key: int) -> IdHashes:
    """Of distinct texts."""
    import pyarrow
    import pyarrow.compute as compute

    matches = compute.match_substring_regex(texts, _WHOLE)
    is_number = as_bools(matches)
    values = np.empty(len(texts), np.uint64)
    try:  # the usual case: all of them are numbers of one kind, or none is
        numbers = as_numbers(texts.filter(matches).cast(pyarrow.int64()))
        fits_int, fits_uint = True, not len(numbers) or int(numbers.min()) >= 0
        values[is_number] = mix(numbers, key)
    except pyarrow.ArrowInvalid:
        whole = [int(text) for text in texts.filter(matches).to_pylist()]
        fits = np.array([-(2**63) <= number < _TOP for number in whole])
        fits_int, fits_uint = False, min(whole) >= 0
        rest = np.array([number % _TOP for number in whole], np.uint64)
        values[is_number] = mix(rest, key)
        is_number[is_number] = fits  # a longer number is text like any other
    for place in np.flatnonzero(~is_number).tolist():
        digest = hash_record(texts[place].as_py().encode(), key)
        values[place] = int.from_bytes(digest[:8], "big")
    all_numbers = bool(is_number.all())
    return IdHashes(values, all_numbers and fits_int, all_numbers and fits_uint)
