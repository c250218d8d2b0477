"""The entry of recommenders: command line, demo, defaults of curves."""

from typing import Annotated, Any

from multidd.modality import Bench, Curve, Demo, Listed, Modality, Parts

__all__ = ["ENTRY"]

USUAL = "Its column; a usual name is found."


def options(
    method: str,
    data: Annotated[
        str,
        "A parquet, CSV or .inter file, a folder of parquet files, ml-1m, or another "
        "benchmark.",
    ] = "sample:movietweetings",
    user: Annotated[str | None, USUAL] = None,
    item: Annotated[str | None, USUAL] = None,
    rating: Annotated[str | None, USUAL] = None,
    time: Annotated[str | None, USUAL] = None,
    split: Annotated[str | None, "Column of train, val, test; else by chance."] = None,
    min_rating: Annotated[float | None, "Leave out events rated below."] = None,
    min_user: Annotated[int | None, "Leave out users with fewer items."] = None,
    min_item: Annotated[int | None, "Leave out items with fewer users."] = None,
    users: Annotated[int, "Synthetic users."] = 500,
    length: Annotated[
        str | None, "Items of each, or mean: zeros and ones, not fractions."
    ] = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Distill an interaction log to --users synthetic users."""
    columns: dict[str, Any] = {
        "user": user,
        "item": item,
        "rating": rating,
        "time": time,
        "split": split,
        "min_rating": min_rating,
        "min_user": min_user,
        "min_item": min_item,
    }
    source = {name: value for name, value in columns.items() if value is not None}
    settings: dict[str, Any] = {"users": users}
    if length is not None:
        if method != "distill_cf":
            raise ValueError(f"--length is for distill_cf, not for {method}")
        if not (length == "mean" or length.isdecimal()):
            raise ValueError(f"--length is a number or mean, got {length!r}")
        settings["length"] = length if length == "mean" else int(length)
    return {"data": data} | source, settings


def sketch_options(
    users: Annotated[int, "Users that are kept at most."] = 200_000,
    user: Annotated[str | None, USUAL] = None,
    item: Annotated[str | None, USUAL] = None,
    rating: Annotated[str | None, "Its column; else none is read."] = None,
    time: Annotated[str | None, "Its column; else none is read."] = None,
    split: Annotated[str | None, "Column of train, val, test."] = None,
    min_rating: Annotated[float | None, "Leave out events rated below."] = None,
    min_user: Annotated[int | None, "Leave out users with fewer items."] = None,
    min_item: Annotated[int | None, "Leave out items with fewer events."] = None,
) -> dict[str, Any]:
    """Keep --users whole users of a log larger than memory, as a parquet file."""
    columns = {"user": user, "item": item, "rating": rating, "time": time}
    limits = {"min_rating": min_rating, "min_user": min_user, "min_item": min_item}
    return {"users": users, **columns, "split": split, **limits}


def parts() -> Parts:
    """Summaries, evaluators, methods, data and published numbers."""
    from multidd import recsys
    from multidd.recsys.data import benchmarks
    from multidd.recsys.data.sketch import write_log
    from multidd.recsys.evaluation import choices, published

    return Parts(
        summaries={"recsys": recsys.RecsysSummary},
        evaluators={"recsys": recsys.Evaluator},
        methods=recsys.METHODS,
        with_loop=recsys.LEARNED,
        load_for_evaluation=recsys.load_for_evaluation,
        data_names=("sample:", benchmarks.GENERATED, *benchmarks.DATASETS),
        published=published,
        choices=choices,
        sketch=recsys.sketch,
        write_data=write_log,
    )


ENTRY = Modality(
    name="recsys",
    about="Recommender summaries",
    face="multidd.recsys",
    method="distill_cf",
    options=options,
    parts=parts,
    sketch=sketch_options,
    demo=Demo(
        title="MovieTweetings: 2,290 users of films, distilled to 50 ...",
        data="sample:movietweetings",
        method="distill_cf",
        options={"users": 50},
        evaluate={
            "seeds": 1,
            "models": ["infinite_ae", "ease"],
            "rows": ["whole", "random", "random_bytes", "herding", "kcenter", "kmeans"],
        },
    ),
    curve=Curve(
        data="sample:movietweetings",
        methods=("distill_cf", "random", "kmeans"),
        budget="users",
        values=(20, 50, 100),
        option="users",
    ),
    bench=Bench(),
    listed=Listed(
        methods=(
            "distill_cf random head herding kcenter kmeans svp interactions"
        ).split(),
        models="infinite_ae ease itemknn poprec als multvae lightgcn".split(),
        protocols="tuned untuned".split(),
        data="sample:movietweetings power-law: ml-1m ml-100k movietweetings".split(),
    ),
)
