"""
Train a GCN on 70 nodes instead of 2,708
========================================

Cora is a graph of papers that cite each other. We condense it to 70 synthetic papers,
and train a plain PyG model on the result. Nothing in the model knows multidd.
"""

import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv

import multidd

data = multidd.samples.cora()
summary = multidd.graph.gcond(data, ratio=0.026)
print(summary)

# %%
# What comes out is a plain ``Data``. Edges stay only where validation nodes say that
# they harm no network; on Cora none do.

tiny = summary.to_pyg()
print(tiny)


# %%
# A GCN, as in any tutorial.


class Net(torch.nn.Module):
    """Two layers."""

    def __init__(self, features, classes):
        super().__init__()
        self.first = GCNConv(features, 64)
        self.second = GCNConv(64, classes)

    def forward(self, graph):
        """Logits of every node."""
        weight = graph.get("edge_weight")
        hidden = self.first(graph.x, graph.edge_index, weight).relu()
        hidden = F.dropout(hidden, training=self.training)
        return self.second(hidden, graph.edge_index, weight)


def accuracy(train):
    """Train on one graph, test on the real one."""
    torch.manual_seed(0)
    net = Net(data.num_features, 7)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(net(train), train.y).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        right = net(data).argmax(1) == data.y
    return right[data.test_mask].float().mean().item()


# %%
# Beside it stand 70 random papers, trained on in the same way.

chosen = multidd.graph.random(data, ratio=0.026).to_pyg()
print(f"70 synthetic nodes: {accuracy(tiny):.1%}")
print(f"70 random papers:   {accuracy(chosen):.1%}")

# %%
# And this is how the synthetic nodes lie.

figure = summary.plot()
