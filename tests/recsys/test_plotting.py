"""Pictures of synthetic users: what the lines show, and that they are written."""

import numpy as np
import pandas
import pytest
from scipy.sparse import csr_array

from multidd.recsys import distill_cf
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.summary.binarize import lengths, sharpened
from multidd.recsys.summary.plotting import _average, _smooth, plot_curve
from multidd.recsys.summary.summary import RecsysSummary
from tests.recsys.rows import IDS, ITEMS, make, weights


@pytest.fixture
def log():
    """Items late in the table are the popular ones."""
    rng = np.random.default_rng(2)
    rows = rng.random((200, ITEMS)) < np.linspace(0.01, 0.5, ITEMS)
    return InteractionLog.from_csr(
        csr_array(rows.astype(np.float32)), item_ids=IDS["int"]
    )


def _texts(figure):
    labels = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return {label.get_text() for label in labels if label.get_visible()}


@pytest.mark.parametrize("kind", ["dense", "sparse", "binary"])
def test_it_is_written(tmp_path, kind, log):
    summary = make(kind, weight=weights())
    figure = summary.plot(tmp_path / "a.png", data=log)
    assert (tmp_path / "a.png").stat().st_size > 5000
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == [
        "Popularity of items",
        "Length of histories",
        "Rows of the matrix",
    ]
    alone = summary.plot()
    assert "real" not in _texts(alone) and len(alone.axes) == 4


def test_items_stand_by_real_popularity(log):
    summary = make("dense", weight=weights())
    popularity, _, picture, _ = summary.plot(data=log).axes
    counts = log.train.sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    rank, share = popularity.lines[0].get_data()
    np.testing.assert_array_equal(rank, np.arange(1, ITEMS + 1))
    np.testing.assert_allclose(share, counts[order] / counts.sum(), rtol=1e-6)
    dots = popularity.collections[0].get_offsets()[:, 1]
    weighted = weights() @ make("dense").to_csr().toarray()[:, order]
    np.testing.assert_allclose(dots, weighted / weighted.sum(), rtol=1e-5)
    shown = np.asarray(picture.images[0].get_array())
    np.testing.assert_allclose(shown, summary.to_csr().toarray()[:, order])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dense", "synthetic, effective length (Σx)² / Σx²; median "),
        ("binary", "synthetic; median "),
    ],
)
def test_lengths_say_what_they_are(kind, message, log):
    summary = make(kind)
    rows = summary.to_csr().toarray().astype(np.float64)
    square = np.maximum((rows**2).sum(1), 1e-9)
    size = np.sort(rows.sum(1) ** 2 / square)
    size = size[size > 0]
    figure = summary.plot(data=log)
    real, synthetic = figure.axes[1].lines
    assert f"{message}{np.median(size):,.0f}" in _texts(figure)
    np.testing.assert_allclose(synthetic.get_xdata()[1:], size)
    assert real.get_xdata().max() == np.diff(log.train.indptr).max()
    assert real.get_ydata()[-1] == synthetic.get_ydata()[-1] == 1


def test_fractional_rows_are_drawn_sharpened(log):
    summary = distill_cf(log, 4, steps=1, progress=False)
    figure = summary.plot(data=log)
    assert figure.get_suptitle().endswith("(here sharpened to temperature one)")
    _, synthetic = figure.axes[1].lines
    size = lengths(sharpened(summary).to_csr())
    np.testing.assert_allclose(synthetic.get_xdata()[1:], np.sort(size))
    assert "sharpened" not in make("binary").plot(data=log).get_suptitle()


def test_items_in_no_row_are_told(log):
    empty = int((make("binary").to_csr().sum(axis=0) == 0).sum())
    text = f"synthetic (dots: items; {empty} in no row)"
    assert empty and text in _texts(make("binary").plot(data=log))


def test_a_log_of_other_items(log):
    other = InteractionLog.from_csr(log.train)
    with pytest.raises(ValueError, match="made from another log"):
        make("dense").plot(data=other)


def test_one_user_of_one_item():
    summary = RecsysSummary.from_csr(
        np.eye(1), source={"users": 1, "train": 1}, method="mine"
    )
    summary.plot().canvas.draw()


