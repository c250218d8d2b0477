"""Pickles of arrays that are none: each fault is named, with its place."""

import numpy as np
import pytest

from multidd.errors import CorruptFileError
from multidd.graph.data import pickled_arrays
from multidd.graph.data.pickled_arrays import checked_csr, read_pickled

# --- instructions, as a pickle of Python 2 has them -----------------------------------


def name(text):
    """`module name` as an instruction."""
    return b"c" + text.replace(" ", "\n").encode() + b"\n"


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def row(*parts):
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def number(value):
    return b"K" + bytes([value])


def dtype(code="f4", order="<", fields=b"N"):
    state = row(number(3), text(order), fields, b"N", b"N", number(4), number(4))
    return (
        name("numpy dtype")
        + row(text(code), number(0), number(1))
        + b"R"
        + state
        + b"b"
    )


def array(*state):
    """An array of float32 `[2]`, but for the parts of its state that are given."""
    parts = {0: number(1), 1: row(number(2)), 2: dtype(), 3: b"\x89", 4: text("\0" * 8)}
    parts |= dict(enumerate(state))
    start = name("numpy.core.multiarray _reconstruct")
    start += row(name("numpy ndarray"), row(number(0)), text("b")) + b"R"
    return start + row(*(parts[i] for i in sorted(parts))) + b"b"


def pickle_of(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


USUAL = number(1), row(number(2)), dtype()
FAULTS = {
    "nothing there": ([b"a"], "APPEND, a value is missing"),
    "no mark": ([b"Nt"], "TUPLE, a mark is missing"),
    "byte order": (
        [array(*USUAL[:2], dtype(order="="))],
        "a dtype without a byte order",
    ),
    "fields": (
        [array(*USUAL[:2], dtype(fields=number(1)))],
        "a dtype of several fields",
    ),
    "parts of a state": ([array(*USUAL, b"\x89", text(""), b"N")], "has other parts"),
    "no dtype": ([array(*USUAL[:2], b"N")], "an array without a dtype of numbers"),
    "shape": ([array(USUAL[0], row(text("2")))], "whose shape is not of whole numbers"),
    "no bytes": ([array(*USUAL, b"\x89", number(7))], "whose numbers are no bytes"),
    "size": (
        [array(USUAL[0], row(number(3)))],
        r"an array \[3\] .* takes 12 bytes, not 8",
    ),
    "keys of text": ([b"}", text("a"), b"]s"], "its dict is not of nodes and lists"),
    "values": ([b"}", number(1), b"Ns"], "its dict is not of nodes and lists"),
    "a value alone": ([b"N"], "it holds no array, CSR matrix or dict of lists"),
}


def test_an_array_is_read():
    result = read_pickled(pickle_of(array()), "ind.x")
    assert result.dtype == np.float32 and result.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault):
    parts, message = FAULTS[fault]
    with pytest.raises(CorruptFileError, match=f"ind.x is no pickle .*{message}; noth"):
        read_pickled(pickle_of(*parts), "ind.x")


def test_what_is_referred_to_often_counts_each_time():
    """A short file makes no large arrays, and no long lists, out of one."""
    encoded = name("_codecs encode") + row(b"h\x00", text("latin1")) + b"R"
    letters = text("a" * 1000) + b"q\x00"
    with pytest.raises(CorruptFileError, match="more numbers than the file has bytes"):
        read_pickled(pickle_of(letters, *[encoded] * 4), "ind.x")
    nodes = b"]q\x00(" + number(1) * 100 + b"e"
    items = b"".join(number(i) + b"h\x00" for i in range(1, 100))
    with pytest.raises(CorruptFileError, match="hold more nodes than the file has byt"):
        read_pickled(pickle_of(b"}(", number(0), nodes, items, b"u"), "ind.graph")


def test_a_file_too_large_is_not_looked_at(monkeypatch):
    content = pickle_of(array())
    monkeypatch.setattr(pickled_arrays, "MAX_PICKLE_BYTES", len(content) - 1)
    with pytest.raises(
        CorruptFileError, match=f"ind.x takes {len(content)} bytes, mor"
    ):
        read_pickled(content, "ind.x")


# --- the parts of a matrix ------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": np.ones((1, 1))}, "data of its matrix is no array of one axis"),
        ({"indptr": [0, 1]}, "indptr of its matrix is no array of one axis"),
        ({"indices": np.ones(1)}, "indices of its matrix are float64, not integers"),
        ({"shape": (1, 2, 3)}, "the shape of its matrix is not two whole numbers"),
        ({"shape": (-1, 3)}, "the shape of its matrix is not two whole numbers"),
        ({"shape": (1, 0.5)}, "the shape of its matrix is not two whole numbers"),
    ],
)
def test_parts_of_no_matrix(change, message):
    parts = {"data": np.ones(1), "indices": np.array([2]), "indptr": np.array([0, 1])}
    parts["shape"] = (1, 3)
    assert checked_csr("x", **parts).toarray().tolist() == [[0.0, 0.0, 1.0]]
    with pytest.raises(CorruptFileError, match=f"x is damaged: {message}; use another"):
        checked_csr("x", **parts | change)
