"""ONE decoder for GPT-2, LLaMA, SmolLM2, Qwen and Gemma 1 to 3: `DecoderConfig` holds the differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from ojito.config import DecoderConfig, RopeScaling
from ojito.model.attention import Attention
from ojito.model.blocks import CallBlock, call_block
from ojito.model.cache import KVCache
from ojito.model.dropout import Dropout
from ojito.model.masks import AttentionMetadata, mask_to_bias, may_attend
from ojito.model.mlp import MLPS
from ojito.model.norms import make_norm
from ojito.model.rope import CosSin, rope_cos_sin

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int


class Decoder(nn.Module):
    """Token ids to embeddings (`embed`), embeddings to hidden states (`forward`), hidden states to logits (`head`).

    The three steps are apart because visual tokens enter after the first, and because training and generation need
    logits at a few positions only.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.max_positions, config.width) if learned else None
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.call_block: CallBlock = call_block
        self.windows = [config.window_of(layer) for layer in range(config.layers)]
        self.norm = make_norm(config.norm, config.width, config.norm_eps)
        self.untied_head = None if config.tied_head else nn.Linear(config.width, config.vocab_size, bias=False)
        self.head = Head(self, config.final_softcap)

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Embeddings of token ids."""
        hidden: Tensor = self.embedding(tokens)
        if self.config.scale_embeddings:
            # A factor in the model's own dtype: Gemma was trained with the root rounded to bfloat16.
            hidden = hidden * hidden.new_full((), self.config.width**0.5)
        return hidden

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        metadata: AttentionMetadata,
        cache: KVCache | None = None,
        last: bool = False,
    ) -> Float[Tensor, "B last D"]:
        """Hidden states after the final norm.

        Nothing here reads a value back from the device: `VLM.check` looks at the positions, where a batch is made.

        Args:
            hidden: Embeddings of text tokens, as `embed` returns them, and visual tokens.
            metadata: Of these T tokens; positions below `max_positions`.
            cache: Keys and values of earlier tokens; these tokens are added to it.
            last: Whether only the last position is wanted: (B, 1, D) in place of (B, T, D).

        Raises:
            OjitoError: The cache is full.
        """
        if self.positions is not None:
            hidden = hidden + self.positions(metadata.positions)  # visual tokens have positions, too
        hidden = self.dropout(hidden)
        keys = metadata if cache is None else cache.extend(metadata)
        cut_blocks = self.config.mask == "image"
        masks = {
            window: mask_to_bias(may_attend(metadata, keys, window, cut_blocks), hidden.dtype)
            for window in set(self.windows)
        }
        ropes = {window: self.rope(metadata.positions, window) for window in set(self.windows)}
        for block, window in zip(self.blocks, self.windows, strict=True):
            hidden = self.call_block(block, hidden, masks[window], ropes[window], cache)
        return self.norm(hidden[:, -1:] if last else hidden)

    def rope(self, positions: Int[Tensor, "B T"], window: int) -> CosSin | None:
        """Cosines and sines for the layers with this window; None where positions are learned."""
        c = self.config
        if c.positions != "rope":
            return None
        if window:
            scaling = c.rope_scaling if c.window_scaling else RopeScaling()
            return rope_cos_sin(positions, c.head_dim, c.window_theta, scaling)
        return rope_cos_sin(positions, c.head_dim, c.rope_theta, c.rope_scaling)


class Head(nn.Module):
    """Hidden states to logits, with the decoder's embeddings or, where it has one, its untied head.

    The matrix stays the decoder's, under the names that checkpoints have: `embedding` and `untied_head`.
    """

    def __init__(self, decoder: Decoder, softcap: float) -> None:
        super().__init__()
        self._decoder = (decoder,)  # in a tuple, because a module would register it as a part of its own
        self.softcap = softcap

    @property
    def weight(self) -> Float[Tensor, "V D"]:
        """The matrix."""
        (decoder,) = self._decoder
        matrix: Tensor = (decoder.embedding if decoder.untied_head is None else decoder.untied_head).weight
        return matrix

    @property
    def plain(self) -> bool:
        """Whether logits are the product with that matrix and nothing else: nobody has put a module in its place."""
        (decoder,) = self._decoder
        return type(decoder.untied_head) in (type(None), nn.Linear) and type(decoder.embedding) is nn.Embedding

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Logits, in float32."""
        (decoder,) = self._decoder
        untied = decoder.untied_head
        logits = F.linear(hidden, decoder.embedding.weight) if untied is None else untied(hidden)
        logits = logits.float()
        return self.softcap * (logits / self.softcap).tanh() if self.softcap else logits


class Block(nn.Module):
    """One layer of the decoder.

    hidden ─┬─ norm ─ attention ─ [post norm] ─ + ─┬─ norm ─ mlp ─ [post norm] ─ + ─ hidden
            └───────────────────────────────────┘  └─────────────────────────────┘
    """

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = make_norm(config.norm, config.width, config.norm_eps)
        self.attention = Attention(
            config.width,
            config.heads,
            config.kv_heads,
            config.head_dim,
            bias=config.bias or config.query_bias,
            out_bias=config.bias,
            norm=config.norm if config.query_key_norm else "",
            norm_eps=config.norm_eps,
            scale=config.score_scale,
            softcap=config.attention_softcap,
            dropout=config.dropout * config.attention_dropout,
            layer=layer,
        )
        self.mlp_norm = make_norm(config.norm, config.width, config.norm_eps)
        self.mlp = MLPS[config.mlp](config.width, config.mlp_dim, config.activation, config.bias)
        self.attention_post_norm: nn.Module = nn.Identity()
        self.mlp_post_norm: nn.Module = nn.Identity()
        if config.post_norms:
            self.attention_post_norm = make_norm(config.norm, config.width, config.norm_eps)
            self.mlp_post_norm = make_norm(config.norm, config.width, config.norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor, rope: CosSin | None = None, cache: KVCache | None = None) -> Tensor:
        """(B, T, D) to (B, T, D); the mask (B, 1, T, S) is added to the scores."""
        branch = self.attention(self.attention_norm(hidden), mask, rope, cache)
        hidden = hidden + self.dropout(self.attention_post_norm(branch))
        branch = self.mlp(self.mlp_norm(hidden))
        return hidden + self.dropout(self.mlp_post_norm(branch))
