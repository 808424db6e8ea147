"""What a benchmark asks."""

import pytest

from ojito.bench.case import Case
from ojito.errors import OjitoError


@pytest.mark.parametrize(("field", "value", "least"), [("batch", 0, 1), ("prompt_tokens", 0, 1), ("tokens", 1, 2)])
def test_case_that_measures_nothing_is_refused(field, value, least):
    with pytest.raises(OjitoError, match=rf"^{field}: {value} measures nothing; use {least} or more$"):
        Case(**{field: value})
