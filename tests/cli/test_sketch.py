"""`multidd sketch`: a file that `multidd distill` reads, for each kind of data."""

import json

import multidd
from multidd import modality
from multidd.data.sources import bundled
from tests.images.test_sketch import folder_of

LOG = bundled("movietweetings_small.parquet")


def test_a_log_is_sketched_and_distilled(call, tmp_path):
    sample = tmp_path / "sample.parquet"
    code, printed, err = call(
        "sketch", "recsys", LOG, "--users", 200, "--seed", 3, "--out", sample,
        "--min-user", 2, "--min-item", 30,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "min_user 2" in printed and f"written: {sample}" in printed
    out = tmp_path / "run"
    words = ["--method", "random", "--data", sample, "--users", 5, "--out", out]
    assert call("distill", "recsys", *words)[0] == 0
    # The card says what the sketch saw, though the run saw a file of it alone.
    card = multidd.load(out).card
    facts = multidd.recsys.sketch(LOG, 200, 3, min_user=2, min_item=30).describe()
    assert card.source["sketch"] == facts["sketch"]
    assert facts["sketch"]["items_below"] > 0


def test_texts_and_images_are_sketched(call, tmp_path):
    out = tmp_path / "texts.parquet"
    words = ["text", bundled("sms_spam"), "--per-class", 7, "--out", out, "--json"]
    code, printed, err = call("sketch", *words)
    result = json.loads(printed)
    assert code == 0 and "left out 1 of 2 files" in err
    assert result["sketch"]["counts"] == [3643, 522]
    assert multidd.text.load(out).train.num_classes == 2
    out = tmp_path / "images.npz"
    words = ["images", folder_of(tmp_path / "pets"), "--per-class", 2, "--out", out]
    assert call("sketch", *words)[0] == 0
    assert multidd.images.as_images(out).counts.tolist() == [2, 2, 2]


def test_commands_come_from_the_registry(call, fails, tmp_path, monkeypatch):
    _, printed, _ = call("sketch", "--help")
    listed = [line.split()[0] for line in printed.splitlines() if "Keep --" in line]
    with_one = [e.name for e in modality.entries() if e.sketch is not None]
    assert listed == with_one == ["images", "recsys", "text"]
    code, _, err = call("sketch", "graph", "x", "--out", "y.parquet")
    assert code == 2 and "No such command 'graph'" in err
    out = tmp_path / "x.csv"
    fails("a log is written as a .parquet file", "sketch", "recsys", LOG, "--out", out)
    fails("no file or folder", "sketch", "recsys", "nowhere", "--out", out)
    assert not out.exists()
