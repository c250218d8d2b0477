"""The judge of texts: its models, rows, metrics and refusals."""

from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

import multidd
from multidd import text
from multidd.text.evaluation.evaluator import Evaluator
from multidd.text.models.kernel_predictor import kernel_model
from multidd.text.models.training import (
    PROTOCOLS,
    TextTrainingSet,
    logistic,
    scores_of,
    softmax,
)
from multidd.text.summary.export import collator, soft_label_loss
from tests.text import sets, tiny, trainers

TRAIN, TEST = sets.texts(), sets.texts((9, 9, 9), start=40)
VECTORS = (list(tiny.WORDS), torch.eye(len(tiny.WORDS)))
QUICK = replace(PROTOCOLS["quick"], epochs=20, lr=0.01)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def medoids():
    return text.medoids(TRAIN, 3, encoder=sets.encoder())


@pytest.fixture(scope="module")
def kip():
    return text.kip(TRAIN, 2, encoder=sets.encoder(), steps=20)


def evaluator(**options):
    defaults = {"train": TRAIN, "encoder": sets.encoder(), "vectors": VECTORS}
    return Evaluator(TEST, **(defaults | options))


def training_set(x, y, targets, weight):
    return TextTrainingSet(x, targets, y=y, weight=weight)


def scored(summary, model, **options):
    one = evaluator(**options)
    one.check(summary)
    return one.fit(summary, model, QUICK, 0)


# --- models -------------------------------------------------------------------


@pytest.mark.parametrize("model", [m for m in Evaluator.models if m != "replay"])
def test_every_model_learns_something(medoids, model):
    result = scored(medoids, model)
    assert result["accuracy"] > 0.5 and result["macro_f1"] > 0.4
    named = [name for name in result if name.startswith("accuracy/")]
    assert named == [f"accuracy/{name}" for name in sets.CLASSES]


@pytest.mark.parametrize(
    ("models", "foot"),
    [
        (["kernel"], "No protocol of training: kernel solved to the optimum."),
        (
            ["logistic", "kernel"],
            "No protocol of training: logistic, kernel solved to the optimum.",
        ),
        (["kernel", "softmax"], "Protocol 'quick': epochs 20, lr 0.01"),
    ],
)
def test_a_report_names_the_protocol_where_models_train_by_it(medoids, models, foot):
    options = {"rows": [], "seeds": 1, "progress": False, "protocol": QUICK}
    on = Evaluator(TEST, encoder=sets.encoder())
    report = multidd.evaluate(medoids, on, models=models, **options)
    assert str(report).splitlines()[-1].startswith(foot)


def test_learned_steps_are_replayed_on_fresh_learners():
    table, hidden = text.StaticTable.of(VECTORS), text.learner("mlp", hidden=(8,))
    summary = text.tbptt(
        TRAIN,
        1,
        encoder=table,
        steps=30,
        options=text.TBPTTOptions(model=hidden, lr_net=0.5),
    )
    report = multidd.evaluate(
        summary,
        evaluator(),
        models=["replay"],
        seeds=2,
        progress=False,
    )
    assert report.accuracy("replay") > 0.6 and len(report.rows) == 1
    encoded = text.attention_labels(
        TRAIN,
        1,
        encoder=sets.encoder(),
        steps=0,
        options=text.AttentionLabelsOptions(warmup_steps=1),
    )
    assert set(scored(encoded, "replay")) == set(scored(encoded, "kernel"))
    with pytest.raises(ValueError, match="no learned steps"):
        scored(text.kip(TRAIN, 1, encoder=sets.encoder(), steps=0), "replay")


def test_logistic_is_that_of_scikit_learn(medoids):
    x, y = medoids.to_tensors()
    theirs = LogisticRegression(C=10, max_iter=2000).fit(x, y)
    embeddings = theirs.predict(sets.encoder().encode(TEST))
    expected = float((torch.from_numpy(embeddings) == TEST.labels).float().mean())
    assert scored(medoids, "logistic")["accuracy"] == pytest.approx(expected)


