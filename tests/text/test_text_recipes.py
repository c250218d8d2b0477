"""One suite over every method on sentence embeddings."""

import inspect
import pathlib

import pytest
import torch

import multidd
from multidd import text
from multidd.citation import cite
from multidd.engine.options import SelectBest
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD
from multidd.text.methods.registry import LEARNED, METHODS
from multidd.text.methods.trajectory import mtt
from tests.text import sets

OURS = ("kip", "frepo", "dm", "dc", "mtt")
OPTIONS = {
    "kip": {"steps": 3},
    "frepo": {"steps": 2, "hidden": 8, "pool": 2},
    "dm": {"steps": 2, "hidden": 8},
    "dc": {"steps": 2, "models": 2},
    "mtt": {
        "steps": 2,
        "experts": Experts(Trainer(2, 2, SGD(lr=1.0)), count=1),
        "start": (0, 1),
        "epochs": 1,
        "inner": 2,
        "rate": 1.0,
    },
}
every = pytest.mark.parametrize("name", OURS)


def run(name, data=None, per_class=2, **options):
    data = sets.texts() if data is None else data
    given = {"model": sets.encoder()} | OPTIONS[name] | options
    return METHODS[name](data, per_class, **given)


def test_the_table_is_whole():
    assert set(OURS) <= set(LEARNED) <= set(METHODS)
    for name, method in METHODS.items():
        assert getattr(text, name) is method and name in text.__all__


@pytest.mark.parametrize("name", [*OURS, "random", "herding", "medoids", "kmeans"])
def test_signature_and_docstring(name):
    found = inspect.signature(METHODS[name]).parameters
    dataset, per_class, *rest = found.values()
    assert (dataset.name, per_class.name, per_class.default) == (
        "dataset",
        "per_class",
        None,
    )
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in rest)
    assert found["seed"].default == 0 and found["model"].default is None
    assert f"{name}(few" in METHODS[name].__doc__


@every
def test_counts_and_card(name):
    made = run(name)
    assert made.tensors["x"].shape == (6, 32) and made.texts is None
    assert made.tensors["y"].tolist() == [0, 0, 1, 1, 2, 2]
    settings = made.card.settings
    assert made.card.method == name and made.card.steps == settings["steps"]
    assert settings["encoder"]["key"] == sets.encoder().key
    assert settings["counts"] == [2, 2, 2] and "ridge" in settings["kernel"]
    assert made.card.source["names"] == list(sets.CLASSES)
    assert len(made.card.history) == settings["steps"]
    assert "@" in cite(made)


@every
def test_the_seed_decides(name):
    first = run(name, init="random")
    assert first.digest() == run(name, init="random").digest()
    assert first.digest() != run(name, init="random", seed=1).digest()


@every
def test_totals_follow_the_sizes_of_classes(name):
    made = run(name, per_class=None, total=15)
    assert made.tensors["y"].bincount().tolist() == [6, 5, 4]


@every
def test_it_goes_on_from_a_checkpoint(name, tmp_path):
    whole = run(name, steps=4)

    part = run(name, steps=4, timeout=0.0, checkpoint=str(tmp_path))
    assert part.card.steps < 4
    again = run(name, steps=4, checkpoint=str(tmp_path))
    assert again.digest() == whole.digest()


@every
def test_the_best_iterate_by_held_out_texts(name):
    made = run(name, select_best=SelectBest(every=1), val=0.2)
    assert made.card.source["texts"] == 24


@pytest.mark.parametrize(
    "labels, kind, fixed",
    [
        ("hard", "hard", True),
        ("centered", "centered", True),
        ("onehot", "centered", False),
        ("teacher", "centered", False),
    ],
)
def test_labels_of_kip(labels, kind, fixed):
    made = run("kip", labels=labels)
    assert made.card.labels == kind
    soft = made.tensors.get("y_soft")
    if labels == "hard":
        assert soft is None
        return
    assert soft.sum(1).abs().max() < 1e-5 or not fixed
    start = torch.eye(3)[made.tensors["y"]] - 1 / 3
    assert torch.allclose(soft, start, atol=1e-6) == fixed


