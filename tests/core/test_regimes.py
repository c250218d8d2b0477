"""Label regimes: who is trained with which labels, and what is chosen on what."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

import multidd
from multidd import graph, images, recsys, text
from multidd.errors import MultiddWarning
from multidd.evaluation import teacher as teachers
from multidd.evaluation.regime_plan import RegimePlan
from multidd.evaluation.regimes import RegimeScore
from multidd.evaluation.teacher import Teacher, stored_state
from multidd.graph.evaluation import regimes as graph_views
from tests.core.test_evaluation import Counting, make_summary
from tests.golden import tiny

ALL = ("HL", "SL", "SL+KD")
TEST = {"HL": 0.5, "SL": 0.6, "SL+KD": 0.9, "stored": 0.7}
HELD_OUT = {"HL": 0.5, "SL": 0.8, "SL+KD": 0.4, "stored": 0.9}
"""On test data SL+KD is best, on held-out data SL."""


class Labelling(Counting):
    """Scores by regime, 0.1 less of rows beside; remembers what it was asked."""

    regime_rows = ()
    rows = ("whole", "random", "herding")

    def __init__(self, on: Any, *, train: Any = None) -> None:
        super().__init__(on, train=train)
        self.fits: list[tuple] = []
        self.taught = 0

    def teacher(self, protocol: Any, cache: bool) -> Teacher:
        self.taught += 1
        return Teacher("gcn", 2.5, lambda records: records)

    def regime_note(self, regime: str, summary: Any, model: str) -> str:
        return "it cannot" if (regime, model) == ("SL", "mlp") else ""

    def has_soft_labels(self, summary: Any) -> bool:
        return summary.card.method == "ours"

    def fit_regime(
        self,
        summary: Any,
        regime: str,
        model: str,
        protocol: Any,
        seed: int,
        teacher: Any,
    ) -> RegimeScore:
        name = summary.card.method
        self.fits.append((name, regime, model, protocol, seed, teacher))
        less = (0.0 if name == "ours" else 0.1) + (0.0 if protocol.augment else 0.05)
        less += 0.01 * seed * (name == "random")
        return RegimeScore(TEST[regime] - less, HELD_OUT[regime] - less)

    def updates(self, summary: Any, model: str, protocol: Any) -> int:
        # A decoded summary has twice the batches of a row of its size.
        return protocol.epochs * (2 if summary.card.method == "ours" else 1)


SHOWN = multidd.Protocol("shown", epochs=10, augment="crop")


def labelled(protocol: Any = SHOWN, **options: Any) -> tuple[Any, Labelling]:
    on = Labelling("data", train="data")
    report = multidd.evaluate(
        make_summary(), on, protocol=protocol, cache=False, progress=False, **options
    )
    return report, on


@pytest.fixture(autouse=True)
def toy_modality(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.core.test_evaluation import registered

    registered(monkeypatch, Labelling)


def test_every_set_under_every_regime_by_one_teacher() -> None:
    report, on = labelled(regimes=ALL, seeds=2, rows=["herding"])
    assert on.taught == 1
    table = {(row.regime, row.row): row for row in report.regimes.rows}
    names = ("random", "herding", "ours")
    assert set(table) == {(regime, name) for regime in ALL for name in names} | {
        ("SL", "ours, own labels")
    }
    assert table["SL", "ours"].values == (0.6, 0.6)
    assert table["SL", "ours, own labels"].values == (0.7, 0.7)
    assert "as the summary stores them" in table["SL", "ours, own labels"].note
    soft = {fit[5] for fit in on.fits if fit[1] in ("SL", "SL+KD")}
    assert len(soft) == 1 and next(iter(soft)).model == "gcn"


def test_rows_beside_have_as_many_updates() -> None:
    report, on = labelled(regimes=ALL, seeds=1, rows=["herding"])
    epochs = {(fit[0], fit[3].epochs) for fit in on.fits}
    assert epochs == {("ours", 10), ("random", 20), ("herding", 20)}
    assert {row.updates for row in report.regimes.rows} == {20}


def test_labels_are_chosen_on_held_out_data() -> None:
    report, on = labelled(regimes=ALL, seeds=2, rows=[])
    (scores,) = report.regimes.scores
    # SL is best on held-out data; by test data SL+KD would have been taken.
    assert scores.labels == "SL"
    # Random records have 0.1 less, and 0.01 less with the second seed.
    assert scores.ior == pytest.approx(0.105) and scores.pairs == 2
    # Whole data score 0.5 and 0.6 with two seeds, the summary 0.5 with hard classes.
    assert scores.hlr == pytest.approx(0.05)
    # Without augmentation both sides have 0.05 less: the gain is the same.
    assert scores.ars == pytest.approx(report_ars(0.105))
    bare = [fit for fit in on.fits if not fit[3].augment]
    assert {(fit[0], fit[1]) for fit in bare} == {("ours", "SL"), ("random", "SL")}


def report_ars(gain: float) -> float:
    from multidd.evaluation.field_scores import augmentation_robust_score

    return augmentation_robust_score(gain, gain)


def test_what_cannot_be_says_so() -> None:
    report, on = labelled(regimes=ALL, seeds=1, rows=[], models=["gcn", "mlp"])
    row = report.regimes.row("SL", "ours", "mlp")
    assert (row.values, row.note) == ((), "it cannot")
    assert report.regimes.scores[1].labels == "HL"
    written = json.loads(json.dumps(report.to_dict()))
    line = next(r for r in written["regimes"] if r["note"] == "it cannot")
    assert (line["mean"], line["worst"], line["values"]) == (None, None, [])
    with pytest.raises(KeyError, match="no row SL/svp/gcn"):
        report.regimes.row("SL", "svp", "gcn")


def test_one_regime_alone_and_none() -> None:
    report, on = labelled(regimes=["HL"], seeds=1, rows=[])
    assert on.taught == 0 and report.regimes.teacher == ""
    assert {row.regime for row in report.regimes.rows} == {"HL"}
    report, on = labelled(protocol="quick", regimes=(), seeds=1, rows=[])
    assert report.regimes is None and report.to_dict()["scores"] is None
    assert on.fits == []
    # Without an augmentation there is nothing to be robust to.
    report, _ = labelled(protocol="quick", regimes=["HL"], seeds=1, rows=[])
    assert report.regimes.scores[0].ars is None


def test_several_makings_are_no_independent_pairs() -> None:
    on = Labelling("data", train="data")
    some = [make_summary(seed) for seed in range(3)]
    report = multidd.evaluate(
        some, on, protocol=SHOWN, regimes=["HL"], seeds=2, rows=[], progress=False
    )
    row = report.regimes.row("HL", "ours", "gcn")
    assert len(row.values) == 6 and report.regimes.scores[0].pairs == 2
    assert report.seeds.making_seeds == 3 and report.seeds.training_seeds == 2
    assert report.to_dict()["seeds"]["training_sd"] > 0


def test_makings_with_one_training_each_have_draws_of_their_own() -> None:
    on = Labelling("data", train="data")
    some = [make_summary(seed) for seed in range(3)]
    on.check(some[0])
    plan = RegimePlan(
        on,
        some,
        ["gcn"],
        ["random"],
        lambda name, seed: on.row(name, some[0], seed),
        lambda model: [0.5],
        SHOWN,
        [0],
        ["HL"],
        cache=False,
        draws=range(3),
    )
    done = []
    report = plan.report(lambda **training: done.append(training))
    (scores,) = report.scores
    assert scores.pairs == 3 and scores.p_value is not None
    assert len(report.row("HL", "random", "gcn").values) == 3
    assert plan.total == len(done) == 12  # with and without augmentation


def test_as_many_trainings_as_the_bar_says(monkeypatch: pytest.MonkeyPatch) -> None:
    totals, done = [], []

    class Bar:
        def __init__(self, task: str, total: int, shown: Any) -> None:
            totals.append(total)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: Any) -> None: ...

        def advance(self, **what: Any) -> None:
            done.append(what)

    monkeypatch.setattr("multidd.evaluation.evaluate.Bar", Bar)
    labelled(regimes=ALL, seeds=2, rows=["whole", "random"])
    assert totals == [len(done)]


def test_regimes_need_training_data_and_an_evaluator_that_knows_them() -> None:
    class Bare(Labelling):
        rows = ()

    with pytest.raises(ValueError, match="the regimes HL, SL need the training data"):
        multidd.evaluate(make_summary(), Bare("data"), regimes=["SL", "HL"])
    with pytest.raises(ValueError, match="Counting knows no label regimes; leave out"):
        multidd.evaluate(make_summary(), Counting("data"), regimes=["HL"])


# --- every modality -------------------------------------------------------------------

Subject = tuple[Any, Any, dict[str, Any]]

GRAPH = multidd.Protocol("q", epochs=10, check_every=5, whole_cap=20)
IMAGE = multidd.Protocol(
    "q", epochs=4, width=4, batch=256, whole_batch=16, whole_cap=8, augment="crop"
)
TEXT = multidd.Protocol("q", epochs=10, whole_patience=10, whole_cap=20)


def _graph() -> Subject:
    nodes = tiny.nodes()
    return graph.kmeans(nodes, per_class=2), nodes, {"protocol": GRAPH}


def _labelled_nodes() -> Subject:
    nodes = tiny.nodes_of_labels()
    return graph.condense(nodes, nodes=6), nodes, {"protocol": GRAPH}


def _graphs() -> Subject:
    sets = tiny.graphs()
    options = {"train": sets, "val": sets[:6], "protocol": GRAPH}
    return graph.kmeans(sets, per_class=2), sets[6:], options


def _images() -> Subject:
    sets = tiny.images()
    summary = images.kip(sets, ipc=2, steps=2, width=4, progress=False)
    return summary, sets, {"train": sets, "protocol": IMAGE}


def _recsys() -> Subject:
    log = tiny.log()
    return recsys.kmeans(log, users=6), log, {}


def _text() -> Subject:
    sets, encoder = tiny.texts(), tiny.encoder()
    on = text.Evaluator(sets, train=sets, encoder=encoder)
    summary = text.kmeans(sets, per_class=2, encoder=encoder)
    return summary, on, {"models": ["softmax"], "protocol": TEXT}


CANNOT = {
    _graph: set(),
    _labelled_nodes: set(),
    _graphs: set(),
    _images: set(),
    _recsys: {"SL+KD"},
    _text: set(),
}
"""Regimes that a modality's first model cannot have."""


