"""A report as a page, as LaTeX, as JSON and as files; charts; and several compared."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import multidd
from multidd import graph
from multidd.errors import SchemaError, StorageError
from multidd.evaluation import charts
from multidd.evaluation.comparison import ComparisonReport, named_groups
from multidd.evaluation.document import as_latex, as_page, as_text, document_of
from multidd.evaluation.latex import ESCAPES, escape_latex, latex_table
from multidd.evaluation.page import page
from multidd.evaluation.report import Report, Row
from multidd.evaluation.report_schema import REPORT, read_report
from multidd.evaluation.sections import TITLES, sections
from multidd.storage.fields import json_value
from tests import reports
from tests.golden import tiny

VOID = "meta link img".split()


class Page(HTMLParser):
    """Elements in order, each closed in turn; texts; what is loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def full() -> Page:
    """The page of a report with every part, and of a set with pictures."""
    summary = reports.pictures()
    document = reports.document(summary)
    both = ComparisonReport({name: reports.report(name) for name in ("dm", "kip")})
    return Page(as_page(document | {"comparison": both.to_dict()}, summary))


# --- the page -------------------------------------------------------------------------


def test_the_page_has_every_section_and_stands_alone(full: Page) -> None:
    ids = [a["id"] for a in full.of("section")]
    assert ids == ["plain", "set", "rows", *TITLES, "card", "repeat"]
    links = [a["href"] for a in full.of("a")]
    assert links == ["#main", *(f"#{name}" for name in ids)]
    sources = [a["src"] or "" for a in full.of("img")]
    assert len(sources) == 10
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert [a["href"] for a in full.of("link")] == ["data:,"]
    assert len(full.of("script")) == 1 and not full.of("iframe")
    names = [a["id"] for _, a in full.tags if a.get("id")]
    assert len(names) == len(set(names))


def test_names_of_others_are_text(full: Page) -> None:
    texts = [text for text in full.texts if "alert(" in text]
    assert len(texts) > 10 and not any("&lt;" in text for text in texts)
    attributes = [v or "" for _, a in full.tags for v in a.values()]
    assert not [value for value in attributes if "<script>" in value]


def test_only_its_own_script_may_run(full: Page) -> None:
    import base64
    import hashlib

    policy = next(a["content"] or "" for a in full.of("meta") if "http-equiv" in a)
    script = full.texts[
        [t.startswith('\n"use strict"') for t in full.texts].index(True)
    ]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_charts_have_titles_and_descriptions(full: Page) -> None:
    drawn = full.of("svg")
    assert len(drawn) == 7 and {a["role"] for a in drawn} == {"img"}
    places = [place for place, (tag, _) in enumerate(full.tags) if tag == "svg"]
    for place in places:
        assert [tag for tag, _ in full.tags[place + 1 : place + 3]] == ["title", "desc"]


def test_tables_have_heads_with_a_scope(full: Page) -> None:
    scopes = [a.get("scope") for a in full.of("th")]
    assert set(scopes) == {"col", "row"}
    regions = [a for a in full.of("div") if a.get("role") == "region"]
    assert len(regions) == len(full.of("table")) - 2  # those of the card fold away
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in regions)


def test_a_summary_that_was_not_evaluated_has_a_page() -> None:
    summary = graph.random(tiny.nodes(), nodes=9)
    document = document_of(summary, commands=["multidd distill --config run.toml"])
    assert REPORT.fault(json_value(document), "") is None
    shown = Page(as_page(document, summary))
    assert [a["id"] for a in shown.of("section")] == ["set", "card", "repeat"]
    assert "Nothing was trained on it yet." in shown.texts


def test_facts_beside_real_data_become_tables() -> None:
    facts = (
        "\n\n## Properties\n\n| | real |\n|---|---|\n| nodes | <5> |\n\nunique 1.0\n"
    )
    (section,) = sections({"facts": facts})
    assert section.cells == (("name", "real"), ("nodes", "<5>"))
    assert (section.title, section.notes) == ("Properties", ("unique 1.0",))


# --- the plain form -------------------------------------------------------------------

KEYS = """format multidd headline commands summary method metric extra_metrics digits
rows protocol data footer notes facts plain regimes scores teacher significance transfer
costs seeds audit comparison curve""".split()


def test_the_schema_holds_the_documented_keys() -> None:
    assert list(REPORT.fields) == KEYS
    page = (Path(__file__).parents[2] / "docs/guides/evaluation.md").read_text()
    table = page.partition("## report.json")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == KEYS


@pytest.mark.parametrize("parts", [{}, reports.parts()], ids=["bare", "full"])
def test_a_document_fits_the_schema(parts: dict) -> None:
    summary = graph.random(tiny.nodes(), nodes=9)
    document = reports.report(summary=summary).to_document(reports.curve()) | parts
    assert set(document) == set(KEYS)
    assert REPORT.fault(json_value(document), "") is None
    wrong = json_value(document)
    wrong["rows"][0]["values"]["accuracy"] = "much"
    assert "rows[0].values.accuracy" in str(REPORT.fault(wrong, ""))
    del wrong["costs"]
    assert "lacks costs" in str(REPORT.fault(wrong, ""))


