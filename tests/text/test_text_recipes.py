"""What methods on sentence embeddings have of their own: labels, kernels, forms.

What all methods have in common is in `tests.methods`.
"""

import pytest
import torch

import multidd
from multidd import text
from multidd.citation import cite
from multidd.engine.options import SelectBest
from multidd.engine.recipe import call
from multidd.text.methods.registry import METHODS
from multidd.text.methods.trajectory import mtt
from tests.methods.cases import TEXT
from tests.text import sets

OURS = ("kip", "frepo", "dm", "dc", "mtt")
every = pytest.mark.parametrize("name", OURS)


def run(name, data=None, per_class=2, **options):
    data = sets.texts() if data is None else data
    settings = {"per_class": per_class, "encoder": sets.encoder()} | TEXT[name]
    return call(METHODS[name], data, **settings | options)


@every
def test_counts_and_card(name):
    summary = run(name)
    assert summary.tensors["x"].shape == (6, 32) and summary.texts is None
    assert summary.tensors["y"].tolist() == [0, 0, 1, 1, 2, 2]
    settings = summary.card.settings
    assert summary.card.method == name and summary.card.steps == settings["steps"]
    assert settings["encoder"]["key"] == sets.encoder().key
    assert settings["counts"] == [2, 2, 2] and "ridge" in settings["kernel"]
    assert summary.card.source["names"] == list(sets.CLASSES)
    assert len(summary.card.history) == settings["steps"]
    assert "@" in cite(summary)


def test_the_best_iterate_by_held_out_texts():
    summary = run("kip", select_best=SelectBest(every=1), val_share=0.2)
    assert summary.card.source["texts"] == 24


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
    summary = run("kip", labels=labels)
    assert summary.card.labels == kind
    soft = summary.tensors.get("y_soft")
    if labels == "hard":
        assert soft is None
        return
    assert soft.sum(1).abs().max() < 1e-5 or not fixed
    start = torch.eye(3)[summary.tensors["y"]] - 1 / 3
    assert torch.allclose(soft, start, atol=1e-6) == fixed


@pytest.mark.parametrize(
    "kernel, message",
    [
        ("rbf", {"kind": "rbf", "gamma": 2.0, "ridge": 1e-6}),
        ("linear", {"kind": "linear", "offset": 1.0, "ridge": 1e-6}),
        ("ntk", {"kind": "infinite", "depth": 1, "ridge": 1e-6}),
    ],
)
def test_kernels_of_kip(kernel, message):
    summary = run("kip", kernel=kernel, gamma=2.0)
    assert summary.card.settings["kernel"] == message


def test_kip_lowers_its_loss_and_dm_too():
    for name in ("kip", "dm"):
        history = run(name, steps=40, init="random").card.history
        assert sum(history[-5:]) < 0.8 * sum(history[:5])


def test_heads_have_a_hidden_layer_where_asked():
    plain, deep = run("dc"), run("dc", width=6)
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
    results = [
        text.distill(
            form,
            encoder=sets.encoder(),
            per_class=1,
            method="medoids",
            text="said",
            label="kind",
        )
        for form in forms
    ]
    assert len({one.digest() for one in results}) == 1
    assert results[0].classes == tuple(sorted(sets.CLASSES))
    assert {row.label for row in results[0].decode()} == set(sets.CLASSES)


def test_distill_asks_for_ten_of_each_class_unless_told():
    with pytest.raises(ValueError, match="got 10"):
        text.distill(sets.texts(), encoder=sets.encoder(), method="random")
    with pytest.raises(ValueError, match="method must be one of"):
        text.distill(sets.texts(), method="magic")


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"init": "magic"}, ValueError, "init must be one of"),
        ({"kernel": "magic"}, ValueError, "kernel must be one of"),
        ({"batch_size": 0}, ValueError, "batch_size must be 1"),
        ({"width": -1}, ValueError, "width must be 0"),
        ({"sampler": "magic"}, ValueError, "sampler must be"),
        ({"stepz": 3}, TypeError, "kip has no setting stepz"),
        ({"steps": -1}, ValueError, "steps must be 0"),
        ({"text": "body"}, ValueError, "body"),
    ],
)
def test_settings_that_do_not_fit(options, error, message):
    data = {"text": list(sets.texts().texts), "label": sets.texts().labels.tolist()}
    with pytest.raises(error, match=message):
        run("kip", data, **options)


@pytest.mark.full  # on messages: test_pursuit.py
@pytest.mark.data("text/trec6")
def test_six_embeddings_do_what_all_questions_do():
    train, test = text.load("trec6")
    rows = torch.arange(0, len(train), 5)
    some, exam = train.take(rows), test.take(torch.arange(0, 500, 2))
    encoder = text.Encoder.of()
    summary = text.kip(
        some, per_class=1, encoder=encoder, options=text.KIPOptions(labels="hard")
    )
    report = multidd.evaluate(
        summary,
        text.Evaluator(exam, train=some, encoder=encoder),
        models=["kernel", "logistic"],
        seeds=1,
        rows=["random", "herding"],
    )
    assert report.accuracy("kernel") > 0.8 and report.accuracy("logistic") > 0.76
    for row in ("random", "herding"):
        assert report.accuracy("logistic", row) < 0.65


def test_methods_on_token_vectors_cite_their_papers():
    expected = {"tbptt": "2104.08448", "attention_labels": "{BERT}", "tokens": "Kernel"}
    assert all(message in cite(name) for name, message in expected.items())
    assert "sucholutsky2021sldd" in cite("tbptt")
