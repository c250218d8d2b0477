"""`TextSummary`: what it holds, prints, writes, and reads back."""

from dataclasses import replace

import datasets
import pytest
import torch

import multidd
from multidd import text
from multidd.errors import CorruptFileError, SchemaError, StorageError
from multidd.storage import files
from multidd.summary import Card
from multidd.text.models.encoder import encoder_of
from multidd.text.summary.storage import stored
from multidd.text.summary.summary import TextSummary
from tests.text import sets, tiny

SOURCE = {"texts": 9, "classes": 2, "labels": [3, 7], "names": ["no", "yes"]}
CARD = Card("mine", {}, 0, SOURCE, {}, labels="soft")
TEXTS = ["dull", "größe – 😀\nand more", ""]


@pytest.fixture
def summary():
    draw = {
        "x": torch.arange(12.0).view(3, 4),
        "y": torch.tensor([0, 1, 1]),
        "y_soft": torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.4, 0.6]]),
        "weight": torch.tensor([1.0, 0.5, 1.5]),
        "source": torch.tensor([4, 0, -1]),
    }
    return TextSummary.of(draw, CARD, TEXTS)


def test_texts_come_back_as_they_were(summary):
    assert summary.texts == tuple(TEXTS) and summary.pairs is None
    assert len(summary) == 3 and summary.classes == ("no", "yes")


def test_it_shares_nothing_with_the_draw():
    draw = {"x": torch.ones(2, 3), "y": torch.tensor([0, 1])}
    result = TextSummary.of(draw, CARD)
    draw["x"].zero_()
    x, y = result.to_tensors()
    assert bool((x == 1).all()) and y.tolist() == [0, 1]
    assert result.weight.tolist() == [1.0, 1.0] and result.texts is None


def test_rows_are_named_and_printed(summary):
    rows = summary.decode()
    assert [row.label for row in rows] == ["no", "yes", "yes"]
    assert [row.source for row in rows] == [4, 0, None]
    assert rows[1].weight == 0.5 and rows[0].soft == pytest.approx((0.9, 0.1))
    lines = repr(rows).splitlines()
    assert len(lines) == 4  # line breaks of a text are no lines of the table
    assert lines[0].split() == ["label", "weight", "soft", "label", "source", "text"]
    assert lines[1].split()[2:6] == ["no", "0.90", "yes", "0.10"]
    assert lines[2].split() == "yes 0.50 yes 1.00 no 0.00 0 größe – 😀 and more".split()
    assert len(rows[:1]) == 1 and rows[:1][0] == rows[0]
    assert "no 0.90 yes 0.10" in repr(rows[:1])
    assert summary.listing() == repr(rows)


def test_the_two_largest_of_a_soft_label_are_printed():
    source = SOURCE | {"classes": 3, "labels": [0, 1, 2], "names": ["a", "b", "c"]}
    draw = {"x": torch.ones(1, 2), "y": torch.tensor([1])}
    draw["y_soft"] = torch.tensor([[0.5, -0.75, 0.25]])
    result = TextSummary.of(draw, replace(CARD, source=source), ["dull"])
    assert result.listing().splitlines()[1] == "b      a 0.50 c 0.25  dull"


def test_long_texts_are_cut_in_print_only():
    draw = {"x": torch.ones(1, 3), "y": torch.tensor([0])}
    result = TextSummary.of(draw, CARD, ["a" * 500])
    assert repr(result.decode()).endswith("a" * 100 + "...")
    assert result.decode()[0].text == "a" * 500


def test_facts_are_those_of_sets_with_a_predictor(summary):
    assert summary.facts(None) == summary.facts(None, "train") == ""


def test_embeddings_have_no_rows():
    result = TextSummary.of({"x": torch.ones(1, 3), "y": torch.tensor([0])}, CARD)
    with pytest.raises(ValueError, match="embeddings, no texts"):
        result.decode()
    assert "embeddings=1, 3" in repr(result) and result.listing() == ""


def test_repr_tells_size_and_origin(summary):
    assert repr(summary).startswith("TextSummary(mine, texts=3, 4, classes=2, ")
    assert "1 for 3 of 9 real texts" in repr(summary)


def test_a_file_holds_it_bit_for_bit(summary, tmp_path):
    summary.save(tmp_path)
    again = multidd.load(tmp_path)
    assert isinstance(again, TextSummary)
    assert again.digest() == summary.digest() and again.card == summary.card
    assert again.texts == summary.texts
    assert TextSummary.load(tmp_path).digest() == summary.digest()


