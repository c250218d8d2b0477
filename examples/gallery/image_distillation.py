"""
Ten pictures of clothes that train a network
============================================

One synthetic picture for each class of Fashion-MNIST, by distribution matching.
"""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

import multidd
from multidd.images import DMOptions

train, test = multidd.samples.fashion()
summary = multidd.images.dm(train, ipc=1, steps=30, options=DMOptions(batch_size=64))
print(summary)

# %%
# Pictures with soft outlines: each stands for 350 real ones.

x, y = summary.to_tensors()
figure, axes = plt.subplots(2, 5, figsize=(7, 3.2))
for axis, image, label in zip(axes.flat, x, y, strict=True):
    axis.imshow(image[0], cmap="gray")
    axis.set_title(train.classes[int(label)], fontsize=8)
    axis.axis("off")
figure.tight_layout()


# %%
# A small network of torch, trained on the ten pictures alone.


def accuracy(pictures):
    """Train on a summary, test on 1,000 real pictures."""
    torch.manual_seed(0)
    blocks = []
    for into in (1, 16, 16):
        conv = nn.Conv2d(into, 16, 3, padding=1)
        blocks += [conv, nn.GroupNorm(16, 16), nn.ReLU(), nn.AvgPool2d(2)]
    net = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(16 * 9, 10))
    x, y = pictures.to_tensors()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(200):
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        sgd.step()
    with torch.no_grad():
        right = net(pictures.transform(test.x)).argmax(1) == test.labels
    return right.float().mean().item()


print(f"10 distilled pictures: {accuracy(summary):.1%}")
print(f"10 random pictures:    {accuracy(multidd.images.random(train, ipc=1)):.1%}")
