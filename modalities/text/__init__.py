"""Text distillation for classification.

`as_texts` takes labelled texts in any form, `load` reads benchmarks by name.
`Encoder` turns texts into features, kept on disk by `features`; `StaticTable` has word
vectors, and `learner` the models that learn on them.
"""

from multidd.text.cached import features
from multidd.text.data import given, load
from multidd.text.encoder import Encoder
from multidd.text.finetuned import FineTuned
from multidd.text.learners import LEARNERS, learner
from multidd.text.reading import as_texts
from multidd.text.statics import StaticTable
from multidd.text.summary import TextSummary
from multidd.text.texts import Texts

__all__ = [
    "LEARNERS",
    "Encoder",
    "FineTuned",
    "StaticTable",
    "TextSummary",
    "Texts",
    "as_texts",
    "features",
    "given",
    "learner",
    "load",
]
