"""Settings that every recipe shares: labels, starts, samplers, networks, views."""

import inspect
import json
from dataclasses import fields, replace

import pytest
import torch

from multidd.engine.options import SelectBest
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.gradient import DCOptions, _states
from multidd.images.methods.registry import LEARNED, METHODS, SELECTED
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.states import Fresh
from tests.methods import cases
from tests.methods.cases import families, made_by

KERNELS = ("kip", "rfad", "frepo")
TRAJECTORIES = ("mtt", "tesla", "ftd", "datm", "haba")
FEW = ("dm", "dc", "iid", "rfad")

CASES = {case.name: case for case in cases.CASES if case.kind == "images"}

CARD_NAMES = {
    "backprop": ("memory",),
    "batch_syn": ("rows",),
    "class_balance": ("balance",),
    "expert_epochs": ("epochs",),
    "first_end": ("first",),
    "first_layer_weight": ("first",),
    "fit_steps": ("fit",),
    "growth_steps": ("growing",),
    "invert_steps": ("invert",),
    "kernel": ("type",),
    "label_temperature": ("temperature",),
    "layer_weights": ("layers",),
    "lr_lr": ("lr_rate", "lr_rates"),
    "lr_net": ("rate", "lr_inner"),
    "match_space": ("match",),
    "matches_per_net": ("matches", "reuse"),
    "max_per_class": ("images",),
    "max_unroll": ("longest",),
    "net_momentum": ("momentum",),
    "net_steps": ("inner",),
    "noise_size": ("noise",),
    "num_models": ("models", "networks"),
    "pool_size": ("pool",),
    "shrink": ("smaller",),
    "start_epochs": ("start",),
    "statistics_weight": ("weight",),
    "syn_steps": ("inner", "inner_steps"),
    "val_share": ("val",),
    "warmup_steps": ("warm_up",),
    "weight_decay": ("decay",),
}
"""Names that cards have for settings of another name."""

LATER = {"rfad": {"beside", "label_space"}} | {
    name: {"momentum"} for name in ("idc", "mtt", "tesla", "ftd", "datm", "haba")
}
"""Settings that a card names where they are not the defaults, as they came later."""

learned = pytest.mark.parametrize("name", LEARNED)


@learned
def test_the_card_holds_every_setting(name):
    summary = made_by(CASES[name])
    settings = summary.card.settings
    assert json.loads(json.dumps(settings)) == settings
    options = inspect.signature(METHODS[name]).parameters["options"].default
    field_names = {f.name for f in fields(options)} - {"executor"}
    inside = set(settings) | set(settings.get("kernel", {}))
    assert not {"ipc", "budget_bytes", "steps"} - inside
    missing = {o for o in field_names if not inside & {o, *CARD_NAMES.get(o, ())}}
    assert missing == LATER.get(name, set())
    assert settings["width"] == ([4, 4, 4] if name == "frepo" else 4)
    assert settings["steps"] == 3
    assert settings["counts"] == summary.tensors["y"].bincount().tolist()


@pytest.mark.parametrize("name", SELECTED)
def test_the_card_of_a_selection_holds_its_settings(small, run, name):
    """Cards of summaries that were made otherwise differ."""
    settings = run(name, small).card.settings
    assert json.loads(json.dumps(settings)) == settings
    assert run(name, small, zca=True).card.settings != settings


