"""Modules of a caller's own as models: what makes one, its weights, its layers.

A *factory* is called anew for each set of weights: a class, or a function, that gives
an `nn.Module`. Where it asks for arguments it gets the form of the data, such as
`(shape, num_classes)`; where it asks for none it is called without. Files and
checkpoints hold weights and a fingerprint of the module, never code.
"""

import copy
import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter

from multidd import seeds
from multidd.errors import first_line
from multidd.protocols import Params
from multidd.settings import tensor_digest

__all__ = [
    "FunctionalModule",
    "ModuleFactory",
    "check_factory",
    "factory_name",
    "make_module",
    "seeded",
]

ModuleFactory: TypeAlias = Callable[..., nn.Module]
"""Gives a new module with random weights each time it is called."""

LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.modules.conv._ConvNd)
"""Layers with weights, before each of which a feature is read."""


@contextmanager
def seeded(rng: torch.Generator) -> Iterator[None]:
    """Torch's global generators as `rng` seeds them; the caller's again afterwards.

    Modules draw their weights and their dropout from these: that of the CPU, and that
    of the device of `rng`.

    Example:
        >>> with seeded(seeds.at(0, "net")):
        ...     first = nn.Linear(2, 2).weight
        >>> with seeded(seeds.at(0, "net")):
        ...     bool((nn.Linear(2, 2).weight == first).all())
        True
    """
    seed, on_gpu = seeds.child(rng), rng.device.type == "cuda"
    with seeds.global_state([rng.device]):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(rng.device):
                torch.cuda.manual_seed(seed)
        yield


def check_factory(factory: Any) -> None:
    """Refuse what is no factory of modules.

    Raises:
        TypeError: a module that is made already, or what cannot be called.

    Example:
        >>> check_factory(nn.ReLU())
        Traceback (most recent call last):
        ...
        TypeError: model is a ReLU that is made already, and new weights are drawn ...
    """
    if isinstance(factory, nn.Module):
        raise TypeError(
            f"model is a {type(factory).__name__} that is made already, and new "
            "weights are drawn again and again; give what makes it, such as its class "
            "or lambda shape, classes: Net(classes)"
        )
    if not callable(factory):
        raise TypeError(
            "model must be a name or a function that gives an nn.Module; got "
            f"{factory!r}"
        )


def factory_name(factory: Any) -> str:
    """What a factory is called; of a class its name.

    Example:
        >>> factory_name(nn.Linear)
        'Linear'
    """
    inner = getattr(factory, "func", factory)  # of functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def make_module(
    factory: ModuleFactory,
    arguments: Sequence[Any],
    rng: torch.Generator,
    example: tuple[Tensor, ...] = (),
) -> nn.Module:
    """A new module with weights drawn by `rng`, on the CPU.

    A factory that hands out one module gives copies of it: the same weights each time.

    Args:
        factory: makes it.
        arguments: what it gets where it has parameters without a default.
        rng: seeds the global generator while it is made.
        example: inputs by which lazy layers learn their sizes.

    Raises:
        TypeError: a factory that takes other arguments, or gives no module.

    Example:
        >>> make_module(nn.Linear, (3, 2), seeds.at(0, "net"))
        Linear(in_features=3, out_features=2, bias=True)
        >>> make_module(lambda: nn.ReLU(), (3, 2), seeds.at(0, "net"))
        ReLU()
    """
    check_factory(factory)
    taken = tuple(arguments) if _asks(factory, len(arguments)) else ()
    with seeded(rng):
        module = factory(*taken)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"model {factory_name(factory)} must give an nn.Module; it gave a "
            f"{type(module).__name__}"
        )
    # What a factory hands out again and again stays as it is.
    module = copy.deepcopy(module)
    parameters = module.parameters()
    if example and any(isinstance(p, UninitializedParameter) for p in parameters):
        with seeded(rng), torch.no_grad():
            module(*example)
    return module.cpu()


