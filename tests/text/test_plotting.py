"""Pictures of distilled texts."""

import unicodedata
import warnings

import pytest
import torch

from multidd import text
from multidd.text.summary.plotting import plane
from tests.text import sets, tiny

HOSTILE = (["a \x1b[31m film", "a city"], [0, 1])  # would colour a terminal


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def medoids():
    return text.medoids(sets.texts(), 2, encoder=sets.encoder())


def offsets(figure):
    """Points of each scatter of the first panel."""
    return [len(one.get_offsets()) for one in figure.axes[0].collections]


def test_the_plane_is_that_of_scikit_learn():
    from sklearn.decomposition import PCA

    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    x = x * torch.tensor([5.0, 1.0, 3.0, 1.0, 1.0, 1.0]) + 2
    center, axes = plane(x)
    theirs = PCA(2, svd_solver="full").fit(x.numpy()).transform(x.numpy())
    ours = (x - center) @ axes
    assert ours.abs().allclose(torch.from_numpy(theirs).abs().float(), atol=1e-3)
    assert bool((axes.gather(0, axes.abs().argmax(0, keepdim=True)) > 0).all())


def test_texts_stand_before_the_real_ones_and_are_listed(medoids, tmp_path):
    figure = medoids.plot(tmp_path / "a.png", data=sets.texts(), encoder=sets.encoder())
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert offsets(figure) == [30, 2, 2, 2]
    numbers = [note.get_text() for note in figure.axes[0].texts]
    assert numbers == [str(n) for n in range(1, 7)]
    listed = [line.get_text() for line in figure.axes[1].texts]
    assert listed == [f"{i + 1}  {message}" for i, message in enumerate(medoids.texts)]
    # A chosen text lies where the real one does.
    real, chosen = (figure.axes[0].collections[i].get_offsets() for i in (0, 1))
    row = int(medoids.tensors["source"][0])
    assert real[row].tolist() == pytest.approx(chosen[0].tolist(), abs=1e-5)


def test_without_the_real_texts_it_stands_alone(medoids):
    assert offsets(medoids.plot()) == [2, 2, 2]


def test_sets_of_embeddings_have_no_list():
    summary = text.kip(sets.texts(), 1, encoder=sets.encoder(), steps=2)
    figure = summary.plot(data=sets.texts(), encoder=sets.encoder())
    assert len(figure.axes) == 1 and offsets(figure) == [30, 1, 1, 1]


def test_token_vectors_are_drawn():
    vectors = (list(tiny.WORDS), torch.eye(len(tiny.WORDS)))
    summary = text.tbptt(
        sets.texts(),
        1,
        encoder=vectors,
        steps=1,
        options=text.TBPTTOptions(syn_steps=1, length=5),
    )
    assert offsets(summary.plot(data=sets.texts())) == [1, 1, 1]


def test_long_lists_end_and_dollars_are_no_formulas(monkeypatch, tmp_path):
    monkeypatch.setattr("multidd.text.summary.plotting.LINES", 3)
    some = (["$5 and $x_{", "win £6", "$7", "a dull film " * 20], [0, 0, 1, 1])
    summary = text.random(some, 2, encoder=sets.encoder())
    figure = summary.plot(tmp_path / "a.svg")
    listed = [line.get_text() for line in figure.axes[1].texts]
    assert len(listed) == 4 and listed[-1] == "and 1 more"
    assert any(line.endswith("...") for line in listed) or "dull" in summary.texts[3]


def test_labels_hold_nothing_that_no_font_has(tmp_path):
    """Of the shipped messages, some were once read with a wrong encoding."""
    messages = text.load("sample:sms").train
    control = [t for t in messages.texts if any("\x80" <= c <= "\x9f" for c in t)]
    assert len(control) > 20
    rows = [messages.texts.index(t) for t in control[:6]]
    y = [0, 1, 0, 1, 0, 1]
    some = text.as_texts([messages.texts[row] for row in rows], y)
    summary = text.random(some, 3, encoder=sets.encoder())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = summary.plot(tmp_path / "a.png")
    listed = [message.get_text() for message in figure.axes[1].texts]
    assert any("\ufffd" in message for message in listed)
    assert not any(unicodedata.category(c) == "Cc" for t in listed for c in t)
    assert "\x1b" not in repr(text.random(HOSTILE, 1, encoder=sets.encoder()).decode())


def test_other_classes_are_refused(medoids):
    with pytest.raises(ValueError, match="none of the 3 classes"):
        medoids.plot(data=(["a film", "a city"], [0, 7]), encoder=sets.encoder())
