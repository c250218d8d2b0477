"""The command line on texts: what it writes and says, and how it fails."""

import json

import pytest

import multidd
from multidd.cli.run_data import record, with_files
from multidd.cli.run_folder import RunFolder
from tests.text import sets, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of a tiny encoder that takes messages whole."""
    return tiny.long_folder(tmp_path_factory.mktemp("text") / "model")


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """A file of some messages of the sample."""
    import pandas

    train, _ = multidd.samples.sms()
    kinds = [train.classes[y] for y in train.labels[:700].tolist()]
    path = tmp_path_factory.mktemp("text") / "messages.parquet"
    columns = {"text": train.texts[:700], "label": kinds}
    pandas.DataFrame(columns).to_parquet(path)
    return path


@pytest.fixture
def words(model):
    """Words of a quick run on the sample."""
    flags = ["--data", "sample:sms", "--encoder", model, "--quiet"]
    return ["distill", "text", *flags, "--per-class", "3"]


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
def test_distill_writes_a_whole_folder(call, tmp_path, words, messages, model, method):
    out = tmp_path / "runs/one"
    words = [*words, "--data", messages]
    code, printed, err = call(*words, "--method", *method, "--out", out)
    assert (code, cut(err)) == (0, [])
    assert f"TextSummary({method[0]}, " in printed and "classes=2" in printed
    assert str(out) in printed
    summary, (train, _) = multidd.load(out), multidd.text.load(messages)
    options = {"steps": 3, "progress": False} if len(method) > 1 else {}
    function = multidd.text.METHODS[method[0]]
    same = function(train, 3, encoder=str(model), **options)
    assert summary.digest() == same.digest()
    source = record("text", {"data": str(messages), "seed": 0})
    assert json.loads((out / "run.json").read_text()) == source
    assert summary.card.source["files_sha256"] == source["files_sha256"]
    assert (out / "report.md").read_text().startswith("# TextSummary(")
    assert (out / "summary.png").read_bytes().startswith(b"\x89PNG")
    listed = out / "summary.txt"
    assert ("texts (summary.txt)" in printed) == listed.exists() == (len(options) == 0)
    if listed.exists():
        assert listed.read_text() == repr(summary.decode()) + "\n"
    # Again: the learned one comes from its checkpoint, and both are the same.
    assert call(*words, "--method", *method, "--out", out)[0] == 0
    assert multidd.load(out).digest() == summary.digest()


def test_a_list_of_an_earlier_run_does_not_stay(call, tmp_path, words):
    assert call(*words, "--method", "random", "--out", tmp_path)[0] == 0
    assert (tmp_path / "summary.txt").exists()
    assert call(*words, "--method", "kmeans", "--out", tmp_path)[0] == 0
    assert not (tmp_path / "summary.txt").exists()


def test_columns_total_and_seed(call, tmp_path, table, model):
    flags = ["--text", "one", "--pair", "two", "--label", "kind", "--seed", "4"]
    size = ["--total", "7", "--method", "random", "--encoder", model]
    out = tmp_path / "run"
    code, printed, err = call(
        "distill", "text", "--data", table, *flags, *size, "--out", out
    )
    assert (code, cut(err)) == (0, [])
    summary = multidd.load(out)
    assert len(summary) == 7 and summary.card.seed == 4
    assert set(summary.classes) == set(sets.CLASSES)
    assert all(pair.startswith("is it a ") for pair in summary.pairs)
    note = json.loads((out / "run.json").read_text())
    columns = {"text": "one", "pair": "two", "label": "kind"}
    assert note.pop("files_sha256") == summary.card.source["files_sha256"]
    assert note == {"data": str(table), "path": str(table), "seed": 4} | columns
    judged = ["--rows", "random", "--seeds", "1", "--models", "logistic", "--quiet"]
    code, printed, _ = call("evaluate", out, *judged)
    assert code == 0 and "random" in printed and "macro_f1 %" in printed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "gcond"], "--method must be one of kip, .*got 'gcond'"),
        (["--method", "medoids", "--steps", "3"], "medoids takes no steps"),
        (["--total", "9"], "give per_class or total, one of them; got 3 and 9"),
        (["--per-class", "523"], "from 1 to 522, .*'spam'.*; give total="),
        (["--per-class", "0"], "per_class must be from 1 to 522"),
        (["--data", "smss"], "data must be one of sms, trec6, .*got 'smss'"),
        (["--encoder", "./no/model"], "there is no folder ./no/model"),
    ],
)
@pytest.mark.parametrize("method", ["random", "pursuit"])
def test_distill_refuses(fails, tmp_path, words, method, more, message):
    fails(message, *words, "--method", method, *more, "--out", tmp_path / "run")
    assert not list(tmp_path.glob("run/*.safetensors"))


def test_a_column_that_is_not_there(fails, tmp_path, table, model):
    flags = ["--text", "three", "--label", "kind", "--encoder", model]
    words = ["distill", "text", "--data", table, *flags, "--out", tmp_path / "run"]
    fails("three", *words)


# --- evaluate, show, verify -----------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, messages, model):
    """A run folder of pursuit on the messages."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train, _ = multidd.text.load(messages)
    summary = multidd.text.pursuit(
        train, 3, encoder=str(model), options=multidd.text.PursuitOptions(swaps=0)
    )
    source = record("text", {"data": str(messages), "seed": 0})
    RunFolder(folder).write(with_files(summary, source), source)
    return folder


