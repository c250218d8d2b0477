"""What programs read: one JSON object, lines of progress, exit codes."""

import json
import logging

import pytest

from multidd.cli.output import json_log, write
from multidd.engine.progress import LOGGER
from multidd.evaluation.benchmark import Line
from multidd.evaluation.benchmark_table import Measured, head

GRAPH = ["distill", "graph", "--data", "sample:cora", "--nodes", "14", "--quiet"]


def test_each_command_prints_one_object(call, tmp_path):
    run = tmp_path / "run"
    log = tmp_path / "new/steps.jsonl"
    words = [*GRAPH, "--method", "gcond_x", "--steps", "2", "--log-json", log]
    code, printed, err = call(*words, "--out", run, "--json")
    assert (code, err) == (0, "")
    result = json.loads(printed)
    assert set(result) == {
        *("modality", "method", "seed", "steps", "seconds", "loss", "bytes"),
        *("digest", "summary", "out", "files"),
    }
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "step", "step", "end"]
    assert lines[2]["loss"] == result["loss"] and lines[2]["eta"] == 0
    assert {"time", "task", "step", "steps", "seconds"} <= set(lines[0])
    words = ["--models", "kernel", "--rows", "random", "--seeds", "1", "--quiet"]
    code, printed, err = call("evaluate", run, *words, "--json", "--log-json", "-")
    assert code == 0
    report = json.loads(printed)
    assert set(report) == {
        *("method", "metric", "extra_metrics", "digits", "rows", "protocol", "data"),
        *("footer", "notes", "plain", "comparison", "report", "page", "costs"),
        *("regimes", "scores", "teacher", "transfer", "significance", "seeds", "audit"),
    }
    assert [row["row"] for row in report["rows"]] == ["random", "gcond_x"]
    steps = [json.loads(line) for line in err.splitlines()]
    assert {step["task"] for step in steps} == {"evaluate", "random"}
    shown = json.loads(call("show", run, "--json")[1])
    assert shown["card"]["score"]["kernel"]["seeds"] == [0]
    assert (shown["kind"], shown["digest"]) == ("graph", result["digest"])
    verified = json.loads(call("verify", run, "--json")[1])
    assert verified["scores"][0]["gap"] == 0
    words = ["--methods", "random", "--ratios", "0.01", "--model", "kernel"]
    words += ["--trainings", "1", "--data", "sample:cora", "--out", tmp_path / "curve"]
    code, printed, _ = call("curve", "graph", *words, "--quiet", "--json")
    points = json.loads(printed)["points"]
    assert [point["method"] for point in points] == ["whole", "random"]


def test_bench_prints_one_object(call, monkeypatch):
    line = Line("cora", {"nodes": 7}, "random")
    cells = [head(["accuracy"]), [line.name, "60", "61.0", *"12345"]]
    table = Measured([line], cells, "2 cores")
    monkeypatch.setattr("multidd.evaluation.benchmark.measure", lambda *_, **__: table)
    code, printed, _ = call("bench", "graph", "--json")
    result = json.loads(printed)
    assert code == 0 and set(result) == {"lines", "notes", "machine"}
    assert result["lines"][0]["line"] == "cora 7 random"


def test_what_json_has_no_word_for(capsys):
    write({"a": float("nan"), "b": (1, float("inf")), "c": "ü"}, "text", True)
    assert capsys.readouterr().out == '{"a": null, "b": [1, null], "c": "ü"}\n'
    write({}, "text", False)
    assert capsys.readouterr().out == "text\n"


def test_the_log_is_added_to_and_the_logger_left_as_it_was(tmp_path):
    handlers, level = list(LOGGER.handlers), LOGGER.level
    path = tmp_path / "log.jsonl"
    for step in (1, 2):
        with pytest.raises(KeyError), json_log(str(path)):
            LOGGER.debug("a step", extra={"progress": {"step": step}})
            LOGGER.info("no event")
            raise KeyError
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == [1, 2]
    assert (LOGGER.handlers, LOGGER.level) == (handlers, level)
    assert level == logging.NOTSET


def test_a_log_that_cannot_be_written_stops_before_the_run(fails, tmp_path):
    (tmp_path / "file").write_text("in the way")
    words = ["--method", "random", "--log-json", tmp_path / "file/log.jsonl"]
    fails("cannot write .*log.jsonl", *GRAPH, *words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
