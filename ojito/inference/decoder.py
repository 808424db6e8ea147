"""The decoder as it answers: the same numbers as `model/decoder.py` makes, in fewer steps.

Queries, keys and values are one projection, gate and up another. Angles come from a table, and what training alone
needs (dropout, hooks on attention weights) is left out. Where only the last position is wanted, the last layer computes
only that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ojito.config import DecoderConfig
from ojito.inference.linear import PreparedLinear
from ojito.model.attention import attend
from ojito.model.cache import KVCache
from ojito.model.decoder import Block, Decoder
from ojito.model.masks import AttentionMetadata, mask_to_bias, may_attend
from ojito.model.mlp import ACTIVATIONS, GatedMLP
from ojito.model.norms import RMSNorm, RMSNormPlusOne
from ojito.model.rope import CosSin

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int


_POSITIONS = 512  # that a table of angles has at least, where the decoder has so many


class PreparedDecoder(nn.Module):
    """A decoder with the face of `Decoder`: `embed`, `forward`, `head`. It shares the weights that it does not pack.

    Args:
        decoder: In evaluation mode.
        once: See `choice.choose`.
    """

    def __init__(self, decoder: Decoder, once: bool = False) -> None:
        super().__init__()
        self.config, self.windows = decoder.config, decoder.windows
        self.embedding, self.positions, self.untied_head = decoder.embedding, decoder.positions, decoder.untied_head
        self.blocks = [
            PreparedBlock(block, decoder.config, once) for block in decoder.blocks if isinstance(block, Block)
        ]
        self.norm = PreparedNorm(decoder.norm)
        self.head = PreparedHead(decoder, once)
        self._decoder = (decoder,)
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """As `Decoder.embed`."""
        return self._decoder[0].embed(tokens)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        metadata: AttentionMetadata,
        cache: KVCache | None = None,
        last: bool = False,
    ) -> Float[Tensor, "B last D"]:
        """As `Decoder.forward`."""
        if self.positions is not None:
            hidden = hidden + self.positions(metadata.positions)
        keys = metadata if cache is None else cache.extend(metadata)
        cut_blocks = self.config.mask == "image"
        masks, ropes = {}, {}
        for window in set(self.windows):
            visible = may_attend(metadata, keys, window, cut_blocks)
            masks[window] = mask_to_bias(visible, hidden.dtype)
            ropes[window] = self._rope(metadata.positions, window, hidden.dtype)
        batch, _, width = hidden.shape
        rows = hidden.reshape(-1, width)
        final = len(self.blocks) - 1
        for i, (block, window) in enumerate(zip(self.blocks, self.windows, strict=True)):
            rows = block(rows, masks[window], ropes[window], cache, last and i == final)
        return self.norm(rows).view(batch, -1, width)

    def _rope(self, positions: Tensor, window: int, dtype: torch.dtype) -> CosSin | None:
        """Cosines and signed sines (B, 1, T, K) of positions, out of a table."""
        if self.config.positions != "rope":
            return None
        table = self._tables.get(window)
        needed = self.config.max_positions
        if positions.device.type == "cpu":  # a look at the positions costs nothing there, and tables may be short
            needed = min(needed, int(positions.max()) + 1)
        if table is None or len(table[0]) < needed or table[0].dtype != dtype or table[0].device != positions.device:
            table = self._tables[window] = self._table(needed, positions.device, window, dtype)
        cos, sin = table
        return cos[positions][:, :, None], sin[positions][:, :, None]

    def _table(self, needed: int, device: torch.device, window: int, dtype: torch.dtype) -> CosSin:
        """Cosines and signed sines (positions, K) of at least so many positions."""
        count = min(self.config.max_positions, max(needed + needed // 2, _POSITIONS))
        angles = self._decoder[0].rope(torch.arange(count, device=device)[None], window)
        assert angles is not None  # noqa: S101 - the config says so
        cos, sin = (part[0, 0].to(dtype) for part in angles)
        half = sin.shape[-1] // 2
        # The first half of a head is turned by minus the second: the sign is put into the table.
        return cos, torch.cat((-sin[:, :half], sin[:, half:]), dim=-1)


class PreparedHead(nn.Module):
    """Hidden states to logits, as `Head`."""

    def __init__(self, decoder: Decoder, once: bool) -> None:
        super().__init__()
        untied = decoder.untied_head
        self.project = PreparedLinear([decoder.embedding if untied is None else untied], once, precise=True)
        self.softcap = decoder.head.softcap

    def forward(self, hidden: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """Logits, in float32."""
        logits = self.project(hidden).float()
        return self.softcap * (logits / self.softcap).tanh() if self.softcap else logits


class PreparedBlock:
    """One layer of the decoder, as `Block` in evaluation. It takes the tokens of all rows one below the other."""

    def __init__(self, block: Block, config: DecoderConfig, once: bool) -> None:
        attention = block.attention
        self.heads, self.kv_heads, self.head_dim = attention.heads, attention.kv_heads, attention.head_dim
        self.scale, self.softcap, self.layer = attention.scale, attention.softcap, attention.layer
        self.qkv = PreparedLinear([attention.q, attention.k, attention.v], once)
        self.out = PreparedLinear([attention.out], once)
        self.q_norm = PreparedNorm(attention.q_norm) if config.query_key_norm else None
        self.k_norm = PreparedNorm(attention.k_norm) if config.query_key_norm else None
        self.attention_norm, self.mlp_norm = PreparedNorm(block.attention_norm), PreparedNorm(block.mlp_norm)
        self.attention_post_norm = PreparedNorm(block.attention_post_norm) if config.post_norms else None
        self.mlp_post_norm = PreparedNorm(block.mlp_post_norm) if config.post_norms else None
        self.activation = ACTIVATIONS[config.activation]
        mlp: Any = block.mlp
        self.gated = isinstance(mlp, GatedMLP)
        self.up = PreparedLinear([mlp.gate, mlp.up] if self.gated else [mlp.up], once)
        self.down = PreparedLinear([mlp.down], once)

    def __call__(
        self, rows: Tensor, mask: Tensor, rope: CosSin | None, cache: KVCache | None, last: bool = False
    ) -> Tensor:
        """(B T, D) to (B T, D), or with `last` to (B, D), the last position alone."""
        batch, length = mask.shape[0], mask.shape[2]
        q, k, v = self._project(self.attention_norm(rows), batch, length, rope)
        if cache is not None:
            k, v = cache.update(self.layer, k, v)
        if last:
            q, mask, rows = q[:, :, -1:], mask[:, :, -1:], rows.view(batch, length, -1)[:, -1]
        gathered = attend(q, k, v, mask, self.scale, self.softcap)
        branch = self.out(gathered.transpose(1, 2).reshape(rows.shape[0], -1))
        rows = rows + (branch if self.attention_post_norm is None else self.attention_post_norm(branch))
        branch = self.up(self.mlp_norm(rows))
        if self.gated:
            size = branch.shape[1] // 2
            branch = self.activation(branch.narrow(1, 0, size)) * branch.narrow(1, size, size)
        else:
            branch = self.activation(branch)
        branch = self.down(branch)
        return rows + (branch if self.mlp_post_norm is None else self.mlp_post_norm(branch))

    def _project(self, rows: Tensor, batch: int, length: int, rope: CosSin | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, K), keys and values (B, G, T, K), the first two turned."""
        heads, kv_heads = self.heads, self.kv_heads
        every = self.qkv(rows).view(batch, length, heads + 2 * kv_heads, self.head_dim)
        turned, v = every.narrow(2, 0, heads + kv_heads), every.narrow(2, heads + kv_heads, kv_heads)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = turned.narrow(2, 0, heads), turned.narrow(2, heads, kv_heads)
            turned = torch.cat((self.q_norm(q), self.k_norm(k)), dim=2)
        if rope is not None:
            cos, sin = rope
            turned = torch.addcmul(turned * cos, turned.roll(self.head_dim // 2, -1), sin)
        q, k = turned.narrow(2, 0, heads), turned.narrow(2, heads, kv_heads)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


class PreparedNorm:
    """A norm that takes fewer steps where nothing is rounded between them: in float32."""

    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm
        self.weight: Tensor | None = None
        if isinstance(norm, (RMSNorm, RMSNormPlusOne)) and norm.weight.dtype == torch.float32:
            weight = norm.weight.detach()
            self.weight, self.eps = weight + 1 if isinstance(norm, RMSNormPlusOne) else weight, norm.eps
            # The same for the sum of squares of a row as for their mean.
            self.whole_eps = torch.full((1, 1), norm.eps * len(weight), device=weight.device)
            self.whole_weight = self.weight * len(weight) ** 0.5

    def __call__(self, hidden: Tensor) -> Tensor:
        """Normalized hidden states."""
        if self.weight is None:
            return self.norm(hidden)
        # Written out, because PyTorch's own takes several times as long for one token on a CPU.
        if hidden.dim() == 2 and hidden.shape[0] == 1:
            length = torch.addmm(self.whole_eps, hidden, hidden.t()).rsqrt_()
            return hidden * length * self.whole_weight
        return hidden * (hidden.square().mean(-1, keepdim=True) + self.eps).rsqrt_() * self.weight