def _asks(factory: ModuleFactory, count: int) -> bool:
    """Whether a factory has parameters without a default, of which it may have
    `count`."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # compiled code has no signature
        return True
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (inspect.Parameter.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    positional = [p for p in parameters if p.kind in kinds and p.name in required]
    if len(required) in (0, count) and len(positional) == len(required):
        return bool(required)
    raise TypeError(
        f"model {factory_name(factory)} asks for {', '.join(required)}; it must ask "
        f"for {count} arguments or for none: wrap it in a lambda"
    )


class FunctionalModule:
    """A module whose weights are passed in: the template of a factory.

    It runs as in evaluation: dropout is off, and batch norms use the statistics of the
    batch they see, since no running statistics go with weights that are passed in.
    Parameters without gradients and buffers are constants, those of the template.

    Args:
        factory: makes modules.
        arguments: what it gets, see `make_module`.
        example: inputs of two records or more, to try it on.
        outputs: numbers that it must give for a record.
        layers: types of layers before which features are read.
        device: where it lives.

    Attributes:
        name: the class of its modules, or of what they wrap.
        digest: fingerprint of its layers, constants and code.
        mixes_records: what it gives for a record depends on the others of the batch.

    Raises:
        TypeError: no factory.
        ValueError: a module that does not take such inputs, gives other outputs, draws
            random numbers or changes its buffers or its input as it runs, or has
            nothing to train.

    Example:
        >>> net = FunctionalModule(nn.Linear, (3, 2), (torch.ones(4, 3),), 2)
        >>> weights = net.weights(seeds.at(0, "net"))
        >>> net.name, net.outputs(weights, torch.ones(5, 3)).shape
        ('Linear', torch.Size([5, 2]))
    """

    def __init__(
        self,
        factory: ModuleFactory,
        arguments: Sequence[Any],
        example: tuple[Tensor, ...],
        outputs: int,
        layers: tuple[type[nn.Module], ...] = LAYERS,
        device: torch.device | str = "cpu",
    ) -> None:
        self.factory, self.arguments = factory, tuple(arguments)
        self._example = tuple(tensor.cpu() for tensor in example)
        module = self.fresh(seeds.at(0, "template"))
        self.name = type(getattr(module, "wrapped", module)).__name__
        for part in module.modules():
            if isinstance(part, _NormBase):
                # Without statistics of its own it uses those of the batch, always.
                part.track_running_stats = False
                part.running_mean = part.running_var = part.num_batches_tracked = None
        self._module = module.eval()
        self._forms = {
            name: tuple(p.shape)
            for name, p in module.named_parameters()
            if p.requires_grad
        }
        if not self._forms:
            raise ValueError(f"model {self.name} has no parameters to train")
        self.digest = _fingerprint(module, self._forms)
        self._layers = _outermost(module, layers)
        self._try(outputs)
        module.requires_grad_(False).to(device)

    def weights(self, rng: torch.Generator) -> Params:
        """Weights of a new module, on the generator's device."""
        module = self.fresh(rng)
        drawn = {n: p for n, p in module.named_parameters() if p.requires_grad}
        forms = {name: tuple(p.shape) for name, p in drawn.items()}
        if forms != self._forms:
            raise ValueError(
                f"model {self.name} has other layers each time it is made; make the "
                "same ones"
            )
        return {n: p.detach().to(rng.device).clone() for n, p in drawn.items()}

    def outputs(self, weights: Params, *inputs: Tensor) -> Tensor:
        """`[b, c]` under one set of weights."""
        # Fused attention has no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            try:
                logits: Tensor = functional_call(self._module, weights, inputs)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise ValueError(
                    f"a batch norm of model {self.name} sees one record at a time; "
                    "distill 2 or more of each class, or take another norm"
                ) from error
        return logits

    def layers(self, weights: Params, *inputs: Tensor) -> list[Tensor]:
        """What enters each layer but the first, as it is, and the logits `[b, c]`.

        Raises:
            ValueError: the logits are not what the last layer gives.
        """
        entering, leaving, handles = list[Tensor](), list[Tensor](), list[Any]()
        try:
            for part in self._layers:
                handles.append(
                    part.register_forward_pre_hook(
                        lambda part, args: entering.append(args[0])
                    )
                )
                handles.append(
                    part.register_forward_hook(
                        lambda part, args, output: leaving.append(output)
                    )
                )
            logits = self.outputs(weights, *inputs)
        finally:
            for handle in handles:
                handle.remove()
        if not leaving or leaving[-1] is not logits or len(entering) < 2:
            raise ValueError(
                f"this method reads the features that enter the last layer of a "
                f"model, and model {self.name} has none: its last step must be a "
                "layer with weights (nn.Linear) behind another; take a method by "
                "gradients or trajectories, or end it with one"
            )
        return [x for x in entering[1:] if len(x) == len(logits)] + [logits]

    def fresh(self, rng: torch.Generator) -> nn.Module:
        """A new module of its own, on the CPU, to be trained as modules are."""
        return make_module(self.factory, self.arguments, rng, self._example)

    def _try(self, outputs: int) -> None:
        """Run it on the example, and refuse what no method could work with."""
        module, name = self._module, f"model {self.name}"
        weights = {n: p.detach() for n, p in module.named_parameters()}
        inputs = tuple(tensor.clone() for tensor in self._example)
        buffers = {n: b.clone() for n, b in module.named_buffers()}
        with torch.no_grad(), seeded(seeds.at(0, "trial")):
            try:
                logits = self.outputs(weights, *inputs)
            except Exception as error:
                shapes = " and ".join(str(list(t.shape)) for t in inputs)
                raise ValueError(
                    f"{name} does not take inputs of {shapes}: {first_line(error)}"
                ) from error
            expected = [len(inputs[0]), outputs]
            if not isinstance(logits, Tensor) or list(logits.shape) != expected:
                shape = list(getattr(logits, "shape", ())) or type(logits).__name__
                raise ValueError(
                    f"{name} must give logits of {expected} for inputs of "
                    f"{list(inputs[0].shape)}; it gives {shape}"
                )
            pairs = zip(inputs, self._example, strict=True)
            if not all(torch.equal(new, old) for new, old in pairs):
                raise ValueError(
                    f"{name} changes its input in place; let it work on a copy"
                )
            if not torch.equal(self.outputs(weights, *inputs), logits):
                raise ValueError(
                    f"{name} gives other outputs for the same input: it draws random "
                    "numbers in eval mode, or counts its calls; switch that off there"
                )
            changed = [n for n, b in module.named_buffers() if not b.equal(buffers[n])]
            if changed:
                raise ValueError(
                    f"{name} changes its buffer {changed[0]!r} as it runs; the weights "
                    "of a distillation are passed in, so it must stay as it is"
                )
            self.mixes_records = self._mixes(weights, inputs, logits)

    def _mixes(
        self, weights: Params, inputs: tuple[Tensor, ...], logits: Tensor
    ) -> bool:
        try:
            first = self.outputs(weights, *(tensor[:1] for tensor in inputs))
        except Exception:  # one record alone is not even taken
            return True
        return not torch.allclose(first, logits[:1], rtol=1e-4, atol=1e-6)


