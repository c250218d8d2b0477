"""Condense Cora to 70 nodes and train a plain PyG model on them.

Runs offline on the shipped sample in well under a minute:
python examples/condense_graph.py
"""

import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv

import multidd


class Net(torch.nn.Module):
    """Any PyG model; nothing in it knows multidd."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first = GCNConv(features, 64)
        self.second = GCNConv(64, classes)

    def forward(self, data):
        """Logits of every node."""
        weight = data.get("edge_weight")
        hidden = self.first(data.x, data.edge_index, weight).relu()
        hidden = F.dropout(hidden, training=self.training)
        return self.second(hidden, data.edge_index, weight)


def main() -> None:
    """Condense, train on 70 nodes, test on 1,000 real ones."""
    torch.manual_seed(0)
    real = multidd.samples.cora()
    summary = multidd.graph.gcond(real, ratio=0.026)
    print(summary)
    tiny = summary.to_pyg()

    net = Net(real.num_features, int(real.y.max()) + 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(net(tiny), tiny.y).backward()
        optimizer.step()

    net.eval()
    with torch.no_grad():
        predictions = net(real).argmax(1)
    right = (predictions == real.y)[real.test_mask].float().mean()
    print(f"a GCN trained on {tiny.num_nodes} synthetic nodes: {right:.1%} of the")
    print(f"{int(real.test_mask.sum())} real test papers right")


if __name__ == "__main__":
    main()