def test_a_file_of_other_content_is_refused(summary, tmp_path):
    ends = summary.tensors["text_ends"].clone()
    broken = dict(summary.tensors) | {"text_ends": ends}
    result = TextSummary(broken, CARD)
    ends[1] = 99
    result.save(tmp_path)
    with pytest.raises((CorruptFileError, ValueError), match="text_ends must rise"):
        assert multidd.load(tmp_path).texts


@pytest.mark.parametrize(
    "change, message",
    [
        ({"text_ends": None}, "a tensor 'text_bytes' without a tensor 'text_ends'"),
        ({"text_bytes": None}, "a tensor 'text_ends' without a tensor 'text_bytes'"),
        ({"x": torch.ones(3, 2, 4)}, "'x' has 3 axes.* and there is no tensor 'mask'"),
        (
            {"text_bytes": torch.full((29,), 255).byte()},
            "'text_bytes' is no text: .*utf",
        ),
    ],
)
def test_files_that_do_not_fit(summary, tmp_path, change, message):
    tensors = dict(summary.tensors) | change
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    path, info = tmp_path / "a.safetensors", {"card": dict(vars(CARD))}
    files.write(path, tensors, info, kind="text")
    with pytest.raises(SchemaError, match=message):
        multidd.load(path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": None}, "a set of distilled texts lacks x"),
        ({"y": torch.tensor([0, 1, 2])}, r"y must be 0..1; got 0..2"),
        ({"y": torch.tensor([0.0, 1.0, 1.0])}, "y must be one list"),
        ({"weight": torch.tensor([1.0, 0.0, 1.0])}, "weights must be above 0"),
        ({"y_soft": torch.ones(3, 3)}, r"y_soft must be \[3, 2\]"),
        ({"x": torch.ones(2, 4)}, "x must be"),
        (stored(["a"]), r"text_ends must be \[4\]"),
        ({"ids": torch.ones(3, 2).long()}, "ids must be"),
    ],
)
def test_tensors_that_do_not_fit(summary, change, message):
    tensors = dict(summary.tensors) | change
    with pytest.raises(ValueError, match=message):
        TextSummary({n: t for n, t in tensors.items() if t is not None}, CARD)


def test_bytes_of_texts_without_their_ends(summary):
    tensors = {n: t for n, t in summary.tensors.items() if n != "text_ends"}
    with pytest.raises(ValueError, match="text_bytes stands without text_ends"):
        TextSummary(tensors, CARD).texts  # noqa: B018


def test_a_card_must_tell_the_classes():
    card = replace(CARD, source={"texts": 9})
    with pytest.raises(ValueError, match="source lacks classes, labels, names"):
        TextSummary.of({"x": torch.ones(1, 3), "y": torch.tensor([0])}, card)


# --- datasets -----------------------------------------------------------------


def test_a_dataset_has_the_columns(summary):
    dataset = summary.to_dataset()
    assert dataset.column_names == "text label soft_label weight source_index".split()
    assert dataset.features["label"].names == ["no", "yes"]
    assert dataset["text"][:] == TEXTS and dataset["source_index"][:] == [4, 0, -1]
    assert dataset["soft_label"][0] == pytest.approx([0.9, 0.1])


def test_a_dataset_comes_back_from_the_disk(summary, tmp_path):
    summary.to_dataset(embeddings=True).save_to_disk(str(tmp_path / "set"))
    read = datasets.load_from_disk(str(tmp_path / "set"))
    again = TextSummary.from_dataset(read)
    assert again.digest() == summary.digest() and again.card == summary.card


def test_a_bare_dataset_needs_to_be_told_where_it_is_from(summary):
    bare = datasets.Dataset.from_dict({"text": TEXTS[:2], "label": [0, 1]})
    with pytest.raises(ValueError, match="give source="):
        TextSummary.from_dataset(bare)
    result = TextSummary.from_dataset(
        bare, encoder=sets.encoder(), source=SOURCE, method="theirs"
    )
    assert result.tensors["x"].shape == (2, sets.encoder().dim)
    assert result.card.method == "theirs" and result.card.labels == "hard"
    with pytest.raises(ValueError, match="label and text"):
        TextSummary.from_dataset(bare.remove_columns("text"), source=SOURCE, method="a")


