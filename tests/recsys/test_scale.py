"""Lines of large logs: generated shards, their costs, what is lost of rare items."""

import pyarrow.parquet
import pytest

from multidd import recsys
from multidd.recsys.evaluation import scale
from multidd.recsys.evaluation.tails import tail_lines


class InProcess:
    """An executor whose jobs run where they are given."""

    def __init__(self, workers, context):
        self.workers = workers

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return None

    def submit(self, function, *args):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*args))
        return future


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(scale, "ProcessPoolExecutor", InProcess)


def test_generated_shards_are_seeded_and_of_the_size_asked_for(tmp_path):
    def write(name: str, seed: int):
        folder = scale.write_log(tmp_path / name, 50, 30, 1001, files=3, seed=seed)
        return pyarrow.parquet.read_table(folder), len(list(folder.iterdir()))

    one, files = write("a", 1)
    assert (len(one), files) == (1001, 3) and one.equals(write("b", 1)[0])
    assert not one.equals(write("c", 2)[0])
    users, items = (one[name].to_numpy() for name in ("user_id", "item_id"))
    assert 0 <= users.min() and users.max() < 50
    assert 0 <= items.min() and items.max() < 30


def test_a_log_of_shards_to_the_end(in_process):
    sizes = {"users": 300, "items": 40, "keep": 100, "workers": 1}
    line = scale.distilled_line(5000, **sizes, synthetic=4, steps=1)
    assert line["events"] == 5000 and line["kept_users"] == 100
    assert line["log_items"] == 40 and line["loss"] > 0
    assert line["worker_megabytes"] > 50 and line["events_per_core_second"] > 0


def test_a_line_writes_its_shards_once(in_process, tmp_path):
    sizes = {"users": 300, "items": 40, "keep": 100, "workers": 1, "folder": tmp_path}
    first = scale.sketch_line(5000, **sizes)
    again = scale.sketch_line(7000, **sizes)
    assert again["events"] == first["events"] == 5000


def test_fewer_users_meet_fewer_items():
    log = recsys.power_law(400, 200, 4000, exponent=1.5)
    whole, few = tail_lines(log, [None, 20], users=8, steps=1)
    assert whole["kept_users"] == 320 and whole["unmet_items"] == 0
    assert few["unmet_items"] > 20 and few["items"] == whole["items"]
    assert 0 < few["unmet_targets"] < 1 and few["unmet_events"] > 0
    assert 0 <= few["tail_recall@100"] <= 1
