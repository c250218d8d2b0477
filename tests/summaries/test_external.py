"""Summaries that others made: every modality takes them, judges them, saves them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import safetensors.numpy
import torch
from datasets import Dataset
from scipy import sparse
from torch_geometric.data import Data

import multidd
from multidd import graph, images, recsys, text
from multidd.data.array_files import array_by_name, origin_of, read_arrays
from multidd.errors import CorruptFileError, StorageError
from multidd.summary import DataSummary
from tests.golden import tiny

# --- what others made, of each modality ---------------------------------------------

PIXELS, CLASSES = (part[:6] for part in tiny.images())
NODES = tiny.nodes()
LOG = tiny.log()
SENTENCES, TOPICS = (part[::5] for part in tiny.texts())
RNG = np.random.default_rng(0)
ROWS = np.round(RNG.random((4, LOG.num_items)) * (RNG.random((4, 16)) < 0.4), 3)


def _nodes(**parts: Any) -> DataSummary:
    x = parts.pop("x", NODES.x[:5])
    parts.setdefault("y", [0, 1, 2, 0, 1] if not isinstance(x, Path | Data) else None)
    return graph.from_arrays(x, source=NODES, **parts)


def _pictures(**parts: Any) -> DataSummary:
    x = parts.pop("x", PIXELS)
    y = parts.pop("y", CLASSES if not isinstance(x, Path) else None)
    return images.from_arrays(x, y, source=tiny.images(), **parts)


def _users(**parts: Any) -> DataSummary:
    return recsys.from_arrays(parts.pop("x", ROWS), source=LOG, **parts)


def _sentences(**parts: Any) -> DataSummary:
    x = parts.pop("x", SENTENCES)
    y = parts.pop("y", TOPICS if not isinstance(x, Path) else None)
    options = {"encoder": tiny.encoder()} | parts
    return text.from_arrays(x, y, source=tiny.texts(), **options)


@dataclass(frozen=True)
class Maker:
    """A modality's `from_arrays`, and with what `evaluate` judges the summary."""

    make: Callable[..., Any]
    on: Callable[[], Any]
    options: dict[str, Any]
    arrays: dict[str, Any]

    def __repr__(self) -> str:
        return self.make.__name__.strip("_")


EDGES = np.array([[0, 1, 2, 4], [1, 2, 3, 4]])

EVERY = [
    Maker(
        _nodes,
        lambda: NODES,
        {"protocol": multidd.Protocol("p", 5), "rows": ["random"]},
        {"x": NODES.x[:5].numpy(), "y": np.array([0, 1, 2, 0, 1]), "edge_index": EDGES},
    ),
    Maker(
        _pictures,
        tiny.images,
        {"train": tiny.images(), "models": "kernel", "rows": ["random"]},
        {"x": np.asarray(PIXELS), "y": np.asarray(CLASSES)},
    ),
    Maker(_users, lambda: LOG, {"rows": ["random"]}, {"x": ROWS}),
    Maker(
        _sentences,
        lambda: text.Evaluator(
            tiny.texts(), train=tiny.texts(), encoder=tiny.encoder()
        ),
        {"rows": ["random"]},
        {"x": np.eye(6, 16, dtype="f4"), "y": np.asarray(TOPICS)},
    ),
]

every = pytest.mark.parametrize("maker", EVERY, ids=repr)

# --- one suite ----------------------------------------------------------------------


@every
def test_it_is_judged_as_ours(maker: Maker) -> None:
    summary = maker.make()
    options = {"regimes": (), "seeds": 1, "progress": False, "cache": False}
    report = multidd.evaluate(summary, maker.on(), **options, **maker.options)
    assert {row.name for row in report.rows} == {"external", "random"}
    assert all(0 <= row.mean(report.metric) <= 1 for row in report.rows)
    sizes = {row.name: row.size for row in report.rows}
    assert sizes["external"] == report.row(report.rows[0].model).size


@every
def test_the_card_says_where_it_came_from(maker: Maker, tmp_path: Path) -> None:
    summary = maker.make()
    assert summary.card.method == "external" and summary.card.seed == 0
    assert summary.card.settings["origin"]
    named = maker.make(method="theirs", origin="a paper's repository")
    assert named.card.method == "theirs"
    assert named.card.settings["origin"] == "a paper's repository"
    assert repr(named).split("(")[1].startswith("theirs,")
    again = multidd.load(named.save(tmp_path))
    assert again.card == named.card and again.digest() == named.digest()
    assert type(again) is type(named)
    with pytest.raises(ValueError, match="method must be the name.*got ''"):
        maker.make(method="")


