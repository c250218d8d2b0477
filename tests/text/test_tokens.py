"""Token vectors as a task, their ties to a table, and the recipe behind an encoder."""

from dataclasses import replace

import pytest
import torch

import multidd
from multidd import distill, seeds
from multidd.learning.gradients import training_gradients
from multidd.learning.kernel_sources import Plain
from multidd.learning.states import Fresh
from multidd.objectives import DistributionMatching, GradientMatching, KernelRidge
from multidd.parameterizations import Free, Labels, Mixtures
from multidd.protocols import label_kind
from multidd.selection.basic import KMeans, Random
from multidd.text import FineTuned, TokenTask, learner
from multidd.text.models.nearest import nearest
from multidd.text.models.vocabulary import near_special
from multidd.text.tasks.projection import Closeness, Snapped
from multidd.text.tasks.token_batch import Shown, attention_gap
from tests.text import tiny
from tests.text.films import ENCODER, TEXTS, started, table

# --- the task -------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["pad", "repeat"])
def test_vectors_of_real_texts_give_their_features(fill: str) -> None:
    """The start, seen as a synthetic batch, is the text itself under the encoder."""
    task = TokenTask(TEXTS, ENCODER, length=8, fill=fill)
    draw = started(task)
    assert draw["x"].shape == (2, 8, 32) and draw["ids"].shape == (2, 8)
    assert bool((draw["mask"] == 1).all()) == (fill == "repeat")
    texts = task.vocabulary.strings(draw["ids"], draw["mask"])
    features = task.inputs(task.synthetic(draw))
    assert torch.allclose(features, ENCODER.encode(texts), atol=1e-5)


def test_special_tokens_are_never_learned() -> None:
    task = TokenTask(TEXTS, ENCODER, length=8)
    draw = started(task)
    moved = task.synthetic(draw | {"x": draw["x"] + 1.0})
    first, last = moved.x[:, 0], draw["mask"].sum(1) - 1
    rows = ENCODER.embedding_table()
    cls, sep = ENCODER.tokenizer.cls_token_id, ENCODER.tokenizer.sep_token_id
    assert torch.equal(first, rows[cls].expand(2, -1))
    assert torch.equal(moved.x[torch.arange(2), last], rows[sep].expand(2, -1))
    assert torch.equal(moved.x[:, 1], draw["x"][:, 1] + 1.0)


def test_batches_and_what_each_kind_of_task_sees() -> None:
    frozen = TokenTask(TEXTS, ENCODER, batch_size=4)
    batch = frozen.batch(seeds.at(0, "b"))
    assert batch.x is None and batch.pooled.shape == (4, 32)
    net = TokenTask(TEXTS, table(), learner("textcnn", filters=2), batch_size=4)
    batch = net.batch(seeds.at(0, "b"))
    assert batch.x.shape[:2] == batch.mask.shape and batch.pooled is None
    each = TokenTask(TEXTS, table(), batch_size=2, sampler="class")
    assert each.batch(seeds.at(0, "b")).y.bincount().tolist() == [2, 2]


@pytest.mark.parametrize(
    "objective",
    [
        DistributionMatching(),
        GradientMatching(states=Fresh(2)),
        KernelRidge(Plain(), ridge=1e-3),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("kind", ["static", "encoder", "textcnn", "finetuned"])
def test_objectives_move_the_vectors(objective, kind: str) -> None:
    nets = {"textcnn": learner("textcnn", filters=2), "finetuned": FineTuned(ENCODER)}
    other_table = table() if kind in ("static", "textcnn") else ENCODER
    task = TokenTask(TEXTS, other_table, nets.get(kind), length=5, batch_size=6)
    if isinstance(objective, KernelRidge) and kind in nets:
        return  # kernels compare what is frozen
    summary = distill(task, objective, Free(Random(), (1, 1)), steps=2)
    again = distill(task, objective, Free(Random(), (1, 1)), steps=2)
    still = distill(task, objective, Free(Random(), (1, 1)), steps=0)
    assert summary.digest() == again.digest()
    assert not torch.equal(summary.tensors["x"], still.tensors["x"])
    assert summary.card.settings["table"]["key"] == task.vocabulary.key
    assert summary.tensors["ids"].shape == summary.tensors["mask"].shape == (2, 5)


def test_gradients_of_vectors_are_those_of_finite_differences() -> None:
    """Through the encoder and the kernel, in double precision."""
    model = tiny.model().double()
    encoder = multidd.text.Encoder.of(model, tiny.tokenizer(), max_length=32)
    task = TokenTask(TEXTS, encoder, length=5)
    task.__dict__["shown"] = Shown(TEXTS.labels, encoder.table, pooled=task.pooled)
    draw = started(task)
    x = draw["x"].double()
    objective = KernelRidge(Plain(), ridge=1e-2)

    def loss(value: torch.Tensor) -> torch.Tensor:
        batch = task.synthetic(draw | {"x": value})
        return objective.loss(task, {}, batch, seeds.at(0, "loss"))

    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf), leaf)
    way = torch.randn(x.shape, generator=seeds.at(0, "way"), dtype=x.dtype)
    with torch.no_grad():
        by = (loss(x + 1e-4 * way) - loss(x - 1e-4 * way)) / 2e-4
    assert float((slope * way).sum()) == pytest.approx(float(by), rel=1e-3, abs=1e-7)
    assert bool((slope[:, 0] == 0).all())  # the start token is fixed