def test_files(tmp_path: Path) -> None:
    report = reports.report()
    assert report.save(tmp_path / "new") == tmp_path / "new/report.html"
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["report.html", "report.json", "report.md"]
    assert read_report(tmp_path / "new") == json_value(report.to_document())
    assert (tmp_path / "new/report.md").read_text() == report.to_markdown()
    path = report.save(tmp_path / "table.tex")
    assert path.read_text() == report.to_latex()
    with pytest.raises(ValueError, match="a folder, or to a file that ends in .html"):
        report.save(tmp_path / "report.pdf")
    with pytest.raises(ValueError, match="a path is empty"):
        report.save("")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        report.save(tmp_path / "file/inside")


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    report = Report(
        (Row("dm", "mlp", {"accuracy": (0.5,), "loss": (math.nan,)}),),
        {"name": "quick"},
        {},
        "dm",
        "accuracy",
    )
    report.save(tmp_path)
    assert read_report(tmp_path)["rows"][0]["values"]["loss"] == [None]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = reports.report().save(tmp_path / "report.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": 2}))
    with pytest.raises(SchemaError, match="format is 2; it must be"):
        read_report(path)


# --- LaTeX ----------------------------------------------------------------------------


def test_latex_has_balanced_braces_and_no_bare_letters() -> None:
    text = as_latex(reports.document())
    assert text.count(r"\begin{table}") == 2 + len(TITLES) - 1  # none is compared
    for environment in ("table", "tabular"):
        begun, ended = (text.count(f"\\{w}{{{environment}}}") for w in ("begin", "end"))
        assert begun == ended > 0
    bare = re.sub(r"\\[{}%&_#$]", "", text)
    assert bare.count("{") == bare.count("}")
    assert "<" not in bare and "^" not in bare and '"' not in bare
    assert text.count(r"\textless{}script\textgreater{}alert('x')") > 3


def test_every_line_of_a_latex_table_has_as_many_cells() -> None:
    hostile = "".join(ESCAPES)
    table = latex_table([["a", "b"], [hostile, "[1]"], ["[", "2"]], hostile, "x")
    lines = [line for line in table.splitlines() if line.endswith(r"\\")]
    counts = {len(re.findall(r"(?<!\\)&", line)) for line in lines}
    assert len(lines) == 3 and counts == {1}
    assert "{}[ & 2" in table
    with pytest.raises(ValueError, match="a label has letters"):
        latex_table([["a"], ["b"]], "", "x}y")


def test_a_backslash_is_escaped_once() -> None:
    assert escape_latex(r"\{") == r"\textbackslash{}\{"


# --- charts ---------------------------------------------------------------------------


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_are_seen_on_white_and_on_nearly_black() -> None:
    style = (Path(multidd.__file__).parent / "evaluation/page.css").read_text()
    dark = re.findall(r"--page: (#\w+)", style)[-1]
    for color in charts.COLORS:
        for ground in ("#ffffff", dark):
            low, high = sorted((luminance(color), luminance(ground)))
            assert (high + 0.05) / (low + 0.05) >= 3, (color, ground)


def places(svg: str, name: str = "cx") -> list[float]:
    return [float(n) for n in re.findall(rf'<circle {name}="([\d.]+)"', svg)]


def test_dots_stand_in_order_of_their_means_and_inside() -> None:
    values = [0.0, 12.5, 50.0, 100.0]
    rows = [(str(v), [charts.Dot("one", v)]) for v in values]
    across = places(charts.dots("t", "d", rows))
    assert across == sorted(across) and 0 < across[0] < across[-1] < charts.WIDTH
    steps = np.diff(across) / np.diff(values)
    assert steps == pytest.approx([steps[0]] * 3, abs=0.02)


def test_an_axis_of_powers_is_even_in_factors() -> None:
    svg = charts.scatter("t", "d", {"one": [(1, 5.0), (10, 6.0), (100, 7.0)]})
    first, second, third = places(svg)
    assert second - first == pytest.approx(third - second, abs=0.2)


@pytest.mark.parametrize("value", [0.0, 1e-9, 100.0, -3.0, 1e6])
def test_a_single_value_is_drawn(value: float) -> None:
    svg = charts.dots("t", "d", [("row", [charts.Dot("one", value)])])
    assert "nan" not in svg and len(places(svg)) == 1


def test_what_is_not_finite_is_left_out() -> None:
    dot = charts.Dot("one", math.nan)
    assert charts.dots("t", "d", [("row", [dot])]) == ""
    assert charts.dots("t", "d", []) == charts.lines("t", "d", {}) == ""
    assert charts.heat("t", "d", ["r"], ["c"], [[None]]) == ""
    assert charts.scatter("t", "d", {"one": [(0.0, 1.0)]}) == ""


def test_series_beyond_the_colours_have_marks_of_their_own() -> None:
    names = [f"series {i}" for i in range(12)]
    svg = charts.dots("t", "d", [("r", [charts.Dot(n, 1.0) for n in names])])
    marks = re.findall(r"<(circle|polygon)[^>]*?points=\"|<(circle)", svg)
    assert len(marks) == 24  # and those of the key
    colors = re.findall(r'class="mark" fill="(#\w+)"', svg)
    assert len(colors) == 12 and len(set(colors)) == 6


