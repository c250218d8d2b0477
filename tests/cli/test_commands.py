"""Commands for every modality: methods, demo, bench, help, and wrong options."""

import re
from dataclasses import replace

import pytest
import torch
import typer

import multidd
from multidd import modality
from multidd.cli import run_config
from multidd.cli.groups import guarded
from multidd.cli.run_folder import RunFolder
from multidd.errors import RunInterrupted
from multidd.evaluation.lines import Line
from multidd.summary import Card, DataSummary
from multidd.text.models import checkpoints
from tests.text import tiny

pytestmark = pytest.mark.usefixtures("short_teachers")

GRAPH = ["distill", "graph", "--data", "cora", "--nodes", "14"]
IMAGES = ["distill", "images", "--data", "sample:fashion", "--ipc", "1"]


def test_methods_lists_every_method(call):
    code, printed, err = call("methods")
    assert (code, err) == (0, "")
    lines = {tuple(line.split()[:2]): line for line in printed.splitlines()}
    for kind in modality.own_names():
        for name in modality.parts(kind).methods:
            assert len(lines[kind, name].split()) > 5, name


def test_an_unknown_modality_and_the_version(call):
    code, _, err = call("distill", "sound")
    assert code == 2 and "No such command 'sound'" in err
    code, printed, _ = call("--version")
    assert (code, printed) == (0, f"multidd {multidd.__version__}\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [(RunInterrupted("stopped at step 3", signum=15), 143), (KeyboardInterrupt(), 130)],
)
def test_interrupts_are_exit_codes(error, code, capsys):
    def interrupted():
        raise error

    with pytest.raises(typer.Exit) as stopped:
        guarded(interrupted)()
    assert stopped.value.exit_code == code
    message = (
        "stopped at step 3" if code == 143 else "interrupted; files that stand are"
    )
    assert capsys.readouterr().err.startswith(f"multidd: {message}")


def test_a_summary_without_a_picture_is_no_fault(tmp_path):
    card = Card("mine", {}, 0, {}, {})
    summary = DataSummary({"x": torch.ones(1)}, card)
    assert RunFolder(tmp_path).draw(summary) is False
    assert list(tmp_path.iterdir()) == []


# --- demo -----------------------------------------------------------------------

ROWS = ["random", "herding", "kcenter", "kmeans"]
JUDGED = {"recsys": {"models": ["poprec"], "rows": ROWS}}
"""A model that is there at once, in the place of two, and not of all users."""

FEW = {
    "graph": {"steps": 2, "ratio": 0.006},
    "images": {"steps": 2, "batch_size": 16},
    "recsys": {"steps": 2, "users": 10},
    "text": {"per_class": 3, "swaps": 0, "max_length": 512, "ridge": 1e-2},
}


@pytest.fixture
def quick_demo(monkeypatch, tmp_path, capsys):
    """The demo as it is but for the number of steps and epochs, and a tiny encoder."""
    place = tiny.long_folder(tmp_path / "encoder")
    capsys.readouterr()  # bars of the writing
    monkeypatch.setattr(checkpoints, "package_folder", lambda *_: place)
    short = multidd.Protocol(
        "short", epochs=4, check_every=2, width=8, whole_patience=1, whole_cap=4
    )
    less = {"protocol": short, "seeds": 1}
    quick = []
    for entry, parts in modality.with_parts():
        demo = replace(
            entry.demo,
            options=entry.demo.options | FEW[entry.name],
            evaluate=entry.demo.evaluate | less | JUDGED.get(entry.name, {}),
        )
        quick.append((replace(entry, demo=demo), parts))
    monkeypatch.setattr(modality, "with_parts", lambda: quick)
    return quick


def test_demo_shows_every_modality(call, tmp_path, quick_demo):
    code, printed, err = call("demo", "--out", tmp_path / "out", "--quiet")
    assert (code, err) == (0, "")
    folders = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert folders == modality.own_names()
    for entry, _ in quick_demo:
        kind, demo = entry.name, entry.demo
        folder = tmp_path / "out" / kind
        assert demo.title in printed
        assert f"table:   {folder / 'report.md'}" in printed
        assert f"picture: {folder / 'summary.png'}" in printed
        names = {path.name for path in folder.iterdir() if path.is_file()}
        assert {"report.html", "report.json", "run.toml", "log.jsonl"} <= names
        config = run_config.read(folder)
        assert (config.modality, config.values["method"]) == (kind, demo.method)
        report = (folder / "report.md").read_text()
        for row in (*ROWS, demo.method):
            assert f"| {row} | " in report, row
        assert (folder / "summary.png").read_bytes().startswith(b"\x89PNG")
        summary = multidd.load(folder)
        card, steps = summary.card, demo.options.get("steps", 0)
        assert (summary.kind, card.method, card.steps) == (kind, demo.method, steps)
        assert summary.listing() in printed
        assert summary.card.score is not None
        assert "equal of what was recorded" in call("verify", folder)[1]