@pytest.mark.filterwarnings("ignore:the test graphs are the training")
@pytest.mark.parametrize("make", CANNOT, ids=lambda make: make.__name__)
def test_every_modality(make: Callable[[], Subject], monkeypatch: Any) -> None:
    """Scores of every regime that can be, reasons for the others, the same again."""
    summary, on, options = make()
    options |= {"seeds": 2, "rows": ["random"], "progress": False}
    options |= {"cache": False, "regimes": ALL}
    first = multidd.evaluate(summary, on, **options)
    assert first.regimes is not None
    for row in first.regimes.rows:
        assert bool(row.values) == (row.regime not in CANNOT[make]), row
        assert row.values or row.note
        assert all(0 <= value <= 1 for value in row.values)
    again = multidd.evaluate(summary, on, **options)
    assert [row.values for row in again.regimes.rows] == [
        row.values for row in first.regimes.rows
    ]
    for scores in first.regimes.scores:
        if scores.labels:
            ours = first.regimes.row(scores.labels, summary.card.method, scores.model)
            beside = first.regimes.row(scores.labels, "random", scores.model)
            assert scores.ior == pytest.approx(ours.mean - beside.mean)
    assert summary.digest() == make()[0].digest()


@pytest.mark.parametrize(
    ("model", "regime", "words"),
    [
        ("textcnn", "SL+KD", "views of words have none"),
        ("kernel", "SL+KD", "solved at once"),
        ("logistic", "SL", "fitted on classes"),
        ("replay", "HL", "the labels of its own steps"),
        ("softmax", "SL+KD", ""),
        ("kernel", "SL", ""),
    ],
)
def test_what_learners_of_texts_cannot(model: str, regime: str, words: str) -> None:
    sets, encoder = tiny.texts(), tiny.encoder()
    on = text.Evaluator(sets, train=sets, encoder=encoder)
    summary = text.medoids(sets, per_class=2, encoder=encoder)
    on.check(summary)
    note = on.regime_note(regime, summary, model)
    assert words in note and bool(note) == bool(words)
    assert "no texts" in on.regime_note("HL", _text()[0], "gru")


