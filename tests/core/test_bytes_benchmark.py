"""`multidd bench bytes`: controls of as many bytes, rows of a file, and their page."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from multidd import modality
from multidd.evaluation import bytes_benchmark
from multidd.evaluation.bytes_benchmark import measure, page
from multidd.evaluation.evaluator import largest
from multidd.evaluation.lines import Line
from multidd.evaluation.results import Results
from tests.golden import tiny


@pytest.mark.parametrize(
    ("size_of", "most", "num_bytes", "start", "items"),
    [
        (lambda n: 10 * n, 10**9, 1005, 50, 100),
        (lambda n: 10 * n + 300, 10**9, 1005, 5, 70),
        (lambda n: round(20 * n**0.8), 10**9, 5000, 50, 994),
        (lambda n: 10 * n, 70, 1005, 50, 70),  # there are no more
        (lambda n: 10 * n, 10**9, 45, 4, 4),
    ],
)
def test_the_largest_control_of_as_many_bytes(
    size_of: Any, most: int, num_bytes: int, start: int, items: int
) -> None:
    def make(budget: int) -> Any:
        if not 1 <= budget <= most:
            raise ValueError(f"there are {most}")
        return SimpleNamespace(num_bytes=size_of(budget), items=budget)

    control: Any = largest(make, num_bytes, start)
    assert control.num_bytes <= num_bytes
    assert 0.95 * items <= control.items <= items


def test_no_control_where_none_fits() -> None:
    make: Any = lambda n: SimpleNamespace(num_bytes=10 * n)  # noqa: E731
    assert largest(make, 5, 50) is None


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One set of the log of the tests, judged by the quickest recommender."""
    log = tiny.log()
    line = Line("tiny", {"users": 5}, "herding", models=("poprec",), note="byte test")
    parts = modality.parts("recsys")
    whole = parts.published.WHOLE_TENSORS
    published = SimpleNamespace(LINES=(), BYTES=(line,), WHOLE_TENSORS=whole)
    modality_parts = SimpleNamespace(
        methods=parts.methods,
        evaluators=parts.evaluators,
        published=published,
        load_for_evaluation=lambda data, seed: (log, {"on": log}),
    )
    monkeypatch.setattr(bytes_benchmark.modality, "parts", lambda name: modality_parts)
    monkeypatch.setattr(bytes_benchmark.modality, "names", lambda: ("recsys",))
    return line


def test_rows_of_each_number_of_bits(users: Line, tmp_path: Path) -> None:
    out = tmp_path / "bytes.json"
    rows = measure(seeds=1, trainings=1, bits=(32, 3), out=out)
    assert rows[0]["method"] == "whole" and rows[0]["bits"] == "exact"
    assert {row["bits"] for row in rows[1:]} == {"32", "3"}
    for bits in ("32", "3"):
        named = [row for row in rows if row["bits"] == bits]
        methods = [row["method"] for row in named]
        assert methods[:2] == ["herding", "random"] and set(methods[2:]) <= {"kmeans"}
        sizes = [float(row["KiB"].replace(",", "")) for row in named]
        assert max(sizes[1:]) <= sizes[0] + 0.05
    assert all(row["error"] == "0" for row in rows if row["method"] == "random")
    results = Results.read(out, "bytes")
    assert [dict(line.cells) for line in results.lines.values()] == rows
    (command,) = {line.command for line in results.lines.values()}
    assert command.endswith("byte test' --seeds 1 --bits 32,3 --trainings 1")
    text = page(out)
    assert text.startswith(f"**{users.name}**\n\n| method | bits | items | KiB | score")
    assert text.count("\n|") == len(rows) + 2  # and two of the head


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "nothing like it"}, "no set has 'nothing like it' in its name"),
        ({"bits": [3, 5]}, r"bits must be of 32, 8, 4, 3, 2; got \[3, 5\]"),
        ({"out": Path("table.md")}, r"out must be a \.json file, got 'table\.md'"),
    ],
)
def test_what_cannot_be_measured(
    users: Line, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(**options)


def test_some_bits_alone_and_a_set_that_is_learned_so(
    users: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looped = replace(users, method="distill_cf", options={"steps": 1, "draws": 4})
    published: Any = bytes_benchmark.modality.parts("recsys").published
    monkeypatch.setattr(published, "BYTES", (looped,))
    rows = measure(seeds=1, trainings=1, bits=[2], out=tmp_path / "bytes.json")
    assert {row["bits"] for row in rows} == {"exact", "2"}
    assert rows[-1]["method"] == "distill_cf, learned so"
    (line, *_) = Results.read(tmp_path / "bytes.json", "bytes").lines.values()
    assert " --bits 2 " in line.command
    rows = measure(seeds=1, trainings=1, bits=[], kib=[2], out=tmp_path / "kib.json")
    fitted = [row for row in rows if row["method"] != "whole"]
    assert fitted and fitted[0]["method"] == "distill_cf"
    assert all(row["bits"].endswith(", within 2 KiB") for row in fitted)
    assert all(float(row["KiB"]) <= 2 for row in fitted)
    (*_, line) = Results.read(tmp_path / "kib.json", "bytes").lines.values()
    assert " --bits none --kib 2 " in line.command
    rows = measure(seeds=1, trainings=1, bits=[8])
    assert {row["method"] for row in rows} <= {
        "whole",
        "distill_cf",
        "random",
        "kmeans",
    }


def test_a_set_that_fills_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bits are its own choice; controls take no more bytes in as many bits."""
    images, parts = tiny.images(), modality.parts("images")
    few = {"teacher_steps": 1, "width": 4, "updates": 1, "candidates": ("medoids",)}
    line = Line(
        "tiny", {"budget_bytes": 700}, "distill", options=few, models=("kernel",)
    )
    published = SimpleNamespace(LINES=(), BYTES=(line,), SMALLEST={"ipc": 1})
    filled = SimpleNamespace(
        methods=parts.methods,
        distill=parts.distill,
        evaluators=parts.evaluators,
        published=published,
        load_for_evaluation=lambda data, seed: (images, {"on": images}),
    )
    monkeypatch.setattr(bytes_benchmark.modality, "parts", lambda name: filled)
    monkeypatch.setattr(bytes_benchmark.modality, "names", lambda: ("images",))
    rows = measure(seeds=1, trainings=1)
    assert [row["method"] for row in rows] == ["distill", "random", "kmeans"]
    assert {row["bits"] for row in rows} <= {
        f"{bits}, within 0.7 KiB" for bits in (2, 3, 4)
    }
    sizes = [float(row["KiB"]) for row in rows]
    assert max(sizes[1:]) <= sizes[0] <= 0.7


def test_every_modality_has_a_set_and_says_what_whole_data_take() -> None:
    for name in modality.names():
        published = modality.parts(name).published
        assert published.BYTES and callable(published.WHOLE_TENSORS), name