def test_the_card_tells_whether_the_best_was_kept(small, run):
    plain, best = (run("dm", small, select_best=b) for b in (None, SelectBest(1)))
    assert plain.card.settings != best.card.settings


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("policy", ["hard", "centered", "onehot"])
def test_label_policies(small, run, name, policy):
    summary = run(name, small, labels=policy)
    if policy == "hard":
        assert summary.card.labels == "hard" and "y_soft" not in summary.tensors
        return
    soft, hard = summary.tensors["y_soft"], summary.tensors["y"]
    assert soft.shape == (6, 3)
    centered = policy == "centered" or name in KERNELS
    assert summary.card.labels == ("centered" if centered else "soft")
    if policy == "centered":
        torch.testing.assert_close(soft, torch.eye(3)[hard] - 1 / 3)
    assert torch.equal(summary.to_tensors()[1][:: summary.num_images // 6], soft)


@pytest.mark.parametrize("name", ["dc", "dsa", "dcc", "idc", "kip", "rfad", "frepo"])
def test_onehot_labels_are_learned(small, run, name):
    """`"onehot"` is the policy of labels that are learned, in every recipe whose loss
    depends on them."""
    start = run(name, small, labels="onehot", steps=0).tensors["y_soft"]
    assert not torch.equal(run(name, small, labels="onehot").tensors["y_soft"], start)


@pytest.mark.parametrize(
    ("name", "policy"), [("dc", "teacher"), ("kip", "teacher_once")]
)
def test_labels_of_a_teacher(small, run, name, policy):
    """Which policy moves labels, whatever the loss, is in contracts/test_labels."""
    options = {"width": 8, "depth": 2, "batch_size": 20} if name != "kip" else {}
    start = run(name, small, labels=policy, steps=0, **options)
    soft, y = start.tensors["y_soft"], start.tensors["y"]
    total = 0.0 if name == "kip" else 1.0
    torch.testing.assert_close(soft.sum(1), torch.full((6,), total), atol=1e-5, rtol=0)
    right = (soft.argmax(1) == y).float().mean()
    assert right > 0.9 or name == "kip"  # four channels do not learn much
    assert not torch.equal(soft, torch.eye(3)[y])
    summary = run(name, small, labels=policy, **options)
    moved = not torch.equal(summary.tensors["y_soft"], soft)
    assert moved == (policy == "teacher")


@pytest.mark.parametrize("name", ["idc", "kip"])
@pytest.mark.parametrize("init", ["random", "kmeans", "herding", "kcenter", "noise"])
def test_every_start(small, run, name, init):
    summary = run(name, small, init=init, steps=1)
    assert torch.isfinite(summary.tensors["x"]).all()
    assert summary.tensors["y"].tolist() == [0, 0, 1, 1, 2, 2]


def test_where_images_start(small, run):
    """Real images, class means, or noise."""
    real = Preprocessing.fit(small).apply(small.pixels())
    x = {
        init: run("dm", small, init=init, steps=0, ipc=1).tensors["x"]
        for init in ("random", "kmeans", "herding", "kcenter", "noise")
    }
    for init in ("random", "herding", "kcenter"):
        gaps = (x[init][:, None] - real).abs().flatten(2).amax(2)
        assert gaps.min(1).values.max() < 1e-5
        assert torch.equal(small.labels[gaps.argmin(1)], torch.arange(3))
    means = torch.stack([real[small.labels == label].mean(0) for label in range(3)])
    torch.testing.assert_close(x["kmeans"], means, rtol=1e-4, atol=1e-5)
    assert x["noise"].mean().abs() < 0.3 and 0.8 < x["noise"].std() < 1.2


@pytest.mark.parametrize("name", [n for n in families("images") if n in LEARNED])
@pytest.mark.parametrize("sampler", ["other", "representative"])
def test_every_sampler(small, run, name, sampler):
    check_sampler(small, run, name, sampler)


@pytest.mark.full
@learned
def test_every_sampler_of_every_method(small, run, name):
    for sampler in ("other", "representative"):
        check_sampler(small, run, name, sampler)


def check_sampler(small, run, name, sampler):
    other = "class" if name in KERNELS else "uniform"
    sampler = other if sampler == "other" else sampler
    if name in TRAJECTORIES and sampler == "representative":
        with pytest.raises(ValueError, match="must be 'class' or 'uniform'"):
            run(name, small, sampler=sampler)
        return
    summary = run(name, small, sampler=sampler)
    assert torch.isfinite(summary.to_tensors()[0]).all()
    digests = {summary.digest(), run(name, small, steps=0).digest()}
    assert len(digests) == 2


def test_representative_batches_hold_as_many_images(small, run, monkeypatch):
    """`batch_size` of each class, chosen from four times as many."""
    sizes = []
    with_fixed_batch = ImageTask.with_fixed_batch

    def spy(self, batch):
        sizes.append(batch.y.bincount().tolist())
        return with_fixed_batch(self, batch)

    monkeypatch.setattr(ImageTask, "with_fixed_batch", spy)
    run("dm", small, sampler="representative", batch_size=3)
    assert sizes and all(max(size) <= 3 and min(size) >= 1 for size in sizes)


def test_a_class_that_a_real_batch_lacks_does_not_move(small, run):
    """It has no target: neither zero nor anything else is one."""
    for name in ("dm", "m3d", "dc", "idc"):
        options = {"sampler": "uniform", "batch_size": 1, "steps": 1, "factor": 1}
        options |= {"augment": "none"}
        start = run(name, small, **options | {"steps": 0}).tensors["x"]
        moved = (run(name, small, **options).tensors["x"] - start).flatten(1).any(1)
        assert moved.view(3, 2).all(1).sum() <= 1, name


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_other_models(make, run, name, model):
    images = make(side=12)
    summary = run(name, images, model=model, width=8, steps=1)
    assert torch.isfinite(summary.tensors["x"]).all()


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_other_norms(small, run, name, norm):
    summary = run(name, small, norm=norm, steps=2)
    assert torch.isfinite(summary.tensors["x"]).all()


@pytest.mark.parametrize("name", ["dm", "dc"])
def test_another_depth_and_widths(small, run, name):
    digests = {
        run(name, small, **options).digest()
        for options in ({}, {"depth": 2}, {"width": (3, 5), "depth": 2})
    }
    assert len(digests) == 3


@pytest.mark.parametrize("name", ["dm", "frepo"])
@pytest.mark.parametrize("augment", ["none", "crop", "color_cutout_scale_rotate"])
def test_augmentations(small, run, name, augment):
    summary = run(name, small, augment=augment)
    assert torch.isfinite(summary.tensors["x"]).all()


def test_flips_are_for_images_that_may_be_mirrored(small, run, monkeypatch):
    """Unless told, the dataset says."""
    seen = []
    view = ImageTask.view

    def spy(self, rng):
        seen.append(self.augment.operations)
        return view(self, rng)

    monkeypatch.setattr(ImageTask, "view", spy)
    mirrored = replace(small, mirror=True)
    for images, flip, expected in [
        (small, None, False),
        (mirrored, None, True),
        (small, True, True),
        (mirrored, False, False),
    ]:
        seen.clear()
        run("dm", images, augment="crop_flip", flip=flip, steps=1)
        assert seen and all(("flip" in operations) == expected for operations in seen)


MATCHING = ("dc", "dsa", "dcc", "idc")
FORMS = [
    {"distance": distance, "inter_class": inter_class}
    for distance in ("cosine", "cosine+magnitude", "mse", "l1")
    for inter_class in (False, True)
]


def check_forms(small, run, name, forms):
    more = {"warmup_steps": 0} if name == "dcc" else {}
    plain = run(name, small, **more).digest()
    usual = {"distance": "mse" if name == "idc" else "cosine", "inter_class": False}
    for form in forms:
        summary = run(name, small, **form, **more)
        assert (summary.digest() == plain) == (form == usual), form


@pytest.mark.parametrize("name", MATCHING)
def test_forms_of_gradient_matching(small, run, name):
    """Every form once, two of each method, and the usual one is what it is unless
    told."""
    place = MATCHING.index(name)
    usual = FORMS[4 if name == "idc" else 0]
    check_forms(small, run, name, [*FORMS[2 * place : 2 * place + 2], usual])


@pytest.mark.full
@pytest.mark.parametrize("name", MATCHING)
def test_every_form_of_every_gradient_matching(small, run, name):
    check_forms(small, run, name, FORMS)


@pytest.mark.parametrize("architecture", ["fc", "conv", "conv_gap"])
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_kernels_of_kip(small, run, architecture, kind):
    summary = run("kip", small, architecture=architecture, kernel=kind, depth=2)
    settings = summary.card.settings["kernel"]
    assert (settings["architecture"], settings["type"], settings["depth"]) == (
        architecture,
        kind,
        2,
    )
    start = run("kip", small, steps=0)
    assert not torch.equal(summary.tensors["x"], start.tensors["x"])


def test_one_match_for_each_network_where_classes_have_one_image():
    assert _states(1, DCOptions()) == Fresh()
    loops = [
        (states.matches_per_net, states.steps)
        for states in (_states(count, DCOptions()) for count in (10, 50))
    ]
    assert loops == [(10, 50), (50, 10)]
    assert _states(10, DCOptions(matches_per_net=1)) == Fresh()


def test_the_temperature_of_rfad_is_learned_by_its_rate(small, run):
    digests = {
        run("rfad", small, loss="cross_entropy", lr_temperature=rate, steps=2).digest()
        for rate in (0.0, 1.0)
    }
    assert len(digests) == 2


def test_class_by_class_first_then_the_sum(small, run):
    """DCC's warm-up is DC; after it the two part."""
    options = {"matches_per_net": 10, "net_steps": 1}
    dc, dcc = (run(n, small, steps=2, **options) for n in ("dc", "dcc"))
    assert len(dcc.card.history) == 2
    short, plain = (
        run("dcc", small, steps=2, warmup_steps=k, **options) for k in (0, 50)
    )
    assert short.digest() != plain.digest()
    assert dc.card.labels == dcc.card.labels
