"""Recommender systems: logs of interactions distilled to a few synthetic users.

Methods: `distill_cf`; selections: `random`, `head`, `herding`, `kcenter`, `kmeans`,
`svp`, `interactions`. All take an `InteractionLog`, which `read_log` makes, and give a
`RecsysSummary`. Models: `InfiniteAE`, `EASE`, `ItemKNN`, `PopRec`, `ALS`, `MultVAE`,
`LightGCN`.
"""

from typing import TYPE_CHECKING

from multidd.modality import lazy_face

if TYPE_CHECKING:
    from multidd.recsys.public import *  # noqa: F403
else:
    __getattr__, __dir__ = lazy_face(__name__)
