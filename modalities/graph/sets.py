"""Sets of graphs: the names under which the core finds their summary and judge."""

from multidd.graph.data.benchmarks import given
from multidd.graph.evaluation.evaluator import SetJudge as Judge
from multidd.graph.summary.graph_set_summary import GraphSetSummary

__all__ = ["GraphSetSummary", "Judge", "given"]
