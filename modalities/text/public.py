"""The public names of `multidd.text`, where they load on first use."""

from multidd.text.data.benchmarks import load, load_for_evaluation
from multidd.text.data.readers import as_texts
from multidd.text.data.sketch import sketch
from multidd.text.data.texts import Texts
from multidd.text.evaluation.evaluator import Evaluator
from multidd.text.evaluation.replay import replay
from multidd.text.methods.distribution import DMOptions, dm
from multidd.text.methods.gradient import DCOptions, dc
from multidd.text.methods.kernel import (
    FRePoOptions,
    KernelOptions,
    KIPOptions,
    frepo,
    kip,
)
from multidd.text.methods.options import TextOptions, TextSelectionOptions
from multidd.text.methods.presets import preset
from multidd.text.methods.pursuit import PursuitOptions, pursuit
from multidd.text.methods.registry import LEARNED, METHODS, distill
from multidd.text.methods.selection import herding, kcenter, kmeans, medoids, random
from multidd.text.methods.tokens import TokensOptions, tokens
from multidd.text.methods.trajectory import MTTOptions, mtt
from multidd.text.methods.unroll import (
    AttentionLabelsOptions,
    TBPTTOptions,
    attention_labels,
    tbptt,
)
from multidd.text.methods.word_swaps import swapped
from multidd.text.models.encoder import Encoder
from multidd.text.models.feature_cache import features
from multidd.text.models.finetuned import FineTuned
from multidd.text.models.learners import LEARNERS, learner
from multidd.text.models.word_vectors import StaticTable
from multidd.text.summary.decode import resolved, to_sentences, to_words
from multidd.text.summary.export import collator, soft_label_loss
from multidd.text.summary.external import from_arrays
from multidd.text.summary.nearest_text import decode_sentences, decode_tokens
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.embedding_task import TextTask
from multidd.text.tasks.token_task import TokenTask

given = load_for_evaluation  # its name before
Judge = Evaluator  # its name before
Settings = TextOptions  # its name before

__all__ = [
    "AttentionLabelsOptions",
    "DCOptions",
    "DMOptions",
    "Encoder",
    "Evaluator",
    "FRePoOptions",
    "FineTuned",
    "Judge",
    "KIPOptions",
    "KernelOptions",
    "LEARNED",
    "LEARNERS",
    "METHODS",
    "MTTOptions",
    "PursuitOptions",
    "Settings",
    "StaticTable",
    "TBPTTOptions",
    "TextOptions",
    "TextSelectionOptions",
    "TextSummary",
    "TextTask",
    "Texts",
    "TokenTask",
    "TokensOptions",
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
    "from_arrays",
    "given",
    "herding",
    "kcenter",
    "kip",
    "kmeans",
    "learner",
    "load",
    "load_for_evaluation",
    "medoids",
    "mtt",
    "preset",
    "pursuit",
    "random",
    "replay",
    "resolved",
    "sketch",
    "soft_label_loss",
    "swapped",
    "tbptt",
    "to_sentences",
    "to_words",
    "tokens",
]
