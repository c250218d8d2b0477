"""Run folders are complete: pages, reports for programs, logs; several are compared."""

import json
import logging
import re
from dataclasses import replace

import pytest

import multidd
from multidd import graph, images
from multidd.cli.output import _Lines, json_log
from multidd.cli.run_folder import RunFolder
from multidd.engine.progress import LOGGER
from multidd.evaluation.comparison import ComparisonReport
from multidd.evaluation.report_schema import read_report
from tests import reports
from tests.golden import tiny

SOURCE = {"data": "sample:cora", "inductive": False, "seed": 0}
QUICK = ["--models", "kernel", "--rows", "random", "--seeds", "1", "--quiet"]
COMPLETE = {
    "summary.safetensors",
    "report.html",
    "report.md",
    "report.json",
    "summary.png",
    "run.toml",
    "run.json",
    "log.jsonl",
}


def events(folder):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_folder_is_complete(call, tmp_path):
    out = tmp_path / "run"
    words = ["distill", "graph", "--data", "sample:cora", "--nodes", "14", "--quiet"]
    code, printed, _ = call(*words, "--method", "random", "--out", out, "--json")
    assert code == 0
    assert COMPLETE <= {path.name for path in out.iterdir()}
    files = json.loads(printed)["files"]
    assert {"page", "json", "log"} <= set(files)
    assert files["page"] == str(out / "report.html")
    document = read_report(out)
    assert (document["rows"], document["method"]) == ([], "random")
    assert document["commands"] == [f"multidd distill --config {out}/run.toml"]
    assert "torch" in document["summary"]["card"]["versions"]
    assert [one["event"] for one in events(out)] == ["part"]
    before = (out / "report.html").read_text()
    assert "Nothing was trained on it yet." in before

    curve = tmp_path / "curve"
    curve.mkdir()
    reports.curve().write(curve)
    code, printed, _ = call("evaluate", out, *QUICK, "--curve", curve)
    assert code == 0 and printed.endswith(f"report: {out}/report.html\n")
    document = read_report(out)
    assert len(document["curve"]["points"]) == 7
    again = f"multidd evaluate {out} --models kernel --seeds 1 --rows random"
    again += f" --curve {curve}"
    assert document["commands"][1] == again
    assert [row["row"] for row in document["rows"]] == ["random"]
    assert document["summary"]["card"]["score"]["kernel"]["seeds"] == [0]
    after = (out / "report.html").read_text()
    assert again in after and "Nothing was trained" not in after
    # What is told beside the real graph stands in the page too.
    assert ">nodes without edges<" in after
    assert events(out)[-1]["task"] == "evaluate"
    assert [e["event"] for e in events(out)].count("end") == 1


def test_what_is_asked_for_reaches_evaluate(call, runs, monkeypatch, tmp_path):
    asked = []

    def evaluate(summary, **settings):
        asked.append(settings)
        return replace(reports.report("random"), summary=summary)

    def compare(summaries, **settings):
        asked.append(settings)
        return ComparisonReport({name: reports.report(name) for name in summaries})

    monkeypatch.setattr(multidd, "evaluate", evaluate)
    monkeypatch.setattr(multidd, "compare", compare)
    RunFolder(tmp_path).write(RunFolder(runs / "one").summary(), SOURCE)
    more = ["--regimes", "plain,HL,SL+KD", "--audit", "--protocol", "gcond", "--quiet"]
    for words in (["evaluate", tmp_path], ["compare", runs / "one", runs / "two"]):
        code, _, err = call(*words, *more)
        assert (code, err) == (0, "")
    for settings in asked:
        assert settings["regimes"] == ["plain", "HL", "SL+KD"]
        assert (settings["audit"], settings["protocol"]) == (True, "gcond")
        assert settings["progress"] is False and settings["seeds"] == 3
        assert settings["rows"] is None and settings["on"].num_nodes == 2708
    again = read_report(tmp_path)["commands"][1]
    options = "--protocol gcond --regimes plain,HL,SL+KD --audit"
    assert again == f"multidd evaluate {tmp_path} {options}"


def test_a_look_that_cannot_be_drawn_is_a_warning(call, tmp_path, monkeypatch):
    def preview(self):
        raise ZeroDivisionError("no room")

    monkeypatch.setattr(graph.GraphSummary, "preview", preview)
    words = ["distill", "graph", "--data", "sample:cora", "--nodes", "14", "--quiet"]
    code, _, err = call(*words, "--method", "random", "--out", tmp_path)
    assert code == 0 and "its page has no first look at it: ZeroDivision" in err
    assert read_report(tmp_path)["method"] == "random"
    assert "Report of random" in (tmp_path / "report.html").read_text()


