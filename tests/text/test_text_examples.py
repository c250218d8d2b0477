"""The examples of this modality, on few messages and a tiny encoder."""

import re
import sys

import pytest

from tests.examples import example
from tests.text import tiny


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """`run(name, words)` -> what the example prints."""
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    few = f"--model {tiny.folder(tmp_path / 'model')} --messages 60 --tests 40"

    def run(name, words):
        monkeypatch.setattr(sys, "argv", f"{name} {few} {words}".split())
        example(name, monkeypatch).main()
        return capsys.readouterr().out

    return run


@pytest.mark.changes_globals  # a Trainer seeds every generator
def test_text_embedding_distillation(run):
    printed = run("text_embedding_distillation", "--per-class 2 --steps 2")
    assert "4 for 60 messages, kernel predictor:" in printed
    assert "model after 2 steps of a Trainer:" in printed
    result = dict(re.findall(r"^  (.*?) +([\d.]+)$", printed, re.M))
    assert len(result) == 6 and all(0 <= float(one) <= 1 for one in result.values())
    # Solved labels fit the training messages best; on as few test ones nearly so.
    solved, same = (
        float(result[f"decoded, {how}"])
        for how in ("labels solved again", "same labels")
    )
    assert solved >= same - 0.1
    assert printed.count("\nham ") == printed.count("\nspam ") == 2


def test_closeness_curve(run, tmp_path):
    picture = tmp_path / "curve.png"
    words = f"--per-class 1 --steps 2 --swaps 1 --closeness 0 0.1 --out {picture}"
    printed = run("closeness_curve", words)
    rows = re.findall(r"^(0|0\.1|words) +([\d.]+) +([\d.]+) +([\d.]+) ", printed, re.M)
    assert [row[0] for row in rows] == ["0", "0.1", "words"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_readable_summary(run):
    printed = run("readable_summary", "--per-class 2 --seeds 1 --protocol quick")
    assert "TextSummary(pursuit, texts=4" in printed
    assert printed.count("\nham ") == printed.count("\nspam ") == 2
    for row in ("whole", "random", "medoids", "pursuit"):
        for model in ("kernel", "logistic", "textcnn"):
            assert re.search(rf"^{row} +{model} ", printed, re.M)
