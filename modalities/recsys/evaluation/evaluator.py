"""The evaluator of synthetic users: what `multidd.evaluate` asks of this modality."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from multidd import seeds
from multidd.evaluation.audit.space import AuditSpace
from multidd.evaluation.evaluator import BaseEvaluator, largest
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.regimes import RegimeScore
from multidd.evaluation.teacher import Teacher
from multidd.learning.modules import factory_name
from multidd.recsys.data.ids import require_same_items
from multidd.recsys.data.log import check_log
from multidd.recsys.data.splits import TEST, VAL
from multidd.recsys.evaluation.audit import UserSpace
from multidd.recsys.methods import selection
from multidd.recsys.models.als import ALS
from multidd.recsys.models.base import Model, Scorer
from multidd.recsys.models.ease import EASE
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.itemknn import ItemKNN
from multidd.recsys.models.lightgcn import LightGCN
from multidd.recsys.models.metrics import measure, rank
from multidd.recsys.models.multvae import MultVAE
from multidd.recsys.models.poprec import PopRec
from multidd.recsys.models.stepwise import Stepwise
from multidd.recsys.models.tuning import best
from multidd.recsys.summary.binarize import sharpened
from multidd.recsys.summary.storage import bytes_of
from multidd.recsys.summary.summary import RecsysSummary

MODELS: dict[str, Model] = {
    "infinite_ae": InfiniteAE(),
    "ease": EASE(),
    "itemknn": ItemKNN(),
    "poprec": PopRec(),
    "als": ALS(),
    "multvae": MultVAE(),
    "lightgcn": LightGCN(),
}
"""Models by name, with the settings that their grids start from."""

SEEDED_MODELS = ("als", "multvae", "lightgcn")
"""Models that a seed changes."""

FRACTIONAL_TYPES = (InfiniteAE, EASE)
"""Models that take fractional rows as they are; the others take `sharpened` ones."""

PROTOCOLS = {
    "tuned": Protocol("tuned", epochs=0, lr=0.0),
    "untuned": Protocol("untuned", epochs=0, lr=0.0),
}
"""`"tuned"` chooses the settings of each model on validation items, `"untuned"` takes
the model's own."""


PLAIN = {
    "ease": "EASE, its ridge chosen on validation items",
    "als": "ALS, its settings chosen on validation items",
    "itemknn": "item kNN, its neighbours chosen on validation items",
    "lightgcn": "LightGCN, its steps chosen on validation items",
}
"""What a stranger trains, by name: on rows and weights as the set has them."""


@dataclass(frozen=True, eq=False)
class FunctionModel(Model):
    """A function of the caller's own that trains a recommender.

    Attributes:
        function: histories, weights or None, and a generator, to a `Scorer`.
    """

    function: Callable[[csr_array, Any, torch.Generator], Scorer]

    def train(self, rows: csr_array, weight: Any, rng: torch.Generator) -> Scorer:
        """What the function gives, as float32 scores."""
        scorer = self.function(rows, weight, rng)

        def score(histories: csr_array) -> Tensor:
            return torch.as_tensor(scorer(histories), dtype=torch.float32)

        return score


def _as_model(custom: Any) -> Model:
    return custom if isinstance(custom, Model) else FunctionModel(custom)


_FIRST, *_OTHERS = selection.SELECTIONS
ROWS = (_FIRST, "random_bytes", *_OTHERS, "nystrom")
"""Selections of as many users; `random_bytes` are random users of as many bytes."""