def test_what_is_refused_writes_nothing(fails, tmp_path):
    run = RunFolder(tmp_path)
    run.write(graph.random(tiny.nodes(), nodes=9), {"data": "./mine.csv", "seed": 0})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fails("has no SHA-256 of it", "evaluate", tmp_path, *QUICK)
    fails("there is no file .*curve.json", "evaluate", tmp_path, "--curve", tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the sample, and one of another graph."""
    folder = tmp_path_factory.mktemp("runs")
    cora = multidd.samples.cora()
    for name, data, method in (
        ("one", cora, graph.random),
        ("two", cora, graph.herding),
        ("other", tiny.nodes(), graph.random),
    ):
        RunFolder(folder / name).write(method(data, nodes=14), SOURCE)
    return folder


def test_compare(call, runs, tmp_path):
    out = tmp_path / "compared"
    folders = [runs / "one", runs / "two"]
    code, printed, err = call("compare", *folders, *QUICK, "--out", out)
    assert (code, err) == (0, "")
    assert re.search(r"^two +herding +kernel +\d", printed, re.M)
    assert printed.endswith(f"report: {out}/report.html\n")
    document = read_report(out)
    assert document["comparison"]["names"] == ["one", "two"]
    (command,) = document["commands"]
    assert command.startswith(f"multidd compare {folders[0]} {folders[1]} --models")
    code, printed, _ = call("compare", *folders, *QUICK, "--json")
    result = json.loads(printed)
    assert set(result) == {"names", "metric", "rows", "notes", "report"}
    values = [row["values"] for row in result["rows"]]
    assert values == [row["values"] for row in document["comparison"]["rows"]]


def test_compare_refuses_what_cannot_stand_in_one_table(fails, runs, tmp_path):
    fails(
        "other was made from other data than one .x is .*, not .*compare runs of the",
        "compare",
        *(runs / "one", runs / "other"),
    )
    fails("named twice", "compare", runs / "one", runs / "one")
    fails("there is no file .*nothing", "compare", runs / "one", tmp_path / "nothing")
    summary = images.random(tiny.images(), ipc=1)
    RunFolder(tmp_path / "pets").write(summary, {"data": "sample:fashion", "seed": 0})
    words = ("compare", runs / "one", tmp_path / "pets")
    fails("pets is of the kind images, one of graph; compare runs of one kind", *words)


def test_names_that_agree_are_paths(call, runs, tmp_path):
    again = tmp_path / "one"
    RunFolder(again).write(RunFolder(runs / "one").summary(), SOURCE)
    words = ["--models", "kernel", "--rows", "", "--seeds", "1", "--quiet", "--json"]
    code, printed, _ = call("compare", runs / "one", again, *words)
    assert code == 0
    assert json.loads(printed)["names"] == [str(runs / "one"), str(again)]


# --- the log --------------------------------------------------------------------------


def record(created, **progress):
    one = logging.makeLogRecord({"progress": progress})
    one.created = created
    return one


class Sink:
    """A stream of a disk that takes so many lines."""

    def __init__(self, room):
        self.room, self.lines = room, []

    def write(self, line):
        if len(self.lines) == self.room:
            raise OSError(28, "No space left on device")
        self.lines.append(json.loads(line))

    def flush(self):
        pass


def test_steps_in_the_log_of_a_folder_keep_a_distance():
    sink = Sink(99)
    log = _Lines(sink, is_own=True)
    log.emit(record(10.0, event="start", step=0, steps=9))
    for step in range(1, 10):
        log.emit(record(10.0 + 0.3 * step, event="step", step=step, steps=9))
    log.emit(record(13.0, event="end", step=9, steps=9))
    assert [line["step"] for line in sink.lines] == [0, 1, 5, 9, 9]


def test_a_full_disk_ends_the_log_of_a_folder_alone():
    sink = Sink(1)
    of_folder, asked = _Lines(sink, is_own=True), _Lines(sink)
    for _ in range(2):
        of_folder.emit(record(1.0, event="part"))
    assert len(sink.lines) == 1
    with pytest.raises(OSError):
        asked.emit(record(1.0, event="part"))


def test_both_logs_at_once(tmp_path):
    of_folder, asked = tmp_path / "log.jsonl", tmp_path / "asked.jsonl"
    with json_log(str(asked)), json_log(str(of_folder), is_own=True):
        for step in (1, 2, 3):
            facts = {"event": "step", "step": step, "steps": 9}
            LOGGER.debug("a step", extra={"progress": facts})
    steps = {
        path: [json.loads(line)["step"] for line in path.read_text().splitlines()]
        for path in (of_folder, asked)
    }
    assert steps == {of_folder: [1], asked: [1, 2, 3]}
    assert LOGGER.level == logging.NOTSET
