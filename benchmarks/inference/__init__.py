"""The same answers in Ojito and in what else a user would pick, in turns, each in a process of its own.

    python -m benchmarks.inference                                             every case, all that is installed
    python -m benchmarks.inference --case paligemma --form int8 --peer transformers --rounds 3
    python -m benchmarks.inference --tiny                                      the same code at a thousandth of the size

Weights are random, of the exact shapes; answers are nonsense, and their time is not. Each measurement is a process that
loads, answers once cold and then warm: its peak of memory is its own. A B A B, medians over the rounds.

Peers, measured where they are installed, and never imported by `ojito/`:

    transformers  its own `generate`, sdpa, float32 and bfloat16
    eager         what tutorials write: image and text read anew for every token
    llama.cpp     the text part alone of a GGUF, q8_0 beside int8 and q4_0 beside int4; as node-llama-cpp carries it:
                  `npm i node-llama-cpp@3.22.1` in a folder, and --node FOLDER
    openvino      matrices one by one, int8: `pip install openvino`
"""