def test_demo_says_that_a_folder_is_in_the_way(fails, tmp_path):
    (tmp_path / "out").write_text("in the way")
    fails(str(tmp_path / "out"), "demo", "--out", tmp_path / "out")


# --- bench ----------------------------------------------------------------------


def test_bench_measures_in_a_process_of_its_own(call, tmp_path, monkeypatch):
    """A line of images, distilled twice, judged by the kernel."""
    sample, one = "sample:fashion", {"ipc": 1}
    lines = (
        Line(sample, one, "kip", "99", {"steps": 3}, ("kernel",), note="short"),
        Line(sample, one, "random"),
    )
    monkeypatch.setattr("multidd.images.evaluation.published.LINES", lines)
    out = tmp_path / "new/table.md"
    words = ["--only", "kip", "--seeds", "2", "--trainings", "1", "--out", out]
    code, printed, err = call("bench", "images", *words)
    assert code == 0
    name = "sample:fashion 1 kip (steps=3), kernel, short"
    assert err.startswith(f"{name}  99  ") and err.count("\n") == 1
    assert f"| {name} | 99 | " in out.read_text()
    row = next(line for line in printed.splitlines() if line.startswith(name))
    numbers = row.removeprefix(name).split()
    assert 30 < float(numbers[1]) < 90  # accuracy, a deviation, the worst seed
    assert float(numbers[4]) <= float(numbers[1])
    assert numbers[5:8] == ["2", "x", "1"]
    kibibytes, seconds, step, peak = map(float, numbers[8:])
    assert kibibytes == round(10 * (28 * 28 + 12) * 4 / 1024)
    assert step == pytest.approx(seconds / 3, abs=0.03)
    assert 100 < peak < 5000
    assert "torch threads" in printed and "torch threads" in out.read_text()


@pytest.mark.parametrize("kind", modality.own_names())
def test_bench_names_its_lines(call, kind, tmp_path):
    words = ["--only", "nothing like it", "--out", tmp_path / "table.md"]
    code, out, err = call("bench", kind, *words)
    assert (code, out) == (2, "")
    assert err.startswith("multidd: no line has 'nothing like it' in its name")
    for line in modality.parts(kind).published.LINES:
        assert f"\n{line.name}\n" in err
    assert not list(tmp_path.iterdir())


# --- options --------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense"],
        ["nonsense"],
        ["distill", "sounds"],
        ["bench", "sounds"],
        ["distill", "graph"],  # without --out
        ["distill", "images"],
        [*GRAPH, "--out", "x", "--steps", "many"],
        [*GRAPH, "--out", "x", "--steps", "-1"],
        [*GRAPH, "--out", "x", "--ipc", "1"],
        [*IMAGES, "--out", "x", "--ipc", "1.5"],
        [*IMAGES, "--out", "x", "--steps", "-1"],
        [*IMAGES, "--out", "x", "--nodes", "14"],
        ["evaluate", "x", "--seeds", "0"],
        ["bench", "images", "--seeds", "0"],
        ["bench", "images", "--trainings", "0"],
        ["distill", "text"],
        ["distill", "text", "--out", "x", "--ipc", "1"],
    ],
)
def test_wrong_options(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*words)
    assert code == 2
    assert "Traceback" not in err
    assert err.strip()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (
            [],
            "--version --debug distill evaluate show verify methods demo bench doctor",
        ),
        (["distill"], "graph images recsys text"),
        (
            ["distill", "graph"],
            "--ratio --nodes --per-class --steps --inductive",
        ),
        (
            ["distill", "images"],
            "--ipc --budget-bytes --class-balance --steps --zca --seed --data --method "
            "--set --config --json --log-json",
        ),
        (
            ["distill", "text"],
            "--method --data --text --pair --label --per-class --total --encoder "
            "--steps",
        ),
        (["evaluate"], "--models --seeds --protocol --rows"),
        (["bench", "images"], "--only --seeds --trainings --out"),
        (["bench", "settings"], "--only --seeds --out"),
        (["demo"], "--out --quiet"),
    ],
)
def test_help(call, monkeypatch, words, options):
    monkeypatch.setenv("COLUMNS", "100")
    code, printed, err = call(*words, "--help")
    assert (code, err) == (0, "")
    for option in options.split():
        line = re.search(rf"^  {option} +(.*(\n {{10,}}.*)*)", printed, re.M)
        said = re.sub(r"\[.*?\]|<.*?>|[A-Z=]+ ", " ", line[1])
        assert len(said.split()) > 1, line  # beside the kind of its value
    assert "\nExamples:\n  multidd " in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_bench_gpu_says_where_there_is_none(fails, monkeypatch):
    where = "multidd.evaluation.gpu_benchmark.check_device"
    monkeypatch.setattr(where, lambda device: "cpu")
    fails("there is no GPU here to measure; give device='cpu'", "bench", "gpu")