# --- several compared -----------------------------------------------------------------

SHORT = multidd.Protocol("short", epochs=2)


def test_baselines_stand_once_and_are_trained_once(monkeypatch) -> None:
    data = tiny.nodes()
    calls = []
    fit = graph.Evaluator.fit

    def counted(self, summary, model, protocol, seed):
        calls.append(None if summary is None else summary.card.method)
        return fit(self, summary, model, protocol, seed)

    monkeypatch.setattr(graph.Evaluator, "fit", counted)
    sets = [graph.kmeans(data, nodes=9), graph.herding(data, nodes=9)]
    sets.append(graph.herding(data, nodes=12))
    settings = {"protocol": SHORT, "rows": ["random"], "progress": False, "seeds": 2}
    both = multidd.compare(sets, data, **settings)
    assert both.names == ["kmeans", "herding", "herding-2"]
    rows = [(r["row"], r["size"], r["is_baseline"]) for r in both.records()]
    baselines = [("random", 9, True), ("random", 12, True)]
    assert rows[:2] == baselines
    assert [row[0] for row in rows[2:]] == both.names
    assert calls.count("random") == 4  # two sizes, two seeds
    alone = multidd.evaluate(sets[1], data, **settings)
    assert both.reports["herding"].rows[-1].values == alone.rows[-1].values
    assert any("not of one size" in note for note in both.notes())
    assert "Summaries compared" in str(both) and "| herding-2 |" in both.to_markdown()


def test_evaluate_beside_others() -> None:
    data = tiny.nodes()
    settings = {"protocol": SHORT, "rows": [], "progress": False, "seeds": 1}
    mine, other = graph.random(data, nodes=9), graph.herding(data, nodes=9)
    report = multidd.evaluate(mine, data, compare={"theirs": other}, **settings)
    assert report.method == "random" and report.comparison is not None
    assert report.comparison.names == ["random", "theirs"]
    alone = multidd.evaluate(mine, data, **settings)
    assert alone.rows[0].values == report.rows[0].values and alone.comparison is None
    compared = report.to_dict()["comparison"]
    assert [row["method"] for row in compared["rows"]] == ["random", "herding"]
    assert "Summaries compared" in str(report)


def test_a_comparison_is_saved(tmp_path: Path) -> None:
    both = ComparisonReport(
        {n: reports.report(n) for n in ("dm", "kip")}, ("multidd ...",)
    )
    both.save(tmp_path)
    document = read_report(tmp_path)
    assert document["comparison"]["names"] == ["dm", "kip"]
    assert document["commands"] == ["multidd ..."] and document["rows"] == []
    shown = Page(both.to_html())
    assert [a["id"] for a in shown.of("section")] == ["comparison", "repeat"]
    assert "Comparison of dm, kip" in shown.texts
    assert both.to_latex().count(r"\begin{table}") == 1
    frame = both.to_pandas()
    assert list(frame.row) == [r["row"] for r in both.records()]
    # Rows of the same scores stand once: four of each model, and two summaries.
    assert len(frame) == 2 * (4 + 2)
    assert frame.share.notna().sum() == 4


def test_a_baseline_that_is_a_summary_too_says_so() -> None:
    rows = reports.report("dm").rows
    random = Report(rows[2:4], {"name": "quick"}, {}, "random", "accuracy")
    both = ComparisonReport({"dm": reports.report("dm"), "random": random})
    names = [record["row"] for record in both.records()]
    assert "random (baseline)" in names and names.count("random") == 2


def test_what_cannot_be_compared() -> None:
    data = tiny.nodes()
    summary = graph.random(data, nodes=9)
    with pytest.raises(ValueError, match="nothing to compare"):
        multidd.compare([], data)
    with pytest.raises(TypeError, match="compare takes summaries"):
        named_groups([summary, "herding"])
    with pytest.raises(
        ValueError, match="of one kind can be compared; random is graph"
    ):
        multidd.compare([summary, reports.pictures()], data)


def test_different_baselines_of_one_size_name_their_summary() -> None:
    first = reports.report("dm")
    rows = tuple(
        replace(row, values={"accuracy": (0.1, 0.2, 0.3)})
        if row.name == "random"
        else row
        for row in reports.report("kip").rows
    )
    both = ComparisonReport(
        {"dm": first, "kip": replace(first, rows=rows, method="kip")}
    )
    names = {record["row"] for record in both.records()}
    assert {"random (for dm)", "random (for kip)"} <= names


def test_text_has_what_was_asked_for() -> None:
    document = reports.document()
    text = as_text(document, 60)
    assert "Label regimes" in text and "Costs" not in text
    # Of an audit the sentences alone: its table is long.
    assert "The attack gains nothing." in text and "advantage" not in text
    assert max(map(len, text.splitlines())) <= 60
    assert page(document).count("<section") == 2 + len(TITLES) - 1 + 1
