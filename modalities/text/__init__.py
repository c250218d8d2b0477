"""Text distillation for classification.

`as_texts` takes labelled texts in any form, `load` reads benchmarks by name.
"""

from multidd.text.data import given, load
from multidd.text.reading import as_texts
from multidd.text.texts import Texts

__all__ = ["Texts", "as_texts", "given", "load"]
