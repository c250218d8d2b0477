"""The tensors inside a batch, which is opaque to the core but for this."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from multidd.protocols import Batch

__all__ = ["mapped", "moving", "tensors"]


def moving(batch: Batch) -> list[Tensor]:
    """The tensors of a batch that gradients flow into, in a fixed order.

    Args:
        batch: a tensor, or a dataclass, mapping or sequence that holds some, in any
            depth.

    Example:
        >>> import torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> [t.shape for t in moving({"x": x, "y": torch.zeros(2)})]
        [torch.Size([2])]
    """
    return [tensor for tensor in tensors(batch) if tensor.requires_grad]


def tensors(batch: Batch) -> list[Tensor]:
    """All tensors of a batch, in the same order.

    Example:
        >>> import torch
        >>> len(tensors([torch.zeros(2), "told", (torch.ones(1),)]))
        2
    """
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(batch, note)
    return found


def mapped(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """A batch with `change` of each of its tensors; parts that stay are not copied.

    Example:
        >>> import torch
        >>> mapped((torch.ones(2), "told"), lambda tensor: 2 * tensor)
        (tensor([2., 2.]), 'told')
    """
    if isinstance(batch, Tensor):
        return change(batch)
    if is_dataclass(batch) and not isinstance(batch, type):
        names = [field.name for field in fields(batch) if field.init]
        old = {name: getattr(batch, name) for name in names}
        new = {name: mapped(part, change) for name, part in old.items()}
        changed: Any = {n: part for n, part in new.items() if part is not old[n]}
        return replace(batch, **changed) if changed else batch
    if isinstance(batch, Mapping):
        return {name: mapped(part, change) for name, part in batch.items()}
    if type(batch) in (list, tuple):
        return type(batch)(mapped(part, change) for part in batch)
    return batch
