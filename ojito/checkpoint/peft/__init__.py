"""Adapters of LoRA in PEFT's form: what was learned, in a small folder that names the model it belongs to.

    adapter_config.json          which layers have adapters, their rank and scale, and the base model
    adapter_model.safetensors    A and B of each, and the parts that learned in full

Read and written by

    config_file.py    adapter_config.json, in both directions
    base_model.py     where the base model is
    names.py          the tensors' names, in both directions
    fitting.py        which of the base model's tensors an adapter is for
    adapter.py        an adapter, and its base's tensors with it
    folder.py         a folder described and written

A `Described` with an adapter is that of the model that it makes; what loads it need not know.
"""
