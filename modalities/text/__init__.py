"""Text distillation for classification.

`distill` runs any method. On embeddings of sentences: `kip`, `frepo` (kernels), `dm`
(distributions), `dc` (gradients), `mtt` (trajectories). Readable: `pursuit`, real
sentences chosen by the loss of `kip`. Selections: `random`, `herding`, `kcenter`,
`medoids`, `kmeans`. All give a `TextSummary`.

`as_texts` takes labelled texts in any form, `load` reads benchmarks by name.
`Encoder` turns texts into features, kept on disk by `features`; `StaticTable` has word
vectors, and `learner` the models that learn on them.
"""

from typing import TYPE_CHECKING

from multidd.modality import lazy_face

if TYPE_CHECKING:
    from multidd.text.public import *  # noqa: F403
else:
    __getattr__, __dir__ = lazy_face(__name__)
