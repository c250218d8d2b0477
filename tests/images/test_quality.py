"""Recipes beat real images of equal number, on real data and in seconds."""

import pytest

import multidd
from multidd.engine.recipe import call
from multidd.images import long_tailed
from multidd.images.methods.registry import METHODS

QUICK = multidd.Protocol(
    "brief", epochs=80, lr=0.01, width=16, optimizer="sgd", momentum=0.9
)


def report_of(summary, splits, models, rows=("random",), **options):
    """One training of each model on a summary and on the rows beside it."""
    return multidd.evaluate(
        summary,
        splits.test,
        train=splits.train,
        models=models,
        rows=rows,
        seeds=options.pop("seeds", 1),
        protocol=QUICK,
        progress=False,
        **options,
    )


def test_kip_by_its_kernel(fashion):
    summary = multidd.images.kip(fashion.train, ipc=1, steps=150, progress=False)
    report = report_of(summary, fashion, ["kernel"], seeds=3)
    assert report.accuracy("kernel") > 0.72
    assert report.accuracy("kernel") > report.accuracy("kernel", "random") + 0.2


@pytest.mark.full
@pytest.mark.data("images/mnist")
def test_kip_on_mnist():
    splits = multidd.images.load("mnist")
    summary = multidd.images.kip(splits.train, ipc=1, steps=200, progress=False)
    report = report_of(summary, splits, ["kernel"], rows=())
    assert report.accuracy("kernel") > 0.86  # 85.5 in the paper


@pytest.fixture(scope="module")
def of_dm(fashion):
    """What a training on images of DM, and on random ones, reaches."""
    few = multidd.images.DMOptions(width=8, batch_size=32)
    summary = multidd.images.dm(
        fashion.train, ipc=1, steps=40, options=few, progress=False
    )
    return report_of(summary, fashion, ["convnet"])


def test_dm_teaches_a_convnet(of_dm):
    assert of_dm.accuracy("convnet") > of_dm.accuracy("convnet", "random") + 0.08


def test_rfad_teaches_a_convnet_and_its_kernel(fashion, of_dm):
    few = multidd.images.RFADOptions(width=16, batch_size=128)
    summary = multidd.images.rfad(
        fashion.train, ipc=1, steps=60, options=few, progress=False
    )
    trained = report_of(summary, fashion, ["convnet"], rows=())
    by_chance = of_dm.accuracy("convnet", "random")  # the same random images
    assert trained.accuracy("convnet") > by_chance + 0.05
    solved = report_of(summary, fashion, ["kernel"])
    assert solved.accuracy("kernel") > solved.accuracy("kernel", "random") + 0.1


def test_every_kind_of_model_scores_a_summary(fashion):
    summary = multidd.images.kmeans(fashion.train, ipc=1)
    models = ["kernel", "convnet", "mlp"]
    report = report_of(summary, fashion, models, rows=())
    assert [row.model for row in report.rows] == models
    for model in models:
        assert 0.45 < report.accuracy(model) < 0.8
    assert len({report.accuracy(model) for model in models}) == 3


def test_wrong_labels_lose(fashion):
    """The score is that of the labels, not of the judge."""
    summary = multidd.images.kmeans(fashion.train, ipc=1)
    tensors = dict(summary.tensors) | {"y": summary.tensors["y"].roll(1)}
    wrong = multidd.images.ImageSummary(tensors, summary.card)
    for model in ("kernel", "mlp"):
        assert report_of(wrong, fashion, [model], rows=()).accuracy(model) < 0.2


@pytest.mark.parametrize("name", ["random", "kmeans"])
def test_long_tailed(fashion, name):
    """Budgets follow the classes, and the report has the accuracy of each."""
    train = long_tailed(fashion.train, 0.02)
    test = long_tailed(fashion.test, 0.2)
    sizes, tested = train.counts.tolist(), test.counts.tolist()
    assert sizes == [350, 226, 146, 95, 61, 39, 25, 16, 10, 7]
    budgets = {"equal": [4] * 10, "proportional": [14, 9, 6, 4, 2, 1, 1, 1, 1, 1]}
    for balance, counts in budgets.items():
        result = call(METHODS[name], train, ipc=4, class_balance=balance)
        assert result.tensors["y"].bincount().tolist() == counts
        report = report_of(
            result, type(fashion)(train, test), ["kernel", "mlp"], cache=False
        )
        for model in ("kernel", "mlp"):
            outcome = report.per_class(model)
            assert list(outcome) == list(train.classes)
            mean = sum(
                n * outcome[c] for n, c in zip(tested, train.classes, strict=True)
            )
            assert mean / len(test) == pytest.approx(report.accuracy(model), abs=1e-6)
            assert len(set(outcome.values())) > 5
        row = report.row("kernel", "random")
        assert row.size == sum(counts) and row.num_bytes == result.num_bytes