def test_a_teacher_sees_images_in_its_own_space() -> None:
    """Whitened images go back to pixels, then into the space of whole data."""
    sets = tiny.images()
    summary = images.kip(sets, ipc=2, steps=0, zca=True, width=4, progress=False)
    evaluator = images.Evaluator(sets, train=sets)
    evaluator.check(summary)
    x, _ = summary.to_tensors()
    seen = []
    spy = Teacher("convnet", 0.0, lambda x: seen.append(x) or x.flatten(1)[:, :3])
    evaluator._labels(summary, spy)(x)
    pixels = summary.preprocessing.invert(x)
    expected = evaluator._whole.apply(pixels)
    assert torch.allclose(seen[0], expected, atol=1e-5)
    assert not torch.allclose(seen[0], x, atol=0.1)


def test_views_of_graphs_drop_whole_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import scipy.sparse as sp

    from multidd.seeds import at

    ring = sp.csr_array(np.roll(np.eye(30), 1, 1) + np.roll(np.eye(30), -1, 1))
    view = graph_views.view_of(torch.ones(30, 50), ring, at(0, "view"))
    left = view.adjacency.toarray()
    assert (left == left.T).all() and 30 < left.sum() < 60
    dense = view.x if isinstance(view.x, torch.Tensor) else view.x.matrix.toarray()
    columns = torch.as_tensor(dense).sum(0)
    assert set(columns.tolist()) == {0.0, 30.0}  # a word is masked in all nodes


