"""Graph condensation for node classification."""

from multidd.graph._selections import herding, kcenter, kmeans, random
from multidd.graph.judge import Judge
from multidd.graph.summary import GraphSummary
from multidd.graph.task import NodeTask

__all__ = ["GraphSummary", "Judge", "NodeTask", "herding", "kcenter", "kmeans", "random"]
