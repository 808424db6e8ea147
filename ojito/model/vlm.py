"""START HERE: the vision-language model. Encode the images, connect, merge with the text, decode.

images ─ vision ─ patches ─ connector ─ visual ─┐
tokens ─ embedding ─────────────────────────────┴─ merge ─ hidden ─ decoder ─ head ─ logits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ojito.config import ModelConfig, ResNetConfig
from ojito.model.cache import KVCache
from ojito.model.connectors import Connector
from ojito.model.decoder import Decoder
from ojito.model.initialize import initialize
from ojito.model.masks import AttentionMetadata, bidirectional_blocks
from ojito.model.resnet import ResNet
from ojito.model.vit import ViT
from ojito.records import IMAGE, Batch

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int


class VLM(nn.Module):
    """A vision-language model: every one of Ojito's, by its config."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        vision = config.vision
        self.vision = ResNet(vision) if isinstance(vision, ResNetConfig) else ViT(vision)
        self.connector = Connector(config)
        self.decoder = Decoder(config.decoder)
        initialize(self)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The three parts, by the names that settings use for them."""
        return {"vision": self.vision, "connector": self.connector, "decoder": self.decoder}

    def forward(self, batch: Batch, cache: KVCache | None = None) -> Float[Tensor, "B T V"]:
        """Logits, in float32: at each place, for the token that comes next. Arguments as for `features`."""
        return self.head(self.features(batch, cache))

    def features(self, batch: Batch, cache: KVCache | None = None) -> Float[Tensor, "B T D"]:
        """Hidden states after the final norm.

        Args:
            batch: What to read, on any device. Images are encoded in the call that brings them, and never again.
            cache: What was read before; this batch is added to it.

        Raises:
            ValueError: Images of another size, image places and visual tokens that differ in number, a position that
                is out of range, a full cache.
        """
        batch = batch.to(self.decoder.embedding.weight.device)
        visual = None if batch.images is None else self.encode(batch.images)
        hidden = self.merge(batch.tokens, visual)
        blocks = bidirectional_blocks(self.config.decoder.mask, batch.prefix, batch.tokens == IMAGE)
        return self.decoder(hidden, AttentionMetadata(batch.positions, batch.segments, blocks), cache)

    def encode(self, images: Float[Tensor, "N 3 h w"]) -> Float[Tensor, "N P D"]:
        """Pixels to visual tokens: the vision tower's patches, connected to the decoder's width.

        Raises:
            ValueError: The images are of another size than the vision tower's.
        """
        size, (height, width) = self.config.vision.image_size, images.shape[-2:]
        if (height, width) != (size, size):
            raise ValueError(
                f"images are {height} x {width} pixels but the vision tower reads {size} x {size}; "
                "resize them, as Processor does"
            )
        dtype = next(self.vision.parameters()).dtype
        return self.connector(self.vision(images.to(dtype)))

    def merge(self, tokens: Int[Tensor, "B T"], visual: Float[Tensor, "N P D"] | None) -> Float[Tensor, "B T D"]:
        """Tokens to their embeddings, with visual tokens, in their order, wherever a token is `IMAGE`.

        Raises:
            ValueError: There are more or fewer such places than visual tokens.
        """
        is_image = tokens == IMAGE
        num_places = int(is_image.sum())
        num_visual = 0 if visual is None else visual.shape[0] * visual.shape[1]
        if num_places != num_visual:
            num_images = 0 if visual is None else len(visual)
            raise ValueError(
                f"{num_places} places for image tokens but {num_visual} image tokens from {num_images} images; "
                f"write {self.config.image_tokens} places for each image, as Processor does"
            )
        hidden = self.decoder.embed(tokens.masked_fill(is_image, 0))
        if visual is None:
            return hidden
        # After the scaling of text embeddings: visual tokens are not scaled.
        return hidden.masked_scatter(is_image[..., None], visual.to(hidden.dtype))

    def head(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Hidden states to float32 logits."""
        return self.decoder.head(hidden)
