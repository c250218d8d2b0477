"""The command line on images: what it writes and says, and how it fails."""

import json
import re
from dataclasses import replace

import datasets
import numpy as np
import pytest
from PIL import Image

import multidd
from multidd.cli.run_folder import RunFolder
from multidd.data import sources
from multidd.images.models.training import PROTOCOLS

DISTILL = ["distill", "images", "--data", "sample:fashion", "--quiet"]
SOURCE = {"data": "sample:fashion", "seed": 0}
LEARNED = ("dm", "kip")
BYTES = 28 * 28 * 4 + 8  # of an image of the sample and its label


@pytest.fixture(scope="module")
def train():
    """The training images of the sample."""
    return multidd.samples.fashion().train


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, train):
    """A run folder of KIP on the sample."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = multidd.images.KIPOptions(batch_size=200)
    summary = multidd.images.kip(
        train, ipc=1, steps=30, options=options, progress=False
    )
    RunFolder(folder).write(summary, SOURCE)
    return folder


# --- distill --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["kmeans", *LEARNED])
def test_distill_writes_a_whole_folder(call, tmp_path, train, method):
    out = tmp_path / "runs/one"
    words = [*DISTILL, "--method", method, "--ipc", "1", "--out", out]
    words += ["--steps", "2"] if method in LEARNED else []
    code, printed, err = call(*words)
    assert (code, err) == (0, "")
    assert f"ImageSummary({method}, images=10, 1 x 28 x 28, classes=10," in printed
    assert str(out) in printed
    summary = multidd.load(out)
    options = {"steps": 2, "progress": False} if method in LEARNED else {}
    same = multidd.images.METHODS[method](train, ipc=1, **options)
    assert summary.digest() == same.digest()
    assert (out / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "report.md").read_text().startswith("# ImageSummary(")
    assert json.loads((out / "run.json").read_text()) == SOURCE
    # Again: a learned one comes from its checkpoint, with the time that it took.
    assert call(*words)[0] == 0
    again = multidd.load(out)
    assert again.digest() == summary.digest()
    if method in LEARNED:
        assert again.card.seconds == summary.card.seconds


QUICK = {"candidates": "medoids", "teacher_steps": 2, "width": 4, "updates": 1}


def test_distill_without_a_method_is_the_modalitys_distill(call, fails, tmp_path):
    """Its settings are listed and written."""
    few = [word for item in QUICK.items() for word in ("--set", "{}={}".format(*item))]
    words = [*DISTILL, "--ipc", "1", *few, "--set", "bits=3"]
    code, printed, err = call(*words, "--out", tmp_path / "a")
    assert (code, err) == (0, "") and "ImageSummary(medoids, images=" in printed
    summary = multidd.load(tmp_path / "a")
    assert summary.packing.bits == 3
    options = summary.card.settings["tournament"]["options"]
    assert (options["candidates"], options["teacher_steps"]) == (["medoids"], 2)
    assert 'method = "distill"' in (tmp_path / "a/run.toml").read_text()
    fails(
        "--zca is for a method by name", *DISTILL, "--zca", "--ipc", "1", "--out", "x"
    )
    listed = call("methods", "images.distill")[1]
    assert "candidates: texts, default ridge,halfway,medoids" in listed
    names = [line.split()[:2] for line in call("methods")[1].splitlines()]
    assert ["images", "distill"] in names


def test_the_settings_reach_the_method(call, tmp_path):
    words = [*DISTILL, "--method", "random", "--seed", "3", "--zca"]
    size = ["--budget-bytes", 25 * BYTES, "--class-balance", "proportional"]
    assert call(*words, *size, "--out", tmp_path / "a")[0] == 0
    summary = multidd.load(tmp_path / "a")
    assert (summary.num_images, summary.num_bytes, summary.card.seed) == (
        25,
        25 * BYTES,
        3,
    )
    assert "preprocessing.whitening" in summary.tensors
    assert json.loads((tmp_path / "a/run.json").read_text()) == SOURCE | {"seed": 3}
    assert call(*words[:-1], *size[:2], "--out", tmp_path / "b")[0] == 0
    other = multidd.load(tmp_path / "b")
    assert (other.num_images, other.num_bytes) == (20, 20 * BYTES)
    assert "preprocessing.whitening" not in other.tensors


def test_distill_with_other_settings_in_the_same_folder(call, fails, tmp_path):
    words = [*DISTILL, "--method", "kip", "--ipc", "1", "--out", tmp_path]
    assert call(*words, "--steps", "2")[0] == 0
    digest = multidd.load(tmp_path).digest()
    fails("seed", *words, "--steps", "2", "--seed", "1")
    fails("steps", *words, "--steps", "3")
    fails("ipc|counts", *words, "--steps", "2", "--ipc", "2")
    assert multidd.load(tmp_path).digest() == digest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--ipc", "1", "--method", "gcond"],
            r"--method must be one of distill, dm, .*'gcond'",
        ),
        (["--ipc", "1", "--method", "kmeans", "--steps", "3"], "kmeans takes no steps"),
        ([], "give exactly one of ipc and budget_bytes; got none"),
        (["--ipc", "1", "--budget-bytes", "99999"], "got ipc=1 and budget_bytes=99999"),
        (["--ipc", "0"], "ipc must be 1 or more, got 0"),
        (["--ipc", "351"], "at most 350 of each"),
        (["--budget-bytes", "999"], "the smallest that fits is 31440"),
        (
            ["--ipc", "1", "--class-balance", "fair"],
            "balance must be one of .*got 'fair'",
        ),
        (["--ipc", "1", "--data", "fasion"], "mnist, .*sample:fashion,.*got 'fasion'"),
        (["--ipc", "1", "--data", "./no.npz"], r"data must be one of .*got './no.npz'"),
    ],
)
@pytest.mark.parametrize("method", ["random", "dm"])
def test_distill_refuses(fails, tmp_path, method, words, message):
    fails(message, *DISTILL, "--method", method, *words, "--out", tmp_path / "run")
    assert not list(tmp_path.glob("run/*.safetensors"))


@pytest.mark.parametrize("name", ["mnist", "nobody/digits"])
def test_images_that_cannot_be_downloaded(fails, tmp_path, monkeypatch, name):
    def offline(*args, **kwargs):
        raise ConnectionError("no way\nto the hub")

    monkeypatch.setattr(sources, "check_hub", lambda: None)
    monkeypatch.setattr(datasets, "load_dataset", offline)
    words = [*DISTILL, "--data", name, "--ipc", "1", "--out", tmp_path]
    fails(rf"{name} is not under MULTIDD_DATA .*no way\).*sample:fashion", *words)


@pytest.mark.parametrize("method", ["kmeans", "dm"])
def test_folder_that_cannot_be_written(fails, tmp_path, monkeypatch, method):
    (tmp_path / "file").write_text("in the way")

    def late(*args, **kwargs):
        raise AssertionError("the data were loaded before the folder was tried")

    monkeypatch.setattr(multidd.images, "load_for_evaluation", late)
    words = [*DISTILL, "--method", method, "--out", tmp_path / "file/run"]
    fails(re.escape(str(tmp_path / "file")), *words)


# --- evaluate, show, verify -----------------------------------------------------


def test_evaluate_show_and_verify(call, run_folder):
    digest = multidd.load(run_folder).digest()
    words = [
        "evaluate",
        run_folder,
        "--models",
        "kernel",
        "--protocol",
        "quick",
        "--quiet",
    ]
    code, printed, err = call(*words, "--rows", "random", "--seeds", "1")
    assert (code, err) == (0, "")
    lines = [line.split()[:2] for line in printed.splitlines()]
    assert ["random", "kernel"] in lines and ["kip", "kernel"] in lines
    assert ["whole", "kernel"] not in lines
    assert "No protocol of training: kernel solved to the optimum." in printed
    summary = multidd.load(run_folder)
    assert summary.digest() == digest
    assert summary.card.protocol["name"] == "quick"
    (value,) = summary.card.score["kernel"]["values"]
    assert 0.6 < value < 0.9  # ten random images give about a half
    report = (run_folder / "report.md").read_text()
    assert "## Scores" in report and "| random | kernel |" in report

    code, printed, err = call("show", run_folder)
    assert (code, err) == (0, "")
    assert "ImageSummary(kip, images=10, 1 x 28 x 28, classes=10" in printed
    assert f"kernel: accuracy % {100 * value:.1f}\n" in printed
    assert (run_folder / "summary.png").read_bytes().startswith(b"\x89PNG")

    code, printed, err = call("verify", run_folder)
    assert (code, err) == (0, "")
    assert f"file: whole, sha-256 {digest[:16]}" in printed
    assert "score: kernel" in printed and "%, equal of what was recorded" in printed


def test_the_protocol_is_chosen_by_name(call, run_folder, tmp_path, monkeypatch):
    short = {n: replace(p, epochs=4, width=4) for n, p in PROTOCOLS.items()}
    monkeypatch.setattr(multidd.images.Evaluator, "protocols", short)
    words = ["evaluate", tmp_path, "--rows", "", "--seeds", "2", "--quiet"]
    for chosen, name in ([], "dsa"), (["--protocol", "dc"], "dc"):
        RunFolder(tmp_path).write(multidd.load(run_folder), SOURCE)
        code, printed, err = call(*words, *chosen)
        assert (code, err) == (0, "")
        assert f"Protocol {name!r}: epochs 4" in printed
        assert "No rows beside it." in printed
        score = multidd.load(tmp_path).card.score
        assert list(score) == ["convnet"] and len(score["convnet"]["values"]) == 2
        assert "equal of what was recorded" in call("verify", tmp_path)[1]


def test_a_folder_of_pictures(call, tmp_path, monkeypatch):
    """Distilled, and judged on the part that the same seed holds out."""
    asked, load = [], multidd.images.load_for_evaluation

    def noted(name, **settings):
        asked.append((name, settings))
        return load(name, **settings)

    monkeypatch.setattr(multidd.images, "load_for_evaluation", noted)
    rng = np.random.default_rng(0)
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            x = rng.integers(100, size=(8, 8, 3)) + 120 * place
            picture = Image.fromarray(x.astype(np.uint8))
            picture.save(tmp_path / "pets" / name / f"{i}.png")
    out, words = tmp_path / "run", ["--ipc", "2", "--method", "kmeans", "--seed", "1"]
    words += ["--data", tmp_path / "pets", "--out", out]
    code, printed, err = call(*DISTILL, *words)
    assert (code, err) == (0, "")
    assert "3 x 8 x 8, classes=2" in printed and "of 16 real images" in printed
    assert multidd.load(out).classes == ("cat", "dog")
    judged = ["--models", "kernel", "--rows", "random", "--seeds", "1", "--quiet"]
    code, printed, err = call("evaluate", out, *judged)
    assert (code, err) == (0, "")
    assert multidd.load(out).card.score["kernel"]["values"] == [1.0]
    assert call("verify", out)[0] == 0
    assert asked == [(str(tmp_path / "pets"), {"seed": 1})] * 3


def test_a_warning_is_one_sentence(call, tmp_path):
    x, y = np.zeros((20, 8, 8), np.uint8), np.where(np.arange(20) % 2, 3, 7)
    np.savez(tmp_path / "odd.npz", x=x, y=y)
    words = ["--data", tmp_path / "odd.npz", "--method", "random", "--ipc", "1"]
    code, printed, err = call(*DISTILL, *words, "--out", tmp_path / "run")
    assert code == 0
    assert err.startswith("multidd: warning: labels are not 0..1 and were mapped: 3 ->")
    assert err.count("\n") == 1


def test_evaluate_refuses_unknown_names(fails, run_folder):
    words = ["evaluate", run_folder]
    fails("model must be one of convnet, .*kernel; got 'gcn'", *words, "--models=gcn")
    fails("protocol must be one of dsa, .*quick; got 'slow'", *words, "--protocol=slow")
    fails("row must be one of whole, .*got 'forgetting'", *words, "--rows=forgetting")


def test_a_note_of_other_images(fails, run_folder, tmp_path):
    """Files are opened by the SHA-256 on the card, and this card has none."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(255, size=(40, 8, 8), dtype=np.uint8), np.arange(40) % 10
    np.savez(tmp_path / "small.npz", x=x, y=y)
    source = {"data": str(tmp_path / "small.npz"), "seed": 0}
    RunFolder(tmp_path).write(multidd.load(run_folder), source)
    fails("its card has no SHA-256 of it, so that it is not", "evaluate", tmp_path)
    fails(
        "images of 1 x 28 x 28, the test images are 1 x 8 x 8",
        "evaluate",
        tmp_path,
        "--data",
        tmp_path / "small.npz",
    )
