"""Training: images a second, peak memory, and the memory that was foretold.

    python -m benchmarks.training --case step --peer nanovlm --nanovlm ~/nanoVLM
    python -m benchmarks.training --case small --case tiny
    python -m benchmarks.training --case memory            # foretold beside measured, and batches of 1 to 32
    python -m benchmarks.training --case gpu --device cuda # batches of 1 to 512

Every measurement is a process of its own, in turns (A B A B); medians. nanoVLM is its own code, from a checkout of
github.com/huggingface/nanoVLM, with random weights of its published shape.
"""
