"""Files graded in a process of their own."""

import pytest

from ojito.learn.worker import Worker
from tests.learn.conftest import SOLUTION


@pytest.fixture(params=[False, True], ids=["started when needed", "started before"])
def worker(request):
    worker = Worker(request.param)
    yield worker
    worker.close()


def test_files_are_graded_one_after_the_other_with_what_they_print(worker, lesson, tmp_path):
    path = tmp_path / "exercise.py"
    path.write_text(SOLUTION + '\nprint("shape", 3)\n')
    found, printed = worker.grade(lesson.folder, path)
    assert found.passed
    assert printed == "shape 3\n"
    path.write_text(SOLUTION.replace("2 * value", "value"))
    found, printed = worker.grade(lesson.folder, path)
    assert found.verdicts[-1].mistakes == ("same",)
    assert printed == ""


def test_file_that_never_ends_or_ends_the_process_is_told(worker, lesson, tmp_path):
    path = tmp_path / "exercise.py"
    path.write_text(SOLUTION + "\nwhile True: pass\n")
    assert worker.grade(lesson.folder, path, limit=8)[0].says == "was stopped after 8 s: does a loop never end?"
    path.write_text(SOLUTION + "\nimport os; os._exit(3)\n")
    assert worker.grade(lesson.folder, path)[0].says == "ended the process: exit code 3"