# --- the teacher's file ---------------------------------------------------------------


def test_a_teacher_is_trained_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))
    trained = []

    def train() -> dict[str, torch.Tensor]:
        trained.append(1)
        return {"w": torch.full((2,), 0.5)}

    form = {"w": torch.zeros(2)}
    first, seconds = stored_state({"data": 1}, form, train)
    second, before = stored_state({"data": 1}, form, train)
    assert torch.equal(first["w"], second["w"]) and seconds == before
    assert len(trained) == 1
    stored_state({"data": 2}, form, train)
    stored_state({"data": 1}, form, train, cache=False)
    assert len(trained) == 3
    (path, *_) = sorted((tmp_path / "multidd" / "teachers").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(MultiddWarning, match="a cached teacher cannot be used"):
        for number in (1, 2):
            stored_state({"data": number}, form, train)
    assert len(trained) == 4
    other = {"w": torch.zeros(3)}
    with pytest.warns(MultiddWarning, match="trained again"):
        stored_state({"data": 1}, other, train)
    assert teachers.TEACHER_SEED == 0


def test_a_plan_knows_its_method() -> None:
    plan = RegimePlan(
        Labelling("data"), [make_summary()], ["gcn"], [], None, None, SHOWN, [0], ["HL"]
    )
    assert plan.method == "ours" and plan.total == 3
