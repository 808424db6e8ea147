"""Models on disk. `folder` describes any folder, once; `native`, `nanovlm` and `huggingface` are the forms it knows.

They trade tensors and dicts; the caller builds the modules.
"""
