"""The command line on graphs: what it writes and says, and how it fails."""

import json
import re
import sys
from dataclasses import asdict, replace

import pytest
import torch

import multidd
from multidd.cli import main
from multidd.cli.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("short_teachers")

DISTILL = ["distill", "graph", "--data", "cora", "--nodes", "14", "--quiet"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run folder of k-means on Cora."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    summary = multidd.graph.kmeans(multidd.samples.cora(), nodes=14)
    RunFolder(folder).write(summary, {"data": "cora", "seed": 0, "inductive": False})
    return folder


# --- distill --------------------------------------------------------------------


@pytest.mark.parametrize("method", [["kmeans"], ["gcond_x", "--steps", "3"]])
def test_distill_writes_a_whole_folder(call, tmp_path, method):
    out = tmp_path / "runs/one"
    code, printed, err = call(*DISTILL, "--method", *method, "--out", out)
    assert (code, err) == (0, "")
    assert f"GraphSummary({method[0]}, nodes=14," in printed
    assert str(out) in printed
    summary = multidd.load(out)
    options = {} if method == ["kmeans"] else {"steps": 3, "progress": False}
    same = multidd.graph.METHODS[method[0]](multidd.samples.cora(), nodes=14, **options)
    assert summary.digest() == same.digest()
    assert (out / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "report.md").read_text().startswith("# GraphSummary(")
    source = {"data": "cora", "seed": 0, "inductive": False}
    assert json.loads((out / "run.json").read_text()) == source
    # Again: the learned one comes from its checkpoint, and both are the same.
    assert call(*DISTILL, "--method", *method, "--out", out)[0] == 0
    assert multidd.load(out).digest() == summary.digest()


def test_distill_with_other_settings_in_the_same_folder(call, fails, tmp_path):
    words = [*DISTILL, "--method", "gcond_x", "--steps", "2", "--out", tmp_path]
    assert call(*words)[0] == 0
    fails("seed", *words, "--seed", "1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "gan"], r"--method must be one of gcond, .*got 'gan'"),
        (["--method", "kmeans", "--steps", "3"], "kmeans takes no steps; leave --st"),
        (["--method", "kmeans", "--ratio", "0.1"], "give exactly one of ratio, nodes"),
        (["--data", "core"], r"data must be one of cora, citeseer, .*got 'core'"),
        (["--method", "kmeans", "--nodes", "3"], "fewer than the 7 classes; the small"),
        (["--method", "kmeans", "--nodes", "900"], "largest that fits is nodes=140"),
    ],
)
def test_distill_refuses(fails, tmp_path, words, message):
    fails(message, *DISTILL, *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run/summary.safetensors").exists()


@pytest.mark.parametrize("method", ["kmeans", "gcond"])
def test_folder_that_cannot_be_written(fails, tmp_path, monkeypatch, method):
    (tmp_path / "file").write_text("in the way")

    def late(*args, **kwargs):
        raise AssertionError("the data were loaded before the folder was tried")

    monkeypatch.setattr(multidd.graph, "load_for_evaluation", late)
    words = [*DISTILL, "--method", method, "--out", tmp_path / "file/run"]
    fails(re.escape(str(tmp_path / "file")), *words)


def test_debug_shows_the_traceback(monkeypatch, tmp_path):
    words = ["--debug", *DISTILL, "--method", "gan", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["multidd", *words])
    with pytest.raises(ValueError, match="--method must be one of"):
        main.main()


# --- evaluate, show, verify -----------------------------------------------------


def test_evaluate_show_and_verify(call, run_folder, monkeypatch):
    quick = multidd.Protocol("gcond", epochs=20, check_every=5)
    monkeypatch.setattr(multidd.graph.Evaluator, "protocols", {"gcond": quick})
    digest = multidd.load(run_folder).digest()
    words = ["evaluate", run_folder, "--models", "gcn, sgc", "--seeds", "2", "--quiet"]
    code, printed, err = call(*words, "--rows", "random")
    assert (code, err) == (0, "")
    lines = [line.split()[:2] for line in printed.splitlines()]
    for row in ("random", "kmeans"):
        assert [row, "gcn"] in lines
        assert [row, "sgc"] in lines
    assert ["whole", "gcn"] not in lines
    facts = (run_folder / "report.md").read_text().partition("## Properties")[2]
    assert "| nodes | 2708 |" in facts.replace(",", "")
    summary = multidd.load(run_folder)
    assert summary.digest() == digest
    assert set(summary.card.score) == {"gcn", "sgc"}
    assert summary.card.protocol["epochs"] == 20
    values = summary.card.score["gcn"]["values"]
    assert len(values) == 2
    assert 0.2 < values[0] < 0.9
    report = (run_folder / "report.md").read_text()
    assert "## Scores" in report
    assert "| random | gcn |" in report

    code, printed, err = call("show", run_folder)
    assert (code, err) == (0, "")
    assert "GraphSummary(kmeans, nodes=14" in printed
    assert f"gcn: accuracy % {100 * values[0]:.1f}, {100 * values[1]:.1f}" in printed
    assert (run_folder / "summary.png").is_file()

    code, printed, err = call("verify", run_folder)
    assert (code, err) == (0, "")
    assert f"file: whole, sha-256 {digest[:16]}" in printed
    assert printed.count(" %, equal of what was recorded") == 2


def test_verify_sees_another_score(call, run_folder, tmp_path):
    summary = multidd.load(run_folder)
    protocol = asdict(multidd.Protocol("quick", epochs=10, check_every=5))
    score = {"sgc": {"metric": "accuracy", "values": [0.99], "seeds": [0]}}
    card = replace(summary.card, protocol=protocol, score=score)
    replace(summary, card=card).save(tmp_path)
    (tmp_path / "run.json").write_bytes((run_folder / "run.json").read_bytes())
    code, _, err = call("verify", tmp_path)
    assert code == 2
    assert "sgc trains to other scores than recorded" in err


def test_verify_without_a_score(call, tmp_path, run_folder):
    summary = multidd.load(run_folder)
    card = replace(summary.card, score=None, protocol=None)
    replace(summary, card=card).save(tmp_path)
    code, printed, _ = call("verify", tmp_path)
    assert code == 0
    assert f"score: none recorded; run `multidd evaluate {tmp_path}`" in printed


@pytest.mark.parametrize("command", ["evaluate", "show", "verify"])
@pytest.mark.parametrize("damage", ["cut", "flip", "absent", "pickle"])
def test_bad_summary_file(fails, run_folder, tmp_path, command, damage):
    path = tmp_path / "summary.safetensors"
    raw = bytearray((run_folder / "summary.safetensors").read_bytes())
    raw[-9] ^= 1
    if damage == "pickle":
        torch.save({"x": torch.ones(3)}, path)
    elif damage != "absent":
        path.write_bytes({"cut": raw[:999], "flip": raw}[damage])
    (tmp_path / "run.json").write_bytes((run_folder / "run.json").read_bytes())
    fails(re.escape(str(path)), command, tmp_path)


@pytest.mark.parametrize("note", [None, "{", "{}", "[1]"])
def test_bad_note(fails, run_folder, tmp_path, note):
    multidd.load(run_folder).save(tmp_path)
    if note is not None:
        (tmp_path / "run.json").write_text(note)
    fails(r"run\.json", "evaluate", tmp_path)


def test_evaluate_refuses_unknown_names(fails, run_folder):
    fails(
        "model must be one of gcn, .*got 'gin'",
        "evaluate",
        run_folder,
        "--models",
        "gin",
    )
    fails("row must be one of whole, .*got 'a'", "evaluate", run_folder, "--rows", "a")