def test_evaluate_show_and_verify(call, run_folder):
    words = ["--models", "kernel, logistic", "--seeds", "2", "--quiet"]
    code, printed, err = call(
        "evaluate", run_folder, *words, "--rows", "random, medoids"
    )
    # Texts are nearly the same to an encoder of few random weights.
    assert code == 0 and all("jitter" in line for line in cut(err))
    assert len(set(err.splitlines())) == len(err.splitlines())  # each is said once
    lines = [line.split()[:2] for line in printed.splitlines()]
    for row in ("random", "medoids", "pursuit"):
        assert [row, "kernel"] in lines and [row, "logistic"] in lines
    summary = multidd.load(run_folder)
    assert set(summary.card.score) == {"kernel", "logistic"}
    printed = (run_folder / "report.md").read_text()
    assert "| medoids | logistic |" in printed
    facts = printed.partition("## The set and its text")[2]
    for row in ("texts", "texts, labels solved again", "herding", "whole"):
        assert f"\n| {row} | " in facts
    assert "unique 1.00, overlap " in facts

    code, printed, err = call("show", run_folder)
    assert (code, err) == (0, "")
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("label "))
    assert lines[start].split() == ["label", "soft", "label", "source", "text"]
    for row, line in zip(summary.decode(), lines[start + 1 :], strict=False):
        assert line.split()[0] == row.label
        assert " ".join(row.text.split())[:80] in line
        assert f"{summary.classes[0]} {row.soft[0]:.2f}" in line
    assert "kernel: accuracy % " in printed
    assert (run_folder / "summary.png").is_file()

    code, printed, err = call("verify", run_folder)
    assert (code, cut(err)) == (0, [])
    assert printed.count(" %, equal of what was recorded") == 2


def test_evaluate_refuses_unknown_names(fails, run_folder):
    fails(
        "model must be one of kernel, .*got 'gcn'",
        "evaluate",
        run_folder,
        "--models=gcn",
    )
    fails("row must be one of whole, .*got 'a'", "evaluate", run_folder, "--rows", "a")


def test_an_encoder_that_is_gone(fails, call, tmp_path, table, model):
    elsewhere = tmp_path / "other"
    model.rename(elsewhere)
    try:
        flags = ["--text", "one", "--label", "kind", "--method", "random"]
        words = ["distill", "text", "--data", table, *flags, "--encoder", elsewhere]
        assert call(*words, "--total", "3", "--out", tmp_path / "run")[0] == 0
    finally:
        elsewhere.rename(model)
    fails("there is no folder .*other", "evaluate", tmp_path / "run", "--quiet")
