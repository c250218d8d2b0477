"""Image distillation for classification.

Methods: `dm`, `m3d`, `cafe`, `idm`, `iid`, `ncfm` (distributions), `dc`, `dsa`, `dcc`,
`idc` (gradients), `kip`, `rfad`, `frepo` (kernels), `mtt`, `tesla`, `ftd`, `datm`
(trajectories); `sre2l` (a
teacher); selections: `rded` (a teacher's), `random`, `herding`, `kcenter`, `kmeans`,
`forgetting`. All take labelled images in any form and give an
`ImageSummary`. `load` reads benchmark images.
"""

from typing import TYPE_CHECKING

from multidd.modality import lazy_face

if TYPE_CHECKING:
    from multidd.images.public import *  # noqa: F403
else:
    __getattr__, __dir__ = lazy_face(__name__)
