import pytest

from ojito.errors import OjitoError
from ojito.locate.things import locating_prompt, split_things


@pytest.mark.parametrize("things", ["cat ; black dog", "cat;black dog", " cat ;black dog ", ["cat", " black dog"]])
def test_things_are_split_at_semicolons_or_given_one_by_one(things):
    assert split_things(things, "detect") == ["cat", "black dog"]


@pytest.mark.parametrize("task", ["detect", "segment"])
@pytest.mark.parametrize("things", ["", " ; cat", [], ["cat", " "]])
def test_thing_without_a_name_is_an_error_that_says_what_for(things, task):
    with pytest.raises(OjitoError) as caught:
        split_things(things, task)
    assert caught.value.where == "things"
    assert caught.value.problem == f"{things!r} must name each thing to {task}"


def test_prompt_is_the_task_and_the_things():
    assert locating_prompt(["cat", "dog"], "detect") == "detect cat ; dog"
    assert locating_prompt(["cat"], "segment") == "segment cat"
