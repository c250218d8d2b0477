"""Sets of graphs: the names under which the core finds their summary and judge."""

from multidd.graph.data import given
from multidd.graph.set_judge import SetJudge as Judge
from multidd.graph.set_summary import GraphSetSummary

__all__ = ["GraphSetSummary", "Judge", "given"]