def test_logistic_of_a_class_alone_and_of_one_missing():
    x, y = torch.eye(3), torch.tensor([1, 1, 1])
    alone = training_set(x, y, torch.eye(3)[y], torch.ones(3))
    assert logistic(alone)(x).argmax(1).tolist() == [1, 1, 1]
    y = torch.tensor([0, 2, 2])
    two = training_set(x, y, torch.eye(3)[y], torch.ones(3))
    assert logistic(two)(x).argmax(1).tolist() == [0, 2, 2]


def test_the_kernel_is_the_summarys_own(kip):
    x, y = kip.to_tensors()
    model = kernel_model(x, y, kip.card.settings["kernel"])
    predictions = model(sets.encoder().encode(TEST)).argmax(1)
    expected = float((predictions == TEST.labels).float().mean())
    assert scored(kip, "kernel")["accuracy"] == pytest.approx(expected)


def test_weights_count_in_heads():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    y = torch.tensor([0, 1])
    for weight in ([3.0, 1.0], [1.0, 3.0]):
        records = training_set(x, y, torch.eye(2), torch.tensor(weight))
        expected = [torch.tensor(weight).argmax().item()]
        assert softmax(records, QUICK, 0)[0](x[:1]).argmax(1).tolist() == expected
        assert logistic(records)(x[:1]).argmax(1).tolist() == expected


def test_soft_labels_count_in_the_softmax_head():
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    records = training_set(x, y, torch.tensor([[0.3, 0.7]]), torch.ones(1))
    many = replace(QUICK, epochs=200)
    result = softmax(records, many, 0)[0](x).softmax(1)
    assert result.flatten().tolist() == pytest.approx([0.3, 0.7], abs=0.02)


def test_metrics_are_those_of_scikit_learn():
    rng = torch.Generator().manual_seed(0)
    result, y = torch.randint(3, (2, 60), generator=rng)
    metrics = scores_of(result, y, ("a", "b", "c"))
    assert metrics["macro_f1"] == pytest.approx(f1_score(y, result, average="macro"))
    assert metrics["accuracy/b"] == pytest.approx((result[y == 1] == 1).float().mean())


# --- rows ---------------------------------------------------------------------


def test_rows_beside_are_as_large_and_in_one_table(medoids, kip):
    report = multidd.evaluate(
        kip,
        evaluator(),
        seeds=2,
        models=["kernel", "logistic"],
        protocol=QUICK,
    )
    names = "whole random herding kcenter medoids kmeans kip".split()
    assert [row.name for row in report.rows[:7]] == names
    assert {row.size for row in report.rows} == {None, 6}
    assert "macro_f1 %" in str(report)
    assert list(report.per_class("kernel")) == list(sets.CLASSES)
    assert report.accuracy("logistic", "whole") > 0.45


def test_networks_leave_out_rows_without_texts(medoids):
    report = multidd.evaluate(
        medoids,
        evaluator(),
        seeds=1,
        models=["textcnn"],
        rows=["kmeans", "random"],
        protocol=QUICK,
    )
    assert [row.name for row in report.rows] == ["random", "medoids"]


def test_whole_data_is_kept_for_the_next_call(medoids, monkeypatch):
    call = {"rows": ["whole"], "seeds": 1, "models": ["logistic"]}
    first = multidd.evaluate(medoids, evaluator(), **call)
    monkeypatch.setattr(Evaluator, "_task", property(lambda _: 1 / 0))
    second = multidd.evaluate(medoids, evaluator(), **call)
    whole = ("logistic", "accuracy", "whole")
    assert first.value(*whole) == second.value(*whole)


def test_a_kernel_sees_some_of_many_whole_texts(medoids, monkeypatch):
    one = evaluator()
    one.check(medoids)
    every = one._features(None, "kernel")
    monkeypatch.setattr("multidd.text.evaluation.evaluator.MAX_KERNEL_ROWS", 4)
    few = one._features(None, "kernel")
    assert torch.equal(few.inputs, every.inputs[[0, 9, 19, 29]])
    assert torch.equal(few.y, every.y[[0, 9, 19, 29]])
    assert len(one._features(None, "logistic").inputs) == 30


