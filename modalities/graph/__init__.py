"""Graph condensation for node classification.

Methods: `gcond`, `gcond_x`, `doscond`, `gcdm`, `dm_x`, `sfgc`, `geom`, `gcsntk`,
`gdem`, `cgc`, `condense`; selections: `random`, `herding`, `kcenter`, `kmeans`. All
take a PyG `Data` and give a `GraphSummary`. `load` reads benchmark graphs, `Condense`
is a transform.
"""

from typing import TYPE_CHECKING

from multidd.modality import lazy_face

if TYPE_CHECKING:
    from multidd.graph.public import *  # noqa: F403
else:
    __getattr__, __dir__ = lazy_face(__name__)
