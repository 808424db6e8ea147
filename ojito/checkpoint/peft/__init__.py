"""Adapters of LoRA in PEFT's form: what was learned, in a small folder that names the model it belongs to.

adapter_config.json          which layers have adapters, their rank and scale, and the base model
adapter_model.safetensors    A and B of each, and the parts that learned in full

config_file.py    adapter_config.json, in both directions
base.py           where the base model is
names.py          the tensors' names, in both directions
adapter.py        an adapter, and its base's tensors with it
folder.py         a folder described and written
"""
