"""Arrays in pickle files, read without running any of what a pickle can ask for.

Planetoid's files are pickles of NumPy arrays, of SciPy's CSR matrices and of dicts of
lists. A pickle is a program for a small stack machine, and an unpickler runs it, with
any function that the file names. Here `pickletools` takes the file apart, which runs
nothing, and only the few instructions that such files hold are followed. The names in a
file stand for records of this module, never for functions or classes.

What is read takes memory in proportion to the file: each byte of it, and each element
of a list, counts once, however often it is referred to.
"""

import math
import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from multidd.errors import CorruptFileError

__all__ = ["MAX_PICKLE_BYTES", "checked_csr", "read_pickled"]

MAX_PICKLE_BYTES = 2**25
"""Largest file that is looked at; PubMed's features, a million numbers, fit thrice."""

MAX_INSTRUCTIONS = 2**21
"""Instructions that are followed; Cora's lists of neighbours take 24,000."""

MAX_STACK = 10_000
"""Values that wait on the stack; a pickle is written in batches of 1000."""

MAX_INTEGER = 2**31
"""Bound of whole numbers: nodes, shapes and the like."""

NAMES = {
    "numpy.core.multiarray _reconstruct": "new array",
    "numpy._core.multiarray _reconstruct": "new array",
    "numpy ndarray": "array class",
    "numpy dtype": "dtype",
    "scipy.sparse.csr csr_matrix": "csr",
    "scipy.sparse._csr csr_matrix": "csr",
    "collections defaultdict": "dict of lists",
    "__builtin__ list": "list class",
    "builtins list": "list class",
    "_codecs encode": "encode",
    "__builtin__ bytes": "bytes class",
}
"""Module and name in a file, and what it stands for; every other one is refused."""

CODE = re.compile("b1|[iu][1248]|f[248]")  # dtypes of plain numbers


class _Name:
    """What a name in the file stands for."""

    def __init__(self, role: str) -> None:
        self.role = role


class _Dtype:
    """A dtype of plain numbers, without its byte order before it is built."""

    def __init__(self, code: str) -> None:
        self.code, self.dtype = code, None

    dtype: np.dtype | None


class _Array:
    """An array, empty before it is built."""

    array: np.ndarray | None = None


class _Csr:
    """The parts of a CSR matrix, none before it is built."""

    parts: dict[Any, Any] | None = None


