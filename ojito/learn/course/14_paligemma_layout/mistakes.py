"""Wrong solutions of lesson 14 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "plain_names": [
        Mistake(
            "norm after attention",
            'you took post_attention_layernorm by its word, as a norm of attention\'s result or as a second "norm1". In '
            "Gemma 1 it stands after attention and BEFORE the MLP: it is norm2. (In Gemma 2 the same name is a norm of "
            "attention's result, and norm2 is pre_feedforward_layernorm.)",
            {
                '"layers.*.input_layernorm": "layers.*.norm1"': '"layers.*.input_layernorm": "layers.*.norm2"',
                '"layers.*.post_attention_layernorm": "layers.*.norm2"': (
                    '"layers.*.post_attention_layernorm": "layers.*.norm1"'
                ),
            },
        ),
        Mistake(
            "two first norms",
            "post_attention_layernorm is norm1 in your table, as input_layernorm is: one of them overwrites the other, "
            "and nothing is left for norm2. After attention comes the MLP, and this is the norm before it: norm2",
            {
                '"layers.*.post_attention_layernorm": "layers.*.norm2"': (
                    '"layers.*.post_attention_layernorm": "layers.*.norm1"'
                ),
            },
        ),
        Mistake(
            "no layer's number in the norm",
            'the star is missing: of all layers, post_attention_layernorm becomes one "norm2"',
            {'"layers.*.post_attention_layernorm": "layers.*.norm2"': '"layers.*.post_attention_layernorm": "norm2"'},
        ),
        Mistake(
            "a norm beside the second",
            "post_attention_layernorm has a name of its own in your table, and none of Gemma 1's keys becomes norm2: "
            "it *is* norm2, the one before the MLP",
            {
                '"layers.*.post_attention_layernorm": "layers.*.norm2"': (
                    '"layers.*.post_attention_layernorm": "layers.*.post_norm"'
                )
            },
        ),
        Mistake(
            "a head of its own",
            "lm_head has a name of its own in your table; Gemma's head is tied: a copy of the embedding. The table "
            'adds "decoder." itself',
            {'"lm_head": "embedding"': '"lm_head": "head"'},
        ),
        Mistake(
            "a head under its own name",
            "lm_head stays lm_head in your table; Gemma's head is tied: a copy of the embedding. Give it the name that "
            "embed_tokens has",
            {'"lm_head": "embedding"': '"lm_head": "lm_head"'},
        ),
        Mistake(
            "decoder twice",
            'lm_head becomes "decoder.decoder.embedding": what stands in `language` gets "decoder." in front',
            {'"lm_head": "embedding"': '"lm_head": "decoder.embedding"'},
        ),
        Mistake(
            "vision_model left in",
            "layouts A and B keep vision_model in their names, where your table has none: their whole vision tower is "
            "left out, and with strict=False nobody would have told",
            {'module = module.replace("vision_tower.vision_model.", "vision_tower.")': "module = module"},
        ),
        Mistake(
            "nothing left of the key",
            'you replaced the whole of the module\'s name; of "vision_tower.vision_model.encoder", '
            '"vision_tower.encoder" is to be left',
            {'module.replace("vision_tower.vision_model.", "vision_tower.")': '"vision_tower."'},
        ),
        Mistake(
            "star left in",
            'your names have a star where the layer\'s number belongs: "layers.*.q" for all layers. Put in layer[1]',
            {'ours.replace("*", layer[1]) if layer else ours': "ours"},
        ),
        Mistake(
            "dots around the number",
            'layer[0] is ".17.", with the dots; the group within is layer[1]',
            {"layer[1]": "layer[0]"},
        ),
        Mistake(
            "first digit alone",
            "you take one digit: layer 17 becomes layer 1, and overwrites it",
            {"layer[1]": "layer[1][0]"},
        ),
        Mistake(
            "counted from 1",
            "your layers are numbered from 1; files and names count from 0",
            {"layer[1]": "str(int(layer[1]) + 1)"},
        ),
        Mistake(
            "keys without a layer",
            "keys without a layer's number, such as the embedding, have no `layer`: it is None there. Keep `ours` then",
            {'ours.replace("*", layer[1]) if layer else ours': 'ours.replace("*", layer[1])'},
        ),
    ],
    "fill_defaults": [
        Mistake(
            "head size divided",
            "your head size is the width divided by the heads. For PaliGemma-3B that happens to be 256; Gemma's heads "
            "have 256 numbers whatever the width: PaliGemma 2 has 8 heads in a width of 2304",
            {
                'read(text, "head_dim", 256)': 'read(text, "head_dim", text["hidden_size"] // text["num_attention_heads"])'
            },
        ),
        Mistake(
            "head size fixed",
            "your head size is 256, whatever config.json says",
            {'read(text, "head_dim", 256)': "256"},
        ),
        Mistake(
            "another default",
            "where head_dim is missing, it is 256; 64 is what many other models have",
            {'read(text, "head_dim", 256)': 'read(text, "head_dim", 64)'},
        ),
        Mistake(
            "the decoder's number of heads",
            "the default of head_dim is the number of heads in yours; it is a head's size, 256",
            {'read(text, "head_dim", 256)': 'read(text, "head_dim", text["num_attention_heads"])'},
        ),
        Mistake(
            "old spelling alone",
            "you read rope_theta in text_config alone; transformers 5 writes it into the group rope_parameters",
            {'read(rope, "rope_theta", read(text, "rope_theta", 10000.0))': 'read(text, "rope_theta", 10000.0)'},
        ),
        Mistake(
            "new spelling alone",
            "you read rope_theta in the group rope_parameters alone; before transformers 5 it stood in text_config",
            {'read(rope, "rope_theta", read(text, "rope_theta", 10000.0))': 'read(rope, "rope_theta", 10000.0)'},
        ),
        Mistake(
            "theta fixed",
            "your theta is 10,000, whatever config.json says",
            {'read(rope, "rope_theta", read(text, "rope_theta", 10000.0))': "10000.0"},
        ),
        Mistake(
            "Gemma 3's theta",
            "where theta is missing, it is 10,000; a million is Gemma 3's",
            {"10000.0": "1000000.0"},
        ),
        Mistake(
            "null kept",
            "a field that is null is None in your config: group.get(name, default) gives the default only where the "
            "field is missing. null says the same as missing",
            {"return default if value is None else value": "return group.get(name, default)"},
        ),
        Mistake(
            "0 taken for missing",
            "`value or default` takes 0 and an empty group for missing, too: only None is",
            {"return default if value is None else value": "return value or default"},
        ),
        Mistake(
            "text first",
            "where both have a theta, yours is the one of text_config: the group rope_parameters counts",
            {
                'read(rope, "rope_theta", read(text, "rope_theta", 10000.0))': (
                    'read(text, "rope_theta", read(rope, "rope_theta", 10000.0))'
                )
            },
        ),
        Mistake(
            "defaults win",
            "you return the default where there is a value, and None where there is none: it is the other way round",
            {"return default if value is None else value": "return value if value is None else default"},
        ),
        Mistake(
            "never a default",
            "you return the value as it is, None where it is missing",
            {"return default if value is None else value": "return value"},
        ),
        Mistake(
            "always the default",
            "you return the default, whatever config.json says",
            {"return default if value is None else value": "return default"},
        ),
    ],
    "load": [
        Mistake(
            "missing not told",
            "a weight is missing in the files, and you load the rest without a word: whoever uses it later finds no "
            "such key, or, with strict=False, computes with random numbers",
            {"[name for name in expected if name not in weights]": "[]"},
        ),
        Mistake(
            "unexpected not told",
            "there is a key that you have no use for, and you say nothing: it is a norm of Gemma 2, so the model would "
            "compute something else than it was trained for",
            {"[key for key in stored if names.get(key) not in expected]": "[]"},
        ),
        Mistake(
            "unknown names alone",
            "you tell keys that have no name of ours; a third layer has one, and the config knows of two. Compare "
            "with `expected`",
            {"names.get(key) not in expected]": "key not in names]"},
        ),
        Mistake(
            "unknown places alone",
            "you tell names that the config does not expect; a key without any name of ours slips through. Go through "
            "`stored`, not through `names`",
            {
                "for key in stored if names.get(key) not in expected]": "for key, name in names.items() if name not in expected]"
            },
        ),
        Mistake(
            "keys compared with our names",
            "you look for the files' keys among our names, and find every one of them unexpected: ask for "
            "names.get(key), our name for the key",
            {"if names.get(key) not in expected]": "if key not in expected]"},
        ),
        Mistake(
            "compared with keys",
            "you look for our names among the files' keys, which `stored` and `names` have: all of them are missing. Look "
            "among `weights`",
            {"in expected if name not in weights]": "in expected if name not in stored]"},
        ),
        Mistake(
            "kernel not flattened",
            "the patch matrix is still a convolution's, (D, 3, size, size); lesson 2 multiplies flattened patches, and "
            "needs (D, 3 size size)",
            {"tensor = tensor.flatten(1)": "tensor = tensor"},
        ),
        Mistake(
            "all in one axis",
            "flatten() makes one axis of all four: D is to stay, (D, 3 size size). Begin with axis 1",
            {"tensor = tensor.flatten(1)": "tensor = tensor.flatten()"},
        ),
        Mistake(
            "channels last",
            "you put the channels last as you flatten. In lesson 2 a patch is all of its red, then green, then blue: "
            "the kernel lies as it is needed, flatten(1) is all",
            {"tensor = tensor.flatten(1)": "tensor = tensor.permute(0, 2, 3, 1).flatten(1)"},
        ),
        Mistake(
            "rows and columns exchanged",
            "in your patch matrix each channel of a patch is turned, columns before rows: flatten(1) is all",
            {"tensor = tensor.flatten(1)": "tensor = tensor.transpose(2, 3).flatten(1)"},
        ),
        Mistake(
            "transposed",
            "your patch matrix is (3 size size, D): F.linear takes (D, 3 size size)",
            {"tensor = tensor.flatten(1)": "tensor = tensor.flatten(1).T"},
        ),
        Mistake(
            "one added to the norms",
            "you add 1 to Gemma's norms as you load them; rms_norm adds it when it computes, and would then multiply "
            "by 2 + weight. Weights stay as they are stored",
            {"weights[name] = tensor": 'weights[name] = tensor + ("decoder" in name and "norm" in name)'},
        ),
        Mistake(
            "embedding scaled",
            "you multiply the embedding by the root of the width as you load it; it is the head, too, and all logits "
            "grow with it. Scale what was looked up",
            {
                "weights[name] = tensor": (
                    'weights[name] = tensor * tensor.shape[1] ** 0.5 if name == "decoder.embedding" else tensor'
                )
            },
        ),
        Mistake(
            "one file",
            "you read one file; large models are cut into several, and all of them are to be read",
            {'sorted(folder.glob("*.safetensors"))': 'sorted(folder.glob("*.safetensors"))[:1]'},
        ),
        Mistake(
            "dtype kept",
            "your weights are in bfloat16, as they are stored; the lessons' functions compute in float32",
            {"stored[key].float()": "stored[key]"},
        ),
    ],
}