@pytest.mark.parametrize(
    "kernel, told",
    [
        ("rbf", {"kind": "rbf", "gamma": 2.0, "ridge": 1e-6}),
        ("linear", {"kind": "linear", "offset": 1.0, "ridge": 1e-6}),
        ("ntk", {"kind": "infinite", "depth": 1, "ridge": 1e-6}),
    ],
)
def test_kernels_of_kip(kernel, told):
    made = run("kip", kernel=kernel, gamma=2.0)
    assert made.card.settings["kernel"] == told


def test_kip_lowers_its_loss_and_dm_too():
    for name in ("kip", "dm"):
        history = run(name, steps=40, init="random").card.history
        assert sum(history[-5:]) < 0.8 * sum(history[:5])


def test_heads_have_a_hidden_layer_where_asked():
    plain, deep = run("dc"), run("dc", hidden=6)
    assert plain.digest() != deep.digest()
    assert deep.card.settings["hidden"] == 6


def test_the_rate_of_mtt_is_learned():
    assert run("mtt").card.settings["learned"]["rate"] != 1.0
    assert mtt.__module__.endswith("methods.trajectory")


# --- in and out ---------------------------------------------------------------


def test_distill_takes_any_form(tmp_path):
    import datasets
    import pandas

    some = sets.texts()
    names = [sets.CLASSES[i] for i in some.labels.tolist()]
    table = {"said": list(some.texts), "kind": names}
    forms = [
        (list(some.texts), names),
        pandas.DataFrame(table),
        datasets.Dataset.from_dict(table),
    ]
    made = [
        text.distill(
            form,
            model=sets.encoder(),
            per_class=1,
            method="medoids",
            text="said",
            label="kind",
        )
        for form in forms
    ]
    assert len({one.digest() for one in made}) == 1
    assert made[0].classes == tuple(sorted(sets.CLASSES))
    assert {row.label for row in made[0].decode()} == set(sets.CLASSES)


def test_distill_asks_for_ten_of_each_class_unless_told():
    with pytest.raises(ValueError, match="got 10"):
        text.distill(sets.texts(), model=sets.encoder(), method="random")
    with pytest.raises(ValueError, match="method must be one of"):
        text.distill(sets.texts(), method="magic")


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"init": "magic"}, ValueError, "init must be one of"),
        ({"kernel": "magic"}, ValueError, "kernel must be one of"),
        ({"batch_size": 0}, ValueError, "batch_size must be 1"),
        ({"hidden": -1}, ValueError, "hidden must be 0"),
        ({"sampler": "magic"}, ValueError, "sampler must be"),
        ({"stepz": 3}, TypeError, "no option is called stepz"),
        ({"steps": -1}, ValueError, "steps must be 0"),
        ({"text": "body"}, ValueError, "body"),
    ],
)
def test_settings_that_do_not_fit(options, error, message):
    data = {"text": list(sets.texts().texts), "label": sets.texts().labels.tolist()}
    with pytest.raises(error, match=message):
        run("kip", data, **options)


def test_a_summary_is_saved_and_loaded(tmp_path):
    made = run("kip")
    made.save(tmp_path)
    again = multidd.load(pathlib.Path(tmp_path))
    assert again.digest() == made.digest() and repr(again) == repr(made)


@pytest.mark.data("text/trec6")
def test_six_embeddings_do_what_all_questions_do():
    train, test = text.load("trec6")
    rows = torch.arange(0, len(train), 5)
    some, exam = train.take(rows), test.take(torch.arange(0, 500, 2))
    encoder = text.Encoder.of()
    made = text.kip(some, per_class=1, model=encoder, labels="hard")
    report = multidd.evaluate(
        made,
        text.Evaluator(exam, train=some, encoder=encoder),
        models=["kernel", "logistic"],
        seeds=1,
        rows=["random", "herding"],
    )
    assert report.accuracy("kernel") > 0.8 and report.accuracy("logistic") > 0.76
    for row in ("random", "herding"):
        assert report.accuracy("logistic", row) < 0.65


def test_methods_on_token_vectors_cite_their_papers():
    wanted = {"tbptt": "2104.08448", "attention_labels": "{BERT}", "tokens": "Kernel"}
    assert all(told in cite(name) for name, told in wanted.items())
    assert "sucholutsky2021sldd" in cite("tbptt")