def test_neighbours_are_averaged():
    rows = np.random.default_rng(0).random((3, 1001)) * (np.arange(1001) % 7 == 0)
    small = _average(csr_array(rows), 10).toarray()
    spans = np.array_split(
        np.arange(1001), np.searchsorted(np.arange(1001) * 10 // 1001, range(1, 10))
    )
    expected = np.stack([rows[:, span].mean(1) for span in spans], axis=1)
    np.testing.assert_allclose(small, expected)
    assert _average(csr_array(rows), 1001).shape == rows.shape


def test_smoothing_keeps_the_mass():
    share = np.array([0.0, 0.4, 0.1, 0.1, 0.4, 0.0, 0.0, 0.0])
    at, mean = _smooth(share, bins=3)  # spans of 1, 2 and 5 ranks
    np.testing.assert_allclose(mean, [0.25, 0.1])
    np.testing.assert_allclose(at, [np.sqrt(2 * 3), np.sqrt(4 * 8)])


@pytest.mark.data("recsys/ml-100k/ml100k_split_seed42.parquet")
def test_random_users_of_movielens_look_real(data_root, tmp_path):
    frame = pandas.read_parquet(
        data_root / "recsys/ml-100k/ml100k_split_seed42.parquet"
    )
    users, items = (frame[name].to_numpy() for name in ("user_id", "item_id"))
    ids, column = np.unique(items, return_inverse=True)
    entries = (np.ones(len(frame), np.float32), (users - users.min(), column))
    log = InteractionLog.from_csr(csr_array(entries), item_ids=ids)
    source = {"users": log.num_users, "train": log.num_interactions}
    rows = log.train[np.random.default_rng(0).permutation(log.num_users)[:200]]
    summary = RecsysSummary.from_csr(rows, source=source, method="random", item_ids=ids)
    popularity, size, *_ = summary.plot(tmp_path / "a.png", data=log).axes
    real, synthetic = popularity.lines
    rank, share = synthetic.get_data()
    there = rank < 500
    expected = np.interp(rank[there], *real.get_data())
    np.testing.assert_allclose(share[there], expected, rtol=0.35)
    medians = [np.median(line.get_xdata()) for line in size.lines]
    assert medians[0] == pytest.approx(medians[1], rel=0.25)


# --- quality against users -----------------------------------------------------------

POINTS = {
    "head users": [(50, 15.4, 0.0), (10, 9.0, 0.5)],
    "distill_cf": [(10, 22.7, 0.4), (50, 32.4, 0.2)],
    "random users": [(10, 15.0, 1.0), (50, 22.7, 0.8), (200, 27.0, 0.5)],
}


def test_curve(tmp_path):
    figure = plot_curve(POINTS, tmp_path / "a.png", whole=32.95, metric="HR@10 %")
    (axes,) = figure.axes
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "HR@10 %"
    listed = [text.get_text() for text in axes.get_legend().get_texts()]
    assert listed == ["whole log: 32.95", "distill_cf", "random users", "head users"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["10", "50", "200"]
    first = axes.containers[0]
    assert first.lines[0].get_xdata().tolist() == [10, 50]  # sorted
    ends = [line.get_ydata().tolist() for line in first.lines[1]]
    assert ends == [[8.5, 15.4], [9.5, 15.4]]


def test_many_rows_differ():
    rows = {f"row {i}": [(10, i, 0.1), (100, i + 1, 0.1)] for i in range(9)}
    (axes,) = plot_curve(rows).axes
    lines = [container.lines[0] for container in axes.containers]
    looks = {(x.get_color(), x.get_marker(), x.get_linestyle()) for x in lines}
    assert len(looks) == 9 and len({x.get_color() for x in lines}) == 8


@pytest.mark.parametrize(
    "points",
    [
        {},
        {"a": []},
        {"a": [(0, 1.0, 0.1)]},
        {"a": [(10, float("nan"), 0.1)]},
        {"a": [(10, 1.0, -0.1)]},
    ],
)
def test_points_that_cannot_be_drawn(points):
    with pytest.raises(ValueError, match="point"):
        plot_curve(points)
