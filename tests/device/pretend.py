"""A pretend accelerator: what runs on it is checked as a GPU would check it.

`with Pretend() as seen: method(data, device="pretend")` runs a method with true numbers
on a device of its own kind, on a machine that has none. A tensor of the device wraps a
tensor of the CPU, so that values, autograd, double backward and vmap are real; each
operation is checked before it runs:

* tensors of two devices raise `DeviceFault`, with the two exceptions that CUDA makes:
  a CPU tensor without dimensions in a pointwise operation, and indices on the CPU;
* so do a generator of another device, `.numpy()`, and a device index of a CPU tensor;
* copies between the two, waits for a number of the device, 64-bit arithmetic and
  operations are counted, by the line of the library that caused them.

Memory, streams, the numbers that CUDA draws and its kernels are not modelled, and code
under `torch.utils.checkpoint` is walked without it. The Python backend that this rests
on is an experimental part of torch.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
_setup_privateuseone_for_python_backend(NAME)
DEVICE, CPU = torch.device(NAME, 0), torch.device("cpu")
ROOTS = ("/multidd/", "/modalities/")
"""Parts of the paths of files whose lines are named."""

aten = torch.ops.aten
_checkpoint = torch.utils.checkpoint.checkpoint
_Generator = torch.Generator  # another stands in its place within `Pretend`

SCALARS_TOO = {
    aten.masked_fill.Tensor,
    aten.masked_fill_.Tensor,
    aten.fill.Tensor,
    aten.fill_.Tensor,
    aten.where.self,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten.lerp.Tensor,
}
"""Where CUDA takes a CPU tensor without dimensions, beside pointwise operations."""

COPIES = {aten._to_copy.default, aten.copy_.default, aten.copy.default}

INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
    aten._unsafe_index_put.default,
}

WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_dim.default,
    aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor,
    aten.bincount.default,
    aten._is_all_true.default,
    aten.linalg_lstsq.default,
}
"""After these the processor waits for the device."""

VIEWS = set(
    "detach view alias t transpose expand slice select unsqueeze squeeze permute "
    "as_strided split unbind _unsafe_view is_same_size lift_fresh size stride "
    "_reshape_alias diagonal".split()
)
"""Operations that start no kernel."""


class DeviceFault(RuntimeError):
    """What would raise on a GPU, or work there by luck alone."""


class PretendTensor(Tensor):
    """A tensor of the device: shape and strides of its own, numbers in `inner`."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "PretendTensor":
        strided = inner.layout == torch.strided
        wrapper = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride() if strided else None,
            storage_offset=inner.storage_offset() if strided else None,
            dtype=inner.dtype,
            layout=inner.layout,
            device=DEVICE,
            requires_grad=False,
        )
        wrapper.inner = inner
        return wrapper

    # Code that asks takes the way of a GPU.
    is_cuda = property(lambda self: True)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"pretend({self.inner!r})"

    def untyped_storage(self) -> Any:
        return self.inner.untyped_storage()

    def tolist(self) -> Any:
        _current().note("wait", "tolist")
        return self.detach().inner.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().resolve_conj().numpy()
        _current().fault("numpy() of a tensor of the device")
        return self.detach().inner.numpy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        _current().fault("numpy.asarray of a tensor of the device")
        array = self.detach().inner.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __deepcopy__(self, memo: Any) -> "PretendTensor":
        twin = PretendTensor(self.detach().inner.clone())
        twin.requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            twin._is_param = True
        memo[id(self)] = twin
        return twin

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _operation(func, args, kwargs or {})


_places: dict[int, torch.device] = {}
"""Generator -> where it draws; by its address, as operations hand it on."""


class PretendGenerator(_Generator):
    """A generator of the CPU that says it draws where it was asked to."""

    def __new__(cls, device: Any = "cpu") -> "PretendGenerator":
        generator = super().__new__(cls, CPU)
        place = torch.device(device)
        generator.place = DEVICE if place.type == NAME else place
        _places[generator._cdata] = generator.place
        return generator

    def __init__(self, device: Any = "cpu") -> None:
        pass

    device = property(lambda self: self.place)  # type: ignore[assignment]