@every
@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_files_of_arrays(maker: Maker, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"theirs.{ending}"
    if ending == "npz":
        np.savez(path, **maker.arrays)
    else:
        safetensors.numpy.save_file(maker.arrays, path)
    summary = maker.make(x=path)
    in_memory = maker.make(**maker.arrays)
    assert summary.digest() == in_memory.digest()
    assert summary.card.settings["origin"] == f"theirs.{ending}"
    assert len(summary.card.settings["sha256"]) == 64
    assert "sha256" not in in_memory.card.settings


@every
def test_a_pickle_is_refused_with_the_way_to_convert_it(
    maker: Maker, tmp_path: Path
) -> None:
    path = tmp_path / "images_best.pt"
    torch.save({"x": torch.zeros(2)}, path)
    with pytest.raises(
        ValueError, match=r"images_best\.pt is a pickle.*savez\("
    ) as error:
        maker.make(x=path)
    # The command that it names does what it says.
    code = str(error.value).split('"')[1]
    assert "torch.load('images_best.pt', weights_only=True)" in code
    assert "numpy.savez('images_best.npz', x=t.numpy())" in code
    compile(code, "advice", "exec")
    renamed = tmp_path / "images_best.npz"
    renamed.write_bytes(path.read_bytes())
    with pytest.raises((ValueError, CorruptFileError), match=r"images_best\.npz"):
        maker.make(x=renamed)


@every
def test_inputs_are_not_changed(maker: Maker) -> None:
    arrays = {name: part.copy() for name, part in maker.arrays.items()}
    summary = maker.make(**arrays)
    for tensor in summary.tensors.values():
        tensor.zero_()
    assert all((arrays[n] == part).all() for n, part in maker.arrays.items())


@every
def test_a_file_that_is_not_there(maker: Maker, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"theirs\.npz"):
        maker.make(x=tmp_path / "theirs.npz")


# --- what each refuses ----------------------------------------------------------------

WIDE = np.zeros((2, 9, 9))

REFUSALS = [
    (_pictures, {"x": WIDE, "y": [0, 1]}, r"x must be \[m, 1, 8, 8\].*got \[2, 9, 9\]"),
    (
        _pictures,
        {"x": np.full((6, 8, 8), 2.5)},
        r"lie in 0\.\.1; got 2\.5.*give the mean=",
    ),
    (_pictures, {"x": np.full((6, 8, 8), 300)}, r"lie in 0\.\.255; got 300"),
    (_pictures, {"x": np.full((6, 8, 8), np.nan)}, "NaN or infinite pixels"),
    (_pictures, {"y": [0, 1, 2, 0, 1, 9]}, "labels hold .9. .first at image 5"),
    (_pictures, {"y": np.zeros((6, 2))}, r"finite \[m, 3\].*got \[6, 2\]"),
    (_pictures, {"y": [0, 1]}, "6 images have 2 labels; give one for each image"),
    (_pictures, {"y": None}, "y is missing; give the label of each image"),
    (_pictures, {"mean": [0.5]}, "mean and std go together"),
    (_pictures, {"mean": [0.5], "std": [0.0]}, r"std must be above 0; got \[0\.0\]"),
    (_pictures, {"mean": [1, 2], "std": [1, 2]}, "mean must be 1 numbers"),
    (_pictures, {"labels": "soft"}, r"labels='soft' needs y \[m, 3\]"),
    (_pictures, {"labels": "fuzzy"}, "labels must be one of hard, soft, centered"),
    (_nodes, {"x": NODES.x[:5, :3]}, "nodes have 3 features, the real graph has 8"),
    (_nodes, {"y": [0, 1]}, "5 nodes have 2 labels; give one for each node"),
    (_nodes, {"y": [0, 1, 2, 3, 4]}, "labels hold .3, 4. .first at node 3"),
    (_nodes, {"edge_index": EDGES, "adjacency": np.eye(5)}, "adjacency, not both"),
    (_nodes, {"adjacency": np.eye(4)}, r"adjacency must be \[5, 5\].*got \[4, 4\]"),
    (
        _nodes,
        {"edge_index": np.array([[0], [7]])},
        "joins nodes .0, 7., but there are 5",
    ),
    (_nodes, {"x": NODES.x[:5] * np.nan}, "NaN or infinite features"),
    (_users, {"x": ROWS[:, :9]}, "rows have 9 columns for 16 items; give item_ids="),
    (_users, {"x": -ROWS}, "entries must be 0 or more"),
    (_users, {"x": [(0, 99)]}, "99"),
    (_users, {"weight": [1.0, 2.0]}, "2 weights for 4 rows"),
    (_users, {"x": ROWS, "item_ids": range(1, 17)}, "16"),
    (_sentences, {"x": np.eye(6)}, "embeddings have 6 numbers, and .* gives 16"),
    (_sentences, {"x": np.eye(6), "encoder": None}, "nothing without their encoder"),
    (_sentences, {"x": np.eye(6, 16) * np.nan}, "NaN or infinite embeddings"),
    (_sentences, {"y": [0, 1]}, "6 texts have 2 labels"),
    (_sentences, {"x": ["a", ""], "y": [0, 1]}, "1 of 2 texts are empty"),
    (_sentences, {"x": np.eye(6, 16), "y": None}, "y is missing"),
]


@pytest.mark.parametrize("make, parts, message", REFUSALS)
def test_refusals(make: Any, parts: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(**parts)


@pytest.mark.parametrize(
    "make, source, message",
    [
        (
            images.from_arrays,
            {"images": 9},
            "source lacks classes, shape, labels; give",
        ),
        (graph.from_arrays, {"nodes": 9}, "source lacks train, classes; give the real"),
        (text.from_arrays, {"texts": 9}, "source lacks classes, labels; give the real"),
        (recsys.from_arrays, {"users": 9}, "source lacks train; give the real log"),
        (recsys.from_arrays, [1], "source must be the real InteractionLog.*got list"),
        (recsys.from_arrays, {"users": 9, "train": 9}, "item_ids is missing"),
    ],
)
def test_a_source_that_says_too_little(make: Any, source: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make(np.zeros((2, 4)), source=source)


# --- images ---------------------------------------------------------------------------


def test_pixels_in_every_form_are_the_same_images() -> None:
    x = np.asarray(PIXELS)
    first = _pictures(x=x).digest()
    for form in (x[:, None], x[..., None], torch.from_numpy(x), x.astype("f4") / 255):
        assert _pictures(x=form).digest() == first
    summary = _pictures(x=x)
    restored = summary.preprocessing.invert(summary.to_tensors()[0])
    torch.testing.assert_close(restored[:, 0], torch.from_numpy(x / 255).float())


def test_normalized_floats_carry_their_normalization() -> None:
    x = (torch.from_numpy(np.asarray(PIXELS)).float() / 255 - 0.4) / 0.2
    summary = _pictures(x=x, mean=[0.4], std=[0.2])
    assert summary.to_tensors()[0][:, 0].equal(x)
    real = summary.transform(np.asarray(PIXELS))  # real images are then seen alike
    torch.testing.assert_close(real[:, 0], x)
    raw = _pictures(mean=[0.4], std=[0.2])  # uint8, with the same normalization
    torch.testing.assert_close(raw.to_tensors()[0][:, 0], x)


def test_soft_labels() -> None:
    soft = torch.eye(3)[torch.tensor(CLASSES)] * 0.7 + 0.1
    assert _pictures(y=soft).card.labels == "soft"
    assert _pictures(y=soft - 1 / 3).card.labels == "centered"
    assert _pictures(y=soft - 1 / 3, labels="soft").card.labels == "soft"
    assert _pictures(y=soft, labels="hard").to_tensors()[1].tolist() == CLASSES
    assert torch.equal(_pictures(y=soft).to_tensors()[1], soft)
    assert _nodes(y=np.eye(3)[[0, 1, 2, 0, 1]]).tensors["y_soft"].shape == (5, 3)
    for scores in (soft * 5, soft * 2 - 1 / 3):  # of a network, not of a softmax
        with pytest.raises(ValueError, match="give the softmax of scores, or say lab"):
            _pictures(y=scores)
        assert torch.equal(_pictures(y=scores, labels="soft").to_tensors()[1], scores)


def test_a_dataset_of_images() -> None:
    import PIL.Image

    pictures = [PIL.Image.fromarray(one) for one in np.asarray(PIXELS)]
    dataset = Dataset.from_dict({"image": pictures, "label": CLASSES})
    assert _pictures(x=dataset, y=None).digest() == _pictures().digest()
    pairs = torch.utils.data.TensorDataset(
        torch.from_numpy(np.asarray(PIXELS))[:, None], torch.tensor(CLASSES)
    )
    assert _pictures(x=pairs, y=None).digest() == _pictures().digest()


# --- graphs ---------------------------------------------------------------------------


def test_edges_in_every_form_are_the_same_graph() -> None:
    dense = np.zeros((5, 5), np.float32)
    dense[EDGES[0], EDGES[1]] = dense[EDGES[1], EDGES[0]] = 1
    first = _nodes(edge_index=EDGES)
    assert first.num_edges == 3  # a self-loop is none
    assert first.adjacency.sum() == 6
    forms = (dense, torch.from_numpy(dense), sparse.csr_array(dense))
    assert all(_nodes(adjacency=form).digest() == first.digest() for form in forms)
    data = Data(
        x=NODES.x[:5],
        y=torch.tensor([0, 1, 2, 0, 1]),
        edge_index=torch.from_numpy(EDGES),
    )
    assert _nodes(x=data).digest() == first.digest()
    assert _nodes().num_edges == 0
    weighted = _nodes(adjacency=dense * 0.5)
    assert weighted.tensors["edge_weight"].unique().tolist() == [0.5]


def test_nodes_of_several_labels_have_shares() -> None:
    data, x = tiny.nodes_of_labels(), np.zeros((2, 8))
    shares = [[1.0, 0.0, 1.0, 0.5], [0.0, 1.0, 1.0, 0.0]]
    summary = graph.from_arrays(x, shares, source=data)
    assert summary.multi_label and summary.tensors["y_soft"].tolist() == shares
    for y, got in (([0, 1], "got classes"), ([[2.0, 0, 0, 0]] * 2, "got 0 to 2")):
        with pytest.raises(ValueError, match=f"the share of each label.*{got}"):
            graph.from_arrays(x, y, source=data)


# --- users ----------------------------------------------------------------------------


def test_rows_in_every_form_are_the_same_users(tmp_path: Path) -> None:
    first = _users()
    users, items = ROWS.nonzero()
    triples = list(
        zip(users.tolist(), items.tolist(), ROWS[users, items].tolist(), strict=True)
    )
    frame = pandas.DataFrame(triples, columns=["user", "item", "value"])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    sparse.save_npz(tmp_path / "rows.npz", sparse.csr_array(ROWS))
    tables: list[Any] = [frame, tmp_path / "rows.csv", Dataset.from_pandas(frame)]
    for table in tables:
        assert _users(x=table, value="value").digest() == first.digest()
    for matrix in (
        sparse.csr_array(ROWS),
        torch.from_numpy(ROWS),
        tmp_path / "rows.npz",
    ):
        assert _users(x=matrix).digest() == first.digest()
    assert _users(x=frame).digest() == first.digest()  # by the name of the column
    assert _users(x=frame[["user", "item"]]).binary
    sparse.save_npz(tmp_path / "columns.npz", sparse.csc_array(ROWS))
    assert _users(x=tmp_path / "columns.npz").digest() == first.digest()
    assert _users(x=triples, value="rating").digest() == first.digest()
    order = RNG.permutation(16)
    moved = _users(x=ROWS[:, order], item_ids=LOG.item_ids[order])
    assert moved.digest() == first.digest()


# --- texts ----------------------------------------------------------------------------


def test_texts_of_every_form(tmp_path: Path) -> None:
    first = _sentences()
    assert first.texts == tuple(SENTENCES)
    frame = pandas.DataFrame({"text": SENTENCES, "label": TOPICS})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    tables: list[Any] = [frame, tmp_path / "texts.csv", Dataset.from_pandas(frame)]
    for table in tables:
        assert _sentences(x=table, y=None).digest() == first.digest()
    soft = _sentences(y=np.eye(3)[TOPICS])
    assert soft.card.labels == "soft" and soft.texts == first.texts
    embeddings = first.tensors["x"]
    alone = _sentences(x=embeddings, weight=[1, 2, 1, 1, 1, 1])
    assert alone.texts is None and alone.weight[1] == 2
    assert torch.equal(alone.tensors["x"], embeddings)


def test_an_encoder_that_is_a_function() -> None:
    def encode(texts: list[str]) -> list[list[float]]:
        return [[len(one), 1.0] for one in texts]

    summary = _sentences(encoder=encode)
    assert summary.card.settings["encoder"]["name"] == "encode"
    assert summary.tensors["x"].shape == (6, 2)


# --- files ----------------------------------------------------------------------------


def test_files_that_are_no_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"objects\.npz holds Python objects"):
        read_arrays(path)
    for name in ("broken.npz", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(CorruptFileError, match=name.replace(".", r"\.")):
            read_arrays(tmp_path / name)
    with pytest.raises(ValueError, match=r"none of \.npz and \.safetensors"):
        read_arrays(tmp_path / "notes.txt")
    np.savez(path, x=np.zeros(10_000))
    monkeypatch.setenv("MULTIDD_LIMITS", "decoded_bytes=1000")
    with pytest.raises(StorageError, match="its arrays take 80,.* more than 1,000"):
        read_arrays(path)
    with pytest.raises(ValueError, match="has no array 'x' or 'images'; it holds 'y'"):
        array_by_name({"y": 1}, ("x", "images"), "set.npz")
    assert origin_of(torch.zeros(1)) == {"origin": "torch.Tensor"}


def test_a_file_of_the_library_itself_is_named(tmp_path: Path) -> None:
    train = multidd.samples.fashion().train
    path = images.random(train, ipc=1).save(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="a.safetensors is a file of multidd itself"):
        images.from_arrays(path, [0], source=train)