LABELLED = {"text": ["so", "dull"], "label": [1, 0], "embedding": [[1.0, 2.0]] * 2}
BARE = {"source": SOURCE, "method": "mine"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"text": [], "label": [], "embedding": []}, "the dataset has no rows: embedd"),
        ({"text": ["so", None]}, "the column text must hold texts; got None"),
        ({"text": [1, 2]}, "the column text must hold texts; got 1"),
        ({"label": [[0], [1, 0]]}, "the column label is no tensor: "),
        (
            {"label": [0.0, 1.0]},
            "the column label must hold whole numbers; got torch.f",
        ),
        ({"weight": [True, True]}, "the column weight must hold numbers; got torch.bo"),
        ({"label": [0, 2]}, "column label: y must be 0..1; got 0..2"),
        ({"weight": [1.0, 0.0]}, "column weight: weights must be above 0"),
        (
            {"source_index": [0, 9]},
            "column 'source_index' has values .* to 9, the most",
        ),
        (
            {"embedding": [[1.0, torch.nan]] * 2},
            "column 'embedding' holds 2 values that are NaN",
        ),
    ],
)
def test_columns_that_do_not_fit(change, message):
    dataset = datasets.Dataset.from_dict(LABELLED | change)
    with pytest.raises((ValueError, StorageError), match=message):
        TextSummary.from_dataset(dataset, **BARE)


@pytest.mark.parametrize(
    "description, message",
    [
        ('{"multidd": ', "description does not fit its schema: multidd cannot be read"),
        (
            '{"multidd": [3]}',
            "description does not fit its schema: multidd is .*no card",
        ),
    ],
)
def test_descriptions_that_hold_no_card(description, message):
    info = datasets.DatasetInfo(description=description)
    dataset = datasets.Dataset.from_dict(LABELLED, info=info)
    with pytest.raises(SchemaError, match=message):
        TextSummary.from_dataset(dataset)


def test_a_description_of_others_is_passed_over():
    info = datasets.DatasetInfo(description='["multidd"]')
    dataset = datasets.Dataset.from_dict(LABELLED, info=info)
    result = TextSummary.from_dataset(dataset, **BARE)
    assert result.texts == ("so", "dull") and result.card.method == "mine"


def test_pairs_have_a_column():
    draw = {"x": torch.ones(2, 3), "y": torch.tensor([0, 1])}
    result = TextSummary.of(draw, CARD, ["a", "b"], ["c", "d"])
    assert result.to_dataset()["pair"][:] == ["c", "d"]
    assert "a || c" in repr(result.decode())
    again = TextSummary.from_dataset(result.to_dataset(embeddings=True))
    assert again.pairs == ("c", "d")


def test_token_vectors_have_columns_of_their_own():
    ids, mask = torch.tensor([[2, 3], [4, 0]]), torch.tensor([[1, 1], [1, 0]])
    draw = {"x": torch.arange(12.0).view(2, 2, 3), "y": torch.tensor([0, 1])}
    result = TextSummary.of(draw | {"ids": ids, "mask": mask}, CARD)
    table = result.to_dataset()
    names = "label weight inputs_embeds attention_mask tokens".split()
    assert table.column_names == names
    assert torch.tensor(table["inputs_embeds"][:]).allclose(draw["x"])
    assert table["tokens"][:] == ids.tolist()
    with pytest.raises(ValueError, match="token vectors"):
        TextSummary.from_dataset(table)


# --- the encoder --------------------------------------------------------------


def test_another_encoder_is_refused():
    settings = {"key": sets.encoder().key, "name": "tiny"}
    card = replace(CARD, settings={"encoder": settings})
    assert encoder_of(card, sets.encoder()) is sets.encoder()
    with pytest.raises(ValueError, match="is another"):
        encoder_of(card, tiny.encoder(seed=1))


def test_an_encoder_is_found_by_where_it_came_from(tmp_path, monkeypatch):
    tiny.folder(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    summary = text.medoids(
        sets.texts(), 1, encoder="one", options=text.TextSelectionOptions(max_length=32)
    )
    assert summary.card.settings["encoder"]["origin"] == str(tmp_path / "one")
    monkeypatch.chdir("/")
    encoder = encoder_of(summary.card)
    assert (encoder.key, encoder.max_length) == (sets.encoder().key, 32)
    monkeypatch.undo()
