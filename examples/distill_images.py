"""Distill Fashion-MNIST to one image per class and train a plain torch model on them.

Runs offline on the shipped sample in under a minute:
python examples/distill_images.py
"""

import torch
import torch.nn.functional as F
from torch import nn

import multidd


def network() -> nn.Module:
    """Any torch model; nothing in it knows multidd."""
    blocks: list[nn.Module] = []
    for into, out in ((1, 32), (32, 32), (32, 32)):
        conv = nn.Conv2d(into, out, 3, padding=1)
        blocks += [conv, nn.GroupNorm(out, out), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(32 * 3 * 3, 10))


def accuracy(summary: multidd.DataSummary, test: multidd.images.Images) -> float:
    """Train on the ten images of a summary, test on 1,000 real ones."""
    torch.manual_seed(0)
    x, y = summary.to_tensors()
    net = network()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(300):
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        sgd.step()
    with torch.no_grad():
        predictions = net(summary.transform(test.x)).argmax(1)
    return (predictions == test.labels).float().mean().item()


def main() -> None:
    """Distill, train on 10 images, beside 10 random real ones."""
    train, test = multidd.samples.fashion()
    summary = multidd.images.dm(
        train, ipc=1, steps=100, options=multidd.images.DMOptions(batch_size=64)
    )
    print(summary)
    summary.grid("fashion10.png", data=train)
    chosen = multidd.images.random(train, ipc=1)
    print(f"trained on 10 distilled images: {accuracy(summary, test):.3f}")
    print(f"trained on 10 random images:    {accuracy(chosen, test):.3f}")


if __name__ == "__main__":
    main()