def test_the_learner_s_gradients_are_autograd_s() -> None:
    task = TokenTask(TEXTS, table(), learner("gru", hidden=3))
    weights = task.weights(seeds.at(0, "w"), 2)
    batch = task.batch(seeds.at(0, "b"))
    gradients = training_gradients(task, weights, batch)
    for k in range(2):
        one = {n: w[k].detach().requires_grad_() for n, w in weights.items()}
        expected = torch.autograd.grad(
            task.losses(one, batch).mean(), list(one.values())
        )
        for name, slope in zip(one, expected, strict=True):
            assert torch.allclose(gradients[name][k], slope, atol=1e-6)


@pytest.mark.parametrize("source", [ENCODER, table()], ids=["encoder", "static"])
def test_a_task_moves_and_holds_a_batch(source) -> None:
    task = TokenTask(TEXTS, source, batch_size=3)
    batch = task.batch(seeds.at(0, "batch"))
    other = task.to("cpu:0").with_fixed_batch(batch)  # not "cpu" by its name
    assert other.device == "cpu:0" and task.to("cpu") is task
    assert other.batch(seeds.at(1, "batch")) is batch
    assert other.describe() == task.describe()
    assert torch.equal(other.pooled, task.pooled)


def test_no_vector_is_special_without_special_tokens() -> None:
    vocabulary = TokenTask(TEXTS, ENCODER, length=7).vocabulary
    x = vocabulary.rows[vocabulary.special][None]
    assert near_special(vocabulary, x).any()
    bare = replace(vocabulary, special=vocabulary.special[:0])
    assert not near_special(bare, x).any()


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        TokenTask(TEXTS, ENCODER, length=1)
    with pytest.raises(ValueError, match="FineTuned"):
        TokenTask(TEXTS, ENCODER, attention=1.0)
    with pytest.raises(ValueError, match="real texts"):
        distill(TokenTask(TEXTS, ENCODER), Closeness(), Free(KMeans(), (1, 1)), steps=0)
    task = TokenTask(TEXTS, ENCODER, fill="full")
    with pytest.raises(ValueError, match="fill"):
        started(task)
    with pytest.raises(ValueError, match="needs validation texts: give val="):
        task.held_out  # noqa: B018
    with pytest.raises(ValueError, match="token vectors must have 32 entries; got 31"):
        FineTuned(ENCODER).weights(seeds.at(0, "w"), 1, 31, 2)


# --- attention labels -----------------------------------------------------------------


def test_attention_gap_is_the_divergence() -> None:
    drawn = torch.randn(2, 3, 2, 4, 4, generator=seeds.at(0, "a"))
    seen = drawn.softmax(-1)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    seen[1, ..., 2:] = 0
    seen = seen / seen.sum(-1, keepdim=True)
    attention = seen[..., 0, :].clamp(min=1e-8).log()
    assert float(attention_gap(attention, seen, mask).abs().max()) < 1e-6
    logits = torch.zeros(2, 3, 2, 4)
    expected = [(torch.ones(4) / 4), (torch.tensor([0.5, 0.5]))]
    for row, (share, size) in enumerate(zip(expected, (4, 2), strict=True)):
        ratio = share * (share / seen[row, :, :, 0, :size]).log()
        result = attention_gap(logits, seen, mask)[row]
        assert float(result) == pytest.approx(float(ratio.sum(-1).mean()), rel=1e-5)


# --- ties to the table ----------------------------------------------------------------


