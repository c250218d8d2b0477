"""`--preset`: the settings of a paper on the command line, in `run.toml`, in lists."""

import json
import tomllib

import multidd

FEW = ["--steps", "2", "--set", "width=4", "--set", "batch_size=8", "--quiet"]
DISTILL = ["distill", "images", "--data", "sample:fashion", "--ipc", "1", *FEW]


def digest(folder):
    return multidd.load(folder).digest()


def test_a_run_with_a_preset_is_repeated(call, tmp_path):
    """All that was used stands in the file, whatever the preset will be one day."""
    words = [*DISTILL, "--method", "kip", "--preset", "paper"]
    code, _, err = call(*words, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    content = tomllib.loads((tmp_path / "run/run.toml").read_text("utf-8"))
    assert content["preset"] == "paper" and content["steps"] == 2
    used = content["settings"]
    assert (used["lr"], used["labels"], used["batch_size"]) == (0.04, "centered", 8)
    assert (used["depth"], used["ridge"]) == (1, 1e-6)
    assert content["options"]["zca"] is False  # the sample is gray
    card = multidd.load(tmp_path / "run").card
    assert card.settings["preset"] == "paper" and card.settings["lr"] == 0.04
    code, _, err = call(
        "distill", "--config", tmp_path / "run", "--out", tmp_path / "b"
    )
    assert code == 0 and digest(tmp_path / "b") == digest(tmp_path / "run")
    twin = (tmp_path / "b/run.toml").read_bytes()
    assert twin == (tmp_path / "run/run.toml").read_bytes()


def test_fields_of_the_papers_experts(call, tmp_path):
    """One field is changed and the others are the paper's, not the default's."""
    experts = {"count": 1, "trainer.epochs": 1, "trainer.steps": 1}
    words = [f"--set=experts.{name}={value}" for name, value in experts.items()]
    words += ["--set=start_epochs=0,0", "--set=expert_epochs=1", "--set=syn_steps=2"]
    run = [*DISTILL, "--method", "mtt", "--preset", "paper", *words]
    assert call(*run, "--out", tmp_path / "run")[0] == 0
    content = tomllib.loads((tmp_path / "run/run.toml").read_text("utf-8"))
    trainer = content["settings"]["experts"]["trainer"]
    assert trainer["optimizer"]["lr"] == 0.01 and trainer["epochs"] == 1
    assert content["settings"]["momentum"] == 0.5


def test_refusals(fails, tmp_path):
    out, dm = ["--out", tmp_path / "run"], [*DISTILL, "--method", "dm"]
    fails("preset must be 'paper' or None; got 'papr'", *dm, "--preset=papr", *out)
    fails("preset is no setting of --set", *DISTILL, "--set", "preset=paper", *out)
    fails("--preset is of a method: give --method", *DISTILL, "--preset=a", *out)
    random = ["distill", "images", "--data", "sample:fashion", "--ipc", "1"]
    random += ["--method", "random", "--preset", "paper"]
    fails("random has no setting preset", *random, *out)


def test_methods_shows_it_beside_the_defaults(call):
    code, page, err = call("methods", "images.dm")
    assert (code, err) == (0, "")
    assert "default 32, paper 128" in page
    assert "--steps: a whole number, default 300, paper 20000" in page
    assert (
        "--preset paper takes" in page and "one operation of the augmentation" in page
    )
    (details,) = json.loads(call("methods", "images.mtt", "--json")[1])["methods"]
    paper = {one["name"]: one.get("paper") for one in details["settings"]}
    assert (paper["experts.count"], paper["experts.trainer.epochs"]) == ("100", "50")
    assert paper["val_share"] is None and "logarithm" in details["remains"]
    (plain,) = json.loads(call("methods", "images.random", "--json")[1])["methods"]
    assert plain["remains"] is None
    assert not any("paper" in one for one in plain["settings"])
