"""What notebooks show: pieces of HTML, and what every object makes of them."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

import multidd
from multidd import graph, html, images, recsys, text
from multidd.evaluation.curve import Curve, Point
from tests.golden import tiny
from tests.methods.cases import CASES, made_by

VOID = ("img", "line", "circle", "polyline")
"""Elements that need not be closed."""

FORBIDDEN = {"script", "style", "link", "iframe", "object", "a", "form", "input"}


class Balanced(HTMLParser):
    """Fails on elements that are not closed in turn, and notes what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert tag not in FORBIDDEN and not any(k.startswith("on") for k, _ in attrs)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def read(page: str) -> Balanced:
    """The page, known to be sound, to stand alone and to inherit its colours."""
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert not parser.open
    assert all(s.startswith("data:image/png;base64,") for s in parser.sources)
    assert not re.search(r"[^-]color:(?!inherit|currentColor)", page)
    return parser


HOSTILE = "<img src=x onerror=alert(1)>\"&'"


# --- the pieces -----------------------------------------------------------------------


def test_everything_is_escaped() -> None:
    image = np.zeros((2, 3), np.uint8)
    parts = [
        html.table([[HOSTILE], [HOSTILE]]),
        html.facts({HOSTILE: HOSTILE}),
        html.details(HOSTILE, ""),
        html.note(HOSTILE),
        html.pictures([image], [HOSTILE]),
        html.curve([1.0, 2.0], HOSTILE),
    ]
    parser = read(html.box(HOSTILE, *parts))
    assert parser.seen.count("img") == 1 and parser.text.count("onerror") == 9


def test_numbers_stand_on_the_right() -> None:
    cells = [["a", "b", "c"], ["81.0 ± 0.3", "1, 2", "<0.1"], ["7.1 (1 seed)", "3", ""]]
    sides = re.findall(r"text-align:(\w+)", html.table(cells))
    assert sides == ["right", "left", "right"] * 3


def test_long_tables_are_cut() -> None:
    page = html.table([["n"], *([i] for i in range(2000))], max_rows=3)
    assert read(page).seen.count("tr") == 4 and "1,997 more rows" in page


def test_pictures_are_those_that_were_given() -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    source = read(html.pictures([image], ["one"])).sources[0]
    stored = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert np.array_equal(np.asarray(stored), image)


def test_curves_leave_out_what_is_not_finite() -> None:
    page = html.curve([3.0, float("nan"), 1.0, float("inf")])
    assert "3 to 1" in page and page.count(",") == 2
    assert html.curve([float("nan")] * 3) == html.curve([]) == ""
    assert html.curve([2.0, 2.0]).count("polyline") == 1


def test_a_graph_of_one_node_is_drawn() -> None:
    page = html.drawing(np.zeros((1, 2)), np.zeros((0, 2), int), ["#000"])
    assert read(page).seen.count("circle") == 1 and "nan" not in page


def test_classes_come_in_turn() -> None:
    labels = np.array([2, 0, 0, 0, 2, 1])
    assert html.in_turn(labels, 4).tolist() == [1, 2, 5, 0]
    assert html.in_turn(labels, 99).tolist() == [1, 2, 3, 5, 0, 4]
    assert html.in_turn(labels[:0], 4).tolist() == []


# --- what objects show ----------------------------------------------------------------

NAMES = ("random", "kmeans", "pursuit", "doscond_graphs", "kfs", "kip", "distill_cf")


@pytest.mark.parametrize("case", [c for c in CASES if c.name in NAMES], ids=str)
def test_summaries(case: Any) -> None:
    summary = made_by(case)
    page = summary._repr_html_()
    parser = read(page)
    assert summary.card.method in parser.text and summary.preview() in page
    expected = {"images": "img", "graph": "circle", "text": "td", "recsys": "td"}
    assert expected[case.kind] in parser.seen
    assert len(page) < 200_000
    assert 60 <= len(repr(summary)) <= 120 and len(repr(summary.card)) <= 120
    assert read(summary.card._repr_html_()).seen.count("details") == 2


def test_hostile_names_of_data() -> None:
    """Classes, texts and ids come from files of others."""
    x, y = tiny.images()
    of_images = images.random((x, [f"{HOSTILE}{label}" for label in y]), 1)
    texts = [f"{HOSTILE} {number}" for number in range(6)]
    few = (texts, [HOSTILE, "b"] * 3)
    of_texts = text.random(few, 1, encoder=lambda some: [[1.0, len(t)] for t in some])
    for shown in (of_images, of_texts, of_texts.decode(), text.as_texts(few)):
        page = shown._repr_html_()
        assert "<img src=x" not in page and "&lt;img src=x" in page
        read(page)


def test_data_sets_show_themselves() -> None:
    assert read(images.as_images(tiny.images())._repr_html_()).seen.count("img") == 30
    assert read(text.as_texts(tiny.texts())._repr_html_()).seen.count("tr") == 11
    assert "training users" in read(tiny.log()._repr_html_()).text


def test_reports_and_curves() -> None:
    short = multidd.Protocol("short", epochs=2)
    data = tiny.nodes()
    summary = graph.random(data, nodes=9)
    report = multidd.evaluate(summary, data, seeds=1, protocol=short, rows=["herding"])
    page = report._repr_html_()
    parser = read(page)
    assert page.partition("</table>")[0].count("<tr") == 3
    assert "Protocol 'short'" in parser.text
    points = [Point("random", b, 9, (0.5, 0.6), 0.1, 4096) for b in (0.1, 0.2)]
    curve = Curve(tuple(points), "ratio", "gcn", "accuracy", (0.9,), ("a < b",))
    parser = read(curve._repr_html_())
    assert parser.seen.count("tr") == 4 and "polyline" in parser.seen
    assert "Left out: a < b." in parser.text


def test_what_was_scored_stands_on_the_card() -> None:
    summary = recsys.random(tiny.log(), 4)
    scores = {"metric": "hr@10", "values": [0.5], "seeds": [0]}
    card = replace(summary.card, score={"ease": scores})
    assert "hr@10" in read(card._repr_html_()).text