def _outermost(
    module: nn.Module, types: tuple[type[nn.Module], ...]
) -> list[nn.Module]:
    """Layers of these types that lie in no other of them."""
    inside: list[str] = []
    parts = list[nn.Module]()
    for path, part in module.named_modules():
        if any(path.startswith(f"{outer}.") or not outer for outer in inside):
            continue
        if isinstance(part, types):
            inside.append(path)
            parts.append(part)
    return parts


def _fingerprint(module: nn.Module, forms: dict[str, tuple[int, ...]]) -> str:
    """Digest of a module's layers, constants and the code of its classes."""
    sha = hashlib.sha256(f"{module!r}{sorted(forms.items())}".encode())
    constants = dict(module.named_buffers())
    constants |= {n: p for n, p in module.named_parameters() if n not in forms}
    for name, tensor in sorted(constants.items()):
        sha.update(f"{name} {tensor_digest(tensor)}".encode())
    classes = {cls for part in module.modules() for cls in type(part).__mro__}
    for cls in sorted(classes, key=lambda cls: cls.__qualname__):
        if cls.__module__.partition(".")[0] in ("torch", "builtins", "typing"):
            continue
        for name, member in sorted(vars(cls).items()):
            code = getattr(member, "__code__", None)
            if code is not None:
                sha.update(f"{cls.__qualname__}.{name} {code.co_names}".encode())
                sha.update(code.co_code)
    return sha.hexdigest()[:16]
