"""
Recommend from fifty synthetic users
====================================

53,556 ratings of films by 2,290 users become 50 users who never were. A recommender
that is trained on them alone serves anyone.
"""

import matplotlib.pyplot as plt
import numpy as np

import multidd

log = multidd.samples.movietweetings()
fifty = multidd.recsys.distill_cf(log, users=50, steps=10)
print(fifty)
print(multidd.recsys.recommend(fifty, [63, 150], k=5))

# %%
# Their rows are fractional: 50 of them are more numbers than the log. ``length="mean"``
# makes users of zeros and ones instead. Tables have a column for the bytes.

whole = multidd.recsys.distill_cf(log, users=50, length="mean", steps=10)
for name, summary in (("fractional", fifty), ("whole", whole)):
    report = multidd.evaluate(
        summary, log, models=["ease"], rows=["random", "kmeans"], seeds=1, regimes=()
    )
    print(name, report, sep="\n", end="\n\n")

# %%
# Fractional rows are not to be read: what a film sums up to over the synthetic users
# says little of how popular it is. A model takes what it needs from small differences.

real = np.asarray(log.train.sum(0)).ravel()
synthetic = np.asarray(fifty.to_csr().sum(0)).ravel()
figure, axis = plt.subplots(figsize=(5, 4))
axis.scatter(real, synthetic, s=4)
axis.set_xlabel("ratings of a film in the log")
axis.set_ylabel("sum over 50 synthetic users")
axis.set_xscale("log")
figure.tight_layout()
