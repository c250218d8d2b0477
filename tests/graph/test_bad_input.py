"""Every kind of bad graph is refused before a step, by a message that says where."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData

import multidd
from multidd.engine.recipe import call
from multidd.graph import CondenseOptions
from multidd.graph.data.graph import as_graph
from multidd.graph.methods.registry import METHODS

pytestmark = pytest.mark.usefixtures("short_teachers")

KINDS = {"kmeans": {}, "gcond_x": {"steps": 2, "progress": False}, "condense": {}}


@pytest.fixture(params=sorted(KINDS))
def refuses(request):
    """Checks that a selection, a learned method and `condense` say the same."""

    def refuses(data, message, error=ValueError, **options):
        options = options or {"nodes": 9}
        with pytest.raises(error, match=message):
            METHODS[request.param](data, **options, **KINDS[request.param])

    return refuses


# --- missing parts --------------------------------------------------------------


def test_missing_labels(small, refuses):
    del small.y
    refuses(small, r"data\.y is missing; node classification needs labels")


def test_missing_train_mask(small, refuses):
    del small.train_mask
    refuses(small, r"data\.train_mask is missing; make one.*RandomNodeSplit")


def test_empty_train_mask(small, refuses):
    small.train_mask[:] = False
    refuses(small, r"data\.train_mask is empty; mark the nodes to learn from")


def test_missing_features(small, refuses):
    del small.x
    refuses(small, r"data\.x is missing; give nodes features.*OneHotDegree")


def test_missing_edges(small, refuses):
    del small.edge_index
    refuses(small, r"data\.edge_index is missing; it may be empty, \[2, 0\]")


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        ({"x": torch.ones(3, 2)}, "dict"),
        ([Data(x=torch.ones(3, 2))], "list"),
        (HeteroData(), "HeteroData"),
        (None, "NoneType"),
    ],
)
def test_not_a_data(thing, name, refuses):
    refuses(
        thing, rf"data must be a torch_geometric\.data\.Data .*got {name}", TypeError
    )


def test_a_dataset_is_not_a_data(small, tmp_path, refuses):
    from torch_geometric.data import InMemoryDataset

    dataset = InMemoryDataset(str(tmp_path))
    dataset.data, dataset.slices = dataset.collate([small])
    refuses(
        dataset, r"got InMemoryDataset; for a dataset .* pass dataset\[0\]", TypeError
    )


# --- labels and masks -----------------------------------------------------------


def test_class_without_training_nodes(small, refuses):
    small.train_mask[small.y == 1] = False
    refuses(small, r"classes \[1\] have no training nodes \(labels run 0\.\.2\)")


def test_negative_training_label(small, refuses):
    small.y[3] = -1
    refuses(small, r"training node 3 has label -1; want 0\.\.c-1")


def test_one_class(small, refuses):
    small.y[:] = 0
    refuses(small, "all nodes have one class; there is nothing to classify")


@pytest.mark.parametrize(
    "change",
    [lambda y: y + 0.5, lambda y: y[:-1], lambda y: 0.5 * torch.eye(3)[y]],
    ids=["fractions", "short", "several floats"],
)
def test_bad_labels(small, change, refuses):
    small.y = change(small.y)
    expected = r"data\.y must be 120 integers \(one class for each node\), got torch\."
    refuses(small, expected + r"\S+ of shape \[.*not supported")


def test_labels_in_a_column(small, run):
    before = run("kmeans", small).digest()
    small.y = small.y[:, None]
    assert run("kmeans", small).digest() == before


@pytest.mark.parametrize("name", ["train_mask", "val_mask", "test_mask"])
def test_mask_with_several_splits(small, name, refuses):
    small[name] = torch.stack([small[name]] * 10, dim=1)
    refuses(small, rf"data\.{name} holds 10 splits; choose one.*\[:, 0\]")


@pytest.mark.parametrize("name", ["train_mask", "val_mask", "test_mask"])
def test_mask_of_other_length(small, name, refuses):
    small[name] = small[name][:-1]
    refuses(small, rf"data\.{name} must be 120 booleans, got torch\.bool.*\[119\]")


def test_indices_in_place_of_a_mask(small, refuses):
    small.train_mask = small.train_mask.nonzero().flatten()
    refuses(small, r"data\.train_mask must be 120 booleans, got torch\.int64")


# --- features -------------------------------------------------------------------


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_features_not_finite(small, value, refuses):
    small.x[17, 5] = small.x[90, 0] = value
    refuses(small, rf"data\.x has 2 entries .*at row 17, column 5 \({value}\)")


def test_features_too_large_for_float32(small, refuses):
    small.x = small.x.double()
    small.x[4, 2] = 1e300
    refuses(small, r"too large for float32, the first at row 4, column 2 \(1e\+300\)")


@pytest.mark.parametrize("shape", [(120,), (120, 3, 4), (120, 0)])
def test_features_of_other_shape(small, shape, refuses):
    small.x = torch.zeros(shape)
    refuses(small, r"data\.x must be \[nodes, features\], got \[120")


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int8, torch.bool, torch.float16, torch.float64]
)
@pytest.mark.parametrize("name", ["kmeans", "gcond_x"])
def test_other_dtypes_are_converted(small, dtype, name, run):
    small.x = (4 * small.x).round().to(dtype)  # whole numbers: exact in every dtype
    other = small.clone()
    other.x = small.x.float()
    summary = run(name, small)
    assert summary.tensors["x"].dtype == torch.float32
    assert summary.digest() == run(name, other).digest()


def test_other_layouts_are_converted(small, run):
    before = run("kmeans", small).digest()
    columns = small.clone()
    columns.x = small.x.T.contiguous().T
    assert not columns.x.is_contiguous()
    sparse = small.clone()
    sparse.x = small.x.to_sparse()
    assert run("kmeans", columns).digest() == run("kmeans", sparse).digest() == before


# --- edges ----------------------------------------------------------------------


@pytest.mark.parametrize(("node", "shown"), [(120, "120"), (-1, "-1")])
def test_edge_out_of_range(small, node, shown, refuses):
    small.edge_index[1, 7] = node
    source = int(small.edge_index[0, 7])
    refuses(
        small,
        rf"edge 7 of data\.edge_index joins nodes \[{source}, {shown}\], but there are "
        r"120 nodes \(0\.\.119\); 1 such edges",
    )


@pytest.mark.parametrize("change", [lambda e: e.float(), lambda e: e.T, lambda e: e[0]])
def test_edges_of_other_form(small, change, refuses):
    small.edge_index = change(small.edge_index)
    refuses(small, r"data\.edge_index must be integers \[2, edges\], got torch\.")


@pytest.mark.parametrize("value", [-1.0, torch.nan, torch.inf])
def test_bad_edge_weights(small, value, refuses):
    small.edge_weight = torch.ones(small.num_edges)
    small.edge_weight[11] = value
    refuses(
        small,
        r"data\.edge_weight has 1 negative or non-finite entries, the first at edge 11 "
        rf"\({value}\); weights must be 0 or more",
    )


def test_edge_weights_of_other_length(small, refuses):
    small.edge_weight = torch.ones(5)
    refuses(small, rf"data\.edge_weight has 5 entries for {small.num_edges} edges")


@pytest.mark.parametrize("name", ["kmeans", "gcond_x", "random", "condense", "gdem"])
def test_no_edges_at_all(small, name, run):
    small.edge_index = torch.zeros(2, 0, dtype=torch.int64)
    summary = run(name, small)
    assert summary.num_nodes == 9
    assert torch.isfinite(summary.tensors["x"]).all()
    assert summary.num_edges == 0
    assert as_graph(small).adjacency.nnz == 0


# --- what a method was asked for ------------------------------------------------


@pytest.mark.parametrize("name", ["gcond", "gcond_x", "doscond", "gcdm", "dm_x"])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"init": "middle"}, r"init must be one of kmeans, random, .*got 'middle'"),
        (
            {"supervision": "all"},
            "supervision must be .*'train', got 'all'",
        ),
        ({"model": "gin"}, r"model must be one of sgc, gcn: 'gin'"),
        ({"steps": -1}, r"steps must be 0 or more, got -1"),
    ],
)
def test_unknown_settings(small, name, option, message):
    with pytest.raises(ValueError, match=message):
        call(METHODS[name], small, nodes=9, progress=False, **option)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("doscond", r"one of \('validated', 'bernoulli', 'none'\)"),
        ("gcond", "'validated' or 'pairwise'"),
        ("gcdm", "'validated' or 'pairwise'"),
        ("gdem", "'validated' or 'spectral'"),
    ],
)
def test_unknown_structure(small, name, known):
    with pytest.raises(ValueError, match=f"structure must be {known}, got 'dense'"):
        call(METHODS[name], small, nodes=9, structure="dense")


def test_temperature_of_zero(small):
    with pytest.raises(ValueError, match="label_temperature must be above 0, got 0"):
        multidd.graph.condense(
            small, nodes=9, options=CondenseOptions(label_temperature=0)
        )


# --- not tensors ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["x", "y", "train_mask", "edge_index"])
def test_numpy_arrays_are_converted_or_refused_by_name(small, name, run):
    before = run("kmeans", small).digest()
    small[name] = np.asarray(small[name])
    try:
        assert run("kmeans", small).digest() == before
    except (TypeError, ValueError) as error:
        assert f"data.{name}" in str(error)
