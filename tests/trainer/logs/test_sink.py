from ojito.trainer.logs.sink import numbers


def test_numbers_of_a_line_have_one_name_each():
    line = {"step": 3, "loss": 1.5, "evaluation": True, "grad_norm": {"vision": 2, "all": 3.0}, "lr": None, "kind": "a"}
    assert dict(numbers(line)) == {"loss": 1.5, "grad_norm/vision": 2.0, "grad_norm/all": 3.0}
    assert dict(numbers({"n": 4}, "evaluation/")) == {"evaluation/n": 4.0}
