"""`load`: labelled texts by name, offline, their folders untouched."""

import datasets
import pandas
import pytest

from multidd import samples
from multidd.errors import MultiddError, MultiddWarning
from multidd.text.data.benchmarks import DATASETS, Splits, load, load_for_evaluation
from multidd.text.data.readers import as_texts

X = [f"text {i}" for i in range(20)]
Y = [i % 2 for i in range(20)]


def hf(x=X, y=Y, names=("a", "b"), text="text"):
    kind = datasets.ClassLabel(names=list(names))
    data = datasets.Dataset.from_dict({text: list(x), "label": list(y)})
    return data.cast_column("label", kind)


def write(folder, **parts):
    """`part.csv` with so many rows for each part."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in parts.items():
        frame = pandas.DataFrame({"text": X[:count], "label": Y[:count]})
        frame.to_csv(folder / f"{part}.csv", index=False)
    return str(folder)


# --- real data ----------------------------------------------------------------


def test_the_sample_ships_with_the_library(hub):
    train, test = samples.sms()
    assert repr(train) == "Texts(sms, 4165 texts, 2 classes)"
    assert train.classes == test.classes == ("ham", "spam")
    assert train.counts.tolist() == [3643, 522]
    assert test.counts.tolist() == [875, 125]
    assert not set(train.texts) & set(test.texts)
    assert isinstance(samples.sms(), Splits) and samples.sms().val is None
    assert load("sms").train.describe() == train.describe()
    won = next(t for t, y in zip(train.texts, train.labels, strict=True) if y == 1)
    assert any(word in won.lower() for word in ("free", "txt", "call", "win"))


@pytest.mark.data("text/sms_spam")
def test_the_sample_is_the_whole(data_root):
    sample, whole = samples.sms(), load("sms")
    dataset = load(str(data_root / "text/sms_spam"))
    for part in ("train", "test"):
        description = getattr(sample, part).describe()
        assert getattr(whole, part).describe() == description
        assert getattr(dataset, part).describe()["sha256"] == description["sha256"]


@pytest.mark.data("text/trec6", "text/sst2")
@pytest.mark.parametrize(
    ("name", "sizes", "counts", "text", "label"),
    [
        (
            "trec6",
            (4951, 501, 500),
            [9, 94, 138, 65, 81, 113],
            "How far is it from Denver to Aspen ?",
            "NUM",
        ),
        (
            "sst2",
            (6920, 872, 1821),
            [912, 909],
            "no movement , no yuks , not much of anything .",
            "negative",
        ),
    ],
)
def test_benchmarks(name, sizes, counts, text, label):
    splits = load(name)
    train, test = splits
    assert (len(train), len(splits.val), len(test)) == sizes
    assert test.counts.tolist() == counts
    assert train.name == test.name == name
    assert train.classes == test.classes == splits.val.classes
    assert text in test.texts
    assert test.classes[int(test.labels[test.texts.index(text)])] == label


@pytest.mark.data("text/dilm_sst2")
def test_other_columns_are_no_matter(data_root):
    texts = as_texts(data_root / "text/dilm_sst2/dilm_sst2.parquet")
    assert texts.counts.tolist() == [700, 700]


def test_a_folder_without_a_part_to_train_on(tmp_path):
    frame = pandas.DataFrame({"text": X[:4], "label": [0, 1, 0, 1]})
    frame.to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(ValueError, match="train"):
        load(tmp_path)


def test_a_test_part_without_a_column_of_labels_is_left_out(tmp_path):
    frame = pandas.DataFrame({"text": X[:12], "label": [0, 1] * 6})
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[["text"]].to_csv(tmp_path / "test.csv", index=False)
    text = "the test part is left out: none of its 12 texts has a label"
    with pytest.warns(MultiddWarning, match=text):
        splits = load(tmp_path)
    assert len(splits.train) + len(splits.test) == 12
    assert splits.test.counts.tolist() == [1, 1]


# --- where files are looked for -----------------------------------------------


@pytest.mark.parametrize("folder", ["text/trec6", "trec6"])
def test_below_the_data_root(folder, hub, tmp_path):
    home = tmp_path / "data" / folder
    home.mkdir(parents=True)
    for part, count in {"train": 12, "dev": 6, "test": 7}.items():
        frame = {"text": X[:count], "label": [i % 6 for i in range(count)]}
        pandas.DataFrame(frame).to_parquet(home / f"{part}.parquet")
    before = sorted((p, p.stat().st_mtime_ns) for p in home.rglob("*"))
    splits = load("trec6")
    assert [len(p) for p in (splits.train, splits.val, splits.test)] == [12, 6, 7]
    assert splits.test.classes == ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM")
    assert sorted((p, p.stat().st_mtime_ns) for p in home.rglob("*")) == before


@pytest.mark.parametrize("name", ["trec6", "sst2"])
@pytest.mark.parametrize("root", [None, "nowhere"])
def test_a_benchmark_that_is_not_there(name, root, monkeypatch):
    monkeypatch.delenv("MULTIDD_DATA", raising=False)
    if root:
        monkeypatch.setenv("MULTIDD_DATA", root)
    text = "is 'nowhere'" if root else "is not set"
    with pytest.raises(MultiddError, match=f"{name} is not here: MULTIDD_DATA {text}"):
        load(name)
    with pytest.raises(MultiddError, match=f"holds {DATASETS[name].paths[0]} with"):
        load(name)


def test_parts_of_a_folder(tmp_path):
    splits = load(write(tmp_path / "all", train=20, valid=6, test=4))
    assert [len(p) for p in (splits.train, splits.val, splits.test)] == [20, 6, 4]
    assert splits.train.name == ""
    splits = load(write(tmp_path / "two", train=20, dev=6))
    assert (len(splits.test), splits.val) == (6, None)
    both = datasets.DatasetDict(train=hf(), validation=hf(X[:2], Y[:2]))
    both.save_to_disk(str(tmp_path / "saved"))
    assert len(load(tmp_path / "saved").test) == 2


def test_without_a_test_part_a_fifth_is_held_out(tmp_path):
    path = write(tmp_path, train=20)
    train, test = load(f"{path}/train.csv")
    assert (train.counts.tolist(), test.counts.tolist()) == ([8, 8], [2, 2])
    assert load(path).test.texts == test.texts
    assert load(path, seed=1).test.texts != test.texts


def test_columns_of_a_path(tmp_path):
    frame = pandas.DataFrame({"one": X, "two": X[::-1], "gold": ["no", "yes"] * 10})
    frame.to_csv(tmp_path / "x.csv", index=False)
    train, exam = load_for_evaluation(
        tmp_path / "x.csv", text="one", pair="two", label="gold"
    )
    assert (len(train), train.classes) == (16, ("no", "yes"))
    assert exam["train"] is train and len(exam["on"]) == 4
    for a, b in zip(train.texts, train.pairs, strict=True):
        assert X.index(a) + X.index(b) == 19
    with pytest.raises(ValueError, match=r"no column 'text'.*one, two, gold"):
        load(tmp_path / "x.csv")


def test_test_labels_mean_what_training_labels_mean(tmp_path):
    both = datasets.DatasetDict(train=hf(), test=hf(X[:4], Y[:4], ("b", "a")))
    both.save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(
        ValueError, match=r"test part are \('b', 'a'\), those of the tr"
    ):
        load(tmp_path / "saved")
    write(tmp_path / "files", train=20)
    (tmp_path / "files/test.csv").write_text("text,label\na,2\n")
    with pytest.raises(ValueError, match=r"labels hold \[2\].*none of the 2 classes"):
        load(tmp_path / "files")


@pytest.mark.parametrize("none", [-1, None])
def test_a_test_part_without_labels(none, hub):
    hidden = hf(X[:4], [none] * 4)
    known = hf(X[:6], Y[:6])
    hub["someone/glue"] = datasets.DatasetDict(
        train=hf(), validation=known, test=hidden
    )
    splits = load("someone/glue")
    assert (splits.test.texts, splits.val) == (tuple(X[:6]), None)


# --- the hub ------------------------------------------------------------------


def test_hub_ids(hub):
    hub["someone/pets"] = datasets.DatasetDict(train=hf(text="sentence"))
    train, test = load("someone/pets", text="sentence")
    assert (len(train), len(test), train.name) == (16, 4, "pets")
    assert train.classes == ("a", "b")
    hub["someone/cats"] = datasets.DatasetDict(other=hf())
    with pytest.raises(ValueError, match=r"no training split; it has \['other'\]"):
        load("someone/cats")


def test_no_network(hub):
    with pytest.raises(MultiddError) as caught:
        load("someone/pets")
    message = str(caught.value)
    assert message.startswith("someone/pets is not under MULTIDD_DATA (")
    for part in ("Couldn't reach", "set MULTIDD_DATA", "pass texts", "'sample:sms'"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["trec", "TREC6", "", "/nowhere/x", "./a/b", "a/b/c"])
def test_unknown_name(name, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="data must be one of sms, trec6, sst2, .*hub"):
        load(name)
