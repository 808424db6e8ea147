"""The machine, described."""

import torch

from ojito.meter.machine import machine


def test_machine_says_what_a_figure_must_name():
    found = machine(torch.device("cpu"))
    assert {"cpu", "capable", "cores", "threads", "torch", "python"} == set(found)
    assert found["cpu"]
    assert set(found["capable"]) <= {"amx", "avx512_vnni", "avx512_bf16", "avx2"}
    assert found["torch"] == torch.__version__


def test_machine_counts_the_threads_in_use():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert machine(torch.device("cpu"))["threads"] == 3
    finally:
        torch.set_num_threads(before)