_MARK = object()
_VALUES = set(
    "BININT BININT1 BININT2 LONG1 SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES "
    "BINUNICODE".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def read_pickled(content: bytes, label: str) -> np.ndarray | sp.csr_matrix | dict:
    """The array, the CSR matrix or the dict of lists of integers in a pickle.

    Args:
        content: of the file.
        label: what errors call the file.

    Returns:
        A read-only array of numbers, a `scipy.sparse.csr_matrix`, or a dict from
        integers to lists of integers.

    Raises:
        CorruptFileError: truncated, or with an instruction, a name or a value that
            such files do not hold; says which and where.

    Example:
        >>> read_pickled(b"\\x80\\x02}K\\x01]K\\x02as.", "graph")
        {1: [2]}
    """
    if len(content) > MAX_PICKLE_BYTES:
        raise CorruptFileError(
            f"{label} takes {len(content)} bytes, more than {MAX_PICKLE_BYTES}; use "
            "another copy"
        )
    machine = _Machine(content, label)
    value = machine.run()
    if isinstance(value, _Array) and value.array is not None:
        return value.array
    if isinstance(value, _Csr) and value.parts is not None:
        return machine.matrix(value.parts)
    if isinstance(value, dict):
        return machine.neighbours(value)
    raise machine.refusal("it holds no array, CSR matrix or dict of lists")


def checked_csr(
    label: str, data: Any, indices: Any, indptr: Any, shape: Any
) -> sp.csr_matrix:
    """A CSR matrix of these parts, which are refused where they do not fit together.

    Args:
        label: what errors call the file.
        data: `[e]` values.
        indices: `[e]` columns.
        indptr: `[n + 1]`, where each row ends.
        shape: two sizes.

    Raises:
        CorruptFileError: other types or lengths, or entries out of range.

    Example:
        >>> parts = (np.ones(1), np.array([2]), np.array([0, 1]))
        >>> checked_csr("x", *parts, (1, 3)).toarray()
        array([[0., 0., 1.]])
    """

    def refusal(fault: str) -> CorruptFileError:
        return CorruptFileError(f"{label} is damaged: {fault}; use another copy")

    parts = {"data": data, "indices": indices, "indptr": indptr}
    for name, part in parts.items():
        if not isinstance(part, np.ndarray) or part.ndim != 1:
            raise refusal(f"{name} of its matrix is no array of one axis")
        if name != "data" and part.dtype.kind not in "iu":
            raise refusal(f"{name} of its matrix are {part.dtype}, not integers")
    sizes = np.asarray(shape)
    if sizes.shape != (2,) or sizes.dtype.kind not in "iu" or int(sizes.min()) < 0:
        raise refusal("the shape of its matrix is not two whole numbers")
    n, d = int(sizes[0]), int(sizes[1])
    if len(indptr) != n + 1 or len(indices) != len(data):
        raise refusal(
            f"its matrix of {n} rows has {len(indptr)} row ends, {len(indices)} "
            f"indices and {len(data)} values"
        )
    rising = bool((indptr[1:] >= indptr[:-1]).all())
    if int(indptr[0]) != 0 or int(indptr[-1]) != len(data) or not rising:
        raise refusal("the rows of its matrix do not follow each other")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < d:
        raise refusal(f"an entry of its matrix lies outside its {d} columns")
    native = [part.astype(part.dtype.newbyteorder("=")) for part in parts.values()]
    return sp.csr_matrix(tuple(native), (n, d))


class _Machine:
    """The stack machine of pickles, with the instructions of arrays only."""

    def __init__(self, content: bytes, label: str) -> None:
        self.content, self.label = content, label
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.array_bytes = 0
        self.place = "at byte 0"

    def refusal(self, fault: str) -> CorruptFileError:
        """The error that names the file, the place and the fault."""
        return CorruptFileError(
            f"{self.label} is no pickle of plain numbers: {self.place}, {fault}; "
            "nothing of it was run; use another copy"
        )

    def run(self) -> Any:
        """Follow the instructions to the end; the value that they leave."""
        try:
            steps = pickletools.genops(self.content)
            for number, (opcode, argument, at) in enumerate(steps):
                self.place = f"at byte {at}, {opcode.name}"
                if opcode.name == "STOP":
                    if at != len(self.content) - 1:
                        raise self.refusal("more follows the end")
                    break
                self._step(opcode.name, argument)
                if number == MAX_INSTRUCTIONS:
                    raise self.refusal(f"more than {MAX_INSTRUCTIONS} instructions")
                if len(self.stack) > MAX_STACK:
                    raise self.refusal(f"more than {MAX_STACK} values wait")
        except (ValueError, OverflowError) as error:  # truncated, or no opcode
            raise self.refusal(f"it cannot be read ({error})") from error
        if len(self.stack) != 1:
            raise self.refusal(f"{len(self.stack)} values are left, not one")
        return self.stack[0]

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(self._value(argument))
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self._top()
        elif name in ("BINGET", "LONG_BINGET"):
            if argument not in self.memo:
                raise self.refusal(f"nothing was stored as {argument}")
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self._name(argument)
        elif name != "PROTO":
            raise self.refusal("an instruction that files of numbers do not hold")

    def _value(self, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise self.refusal("a number too large for a node or a size")
        return value

    def _name(self, name: str) -> None:
        if name not in NAMES:
            raise self.refusal(f"the name {name[:100]!r}, which is not of an array")
        self.stack.append(_Name(NAMES[name]))

    def _top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.refusal("a value is missing")
        return self.stack[-1]

    def _pop(self) -> Any:
        self._top()
        return self.stack.pop()

    def _since_mark(self) -> list[Any]:
        values = []
        while self.stack and self.stack[-1] is not _MARK:
            values.append(self.stack.pop())
        if not self.stack:
            raise self.refusal("a mark is missing")
        self.stack.pop()
        return values[::-1]

    # --- containers -----------------------------------------------------------

    def empty_list(self) -> None:
        """Push a new list."""
        self.stack.append([])

    def empty_dict(self) -> None:
        """Push a new dict."""
        self.stack.append({})

    def tuple_of(self, count: int | None) -> None:
        """Push a tuple of the last values; None: of those since the mark."""
        if count is None:
            values = self._since_mark()
        else:
            values = [self._pop() for _ in range(count)][::-1]
        self.stack.append(tuple(values))

    def extend(self, several: bool) -> None:
        """Append whole numbers to the list below them."""
        values = self._since_mark() if several else [self._pop()]
        numbers = self._top()
        if type(numbers) is not list or not all(type(v) is int for v in values):
            raise self.refusal("a list holds something else than whole numbers")
        numbers.extend(values)

    def set_items(self, several: bool) -> None:
        """Put pairs of key and value into the dict below them."""
        values = self._since_mark() if several else [self._pop(), self._pop()][::-1]
        table = self._top()
        if type(table) is not dict or len(values) % 2:
            raise self.refusal("items without a dict")
        for key in values[::2]:
            number = type(key) is int and 0 <= key < len(self.content)
            if not number and not isinstance(key, str):
                raise self.refusal("a key that is no node and no text")
        table.update(zip(values[::2], values[1::2], strict=True))

    # --- arrays and matrices --------------------------------------------------

    def reduce(self) -> None:
        """What a call of the file stands for: a new array, dtype, dict or bytes."""
        arguments, callee = self._pop(), self._pop()
        role = callee.role if isinstance(callee, _Name) else None
        if type(arguments) is not tuple:
            raise self.refusal("a call without arguments")
        roles = [a.role if isinstance(a, _Name) else a for a in arguments]
        if role == "new array" and len(roles) == 3 and roles[0] == "array class":
            self.stack.append(_Array())
        elif role == "dict of lists" and roles in ([], ["list class"]):
            self.stack.append({})
        elif role == "bytes class" and not roles:
            self.stack.append(b"")
        elif role == "encode" and len(roles) == 2 and roles[1] in ("latin1", "latin-1"):
            self.stack.append(self._bytes(roles[0]))
        elif role == "dtype" and roles and isinstance(roles[0], str):
            if not CODE.fullmatch(roles[0]):
                raise self.refusal(f"the dtype {roles[0][:20]!r}, which is no number")
            self.stack.append(_Dtype(roles[0]))
        else:
            raise self.refusal("a call that makes no array, dtype or dict")

    def new_object(self) -> None:
        """Push an empty CSR matrix."""
        arguments, cls = self._pop(), self._pop()
        if not isinstance(cls, _Name) or cls.role != "csr" or arguments != ():
            raise self.refusal("an object that is no CSR matrix")
        self.stack.append(_Csr())

    def build(self) -> None:
        """Fill the array, dtype or matrix below its state."""
        state, value = self._pop(), self._top()
        if isinstance(value, _Array) and value.array is None:
            value.array = self._array(state)
        elif isinstance(value, _Dtype) and value.dtype is None:
            value.dtype = self._dtype(value.code, state)
        elif isinstance(value, _Csr) and value.parts is None and type(state) is dict:
            value.parts = state
        else:
            raise self.refusal("a state for something that takes none")

    def _dtype(self, code: str, state: Any) -> np.dtype:
        if (
            type(state) is not tuple
            or len(state) < 5
            or state[1] not in ("<", ">", "|")
        ):
            raise self.refusal("a dtype without a byte order")
        if any(part is not None for part in state[2:5]):
            raise self.refusal("a dtype of several fields")
        return np.dtype(state[1] + code)

    def _array(self, state: Any) -> np.ndarray:
        if type(state) is not tuple or len(state) != 5:
            raise self.refusal("an array whose state has other parts")
        _, shape, dtype, by_columns, text = state
        if not isinstance(dtype, _Dtype) or dtype.dtype is None:
            raise self.refusal("an array without a dtype of numbers")
        if type(shape) is not tuple or not all(
            type(s) is int and s >= 0 for s in shape
        ):
            raise self.refusal("an array whose shape is not of whole numbers")
        content = self._bytes(text)
        size = math.prod(shape) * dtype.dtype.itemsize
        if size != len(content):
            raise self.refusal(
                f"an array {list(shape)} of {dtype.dtype} takes {size} bytes, not "
                f"{len(content)}"
            )
        flat = np.frombuffer(content, dtype.dtype)
        return flat.reshape(shape, order="F" if by_columns is True else "C")

    def _bytes(self, text: Any) -> bytes:
        """The bytes of a text of Python 2, as often as the file is long at most."""
        if not isinstance(text, str | bytes):
            raise self.refusal("an array whose numbers are no bytes")
        self.array_bytes += len(text)
        if self.array_bytes > 2 * len(self.content):
            raise self.refusal("more numbers than the file has bytes")
        return text.encode("latin-1") if isinstance(text, str) else text

    # --- what a file may hold -------------------------------------------------

    def matrix(self, state: dict[Any, Any]) -> sp.csr_matrix:
        """The CSR matrix of a state."""
        data, indices, indptr = (
            part.array if isinstance(part, _Array) else None
            for part in map(state.get, ("data", "indices", "indptr"))
        )
        shape = state.get("_shape", state.get("shape"))
        if type(shape) is not tuple or not all(type(size) is int for size in shape):
            raise self.refusal("a matrix whose shape is not two whole numbers")
        return checked_csr(self.label, data, indices, indptr, shape)

    def neighbours(self, table: dict[Any, Any]) -> dict[int, list[int]]:
        """A dict of nodes and lists of nodes."""
        for key, value in table.items():
            if type(key) is not int or type(value) is not list:
                raise self.refusal("its dict is not of nodes and lists")
        if sum(map(len, table.values())) > len(self.content):
            raise self.refusal("its lists hold more nodes than the file has bytes")
        return table


_ACTIONS: dict[str, Callable[[_Machine], None]] = {
    "EMPTY_LIST": _Machine.empty_list,
    "EMPTY_DICT": _Machine.empty_dict,
    "TUPLE": lambda machine: machine.tuple_of(None),
    "TUPLE1": lambda machine: machine.tuple_of(1),
    "TUPLE2": lambda machine: machine.tuple_of(2),
    "TUPLE3": lambda machine: machine.tuple_of(3),
    "APPEND": lambda machine: machine.extend(False),
    "APPENDS": lambda machine: machine.extend(True),
    "SETITEM": lambda machine: machine.set_items(False),
    "SETITEMS": lambda machine: machine.set_items(True),
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "BUILD": _Machine.build,
}
