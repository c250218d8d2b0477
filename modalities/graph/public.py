"""The public names of `multidd.graph`, where they load on first use."""

from multidd.graph.data.benchmarks import load, load_for_evaluation, split
from multidd.graph.data.generators import blocks
from multidd.graph.data.graph_set import GraphSet, as_graph_set, split_graphs
from multidd.graph.data.hetero import homogeneous
from multidd.graph.evaluation.evaluator import Evaluator
from multidd.graph.evaluation.graph_set_evaluator import GraphSetEvaluator
from multidd.graph.methods.condense import CondenseOptions, condense
from multidd.graph.methods.distribution import DMXOptions, GCDMOptions, dm_x, gcdm
from multidd.graph.methods.gradient import (
    DosCondOptions,
    GCondOptions,
    GCondXOptions,
    doscond,
    gcond,
    gcond_x,
)
from multidd.graph.methods.graph_sets import DosCondGraphsOptions, doscond_graphs
from multidd.graph.methods.kernel import GCSNTKOptions, gcsntk
from multidd.graph.methods.options import GraphOptions
from multidd.graph.methods.partition import CGCOptions, cgc
from multidd.graph.methods.presets import preset
from multidd.graph.methods.registry import LEARNED, METHODS, distill
from multidd.graph.methods.selection import herding, kcenter, kmeans, random
from multidd.graph.methods.spectral import GDEMOptions, gdem
from multidd.graph.methods.trajectory import GEOMOptions, SFGCOptions, geom, sfgc
from multidd.graph.methods.transform import Condense
from multidd.graph.summary.external import from_arrays
from multidd.graph.summary.graph_set_summary import GraphSetSummary
from multidd.graph.summary.summary import GraphSummary
from multidd.graph.tasks.graph_set_task import GraphSetTask
from multidd.graph.tasks.node_task import NodeTask

given = load_for_evaluation  # its name before
Judge, SetJudge = Evaluator, GraphSetEvaluator  # their names before

__all__ = [
    "LEARNED",
    "METHODS",
    "CGCOptions",
    "Condense",
    "CondenseOptions",
    "DMXOptions",
    "DosCondGraphsOptions",
    "DosCondOptions",
    "Evaluator",
    "GCDMOptions",
    "GCSNTKOptions",
    "GCondOptions",
    "GCondXOptions",
    "GDEMOptions",
    "GEOMOptions",
    "GraphOptions",
    "GraphSet",
    "GraphSetEvaluator",
    "GraphSetSummary",
    "GraphSetTask",
    "GraphSummary",
    "Judge",
    "NodeTask",
    "SFGCOptions",
    "SetJudge",
    "as_graph_set",
    "blocks",
    "cgc",
    "condense",
    "dm_x",
    "distill",
    "doscond",
    "doscond_graphs",
    "from_arrays",
    "gcdm",
    "gcond",
    "gcond_x",
    "gcsntk",
    "gdem",
    "geom",
    "given",
    "herding",
    "homogeneous",
    "kcenter",
    "kmeans",
    "load",
    "load_for_evaluation",
    "preset",
    "random",
    "sfgc",
    "split",
    "split_graphs",
]
