"""The decoder against transformers: GPT-2, LLaMA, Gemma and Gemma 2, tiny, with random weights everywhere."""

import pytest
import torch
from torch import Tensor, nn

from ojito.config import DecoderConfig
from ojito.model.decoder import Decoder
from ojito.model.masks import Places

transformers = pytest.importorskip("transformers")

B, T, V = 2, 14, 61

LLAMA_NAMES = {
    r"^embedding": "model.embed_tokens",
    r"^norm": "model.norm",
    r"^untied_head": "lm_head",
    r"^blocks": "model.layers",
    r"attention_norm": "input_layernorm",
    r"mlp_norm": "post_attention_layernorm",
    r"attention\.([qkv])\b": r"self_attn.\1_proj",
    r"attention\.out": "self_attn.o_proj",
    r"mlp\.(gate|up|down)": r"mlp.\1_proj",
}
GEMMA2_NAMES = LLAMA_NAMES | {
    r"attention_post_norm": "post_attention_layernorm",
    r"mlp_norm": "pre_feedforward_layernorm",
    r"mlp_post_norm": "post_feedforward_layernorm",
}
GPT2_NAMES = {
    r"^embedding": "transformer.wte",
    r"^positions": "transformer.wpe",
    r"^norm": "transformer.ln_f",
    r"^blocks": "transformer.h",
    r"attention_norm": "ln_1",
    r"mlp_norm": "ln_2",
    r"attention\.([qkv])\b": r"attn.\1",
    r"attention\.out": "attn.c_proj",
    r"mlp\.up": "mlp.c_fc",
    r"mlp\.down": "mlp.c_proj",
}


def text_logits(decoder: Decoder, tokens: Tensor) -> Tensor:
    places = Places(torch.arange(T).expand(B, T), torch.zeros_like(tokens), torch.zeros_like(tokens, dtype=torch.bool))
    return decoder.eval().head(decoder(decoder.embed(tokens), places))


def assert_same_logits(decoder: Decoder, reference: nn.Module) -> None:
    tokens = torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = text_logits(decoder, tokens), reference.eval()(tokens).logits
    assert theirs.std() > 0.1  # or nothing is compared
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def without(state: dict[str, Tensor], *endings: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith(endings)}


def test_matches_reference_gpt2(randomise, load):
    reference = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=V, n_embd=24, n_layer=2, n_head=3, n_positions=32)
    )
    randomise(reference)
    state = {}
    for name, tensor in without(reference.state_dict(), "lm_head.weight").items():
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            tensor = tensor.T  # their Conv1D keeps (in, out)
        if "c_attn" in name:
            state |= {name.replace("c_attn", x): part for x, part in zip("qkv", tensor.chunk(3), strict=True)}
        else:
            state[name] = tensor
    decoder = Decoder(
        DecoderConfig(
            vocab_size=V, width=24, layers=2, heads=3, mlp_dim=96, mlp="plain", activation="gelu_tanh",
            norm="layer", norm_eps=1e-5, positions="learned", max_positions=32, bias=True,
        )
    )  # fmt: skip
    load(decoder, state, GPT2_NAMES)
    assert_same_logits(decoder, reference)


@pytest.mark.parametrize("tied", [True, False])
def test_matches_reference_llama(randomise, load, tied):
    reference = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=V, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=10, intermediate_size=40, rms_norm_eps=1e-5, tie_word_embeddings=tied,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        )
    )  # fmt: skip
    randomise(reference)
    decoder = Decoder(
        DecoderConfig(
            vocab_size=V, width=24, layers=2, heads=4, kv_heads=2, head_dim=10, mlp_dim=40, norm_eps=1e-5,
            rope_theta=500.0, tied_head=tied,
        )
    )  # fmt: skip
    state = reference.state_dict()
    load(decoder, without(state, "lm_head.weight") if tied else state, LLAMA_NAMES)
    assert_same_logits(decoder, reference)


def test_matches_reference_gemma(randomise, load):
    reference = transformers.GemmaForCausalLM(
        transformers.GemmaConfig(
            vocab_size=V, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
            head_dim=10, intermediate_size=40, hidden_activation="gelu_pytorch_tanh", rms_norm_eps=1e-6,
        )
    )  # fmt: skip
    randomise(reference)
    decoder = Decoder(
        DecoderConfig(
            vocab_size=V, width=24, layers=2, heads=4, kv_heads=1, head_dim=10, mlp_dim=40, activation="gelu_tanh",
            norm="rms_plus_one", scale_embeddings=True,
        )
    )  # fmt: skip
    load(decoder, without(reference.state_dict(), "lm_head.weight"), LLAMA_NAMES)
    assert_same_logits(decoder, reference)


def test_matches_reference_gemma2(randomise, load):
    reference = transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(
            vocab_size=V, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            head_dim=10, intermediate_size=40, hidden_activation="gelu_pytorch_tanh", rms_norm_eps=1e-6,
            query_pre_attn_scalar=7, attn_logit_softcapping=0.5, final_logit_softcapping=1.5, sliding_window=5,
            attn_implementation="eager",
        )
    )  # fmt: skip
    randomise(reference)
    decoder = Decoder(
        DecoderConfig(
            vocab_size=V, width=24, layers=3, heads=4, kv_heads=2, head_dim=10, mlp_dim=40, activation="gelu_tanh",
            norm="rms_plus_one", scale_embeddings=True, post_norms=True, query_scalar=7, attention_softcap=0.5,
            final_softcap=1.5, window=5,
        )
    )  # fmt: skip
    load(decoder, without(reference.state_dict(), "lm_head.weight"), GEMMA2_NAMES)
    assert_same_logits(decoder, reference)