class Pretend(TorchDispatchMode):
    """Within it the device is there, and what happens on it is checked and counted.

    Args:
        strict: raise at the first fault; else count it and go on.

    Attributes:
        faults: what was wrong and where -> how often.
        counts: `"wait"`, `"copy up"`, `"copy down"`, `"float64"` -> line -> how often.
        operations: that started a kernel of the device.
    """

    active: "Pretend | None" = None

    def __init__(self, strict: bool = True) -> None:
        super().__init__()
        self.strict = strict
        self.faults: Counter[tuple[str, str]] = Counter()
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.operations = 0
        self._plain: list[tuple[Any, str]] = []

    def total(self, kind: str) -> int:
        """How often something of a kind happened."""
        return sum(self.counts[kind].values())

    def __enter__(self) -> "Pretend":
        torch.Generator = PretendGenerator  # type: ignore[misc]
        Pretend.active = self
        # To compute again in backward aborts torch on a Python backend; the values are
        # the same without.
        for module in list(sys.modules.values()):
            if str(getattr(module, "__name__", "")).startswith("multidd"):
                for name, value in list(vars(module).items()):
                    if value is _checkpoint:
                        self._plain.append((module, name))
                        setattr(module, name, _unchecked)
        # On one thread, so that lines are known.
        self._threads = torch.autograd.set_multithreading_enabled(False)
        self._threads.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._threads.__exit__(*error)
        for module, name in self._plain:
            setattr(module, name, _checkpoint)
        self._plain.clear()
        torch.Generator = _Generator  # type: ignore[misc]
        Pretend.active = None
        _places.clear()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _operation(func, args, kwargs or {})

    def note(self, kind: str, what: str) -> None:
        """Count something at the line of the library that caused it."""
        self.counts[kind][f"{_line()} {what}"] += 1

    def fault(self, what: str) -> None:
        """What a GPU would refuse."""
        self.faults[what, _line()] += 1
        if self.strict:
            raise DeviceFault(f"{what} ({_line()})")

    def report(self, top: int = 8) -> str:
        """Faults and counts with their lines, the most frequent first."""
        lines = [
            f"fault: {what} at {place} ({count} times)"
            for (what, place), count in self.faults.most_common()
        ]
        lines.append(f"operations: {self.operations}")
        for kind, counter in sorted(self.counts.items()):
            lines.append(f"{kind}: {counter.total()}")
            lines += [f"  {n:6d} {place}" for place, n in counter.most_common(top)]
        return "\n".join(lines)


def on_device(x: Any) -> bool:
    """Whether it is a tensor of the device."""
    return isinstance(x, PretendTensor)


def _current() -> Pretend:
    return Pretend.active or Pretend()


