"""Where datasets come from: a hub without a network is given up at once."""

import copy
import os
import subprocess
import sys
import time

import pytest

from multidd.data import sources
from multidd.data.benchmarks import Splits
from multidd.errors import MultiddError, StorageError

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def alone(monkeypatch):
    """No proxy, and the hub at a port where nothing listens."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(sources.urllib.request, "getproxies", dict)


def test_without_a_network_it_fails_at_once(alone):
    start = time.monotonic()
    with pytest.raises(MultiddError, match=r"no connection to 127.0.0.1: .*, do that$"):
        sources.from_hub("pets", "someone/pets", instead="do that")
    assert time.monotonic() - start < sources.HUB_TIMEOUT + 5  # datasets loads slowly


def test_offline_mode_and_proxies_ask_nothing(alone, monkeypatch):
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE=1"):
        sources.check_hub()
    monkeypatch.setattr(sources.urllib.request, "getproxies", lambda: {"https": "x"})
    sources.check_hub()
    monkeypatch.setattr(sources.urllib.request, "getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    sources.check_hub()


def test_below_root(monkeypatch, tmp_path):
    monkeypatch.setenv("MULTIDD_DATA", str(tmp_path))
    (tmp_path / "b").mkdir()
    assert sources.below_root(["a", "b"]) == tmp_path / "b"
    monkeypatch.delenv("MULTIDD_DATA")
    assert sources.below_root(["b"]) is None


def test_what_has_no_digest(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for absent in (path, tmp_path / "absent"):
        with pytest.raises(
            StorageError, match=f"read {absent}: neither a file nor a f"
        ):
            sources.sha256_of(absent)


def test_splits_are_named():
    text = (
        "data holds the splits ['b', 'train']; pass one of them, such as data['train']"
    )
    assert sources.several_splits({"train": 1, "b": 2}) == text
    assert sources.several_splits({}) == "data holds no splits; pass a dataset"


def test_splits_are_copied_and_printed_whole():
    splits = Splits("some", "others", "rest")
    assert repr(splits) == "Splits(train='some', test='others', val='rest')"
    for again in (copy.copy(splits), copy.deepcopy(splits)):
        assert type(again) is Splits
        assert (again.train, again.test, again.val) == ("some", "others", "rest")
    assert repr(Splits("some", "others")) == "Splits(train='some', test='others')"


def test_the_hub_is_asked_where_nothing_has_loaded_its_library():
    code = "from multidd.data import sources; sources.check_hub()"
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