def test_without_training_texts_there_are_no_rows(medoids):
    one = evaluator(train=None)
    assert one.rows == ()
    one.check(medoids)
    assert one.fit(medoids, "kernel", QUICK, 0)["accuracy"] > 0.5
    with pytest.raises(ValueError, match="need the training data: give train="):
        one.training_data  # noqa: B018


# --- refusals -----------------------------------------------------------------


def test_another_encoder_is_refused(medoids):
    with pytest.raises(ValueError, match="is another"):
        evaluator(encoder=tiny.encoder(seed=1)).check(medoids)


def test_features_of_another_width_are_refused(medoids):
    tensors = dict(medoids.tensors) | {"x": medoids.tensors["x"][:, 1:]}
    cut = type(medoids)(tensors, medoids.card)
    with pytest.raises(
        ValueError, match="has 31 features, the encoder 'model' gives 32"
    ):
        evaluator().check(cut)


def test_summaries_of_other_classes_are_judged_apart(medoids):
    one = evaluator()
    one.check(medoids)
    source = dict(medoids.card.source) | {"labels": [3, 4, 5]}
    other = type(medoids)(medoids.tensors, replace(medoids.card, source=source))
    text = r"different classes: \[0, 1, 2\] and \[3, 4, 5\]; evaluate each on its"
    with pytest.raises(ValueError, match=text):
        one.check(other)


def test_other_classes_are_refused(medoids):
    with pytest.raises(ValueError, match="none of the 3 classes"):
        Evaluator((["a film", "a city"], [0, 7]), encoder=sets.encoder()).check(medoids)


def test_summaries_of_two_encoders_are_refused(medoids):
    one = evaluator()
    one.check(medoids)
    with pytest.raises(ValueError, match="different encoders"):
        one.check(text.medoids(TRAIN, 3, encoder=tiny.encoder(seed=1)))


def test_embeddings_train_no_network_on_words(kip):
    with pytest.raises(ValueError, match="'textcnn' trains on texts"):
        scored(kip, "textcnn")


def test_nothing_is_described_before_a_summary_is_seen():
    with pytest.raises(ValueError, match="check a summary first"):
        evaluator().describe()


# --- a plain Trainer ----------------------------------------------------------


def test_the_loss_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    soft, weight = torch.tensor([[0.8, 0.2], [0.5, 0.5]]), torch.tensor([3.0, 1.0])
    each = -(logits.log_softmax(1) * soft).sum(1)
    expected = (3 * each[0] + each[1]) / 4
    assert soft_label_loss(logits, soft, weight) == pytest.approx(expected)
    assert soft_label_loss(logits, soft * weight[:, None]) == pytest.approx(expected)
    hard = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]))
    assert soft_label_loss(logits, torch.tensor([0, 1])) == pytest.approx(hard)
    with pytest.raises(ValueError, match="as many labels"):
        soft_label_loss(logits, torch.ones(2, 3))


def test_a_trainer_trains_on_the_dataset(tmp_path):
    result = text.medoids(
        TRAIN,
        4,
        encoder=sets.encoder(),
        options=text.TextSelectionOptions(weights=True),
    )
    soft = torch.eye(3)[result.tensors["y"]] * 0.9 + 0.1 / 3
    result = replace(result, tensors=dict(result.tensors) | {"y_soft": soft})
    losses = trainers.losses(result.to_dataset(), tmp_path, steps=12, lr=3e-3)
    assert len(losses) == 12 and losses[-1] < 0.8 * losses[0]


def test_a_collator_names_a_set_without_texts():
    with pytest.raises(ValueError, match="no text"):
        collator(tiny.tokenizer(), 2)([{"embedding": [0.0], "label": 1}])


def test_token_vectors_are_collated():
    rows = [
        {"inputs_embeds": [[0.0, 1.0]] * 3, "attention_mask": [1, 1, 0], "label": 1}
    ]
    batch = collator(None, 2)(rows)
    assert batch["inputs_embeds"].shape == (1, 3, 2)
    assert batch["attention_mask"].tolist() == [[1, 1, 0]]
