"""The course: lessons in the order in which an image becomes words, and a check of their exercises that names mistakes.

A lesson is a folder:

    lesson.md     one page: the idea, where it stands in the library, the paper
    exercise.py   functions with gaps, marked `...`
    solution.py   the same, solved
    check.py      QUESTION to predict, EXERCISES with cases, hints and mistakes, MILESTONE where parts are put together

What is right is decided by the library's own function, so that a lesson cannot drift from it. A mistake is an edit of
the solution; a wrong result is compared with those of all mistakes, and the one that it equals is named.
"""

from ojito.learn.exercise import Case, Exercise, Milestone, Mistake, Parts, Question, call

__all__ = ["Case", "Exercise", "Milestone", "Mistake", "Parts", "Question", "call"]
