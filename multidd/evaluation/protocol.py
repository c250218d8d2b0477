"""The settings by which models are trained while summaries are evaluated."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Protocol:
    """How models are trained when a summary is evaluated; part of every result.

    Attributes:
        name: of the protocol.
        epochs: full-batch iterations, or passes.
        lr: learning rate.
        lr_drop: factor on it at half of the epochs, with a new optimizer.
        weight_decay: L2 penalty.
        dropout: chance that a hidden unit is dropped.
        width: of the hidden layers.
        check_every: epochs between two looks at the validation data.
        soft_labels: use a summary's soft labels where it has them.
        optimizer: `"adam"` or `"sgd"`.
        momentum: of SGD.
        schedule: `"step"`, the drop at half, or `"cosine"` to zero, without a drop.
        batch: records of a batch; 0 takes all at once.
        whole_batch: records of a batch of whole data, of which an epoch is one batch.
        whole_patience: epochs on whole data without a better held-out score after
            which the rate falls by `lr_drop`, and after as many again training ends; 0
            takes `epochs`.
        whole_cap: epochs on whole data at each of the two rates, at most; 0 takes
            twenty times `epochs`.
        augment: operations that images are shown through, such as `"crop_flip"`.
        lrs: learning rates to choose from on validation data, in the place of `lr`.
        snapshots: epochs, evenly spaced, to choose from on validation data.
        centered_lr: where labels are centered, training is by the squared error with
            Adam at this rate (others of `lrs` in proportion), cosine, no decay.

    Example:
        >>> Protocol("quick", epochs=50).epochs
        50
    """

    name: str
    epochs: int = 600
    lr: float = 0.01
    lr_drop: float = 1.0
    weight_decay: float = 0.0
    dropout: float = 0.0
    width: int = 256
    check_every: int = 1
    soft_labels: bool = True
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.0
    schedule: Literal["step", "cosine"] = "step"
    batch: int = 0
    whole_batch: int = 0
    whole_patience: int = 0
    whole_cap: int = 0
    augment: str = ""
    lrs: tuple[float, ...] = ()
    snapshots: int = 0
    centered_lr: float = 0.0

    def updates(self, count: int) -> int:
        """Batches of all epochs on so many records.

        Example:
            >>> Protocol("quick", epochs=50, batch=64).updates(100)
            100
        """
        return self.epochs * -(-count // min(count, self.batch or count))

    @property
    def hash(self) -> str:
        """Ten digits that change when any setting does."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]
