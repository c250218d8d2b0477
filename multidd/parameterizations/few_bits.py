"""Sets that are learned as they will be stored: in few bits a number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd.protocols import Draw, Parameterization, Params, Task, decoder_info
from multidd.storage.codecs import Codec
from multidd.storage.packed_tensor import rounded

__all__ = ["FewBits", "straight_through"]


def straight_through(tensor: Tensor, codec: Codec, bits: int) -> Tensor:
    r"""A tensor as it is stored, with the gradient of the tensor itself.

    Forward $Q(x)$, backward the identity: a rounded number has no slope of its own.

    Args:
        tensor: of fractions; whole numbers are returned as they are.
        codec: how it is stored.
        bits: of a number.

    Example:
        >>> x = torch.tensor([0.0, 0.1, 0.4, 0.6, 1.0], requires_grad=True)
        >>> stored = straight_through(x, Codec("linear"), 2)
        >>> [round(value, 2) for value in stored.tolist()]
        [0.0, 0.0, 0.33, 0.67, 1.0]
        >>> torch.autograd.grad(stored.sum(), x)[0].tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    if not tensor.is_floating_point():
        return tensor
    # A difference of zero, so that the numbers are those of the levels to the bit.
    return rounded(tensor, codec, bits) + (tensor - tensor.detach())


@dataclass(frozen=True, eq=False)
class FewBits(Parameterization):
    """A parameterization whose set is rounded to few bits before it is compared.

    What is matched then sees the numbers that `summary.compress(bits)` will store, and
    learns to do with them; from step `after` on, since a set that still moves far loses
    more by coarse steps than it gains.

    Attributes:
        base: how the set is stored and drawn.
        bits: of a number, 2 to 8.
        after: steps before.
        decoded: whether a summary keeps what is stored and decodes it; else what models
            run on is rounded.

    Reference:
        Bengio, Léonard, Courville, "Estimating or Propagating Gradients Through
        Stochastic Neurons for Conditional Computation", arXiv 1308.3432, 2013.

    Example:
        >>> from multidd.parameterizations import FromTensors
        >>> base = FromTensors({"x": torch.linspace(0, 1, 36).view(4, 9)})
        >>> form = FewBits(base, 2, lambda name: Codec("linear"))
        >>> len(form.draw(dict(base.start), torch.Generator(), 0)["x"].unique())
        4
    """

    base: Parameterization
    bits: int
    _codec_of: Callable[[str], Codec]
    after: int = 0
    decoded: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """The base's groups."""
        return self.base.groups

    @property
    def decoder(self) -> dict[str, Any]:
        """The base's decoder."""
        return decoder_info(self.base)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's tensors."""
        return self.base.init(task, rng)

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The set in few bits."""
        if step < self.after:
            return self.base.draw(params, rng, step)
        if self.decoded:
            return self.base.draw(self.rounded(params), rng, step)
        return self.rounded(self.base.draw(params, rng, step))

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """What the base stores, not rounded: the summary is compressed as a whole."""
        return self.base.final(params, rng)

    def decode(self, stored: Draw) -> Draw:
        """What models run on, of what is stored."""
        if self.decoded:
            return self.base.decode(self.rounded(stored))
        return self.rounded(self.base.decode(stored))

    def rounded(self, tensors: Draw) -> Draw:
        """Tensors of the set in few bits, by their names."""
        return {
            name: straight_through(tensor, self._codec_of(name), self.bits)
            for name, tensor in tensors.items()
        }
