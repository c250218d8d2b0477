"""Listings of folders: nothing is left out in silence, by any of the readers."""

import gzip
import os
import warnings

import PIL.Image
import pyarrow
import pyarrow.parquet as parquet
import pytest

from multidd.data.listing import list_files, part_words
from multidd.data.sources import sha256_of
from multidd.errors import MultiddWarning
from multidd.images.data.benchmarks import load as load_images
from multidd.images.data.images import as_images
from multidd.recsys.data.benchmarks import load as load_log
from multidd.recsys.data.readers import read_log
from multidd.text.data.benchmarks import load as load_texts
from multidd.text.data.readers import as_texts

HIDDEN_NAMES = (".x", "~$x", "x.tmp", "x.TMP", "x~", "Thumbs.db", "desktop.ini")


def said(call, *args):
    """What a call returns, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call(*args)
    assert all(issubclass(one.category, MultiddWarning) for one in caught)
    assert all(one.filename == __file__ for one in caught)
    return result, [str(one.message) for one in caught]


def hide(folder):
    """Put hidden and temporary files into a folder."""
    for name in HIDDEN_NAMES:
        (folder / name).write_text("nothing to read")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "1.png").write_text("no image")


def test_links_are_followed_and_circles_are_not(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "b.txt").write_text("b")
    (tmp_path / "here").mkdir()
    here = tmp_path / "here"
    hide(here)
    (here / "a.txt").write_text("a")
    (here / "folder").symlink_to(tmp_path / "there")
    (here / "file.txt").symlink_to(tmp_path / "there" / "b.txt")
    (here / "nothing.txt").symlink_to(tmp_path / "nowhere")
    (here / "circle").symlink_to(here)
    os.mkfifo(here / "pipe")
    listing = list_files(here)
    names = [path.relative_to(here).as_posix() for path in listing.files]
    assert names == ["a.txt", "file.txt", "folder/b.txt"]
    assert [path.name for path in listing.others] == ["circle", "nothing.txt", "pipe"]
    assert len(sha256_of(here)) == 64


def test_names_of_parts():
    parts = {
        "train": ("train", "training"),
        "test": ("test", "t10k", "testing", "val"),
    }
    yes = {
        "Training": "training",
        "TRAIN": "train",
        "train_data": "train",
        "01-train": "train",
        "TrainSet": "train",
        "trainset2": "train",
        "train-00000-of-00001": "train",
        "t10k": "t10k",
        "test images": "test",
        "val2017": "val",
    }
    assert part_words(yes, parts) == yes
    no = ["trainer", "test tube", "bullet_train", "train_test", "éval", "untested", ""]
    assert part_words(no, parts) == {}
    alike = ["seg_train", "seg_test", "seg_pred", "sms_train"]
    assert part_words(alike, parts) == {"seg_train": "train", "seg_test": "test"}


# --- images -----------------------------------------------------------------------


def pets(root, suffixes=("png", "png"), classes=("cat", "dog"), size=8):
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i, suffix in enumerate(suffixes):
            kind = "TIFF" if suffix.lower() == "tif" else suffix
            kind = {"jpg": "JPEG"}.get(kind.lower(), kind)
            PIL.Image.new("L", (size, size), 9 * i).save(
                root / name / f"{i}.{suffix}", kind
            )
    return root


def test_all_suffixes_of_images_are_read(tmp_path):
    suffixes = ("png", "PNG", "JPG", "webp", "bmp", "tif", "TIFF", "gif")
    root = pets(tmp_path, suffixes)
    hide(root)
    hide(root / "cat")
    (root / "cat" / "link.png").symlink_to(root / "cat" / "0.png")
    images, texts = said(as_images, root)
    assert images.counts.tolist() == [9, 8] and texts == []


def test_what_is_no_image_is_said_once(tmp_path):
    root = pets(tmp_path)
    for name in ("cat/a.txt", "dog/b.TXT", "cat/c.heic", "loose.png", "LICENSE"):
        (root / name).write_text("no image")
    (root / "dog" / "gone.png").symlink_to(root / "nowhere")
    images, texts = said(as_images, root)
    assert len(images) == 4 and len(texts) == 1
    expected = "left out 5 of 9 files (2 .txt, 1 .heic, 1 .png, 1 without a suffix)"
    assert expected in texts[0]
    assert "1 links that lead to nothing" in texts[0] and "dog/gone.png" in texts[0]


@pytest.mark.parametrize(
    "names",
    ["train test", "Training Testing", "train_data test_data", "seg_train seg_test"],
)
def test_part_folders(names, tmp_path):
    train, test = names.split()
    pets(tmp_path / train)
    pets(tmp_path / test, ("png",))
    splits, texts = said(load_images, str(tmp_path))
    assert (len(splits.train), len(splits.test), texts) == (4, 2, [])
    assert splits.train.classes == splits.test.classes == ("cat", "dog")


def test_folders_beside_the_parts_are_said(tmp_path):
    for name in ("Train", "test", "val", "extra"):
        pets(tmp_path / name)
    (tmp_path / "unlabelled").mkdir()
    PIL.Image.new("L", (8, 8)).save(tmp_path / "unlabelled" / "1.png")
    splits, texts = said(load_images, str(tmp_path))
    assert len(splits.test) == 4 and len(texts) == 1
    assert "left out 9 of 17 files (9 .png), such as extra/cat/0.png" in texts[0]
    pets(tmp_path / "training_set")
    with pytest.raises(ValueError, match="folders Train, training_set for one part"):
        load_images(str(tmp_path))


def test_an_unlabelled_test_folder_is_said(tmp_path):
    pets(tmp_path / "train", ("png",) * 5)
    (tmp_path / "test").mkdir()
    PIL.Image.new("L", (8, 8)).save(tmp_path / "test" / "1.png")
    splits, texts = said(load_images, str(tmp_path))
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert len(texts) == 1 and "such as test/1.png" in texts[0]


def test_parts_do_not_become_classes(tmp_path):
    for name in ("fold A", "fold B"):
        pets(tmp_path / "unnamed" / name)
    _, texts = said(as_images, tmp_path / "unnamed")
    assert len(texts) == 1 and "fold A, fold B are read as classes" in texts[0]
    pets(tmp_path / "bare", classes=("train", "test"))
    with pytest.raises(ValueError, match="parts test, train without class folders"):
        as_images(tmp_path / "bare")
    vehicles = pets(tmp_path / "vehicles", classes=("train", "bullet_train", "car"))
    images, texts = said(as_images, vehicles)
    assert images.classes == ("bullet_train", "car", "train") and texts == []


# --- logs -------------------------------------------------------------------------


def events(path, users):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table({"user_id": users, "item_id": [1, 2]}), path)


def test_logs_of_all_suffixes_without_hidden_ones(tmp_path):
    events(tmp_path / "a.parquet", [1, 2])
    events(tmp_path / "b.pq", [3, 4])
    events(tmp_path / "d.PARQUET", [5, 6])
    events(tmp_path / "_temporary/0/part-0.parquet", [1, 7])
    events(tmp_path / ".ipynb_checkpoints/part-0.parquet", [1, 8])
    (tmp_path / "_SUCCESS").write_text("")
    hide(tmp_path)
    log, texts = said(read_log, tmp_path)
    assert log.user_ids.tolist() == [1, 2, 3, 4, 5, 6] and texts == []
    (tmp_path / "c.csv").write_text("user_id,item_id\n9,9\n")
    for call in (read_log, load_log):
        log, texts = said(call, tmp_path)
        assert len(log.user_ids) == 6 and len(texts) == 1
        assert "left out 1 of 4 files (1 .csv), such as c.csv" in texts[0]


def test_hive_folders_may_begin_with_an_underscore(tmp_path):
    events(tmp_path / "_day=3" / "a.parquet", [1, 2])
    assert len(read_log(tmp_path).user_ids) == 2


@pytest.mark.parametrize("name", ["log.CSV", "log.Tsv", "log.PQ", "log.csv.GZ"])
def test_suffixes_of_single_logs_in_any_letters(name, tmp_path):
    path = tmp_path / name
    if name == "log.PQ":
        events(path, [1, 2])
    else:
        gap = "\t" if "Tsv" in name else ","
        raw = f"user_id{gap}item_id\n1{gap}1\n2{gap}2\n".encode()
        path.write_bytes(gzip.compress(raw) if "GZ" in name else raw)
    log = read_log(path)
    assert (log.user_ids.tolist(), log.name) == ([1, 2], "log")


# --- texts ------------------------------------------------------------------------


def rows(path, count, label=True):
    head = "text,label\n" if label else "text\n"
    ends = [f",{i % 2}" if label else "" for i in range(count)]
    path.write_text(head + "".join(f"text {i}{end}\n" for i, end in enumerate(ends)))


def test_files_of_texts_by_the_names_of_parts(tmp_path):
    rows(tmp_path / "sms_Train.CSV", 20)
    rows(tmp_path / "sms_test.csv", 4)
    hide(tmp_path)
    splits, texts = said(load_texts, tmp_path)
    assert (len(splits.train), len(splits.test), texts) == (20, 4, [])
    rows(tmp_path / "more.csv", 4)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("a")
    splits, texts = said(load_texts, tmp_path)
    assert len(texts) == 1
    assert "left out 2 of 4 files (1 .csv, 1 .txt), such as more.csv" in texts[0]
    rows(tmp_path / "train_data.csv", 4)
    with pytest.raises(ValueError, match="for one part; keep one of them"):
        as_texts(tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_test_file_without_labels_is_left_out_and_said(suffix, tmp_path):
    rows(tmp_path / "train.csv", 20)
    if suffix == "csv":
        rows(tmp_path / "test.csv", 3, label=False)
    elif suffix == "parquet":
        parquet.write_table(
            pyarrow.table({"text": list("abc")}), tmp_path / "test.parquet"
        )
    else:
        (tmp_path / "test.jsonl").write_text('{"text": "a"}\n' * 3)
    splits, texts = said(load_texts, tmp_path)
    assert (len(splits.train), len(splits.test)) == (16, 4)
    assert texts == ["the test part is left out: none of its 3 texts has a label"]
    rows(tmp_path / "train.csv", 20, label=False)
    with pytest.raises(ValueError, match="has no column 'label'"):
        load_texts(tmp_path)