def _unchecked(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    return function(*args)


def _line() -> str:
    """The innermost line of the library in the stack."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        for root in ROOTS:
            if root in path and "site-packages" not in path:
                inside = path.split(root)[-1]
                return f"{root.strip('/')}/{inside}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


# --- operations -------------------------------------------------------------------


def _operation(func: Any, args: Any, kwargs: Any) -> Any:
    """Check one operation, then run it on the tensors within."""
    seen = _current()
    flat, spec = tree_flatten((args, kwargs))
    tensors = [x for x in flat if isinstance(x, Tensor)]
    inside = [x for x in tensors if on_device(x)]
    asked = kwargs.get("device")
    asked = None if asked is None else torch.device(asked)
    if (asked is not None and asked.type not in (NAME, "cpu")) or any(
        x.device.type == "meta" for x in tensors
    ):
        return func(*args, **kwargs)
    name = func.overloadpacket.__name__
    target = CPU
    if inside or (asked is not None and asked.type == NAME):
        target = DEVICE
    _check_generator(seen, flat, target, name)
    if func in COPIES:
        target = _copy_target(seen, func, args, asked, name)
    elif inside:
        _check_devices(seen, func, name, tensors, args)
        _count_waits(seen, func, name, args, kwargs)
        wide = any(x.dtype == torch.float64 and x.numel() > 1 for x in inside)
        if wide and name not in VIEWS:
            seen.note("float64", name)
    if target is DEVICE and name not in VIEWS:
        seen.operations += 1
    return _run(func, args, kwargs, flat, spec, target)


def _run(
    func: Any, args: Any, kwargs: Any, flat: Any, spec: Any, target: torch.device
) -> Any:
    """The operation on the tensors within; what comes out lies on `target`."""
    by_inner = {id(x.inner): x for x in flat if on_device(x)}
    bare = [
        x.inner if on_device(x) else CPU if isinstance(x, torch.device) else x
        for x in flat
    ]
    a, k = tree_unflatten(bare, spec)
    if "device" in k:
        k["device"] = CPU
    out = func(*a, **k)
    if torch.Tag.inplace_view in getattr(func, "tags", ()):
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
    if func is aten._to_copy.default and target is CPU and by_inner:
        return out.clone() if id(out) in by_inner else out

    def wrapped(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if id(x) in by_inner:  # in place: the same tensor
            return by_inner[id(x)]
        return PretendTensor(x) if target is DEVICE and not on_device(x) else x

    return tree_map(wrapped, out)


def _check_generator(seen: Pretend, flat: Any, target: torch.device, name: str) -> None:
    generator = next((x for x in flat if isinstance(x, _Generator)), None)
    if generator is None:
        return
    place = _places.get(generator._cdata, CPU)
    if place.type != target.type:
        seen.fault(f"{name}: a generator of {place.type}, tensors of {target.type}")


def _copy_target(
    seen: Pretend, func: Any, args: Any, asked: torch.device | None, name: str
) -> torch.device:
    """Where a copy goes; one between the devices is counted."""
    if func is aten._to_copy.default:
        source, goal = on_device(args[0]), on_device(args[0])
        if asked is not None:
            goal = asked.type == NAME
    else:
        goal, source = on_device(args[0]), on_device(args[1])
    if source != goal:
        seen.note("copy up" if goal else "copy down", name)
    return DEVICE if goal else CPU


def _check_devices(
    seen: Pretend, func: Any, name: str, tensors: list[Tensor], args: Any
) -> None:
    """Tensors of two devices, but where CUDA takes them."""
    outside = [x for x in tensors if not on_device(x)]
    if not outside:
        return
    if func in INDEXING:
        if not on_device(args[0]):
            seen.fault(f"{name}: a CPU tensor by an index of the device")
            return
        indices = [i for i in args[1] if isinstance(i, Tensor) and not on_device(i)]
        for _ in indices:
            seen.note("copy up", f"{name}: an index")
        outside = [x for x in outside if not any(x is i for i in indices)]
    takes_scalars = func in SCALARS_TOO or (
        torch.Tag.pointwise in getattr(func, "tags", ())
    )
    wrong = [x for x in outside if x.dim() or not takes_scalars]
    if wrong:
        places = ", ".join(
            f"{'device' if on_device(x) else 'CPU'} {list(x.shape)}" for x in tensors
        )
        seen.fault(f"{name}: {places}")


def _count_waits(seen: Pretend, func: Any, name: str, args: Any, more: Any) -> None:
    if more.get("output_size") is not None:  # of `repeat_interleave`: nothing to ask
        return
    masks = func in INDEXING and any(
        isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1]
    )
    of_cpu = func is aten._local_scalar_dense.default and not on_device(args[0])
    if masks or (func in WAITS and not of_cpu):
        seen.note("wait", "item" if name == "_local_scalar_dense" else name)


# --- what torch asks of a backend ----------------------------------------------

_library = torch.library.Library("aten", "IMPL")


def _empty(size: Any, dtype: Any = None, *rest: Any, **kwargs: Any) -> Tensor:
    return PretendTensor(torch.empty(size, dtype=dtype, device="cpu"))


def _empty_strided(
    size: Any, stride: Any, dtype: Any = None, *rest: Any, **kwargs: Any
) -> Tensor:
    return PretendTensor(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _copy_from(source: Any, goal: Any, non_blocking: bool = False) -> Tensor:
    # `torch.tensor(..., device=)` copies below the modes.
    _current().note("copy up" if on_device(goal) else "copy down", "torch.tensor")
    inner = goal.inner if on_device(goal) else goal
    inner.copy_(source.inner if on_device(source) else source)
    result: Tensor = goal
    return result


_library.impl("empty.memory_format", _empty, "PrivateUse1")
_library.impl("empty_strided", _empty_strided, "PrivateUse1")
_library.impl("_copy_from", _copy_from, "PrivateUse1")
