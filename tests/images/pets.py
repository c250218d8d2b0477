"""Six gray and six colored images of three kinds of pets, for tests of readers."""

import io
from typing import Any

import numpy as np
import PIL.Image

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 8, 9), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
Y = [0, 1, 2, 0, 1, 2]
PETS = ("cat", "dog", "cow")


def pil(x: Any) -> list[PIL.Image.Image]:
    """Arrays as PIL images."""
    return [PIL.Image.fromarray(image) for image in x]


def encoded(image: PIL.Image.Image, kind: str = "PNG") -> bytes:
    """The bytes of a file of it."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
