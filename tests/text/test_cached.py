"""Features kept on disk: made once, for these weights, settings and texts."""

import os
import warnings

import pytest
import torch

import multidd
from multidd.errors import MultiddWarning
from multidd.storage import cache
from multidd.text.data.texts import Texts
from multidd.text.models import feature_cache
from multidd.text.models.encoder import Encoder
from multidd.text.models.tokenization import columns
from tests.text import tiny

TEXTS = list(tiny.TEXTS)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def encoder():
    return tiny.encoder()


@pytest.fixture
def passes(encoder):
    """Counts the passes through the model."""
    seen = []
    hook = encoder.model.register_forward_hook(lambda *_: seen.append(1))
    yield seen
    hook.remove()


def test_the_second_time_no_model_runs(encoder, passes):
    first = feature_cache.features(encoder, TEXTS)
    assert passes
    passes.clear()
    second = feature_cache.features(tiny.encoder(), tuple(TEXTS))
    again = feature_cache.features(encoder, TEXTS)
    assert not passes
    assert torch.equal(first, again) and torch.equal(first, second)
    assert torch.equal(first, encoder.encode(TEXTS))


def test_other_weights_settings_texts_or_pairs_have_files_of_their_own(encoder):
    places = {
        feature_cache.place(used, columns(texts, pairs))
        for used in (encoder, tiny.encoder(1), tiny.encoder(pooling="cls"))
        for texts, pairs in [
            (TEXTS, None),
            (TEXTS[::-1], None),
            (TEXTS, TEXTS),
            (["".join(TEXTS)], None),
        ]
    }
    assert len(places) == 12


def test_texts_with_labels_are_their_texts(encoder, passes):
    labels = torch.tensor([0, 1])
    data = Texts(("a dog", "a film"), ("who", "what"), labels, ("x", "y"), (0, 1))
    features = feature_cache.features(encoder, data)
    passes.clear()
    assert torch.equal(
        feature_cache.features(encoder, data.texts, data.pairs), features
    )
    assert not passes and torch.equal(features, encoder.encode(data))


def test_a_damaged_file_is_named_and_made_again(encoder, passes):
    first = feature_cache.features(encoder, TEXTS)
    path = feature_cache.place(encoder, columns(TEXTS))
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 4
    path.write_bytes(raw)
    with pytest.warns(MultiddWarning, match=path.name):
        assert torch.equal(feature_cache.features(encoder, TEXTS), first)
    passes.clear()
    assert torch.equal(feature_cache.features(encoder, TEXTS), first)
    assert not passes


def test_a_cache_that_cannot_be_written_only_costs_time(encoder, tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    monkeypatch.setenv("MULTIDD_CACHE", str(blocked))
    assert torch.equal(feature_cache.features(encoder, TEXTS), encoder.encode(TEXTS))


def test_texts_that_were_cut_are_said_again_without_a_pass(encoder, passes):
    long = ["film " * 60, "a dog"]
    for _ in range(2):
        with pytest.warns(MultiddWarning, match="1 of 2 texts are longer"):
            feature_cache.features(encoder, long)
    assert len(passes) == 1


def test_texts_that_were_cut_are_said_once_for_a_call(encoder):
    """Python shows a warning of a line once; the line is that of the caller."""
    pairs = (["film " * 60, "a dog", "who"], [1, 0, 1])
    with warnings.catch_warnings(record=True) as message:
        warnings.simplefilter("default")
        summary = multidd.text.kip(pairs, 1, encoder=encoder, steps=1)
        assert len(message) == 1 and message[0].filename == __file__
        multidd.text.to_sentences(summary, pairs, encoder=encoder)
    assert len(message) == 2


def test_nothing_is_kept_of_bad_features():
    model = tiny.model()
    model.embeddings.LayerNorm.weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        feature_cache.features(
            Encoder.of(model, tiny.tokenizer(), max_length=32), TEXTS
        )
    assert not os.path.exists(cache.folder() / "features")
