"""The entry of graphs: command line, demo, defaults of curves."""

from typing import Annotated, Any

from multidd.modality import Bench, Curve, Demo, Listed, Modality, Parts

__all__ = ["ENTRY"]


def options(
    method: str,
    data: Annotated[str, "cora, citeseer, another benchmark, or its folder."] = "cora",
    ratio: Annotated[
        float | None, "Synthetic nodes, as a share of the graph's."
    ] = None,
    nodes: Annotated[int | None, "Synthetic nodes in all."] = None,
    per_class: Annotated[int | None, "Synthetic nodes of each class."] = None,
    inductive: Annotated[bool, "See training nodes only."] = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Condense a graph, to one of --ratio, --nodes and --per-class."""
    source = {"data": data, "inductive": inductive}
    budget = {"ratio": ratio, "nodes": nodes, "per_class": per_class}
    return source, budget | {"inductive": inductive}


def parts() -> Parts:
    """Summaries, evaluators, methods, data and published numbers."""
    from multidd import graph
    from multidd.graph.data import benchmarks
    from multidd.graph.evaluation import published

    return Parts(
        summaries={"graph": graph.GraphSummary, "graph.sets": graph.GraphSetSummary},
        evaluators={"graph": graph.Evaluator, "graph.sets": graph.GraphSetEvaluator},
        methods=graph.METHODS,
        with_loop=graph.LEARNED,
        load_for_evaluation=graph.load_for_evaluation,
        data_names=("sample:", *benchmarks.DATASETS),
        published=published,
    )


ENTRY = Modality(
    name="graph",
    about="Graph condensation",
    face="multidd.graph",
    method="gcond",
    options=options,
    parts=parts,
    demo=Demo(
        title="Cora: 2,708 papers, condensed to 70 synthetic ones ...",
        data="sample:cora",
        method="gcond",
        options={"ratio": 0.026},
    ),
    curve=Curve(
        data="cora",
        methods=("condense", "gcond_x", "random", "kmeans"),
        budget="ratio",
        values=(0.013, 0.026, 0.0517),
        option="ratios",
        whole=False,
    ),
    bench=Bench(runs=5, trainings=3),
    listed=Listed(
        methods=(
            "gcond gcond_x doscond gcdm dm_x sfgc geom gcsntk gdem cgc condense "
            "random herding kcenter kmeans"
        ).split(),
        models="gcn sgc appnp sage chebnet gat mlp kernel gin".split(),
        protocols="gcond doscond".split(),
        data=(
            "sample:cora cora citeseer pubmed amazon-photo flickr ogbn-arxiv mutag "
            "proteins"
        ).split(),
    ),
)
