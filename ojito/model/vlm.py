"""START HERE: the vision-language model. Encode the images, connect, merge with the text, decode.

images ─ vision ─ patches ─ connector ─ visual ─┐
tokens ─ embedding ─────────────────────────────┴─ merge ─ hidden ─ decoder ─ head ─ logits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ojito.config import Config, EfficientNetConfig, ModelConfig, NoVisionConfig, ResNetConfig
from ojito.errors import OjitoError
from ojito.model.cache import KVCache
from ojito.model.connectors import Connector
from ojito.model.decoder import Decoder
from ojito.model.efficientnet import EfficientNet
from ojito.model.initialize import initialize
from ojito.model.lora import Adapters
from ojito.model.masks import AttentionMetadata, bidirectional_blocks
from ojito.model.resnet import ResNet
from ojito.model.vit import ViT
from ojito.records import IMAGE, Batch

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int


class VLM(nn.Module):
    """A vision-language model, of any family: its config holds the differences.

    Args:
        config: Of the model, or a recipe with it.

    Raises:
        OjitoError: It is no config, but for example a preset's name.

    Attributes:
        config: Of the model.
        adapters: What is known of the adapters among its layers; None where there are none. See `lora.py`.
    """

    adapters: Adapters | None = None

    def __init__(self, config: ModelConfig | Config | str) -> None:
        super().__init__()
        if isinstance(config, Config):
            config = config.model
        if not isinstance(config, ModelConfig):
            remedy = f"for a preset write VLM(ojito.preset({config!r})), for a saved model ojito.load({config!r}).model"
            raise OjitoError("VLM", f"{config!r} is not a Config or ModelConfig", remedy)
        self.config = config
        vision = config.vision
        self.vision: nn.Module
        self.connector: nn.Module
        if isinstance(vision, NoVisionConfig):
            self.vision = self.connector = nn.Module()  # without parameters, and never called
        else:
            if isinstance(vision, EfficientNetConfig):
                self.vision = EfficientNet(vision)
            else:
                self.vision = ResNet(vision) if isinstance(vision, ResNetConfig) else ViT(vision)
            self.connector = Connector(config)
        self.decoder = Decoder(config.decoder)
        initialize(self)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The three parts, by the names that settings use for them."""
        return {"vision": self.vision, "connector": self.connector, "decoder": self.decoder}

    @property
    def device(self) -> torch.device:
        """The device that the model computes on, and that batches are moved to."""
        return next(self.decoder.norm.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of hidden states, keys and values."""
        return next(self.decoder.norm.parameters()).dtype

    def forward(self, batch: Batch, cache: KVCache | None = None) -> Float[Tensor, "B T V"]:
        """Logits of each position's next token, in float32. Arguments as for `features`."""
        return self.head(self.features(batch, cache))

    def features(self, batch: Batch, cache: KVCache | None = None, last: bool = False) -> Float[Tensor, "B last D"]:
        """Hidden states after the final norm.

        Args:
            batch: Tokens and images, on any device. Images are encoded in the call that brings them, and never again.
            cache: Keys and values of earlier tokens; this batch is added to it.
            last: Whether only the last position of each row is wanted: (B, 1, D) in place of (B, T, D).

        Raises:
            OjitoError: As for `check` and `read`.
        """
        if cache is None or batch.num_images or batch.tokens.shape[1] > 1:
            # A decode step is not checked: to read its numbers back would wait for the device at every token.
            self.check(batch)
        return self.read(batch.to(self.device), cache, last)

    def read(self, batch: Batch, cache: KVCache | None = None, last: bool = False) -> Float[Tensor, "B last D"]:
        """As `features`, of a batch that is on the model's device and was checked: nothing waits for the device.

        Raises:
            OjitoError: Images of another size; a full cache, or one for packed rows.
        """
        if cache is not None and batch.documents is not None:
            # A token that is generated would have to be told which of them it goes on with.
            raise OjitoError("cache", "holds rows of one sample each, and these are packed", "unpack them")
        visual = batch.visual if batch.images is None else self.encode(batch.images)
        if batch.patches is not None:
            visual = self.connector(batch.patches.to(self.dtype))
        hidden = self.merge(batch.tokens, visual)
        blocks = bidirectional_blocks(self.config.decoder.mask, batch.prefix, batch.tokens == IMAGE)
        metadata = AttentionMetadata(batch.positions, batch.segments, blocks, batch.documents)
        return self.decoder(hidden, metadata, cache, last)

    def check(self, batch: Batch) -> None:
        """Check that the decoder has the batch's positions, and that its images fill its placeholder tokens.

        Raises:
            OjitoError: There are more or fewer placeholders than visual tokens, or a position is out of range.
        """
        num_placeholders = int((batch.tokens == IMAGE).sum())
        num_images = batch.num_images
        each = self.config.image_tokens
        if num_placeholders != num_images * each:
            raise OjitoError(
                "tokens",
                f"{num_placeholders} placeholder tokens but {num_images * each} visual tokens from {num_images} images",
                f"write {each} placeholders for each image, as Processor does",
            )
        last, limit = int(batch.positions.max()), self.config.decoder.max_positions
        if last >= limit:
            raise OjitoError(
                "positions",
                f"position {last} is beyond the decoder's max_positions {limit}",
                f"shorten the text or raise model.decoder.max_positions to {last + 1} or more",
            )

    def encode(self, images: Float[Tensor, "N 3 h w"]) -> Float[Tensor, "N P D"]:
        """Visual tokens of images: the vision tower's patches, connected to the decoder's width.

        Raises:
            OjitoError: As for `see`.
        """
        return self.connector(self.see(images))

    def see(self, images: Float[Tensor, "N 3 h w"]) -> Float[Tensor, "N P vision"]:
        """Patches of images, the vision tower's output: what a `Batch` may bring as `patches` in place of images.

        Raises:
            OjitoError: The images are of another size than the vision tower's, or there is no vision tower.
        """
        size, (height, width) = self.config.vision.image_size, images.shape[-2:]
        if not size:
            raise OjitoError("images", "this model has no vision tower, and reads text alone", "leave them out")
        if (height, width) != (size, size):
            problem = f"{height} x {width} pixels, but the vision tower reads {size} x {size}"
            raise OjitoError("images", problem, "resize them, as Processor does")
        dtype = next(self.vision.parameters()).dtype
        return self.vision(images.to(dtype))

    def merge(self, tokens: Int[Tensor, "B T"], visual: Float[Tensor, "N P D"] | None) -> Float[Tensor, "B T D"]:
        """Embeddings of tokens, with the visual tokens, in their order, in place of the tokens that are `IMAGE`."""
        is_image = tokens == IMAGE
        hidden = self.decoder.embed(tokens.masked_fill(is_image, 0))
        if visual is None:
            return hidden
        # After the scaling of text embeddings: visual tokens are not scaled.
        return hidden.masked_scatter(is_image[..., None], visual.to(hidden.dtype))

    def head(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Logits of hidden states, in float32."""
        return self.decoder.head(hidden)
