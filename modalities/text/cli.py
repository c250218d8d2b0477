"""The entry of texts: command line, demo, defaults of curves."""

from typing import Annotated, Any

from multidd.modality import Bench, Curve, Demo, Listed, Modality, Parts

__all__ = ["ENTRY"]

USUAL = "Its column; a usual name is found."


def options(
    method: str,
    data: Annotated[
        str,
        "sample:sms, trec6, sst2, a parquet, CSV, TSV or JSON lines file, a folder, or "
        "a hub id.",
    ] = "sample:sms",
    text: Annotated[str | None, USUAL] = None,
    pair: Annotated[str | None, "Column of second texts, if any."] = None,
    label: Annotated[str | None, USUAL] = None,
    per_class: Annotated[int | None, "Texts of each class; 10 without --total."] = None,
    total: Annotated[int | None, "Texts in all, each class by its size."] = None,
    encoder: Annotated[str | None, "Its hub id or folder; else MiniLM."] = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Distill labelled texts, to --per-class or to --total."""
    columns = {"text": text, "pair": pair, "label": label}
    source = {name: value for name, value in columns.items() if value is not None}
    if per_class is None and total is None:
        per_class = 10
    budget = {"per_class": per_class, "total": total}
    return {"data": data} | source, budget | {"encoder": encoder}


def sketch_options(
    per_class: Annotated[int, "Texts of each class that are kept at most."] = 5_000,
    text: Annotated[str, "Column of texts."] = "text",
    pair: Annotated[str | None, "Column of second texts, if any."] = None,
    label: Annotated[str, "Column of labels."] = "label",
) -> dict[str, Any]:
    """Keep --per-class texts of data larger than memory, as a parquet file."""
    return {"per_class": per_class, "text": text, "pair": pair, "label": label}


def parts() -> Parts:
    """Summaries, evaluators, methods, data and published numbers."""
    from multidd import text
    from multidd.text.data import benchmarks
    from multidd.text.data.sketch import write_texts
    from multidd.text.evaluation import choices, published

    return Parts(
        summaries={"text": text.TextSummary},
        evaluators={"text": text.Evaluator},
        methods=text.METHODS,
        with_loop=text.LEARNED,
        load_for_evaluation=text.load_for_evaluation,
        data_names=("sample:", *benchmarks.DATASETS),
        published=published,
        choices=choices,
        sketch=text.sketch,
        write_data=write_texts,
    )


ENTRY = Modality(
    name="text",
    about="Text distillation",
    face="multidd.text",
    method="pursuit",
    options=options,
    parts=parts,
    sketch=sketch_options,
    demo=Demo(
        title="SMS spam: 4,165 messages, of which 20 are chosen ...",
        data="sample:sms",
        method="pursuit",
        options={"per_class": 10, "max_length": 256},
        evaluate={"models": ["kernel", "logistic"]},
    ),
    curve=Curve(
        data="sample:sms",
        methods=("pursuit", "random", "kmeans"),
        budget="per_class",
        values=(5, 10, 20),
        option="per-class",
    ),
    bench=Bench(runs=5),
    listed=Listed(
        methods=(
            "kip frepo dm dc mtt pursuit tbptt tokens attention_labels random "
            "herding kcenter medoids kmeans"
        ).split(),
        models="kernel logistic softmax textcnn gru lstm replay".split(),
        protocols="text quick".split(),
        data="sample:sms sms trec6 sst2".split(),
    ),
)
