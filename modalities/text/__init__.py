"""Text distillation for classification.

`distill` runs any method. On embeddings of sentences: `kip`, `frepo` (kernels), `dm`
(distributions), `dc` (gradients), `mtt` (trajectories). Readable: `pursuit`, real
sentences chosen by the loss of `kip`. Selections: `random`, `herding`, `kcenter`,
`medoids`, `kmeans`. All give a `TextSummary`.

`as_texts` takes labelled texts in any form, `load` reads benchmarks by name.
`Encoder` turns texts into features, kept on disk by `features`; `StaticTable` has word
vectors, and `learner` the models that learn on them.
"""

from multidd.text._attention import attention_labels
from multidd.text._dc import dc
from multidd.text._distill import LEARNED, METHODS, distill
from multidd.text._kip import frepo, kip
from multidd.text._matching import dm
from multidd.text._mtt import mtt
from multidd.text._pursuit import pursuit
from multidd.text._selections import herding, kcenter, kmeans, medoids, random
from multidd.text._tbptt import tbptt
from multidd.text._tokens import tokens
from multidd.text.cached import features
from multidd.text.data import given, load
from multidd.text.decoded import resolved, to_sentences, to_words
from multidd.text.decoding import decode_sentences, decode_tokens
from multidd.text.encoder import Encoder
from multidd.text.finetuned import FineTuned
from multidd.text.judge import Judge
from multidd.text.learners import LEARNERS, learner
from multidd.text.reading import as_texts
from multidd.text.replaying import replay
from multidd.text.settings import Settings
from multidd.text.soft_labels import collator, soft_label_loss
from multidd.text.statics import StaticTable
from multidd.text.summary import TextSummary
from multidd.text.swapping import swapped
from multidd.text.task import TextTask
from multidd.text.texts import Texts
from multidd.text.token_task import TokenTask

__all__ = [
    "Encoder",
    "FineTuned",
    "Judge",
    "LEARNED",
    "LEARNERS",
    "METHODS",
    "Settings",
    "StaticTable",
    "TextSummary",
    "TextTask",
    "Texts",
    "TokenTask",
    "as_texts",
    "attention_labels",
    "collator",
    "dc",
    "decode_sentences",
    "decode_tokens",
    "distill",
    "dm",
    "features",
    "frepo",
    "given",
    "herding",
    "kcenter",
    "kip",
    "kmeans",
    "learner",
    "load",
    "medoids",
    "mtt",
    "pursuit",
    "random",
    "replay",
    "resolved",
    "soft_label_loss",
    "swapped",
    "tbptt",
    "to_sentences",
    "to_words",
    "tokens",
]
