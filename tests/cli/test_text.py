"""The command line on texts: what it writes and says, and how it fails."""

import json

import pytest

import multidd
from multidd.cli.run_folder import RunFolder
from tests.text import sets, tiny

SOURCE = {"data": "sample:sms", "seed": 0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of a tiny encoder that takes messages whole."""
    return tiny.long_folder(tmp_path_factory.mktemp("text") / "model")


@pytest.fixture
def words(model):
    """Words of a quick run on the sample."""
    given = ["--data", "sample:sms", "--model", model, "--quiet"]
    return ["distill", "text", *given, "--per-class", "3"]


@pytest.fixture
def table(tmp_path):
    """A file of pairs of texts with columns of its own."""
    import pandas

    some = sets.pairs()
    columns = {"one": some.texts, "two": some.pairs}
    columns |= {"kind": [sets.CLASSES[y] for y in some.labels.tolist()]}
    path = tmp_path / "pairs.parquet"
    pandas.DataFrame(columns).to_parquet(path)
    return path


def cut(err: str) -> list[str]:
    """Lines of errors, but for the warning of long messages."""
    return [line for line in err.splitlines() if "tokens and were cut" not in line]


# --- distill --------------------------------------------------------------------


@pytest.mark.parametrize("method", [["pursuit"], ["kip", "--steps", "3"]])
def test_distill_writes_a_whole_folder(call, tmp_path, words, model, method):
    out = tmp_path / "runs/one"
    code, told, err = call(*words, "--method", *method, "--out", out)
    assert (code, cut(err)) == (0, [])
    assert f"TextSummary({method[0]}, " in told and "classes=2" in told
    assert str(out) in told
    made, (train, _) = multidd.load(out), multidd.samples.sms()
    options = {"steps": 3, "progress": False} if len(method) > 1 else {}
    function = multidd.text.METHODS[method[0]]
    same = function(train, 3, model=str(model), **options)
    assert made.digest() == same.digest()
    assert json.loads((out / "run.json").read_text()) == SOURCE
    assert (out / "report.md").read_text().startswith("# TextSummary(")
    assert (out / "summary.png").read_bytes().startswith(b"\x89PNG")
    listed = out / "summary.txt"
    assert ("texts (summary.txt)" in told) == listed.exists() == (len(options) == 0)
    if listed.exists():
        assert listed.read_text() == repr(made.decode()) + "\n"
    # Again: the learned one comes from its checkpoint, and both are the same.
    assert call(*words, "--method", *method, "--out", out)[0] == 0
    assert multidd.load(out).digest() == made.digest()


def test_a_list_of_an_earlier_run_does_not_stay(call, tmp_path, words):
    assert call(*words, "--method", "random", "--out", tmp_path)[0] == 0
    assert (tmp_path / "summary.txt").exists()
    assert call(*words, "--method", "kmeans", "--out", tmp_path)[0] == 0
    assert not (tmp_path / "summary.txt").exists()


def test_columns_total_and_seed(call, tmp_path, table, model):
    given = ["--text", "one", "--pair", "two", "--label", "kind", "--seed", "4"]
    size = ["--total", "7", "--method", "random", "--model", model]
    out = tmp_path / "run"
    code, told, err = call(
        "distill", "text", "--data", table, *given, *size, "--out", out
    )
    assert (code, cut(err)) == (0, [])
    made = multidd.load(out)
    assert len(made) == 7 and made.card.seed == 4
    assert set(made.classes) == set(sets.CLASSES)
    assert all(pair.startswith("is it a ") for pair in made.pairs)
    note = json.loads((out / "run.json").read_text())
    columns = {"text": "one", "pair": "two", "label": "kind"}
    assert note == {"data": str(table), "seed": 4} | columns
    judged = ["--rows", "random", "--seeds", "1", "--models", "logistic", "--quiet"]
    code, told, _ = call("evaluate", out, *judged)
    assert code == 0 and "random" in told and "macro_f1 %" in told


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "gcond"], "--method must be one of kip, .*got 'gcond'"),
        (["--method", "medoids", "--steps", "3"], "medoids takes no steps"),
        (["--total", "9"], "give per_class or total, one of them; got 3 and 9"),
        (["--per-class", "523"], "from 1 to 522, .*'spam'.*; give total="),
        (["--per-class", "0"], "per_class must be from 1 to 522"),
        (["--data", "smss"], "data must be one of sms, trec6, .*got 'smss'"),
        (["--model", "./no/model"], "there is no folder ./no/model"),
    ],
)
@pytest.mark.parametrize("method", ["random", "pursuit"])
def test_distill_refuses(fails, tmp_path, words, method, more, message):
    fails(message, *words, "--method", method, *more, "--out", tmp_path / "run")
    assert not list(tmp_path.glob("run/*.safetensors"))


def test_a_column_that_is_not_there(fails, tmp_path, table, model):
    given = ["--text", "three", "--label", "kind", "--model", model]
    words = ["distill", "text", "--data", table, *given, "--out", tmp_path / "run"]
    fails("three", *words)


# --- evaluate, show, verify -----------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory, model):
    """A run folder of pursuit on the sample."""
    folder, (train, _) = tmp_path_factory.mktemp("kept") / "run", multidd.samples.sms()
    made = multidd.text.pursuit(train, 3, model=str(model), swaps=0)
    RunFolder(folder).write(made, SOURCE)
    return folder


def test_evaluate_show_and_verify(call, kept):
    words = ["--models", "kernel, logistic", "--seeds", "2", "--quiet"]
    code, told, err = call("evaluate", kept, *words, "--rows", "random, medoids")
    # Texts are nearly the same to an encoder of few random weights.
    assert code == 0 and all("jitter" in line for line in cut(err))
    assert len(set(err.splitlines())) == len(err.splitlines())  # each is said once
    lines = [line.split()[:2] for line in told.splitlines()]
    for row in ("random", "medoids", "pursuit"):
        assert [row, "kernel"] in lines and [row, "logistic"] in lines
    made = multidd.load(kept)
    assert set(made.card.score) == {"kernel", "logistic"}
    told = (kept / "report.md").read_text()
    assert "| medoids | logistic |" in told
    facts = told.partition("## The set and its text")[2]
    for row in ("texts", "texts, labels solved again", "herding", "whole"):
        assert f"\n| {row} | " in facts
    assert "unique 1.00, overlap " in facts

    code, told, err = call("show", kept)
    assert (code, err) == (0, "")
    lines = told.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("label "))
    assert lines[start].split() == ["label", "soft", "label", "source", "text"]
    for row, line in zip(made.decode(), lines[start + 1 :], strict=False):
        assert line.split()[0] == row.label
        assert " ".join(row.text.split())[:80] in line
        assert f"{made.classes[0]} {row.soft[0]:.2f}" in line
    assert "kernel: accuracy % " in told
    assert (kept / "summary.png").is_file()

    code, told, err = call("verify", kept)
    assert (code, cut(err)) == (0, [])
    assert told.count(" %, equal of what was recorded") == 2


def test_evaluate_refuses_unknown_names(fails, kept):
    fails("model must be one of kernel, .*got 'gcn'", "evaluate", kept, "--models=gcn")
    fails("row must be one of whole, .*got 'a'", "evaluate", kept, "--rows", "a")


def test_an_encoder_that_is_gone(fails, call, tmp_path, table, model):
    elsewhere = tmp_path / "other"
    model.rename(elsewhere)
    try:
        given = ["--text", "one", "--label", "kind", "--method", "random"]
        words = ["distill", "text", "--data", table, *given, "--model", elsewhere]
        assert call(*words, "--total", "3", "--out", tmp_path / "run")[0] == 0
    finally:
        elsewhere.rename(model)
    fails("there is no folder .*other", "evaluate", tmp_path / "run", "--quiet")