class Evaluator(BaseEvaluator[RecsysSummary]):
    """Trains recommenders on synthetic users, tests them on the real users of a log.

    Args:
        on: an `InteractionLog` with test items; validation items choose settings.
        train: None; the log holds its training part.
        users: how many users with test items are tested, drawn once, the same for every
            row; all of them unless given.
        device: where recommenders are trained and score; lists are counted on the CPU.

    Raises:
        ValueError: no test items, or users below 1.
    """

    models = tuple(MODELS)
    protocols: Mapping[str, Protocol] = PROTOCOLS
    metric = "hr@10"
    extra_metrics = ("ndcg@10", "hr@100", "ndcg@100")
    digits = 2
    rows: Sequence[str] = ("whole", *ROWS)
    plain: Mapping[str, str] = PLAIN
    seedless_plain = tuple(name for name in PLAIN if name not in SEEDED_MODELS)

    def __init__(
        self,
        on: Any,
        *,
        train: Any = None,
        users: int | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(device)
        if train is not None:
            raise ValueError("a log holds its training part: leave train out")
        self.log = check_log(on)
        if not self.log.test.nnz:
            raise ValueError(
                f"{self.log!r} has no test items; divide it with log.split()"
            )
        if users is not None and users < 1:
            raise ValueError(f"users must be 1 or more, got {users}")
        tested = np.flatnonzero(np.diff(self.log.test.indptr))
        if users is not None and users < len(tested):
            order = torch.randperm(len(tested), generator=seeds.at(0, "tested"))
            tested = np.sort(tested[order[:users].numpy()])
        self.tested = tested
        self._scores: dict[tuple[str, ...], Mapping[str, float]] = {}

    def describe(self) -> dict[str, Any]:
        """The log's sizes and fingerprint, and as `exam` that of what the training part
        leaves: scores of whole data are kept by it."""
        held_out = hashlib.sha256()
        for part in self.log.val, self.log.test:
            held_out.update(part.indptr.astype("<i8").tobytes())
            held_out.update(part.indices.astype("<i4").tobytes())
        held_out.update(self.tested.astype("<i8").tobytes())
        return self.log.describe() | {"exam": held_out.hexdigest()}

    def describe_protocol(self, protocol: Protocol) -> str:
        """What stands below a table."""
        settings = "its own settings"
        if protocol.name == "tuned":
            settings = "settings chosen by HR@100 on validation items"
        return (
            f"Protocol {protocol.name!r}: each model with {settings}; test users are "
            "known by their training and validation items; HR@k is truncated recall."
        )

    def check(self, summary: RecsysSummary) -> None:
        """Refuse a summary of other items.

        Raises:
            ValueError: tells how many are shared.
        """
        require_same_items(summary.item_ids, self.log.item_ids)

    def supports(self, row: str, model: str) -> bool:
        """Whether a row is there for a model: Nyström is a way to solve one of them."""
        return row != "nystrom" or model == "infinite_ae"

    def row(self, name: str, summary: RecsysSummary, seed: int) -> RecsysSummary | None:
        """A selection of as many users, or of as many bytes; None stands for whole
        data."""
        if name == "whole":
            return None
        if name == "nystrom":
            centers = selection.of_count("random", self.log, summary.num_users, seed)
            return replace(centers, card=replace(centers.card, method=name))
        if name == "random_bytes":
            return self._random_bytes(summary, seed)
        users, features = summary.num_users, self._embedding
        return selection.of_count(name, self.log, users, seed, features)

    def _random_bytes(self, summary: RecsysSummary, seed: int) -> RecsysSummary:
        """Random users in as many bytes, compressed where the summary is."""
        packing = summary.packing
        if packing is None:
            return selection.of_bytes(self.log, summary.num_bytes, seed)

        def make(users: int) -> RecsysSummary:
            rows = selection.random(self.log, users, seed=seed, progress=False)
            card = replace(rows.card, method="random_bytes")
            return replace(rows, card=card).compress(bits=packing.bits)

        control = largest(make, summary.num_bytes, summary.num_users)
        return make(1) if control is None else control

    def name_of(self, model: Any) -> str:
        """What a table calls a recommender of the caller's own.

        Args:
            model: settings of one, such as `EASE(ridge=10.0)`, or a function of
                histories `[m, I]`, weights `[m]` or None, and a generator that gives a
                scorer: histories `[b, I]` to scores `[b, I]`.

        Raises:
            TypeError: neither.
        """
        if isinstance(model, Model):
            return type(model).__name__
        if isinstance(model, type) or not callable(model):
            raise TypeError(
                "a model must be a name, settings such as EASE(ridge=10.0), or a "
                f"function (rows, weight, rng) that gives a scorer; got {model!r}"
            )
        return factory_name(model)

    def _embedding(self) -> Tensor:
        return self.prepared.get("embedding", lambda: selection.embedding(self.log))

    def fit(
        self, summary: RecsysSummary | None, model: str, protocol: Protocol, seed: int
    ) -> Mapping[str, float]:
        """Train a model on a summary, or on whole data, and test it."""
        name = "whole" if summary is None else summary.digest()
        method = "" if summary is None else summary.card.method
        drawn = model in SEEDED_MODELS or model in self.custom_models
        if not drawn and method != "nystrom":
            seed = 0  # nothing is drawn: the same scores for every seed
        key = (name, method, model, protocol.hash, str(seed))
        if key not in self._scores:
            self._scores[key] = self._fit(summary, model, protocol, seed)
        return self._scores[key]

    def fit_plain(self, summary: RecsysSummary | None, name: str, seed: int) -> float:
        """HR@10 of a recommender on a summary's rows as they are, or on whole data."""
        scores = self._fit(summary, name, PROTOCOLS["tuned"], seed, as_stored=True)
        return scores[self.metric]

    def teacher(self, protocol: Protocol, cache: bool) -> None:
        """None: a log has no labels that a teacher could give."""
        return None

    def regime_note(self, regime: str, summary: RecsysSummary, model: str) -> str:
        """Why users cannot be trained on under a regime; empty where they can.

        Hard rows are whole interactions, fractional rows are cut to their largest
        entries; soft rows are fractional as stored.
        """
        if summary.card.method == "nystrom":
            return "its centers are no rows to train on"
        if regime == "SL+KD":
            return "a log has no labels: nothing that a teacher could label"
        return ""

    def fit_regime(
        self,
        summary: RecsysSummary,
        regime: str,
        model: str,
        protocol: Protocol,
        seed: int,
        teacher: Teacher | None,
    ) -> RegimeScore:
        """Train a model on whole or fractional rows, and test it once."""
        if regime == "HL" and not summary.binary:
            summary = summary.binarize()
        scorer, _ = self._trained(summary, model, protocol, seed)
        log, metric = self.log, self.metric
        test = measure(scorer, log.context[self.tested], log.test[self.tested], metric)
        held_out = measure(scorer, log.train, log.val, metric) if log.val.nnz else 0.0
        same = regime == "SL" and summary.binary
        note = "rows are whole interactions, as under HL" if same else ""
        return RegimeScore(test, held_out, note)

    def updates(self, summary: Any, model: str, protocol: Protocol) -> int:
        """Most updates of a training; 0 of what is solved, or swept."""
        custom = self.custom_models.get(model)
        settings = MODELS[model] if custom is None else _as_model(custom)
        return settings.updates if isinstance(settings, Stepwise) else 0

    def audit_space(self, summary: RecsysSummary, seed: int = 0) -> AuditSpace:
        """Rows of items, pieces of histories, the infinite autoencoder and EASE."""
        return UserSpace(summary, self.log, seed, self.device)

    def on_validation(self, protocol: Protocol) -> "Evaluator | None":
        """The evaluator of the same users by their validation items.

        Args:
            protocol: models that are tuned have looked at these items already.

        Returns:
            None where the protocol tunes, or the log has no validation items.
        """
        if protocol.name == "tuned" or not self.log.val.nnz:
            return None
        assert self.log.part is not None
        rest = self.log.select(self.log.part != TEST)
        assert rest.part is not None
        part = np.where(rest.part == VAL, TEST, rest.part).astype(np.int8)
        return type(self)(
            replace(rest, part=part), users=len(self.tested), device=self.device
        )

    def size(self, summary: RecsysSummary | None) -> tuple[int | None, int | None]:
        """Users and bytes of a row; with Nyström the targets of its centers too, of
        whole data the bytes of all training histories kept as summaries keep them."""
        if summary is None:
            users = np.count_nonzero(np.diff(self.log.train.indptr))
            return None, bytes_of(int(users), self.log.train.nnz)
        num_bytes = summary.num_bytes
        if summary.card.method == "nystrom":
            num_bytes += 4 * summary.num_users * summary.num_items
        return summary.num_users, num_bytes

    def _fit(
        self,
        summary: RecsysSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
        as_stored: bool = False,
    ) -> dict[str, float]:
        scorer, capped = self._trained(summary, model, protocol, seed, as_stored)
        return self._test(scorer) | capped

    def _trained(
        self,
        summary: RecsysSummary | None,
        model: str,
        protocol: Protocol,
        seed: int,
        as_stored: bool = False,
    ) -> tuple[Scorer, dict[str, float]]:
        """What a model learned, and of tuned whole data whether a cap ended it."""
        custom = self.custom_models.get(model)
        settings = MODELS[model] if custom is None else _as_model(custom)
        rows: csr_array = self.log.train
        weight = None
        if summary is not None and summary.card.method == "nystrom":
            settings = InfiniteAE(centers=summary.num_users)
        elif summary is not None:
            fractional = as_stored or isinstance(settings, FRACTIONAL_TYPES)
            users = summary if fractional else sharpened(summary)
            rows, weight = users.to_csr(), users.weight
            if isinstance(settings, InfiniteAE):
                ridge = summary.card.settings.get("ridge")
                settings = (
                    replace(settings, ridge=ridge) if custom is None else settings
                )
        if protocol.name != "untuned" and self.log.val.nnz:
            train, val = self.log.train, self.log.val
            rng = seeds.at(seed, f"tune/{model}", device=self.device)
            whole = summary is None
            tuned = best(settings, rows, weight, train, val, rng=rng, whole=whole)
            return tuned.scorer, ({"capped": float(tuned.capped)} if whole else {})
        rng = seeds.at(seed, f"train/{model}", device=self.device)
        return settings.train(rows, weight, rng), {}

    def _test(self, scorer: Scorer) -> dict[str, float]:
        log, users = self.log, self.tested
        return rank(
            scorer,
            log.context[users],
            log.test[users],
            popularity=np.asarray(log.train.sum(axis=0)).ravel(),
            num_train=log.train.nnz,
            rng=seeds.at(0, "negatives"),
            train=log.train[users],
        )
