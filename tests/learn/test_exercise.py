"""What a lesson asks for."""

from ojito.learn import Exercise, call


def test_solution_is_called_with_inputs_by_name_unless_the_lesson_says_otherwise():
    assert call(lambda one, two: one - two, {"two": 1, "one": 3}) == 2
    exercise = Exercise("name", list, [], [])
    assert exercise.use is call
    assert exercise.tolerance == 1e-5
