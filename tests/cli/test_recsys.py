"""The command line on interaction logs: what it writes and says, and how it fails."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas
import pytest

import multidd
from multidd.cli.run_folder import RunFolder
from multidd.data.sources import sha256_of
from tests.cli.logs import COLUMNS, NAMES, USERS, read


@pytest.fixture(scope="module")
def log(events):
    return read(events)


# --- distill --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["distill_cf", "random", "kmeans"])
def test_distill_writes_a_whole_folder(call, tmp_path, distill, events, log, method):
    out = tmp_path / "runs/one"
    learned = method == "distill_cf"
    words = [*distill, "--method", method, "--out", out]
    words += ["--steps", "2"] if learned else []
    code, printed, err = call(*words)
    assert (code, err) == (0, "")
    assert f"RecsysSummary({method}, users=5, nnz=" in printed
    assert "for 60 users" in printed and str(out) in printed
    summary = multidd.load(out)
    options = {"steps": 2, "progress": False} if learned else {}
    same = multidd.recsys.METHODS[method](log, users=5, **options)
    assert summary.digest() == same.digest()
    assert summary.item_ids.tolist() == log.item_ids.tolist()
    assert (out / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "report.md").read_text().startswith("# RecsysSummary(")
    assert json.loads((out / "run.json").read_text()) == {
        "data": str(events),
        "path": str(events),
        "files_sha256": summary.card.source["files_sha256"],
        "seed": 0,
        "user": COLUMNS["user"],
        "item": COLUMNS["item"],
    }
    assert summary.card.source["files_sha256"] == sha256_of(events)
    # Again: a learned one comes from its checkpoint, with the time that it took.
    assert call(*words)[0] == 0
    again = multidd.load(out)
    assert again.digest() == summary.digest()
    if learned:
        assert again.card.seconds == summary.card.seconds
        assert again.card.settings == summary.card.settings


def test_frames_have_the_columns_of_the_log(call, tmp_path, distill):
    words = ["--method", "random", "--out", tmp_path]
    assert call(*distill, *words)[0] == 0
    frame = multidd.load(tmp_path).to_frame()
    assert list(frame) == [COLUMNS["user"], COLUMNS["item"], "weight"]
    assert frame[COLUMNS["item"]].str.startswith("film ").all()


@pytest.mark.parametrize("length", ["mean", "6"])
def test_histories_of_a_length(call, tmp_path, distill, log, length):
    words = [*distill, "--steps", "2", "--length", length, "--out", tmp_path]
    assert call(*words)[::2] == (0, "")
    summary = multidd.load(tmp_path)
    length_of_each = round(log.count(0) / USERS) if length == "mean" else 6
    assert summary.binary and summary.nnz == 5 * length_of_each
    assert f"| setting: length | {length} |" in (tmp_path / "report.md").read_text()


def test_the_settings_reach_the_log(call, tmp_path, distill, events):
    words = ["--rating", "stars", "--min-rating", "2", "--min-user", "3"]
    words += ["--min-item", "4", "--time", "when", "--seed", "7"]
    out = ["--method", "head", "--out", tmp_path]
    assert call(*distill, *words, *out)[0] == 0
    note = json.loads((tmp_path / "run.json").read_text())
    assert note.pop("data") == note.pop("path") == str(events)
    assert note.pop("files_sha256") == sha256_of(events)
    assert note == {
        **COLUMNS,
        "seed": 7,
        "min_rating": 2.0,
        "min_user": 3,
        "min_item": 4,
    }
    log = multidd.recsys.load(events, **note)
    summary = multidd.load(tmp_path)
    assert summary.card.source["sha256"] == log.fingerprint and summary.card.seed == 7
    assert summary.card.source["dropped"]["below min_rating"] > 0
    assert 0 < log.num_interactions < 600


def test_parts_of_a_column(call, tmp_path, events, distill):
    frame = pandas.read_parquet(events)
    frame["fold"] = np.where(np.arange(len(frame)) % 3, "train", "val")
    frame.loc[frame.index[::4], "fold"] = "test"
    frame.to_parquet(tmp_path / "divided.parquet")
    words = [*distill, "--data", tmp_path / "divided.parquet", "--split", "fold"]
    assert call(*words, "--method", "random", "--out", tmp_path / "run")[0] == 0
    source = multidd.load(tmp_path / "run").card.source
    for name in "train", "val", "test":
        assert source[name] == (frame["fold"] == name).sum()


def test_other_settings_in_the_same_folder(call, fails, tmp_path, distill):
    words = [*distill, "--out", tmp_path]
    assert call(*words, "--steps", "2")[0] == 0
    digest = multidd.load(tmp_path).digest()
    fails("seed", *words, "--steps", "2", "--seed", "1")
    fails("steps", *words, "--steps", "3")
    fails("users|count", *words, "--steps", "2", "--users", "6")
    assert multidd.load(tmp_path).digest() == digest


REFUSED = {
    "method": (["--method", "gcond"], r"--method must be one of distill_cf, .*'gcond'"),
    "steps": (["--method", "head", "--steps", "3"], "head takes no steps; leave --st"),
    "length of a selection": (
        ["--method", "random", "--length", "3"],
        "--length is for distill_cf, not for random",
    ),
    "length": (["--length", "long"], "--length is a number or mean, got 'long'"),
    "no length": (["--length", "0"], "length must be a whole number from 1.*got 0"),
    "long": (["--length", "40"], "below the 40 items of the log, got 40"),
    "users": (["--users", "61"], "users must be from 1 to 60, .*got 61"),
    "no users": (["--users", "0"], "got 0"),
    "data": (["--data", "ml-2m"], "ml-1m, .*sample:movietweetings,.*got 'ml-2m'"),
    "column": (
        ["--item", "film"],
        "no column 'film' .item.; its columns are other, película, Who",
    ),
    "rating": (["--rating", "score"], "'score'.*stars"),
    "sample": (["--data", "sample:movietweetings"], "has its own columns"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_distill_refuses(fails, tmp_path, distill, case):
    words, message = REFUSED[case]
    fails(message, *distill, *words, "--out", tmp_path / "run")
    assert not list(tmp_path.glob("run/*.safetensors"))


def test_columns_without_usual_names(fails, tmp_path, events):
    """Those that are there are named."""
    words = ["distill", "recsys", "--data", events, "--out", tmp_path]
    fails("(?s)user.*Who Is It", *words)
    fails("(?s)item.*película", *words, *NAMES[:2])


def test_usual_names_are_found(call, tmp_path, events):
    usual = {COLUMNS["user"]: "user_id", COLUMNS["item"]: "item_id"}
    frame = pandas.read_parquet(events).rename(columns=usual)
    frame.to_csv(tmp_path / "log.csv", index=False)
    words = ["--data", tmp_path / "log.csv", "--method", "random", "--users", "3"]
    out = ["--quiet", "--out", tmp_path / "run"]
    assert call("distill", "recsys", *words, *out)[0] == 0
    source = multidd.load(tmp_path / "run").card.source
    assert source["columns"]["user"] == "user_id" and source["users"] == USERS


@pytest.mark.parametrize("method", ["random", "distill_cf"])
def test_folder_that_cannot_be_written(fails, tmp_path, monkeypatch, distill, method):
    (tmp_path / "file").write_text("in the way")

    def late(*args, **kwargs):
        raise AssertionError("the log was read before the folder was tried")

    monkeypatch.setattr(multidd.recsys, "load_for_evaluation", late)
    words = [*distill, "--method", method, "--out", tmp_path / "file/run"]
    fails(re.escape(str(tmp_path / "file")), *words)


# --- evaluate, show, verify -----------------------------------------------------------


def test_evaluate_show_and_verify(call, run_folder):
    digest = multidd.load(run_folder).digest()
    words = [
        "evaluate",
        run_folder,
        "--models",
        "ease, poprec",
        "--seeds",
        "1",
        "--quiet",
    ]
    code, printed, err = call(*words, "--rows", "whole,random")
    assert (code, err) == (0, "")
    lines = [line.split() for line in printed.splitlines()]
    for row in "whole", "random", "distill_cf":
        assert [row, "ease"] in [line[:2] for line in lines]
    for metric in "hr@10", "ndcg@10", "hr@100", "ndcg@100":
        assert f"{metric} %" in printed
    assert "HR@k is truncated recall" in printed
    summary = multidd.load(run_folder)
    assert summary.digest() == digest
    assert summary.card.protocol["name"] == "tuned"
    assert set(summary.card.score) == {"ease", "poprec"}
    score = summary.card.score["ease"]
    assert score["metric"] == "hr@10" and len(score["values"]) == 1
    (value,) = score["values"]
    assert 0.4 < value < 0.9  # chance is a quarter
    report = (run_folder / "report.md").read_text()
    assert "## Scores" in report and "| random | ease |" in report

    code, printed, err = call("show", run_folder)
    assert (code, err) == (0, "")
    assert "RecsysSummary(distill_cf, users=10, nnz=80, density=0.2" in printed
    assert f"ease: hr@10 % {100 * value:.1f}\n" in printed
    assert (run_folder / "summary.png").read_bytes().startswith(b"\x89PNG")

    code, printed, err = call("verify", run_folder)
    assert (code, err) == (0, "")
    assert f"file: whole, sha-256 {digest[:16]}" in printed
    assert printed.count(" %, equal of what was recorded") == 2


def test_the_protocol_is_chosen_by_name(call, run_folder, tmp_path):
    RunFolder(tmp_path).write(multidd.load(run_folder), RunFolder(run_folder).source())
    words = ["evaluate", tmp_path, "--protocol", "untuned", "--rows", "", "--quiet"]
    code, printed, err = call(*words, "--models", "infinite_ae", "--seeds", "2")
    assert (code, err) == (0, "")
    assert "Protocol 'untuned': each model with its own" in printed
    assert "No rows beside it." in printed and "± 0.00" in printed


def test_verify_sees_another_score(call, run_folder, tmp_path):
    summary = multidd.load(run_folder)
    protocol = {"name": "untuned", "epochs": 0, "lr": 0.0}
    score = {"poprec": {"metric": "hr@10", "values": [0.99], "seeds": [0]}}
    card = replace(summary.card, protocol=protocol, score=score)
    RunFolder(tmp_path).write(
        replace(summary, card=card), RunFolder(run_folder).source()
    )
    code, _, err = call("verify", tmp_path)
    assert code == 2
    assert "poprec trains to other scores than recorded" in err


def test_evaluate_refuses_unknown_names(fails, run_folder):
    words = ["evaluate", run_folder]
    fails("model must be one of infinite_ae, .*got 'gcn'", *words, "--models=gcn")
    fails("protocol must be one of tuned, .*got 'slow'", *words, "--protocol=slow")
    fails("row must be one of whole, .*got 'tail'", *words, "--rows=tail")


def test_a_note_of_another_log(call, fails, run_folder, tmp_path, events):
    """Files that the note names must be those that the summary was made from."""
    frame = pandas.read_parquet(events)
    few = frame[frame[COLUMNS["item"]] != "film 3"]
    few.to_parquet(tmp_path / "few.parquet")
    source = RunFolder(run_folder).source() | {"data": str(tmp_path / "few.parquet")}
    source["path"] = source["data"]
    RunFolder(tmp_path).write(multidd.load(run_folder), source)
    digests = [sha256_of(tmp_path / "few.parquet"), sha256_of(events)]
    message = r"few\.parquet is not what the summary was made from: its SHA-256 is {}, "
    fails(
        f"{message}that of the run's data {{}};".format(*digests), "evaluate", tmp_path
    )
    code, _, err = call("evaluate", tmp_path, "--data", tmp_path / "few.parquet")
    assert code == 2 and re.search(message.format(digests[0]), err)
    assert "39 of its 40 items are among the 39 of this one" in err


def test_a_log_that_is_gone(fails, run_folder, tmp_path):
    source = RunFolder(run_folder).source() | {"data": str(tmp_path / "gone.parquet")}
    source["path"] = source["data"]
    RunFolder(tmp_path).write(multidd.load(run_folder), source)
    fails(
        r"gone\.parquet with SHA-256 [0-9a-f]{64}, are not there", "evaluate", tmp_path
    )


def test_a_log_that_has_moved(call, run_folder, tmp_path, events):
    """It is known by its SHA-256 where the user names it, and by its name beside."""
    moved = tmp_path / "moved.parquet"
    moved.write_bytes(events.read_bytes())
    source = RunFolder(run_folder).source() | {"path": str(tmp_path / "gone.parquet")}
    RunFolder(tmp_path).write(multidd.load(run_folder), source | {"data": str(moved)})
    words = ["evaluate", tmp_path, "--models", "poprec", "--seeds", "1", "--rows", ""]
    assert call(*words, "--quiet")[0] == 0
    gone = source | {"data": "gone.parquet"}
    RunFolder(tmp_path).write(multidd.load(run_folder), gone)
    assert call(*words, "--quiet", "--data", moved)[0] == 0
