"""
How small may it be?
====================

Scores against the number of nodes, for a method and two kinds of real papers. Draw this
before you choose a budget; ``multidd curve`` does it from the command line.
"""

import matplotlib.pyplot as plt

import multidd

data = multidd.samples.cora()
budgets = [1, 3, 10]
short = multidd.Protocol("short", epochs=60, check_every=5)
scores = {"kmeans": [], "herding": [], "random": []}
for per_class in budgets:
    summary = multidd.graph.kmeans(data, per_class=per_class)
    report = multidd.evaluate(
        summary,
        on=data,
        protocol=short,
        rows=["herding", "random"],
        seeds=1,
        regimes=(),
    )
    for name in scores:
        scores[name].append(report.accuracy("gcn", name))

# %%
# Seven cluster means do as well as seventy random papers.

figure, axis = plt.subplots(figsize=(5, 3.5))
for name, values in scores.items():
    axis.plot([7 * n for n in budgets], values, marker="o", label=name)
axis.set_xlabel("nodes")
axis.set_ylabel("test accuracy of a GCN")
axis.legend()
figure.tight_layout()
