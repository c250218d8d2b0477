"""Images in the latent space of an encoder, as a task of their own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from multidd.images.data.preprocessing import Preprocessing
from multidd.images.models.module_backbone import ModuleBackbone
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask
from multidd.parameterizations.generators import check_frozen, check_output, fingerprint
from multidd.protocols import Draw
from multidd.summary import Card

BATCH_SIZE = 256
"""Images that are encoded, or decoded, at a time."""

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class LatentTask(ImageTask):
    """Latents for images: what is learned lives there, what is kept is decoded.

    Attributes:
        whole: the task of the images.
        decoder: latents to normalized images.
    """

    whole: ImageTask | None = None
    decoder: Network | None = None

    @classmethod
    def around(cls, task: ImageTask, encoder: Network, decoder: Network) -> Self:
        """The task of the encoded images, each standardized by channel.

        Args:
            task: of the images.
            encoder: normalized images `[b, ch, h, w]` to latents `[b, ch', h', w']`.
            decoder: latents to normalized images.

        Returns:
            A `LatentTask`; its network has as many blocks as latents allow.

        Raises:
            ValueError: networks that do not fit the images, or draw as they run.

        Example:
            >>> x = torch.arange(256.0).view(4, 1, 8, 8) / 256
            >>> task = ImageTask.of((x, [0, 1, 0, 1]))
            >>> LatentTask.around(task, torch.asinh, torch.sinh).images.shape
            (1, 8, 8)
        """
        for network in (encoder, decoder):
            check_frozen(network)
        rows = torch.arange(len(task.images)).split(BATCH_SIZE)
        with torch.no_grad():
            latents = [encoder(task.normalized(some)).float().cpu() for some in rows]
        z = torch.cat(latents)
        if z.dim() != 4 or len(z) != len(task.images):
            raise ValueError(
                f"the encoder makes {list(z.shape)} of {len(task.images)} images; it "
                "must make latents [b, channels, height, width], one of each image"
            )
        first = task.normalized(torch.arange(1))
        check_output(decoder, z[:1].to(first), first, "decoder")
        images = replace(task.images, x=z, name="")
        backbone = task.backbone
        if not isinstance(backbone, ModuleBackbone):  # which is made for its input
            blocks = max(1, min(z.shape[2:]).bit_length() - 1)
            backbone = replace(backbone, depth=min(backbone.depth or 3, blocks))
        backbone.check(images.shape, images.num_classes)
        return cls(
            images,
            Preprocessing.fit(images),
            backbone,
            task.batch_size,
            task.sampler,
            task.augment,
            task.loss,
            task.val,
            device=task.device,
            whole=task,
            decoder=decoder,
        )

    def to(self, device: str) -> Self:
        """The same task on another device."""
        return replace(self, device=device, whole=self._whole.to(device))

    def describe(self) -> dict[str, Any]:
        """The images' settings, with the backbone and the latents."""
        inside = super().describe()
        return self._whole.describe() | {
            "kind": "LatentTask",
            "backbone": inside["backbone"],
            "latents": inside["data"] | inside["preprocessing"],
            "decoder": fingerprint(self._decoder),
        }

    def score(self, draw: Draw, rng: torch.Generator) -> float:
        """Validation accuracy of the images' backbone, trained on decoded images."""
        return self._whole.score(self._decoded(draw), rng)

    def summary(self, draw: Draw, card: Card) -> ImageSummary:
        """The decoded images, with their own preprocessing."""
        name = fingerprint(self._decoder)["kind"]
        decoder_info = {"kind": "materialized", "by": "LatentTask", "network": name}
        return self._whole.summary(
            self._decoded(draw), replace(card, decoder=decoder_info)
        )

    def _decoded(self, draw: Draw) -> Draw:
        x, space = draw["x"], self.preprocessing.to(draw["x"].device)
        with torch.no_grad():
            images = [self._decoder(space.invert(some)) for some in x.split(BATCH_SIZE)]
        return draw | {"x": torch.cat(images).to(x.dtype)}

    @property
    def _whole(self) -> ImageTask:
        assert self.whole is not None
        return self.whole

    @property
    def _decoder(self) -> Network:
        assert self.decoder is not None
        return self.decoder