def test_nearest_by_each_metric() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.9, 0.9]])
    x = torch.tensor([[0.8, 0.5]])
    assert nearest(x, rows, metric="cosine")[0].tolist() == [2]
    assert nearest(x, rows, metric="dot")[0].tolist() == [1]
    place, value = nearest(x, rows, metric="l2")
    assert place.tolist() == [2] and float(value) == pytest.approx(-(0.17**0.5))
    assert nearest(x, rows, torch.tensor([0, 1]), "cosine")[0].tolist() == [0]
    with pytest.raises(ValueError, match="width"):
        nearest(torch.ones(1, 3), rows)
    with pytest.raises(ValueError, match="metric"):
        nearest(x, rows, metric="l1")
    with pytest.raises(ValueError, match="no row of the table is left to choose from"):
        nearest(x, rows, torch.tensor([], dtype=torch.int64))


def test_straight_through_is_the_text_it_decodes_to() -> None:
    """Forward: features of the snapped text. Backward: the gradient at its rows."""
    task = TokenTask(TEXTS, ENCODER, length=7)
    vocabulary = task.vocabulary
    form = Snapped(Free(Random(), (1, 1)), vocabulary.rows[vocabulary.words])
    params = form.init(task, seeds.at(0, "start"))
    assert form.decode(params) is params
    noise = torch.randn(params["x"].shape, generator=seeds.at(0, "n"))
    params["x"] = (params["x"] + 0.2 * noise).requires_grad_()
    draw = form.draw(params, seeds.at(0, "d"), 0)
    batch = task.synthetic(draw)
    features = task.inputs(batch)
    ids = task.summary(draw, card(task)).tensors["ids"]
    assert torch.isin(ids, torch.cat([vocabulary.words, vocabulary.special])).all()
    snapped = ENCODER.through(ENCODER.embed(ids), draw["mask"])
    assert torch.equal(features, snapped)
    (slope,) = torch.autograd.grad(features.square()[:, :3].sum(), params["x"])
    leaf = batch.x.detach().requires_grad_()
    again = task.inputs(task.synthetic(draw | {"x": leaf}))
    (expected,) = torch.autograd.grad(again.square()[:, :3].sum(), leaf)
    assert torch.allclose(slope, expected, atol=1e-7) and bool(slope.abs().max() > 0)


def card(task: TokenTask):
    from multidd.summary import Card

    return Card("mine", {}, 0, task.describe()["data"], {})


def test_closeness_is_zero_at_words_and_grows_away_from_them() -> None:
    task = TokenTask(TEXTS, ENCODER, length=7)
    draw, results = started(task), []
    for off in (0.0, 0.01, 0.05):
        batch = task.synthetic(draw | {"x": draw["x"] + off})
        results.append(float(Closeness().loss(task, {}, batch, seeds.at(0, "l"))))
    words = task.vocabulary.rows[task.vocabulary.words]
    scale = float(words.square().sum(1).mean())
    assert results[0] == 0.0
    assert results[1] == pytest.approx(32 * 0.01**2 / scale, rel=1e-3)
    assert results[2] > results[1]


def test_mixtures_of_rows() -> None:
    """Softmax of the logits times the table; the likeliest rows are kept."""
    task = TokenTask(TEXTS, table(), length=4)
    rows = task.vocabulary.rows[task.vocabulary.words]
    form = Mixtures(Labels(Free(Random(), (1, 1)), "onehot"), rows, temperature=0.5)
    assert label_kind(form) == "centered"
    params = form.init(task, seeds.at(0, "start"))
    draw = form.draw(params, seeds.at(0, "d"), 0)
    assert torch.allclose(draw["x"], (params["x"] / 0.5).softmax(-1) @ rows)
    final = form.final(params, seeds.at(0, "f"))["x"]
    start = started(task)
    mask = start["mask"] != 0
    assert torch.equal(final[mask], start["x"][mask])
    noisy = Mixtures(form.base, rows, "gumbel", 0.5)
    one, other = (noisy.draw(params, seeds.at(s, "d"), 0)["x"] for s in (0, 1))
    assert not torch.equal(one, other)
    with pytest.raises(ValueError, match="sampler"):
        Mixtures(form.base, rows, "hard")
    with pytest.raises(ValueError, match="temperature"):
        Mixtures(form.base, rows, temperature=0.0)
    with pytest.raises(ValueError, match="must be 'row' or 'mixture'; got 'mean'"):
        Mixtures(form.base, rows, finish="mean")
    with pytest.raises(ValueError, match=r"two rows or more; got \[1, 6\]"):
        Mixtures(form.base, rows[:1])
    with pytest.raises(ValueError, match="no mixtures"):
        Mixtures(form.base, rows[:, :3]).init(task, seeds.at(0, "start"))
