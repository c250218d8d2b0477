"""Where datasets come from: a hub without a network is given up at once."""

import os
import subprocess
import sys
import time

import pytest

from multidd.data import sources
from multidd.errors import MultiddError

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


def test_the_hub_is_asked_where_nothing_has_loaded_its_library():
    code = "from multidd.data import sources; sources.check_hub()"
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
