"""A scheduler that says what a test wants it to, in place of a model's answers."""

from ojito.generate import Request
from ojito.generate.prefix import Beginning


class Scripted:
    """Stands in for `Scheduler`, at every call from the beginning.

    Args:
        rows: The tokens of each row, in the order in which rows are submitted.
        finish: How a row ends that no stop text does.
        submitted: Called with each row's prompt and options.
    """

    free = 99

    def __init__(self, *rows, finish="eos", submitted=None):
        self.rows, self.finish, self.submitted = rows, finish, submitted

    def __call__(self, model, **_):
        self.requests = []
        return self

    @property
    def done(self):
        return all(request.done for request in self.requests)

    def submit(self, batch, options, stop=None, keep=True):
        if self.submitted is not None:
            self.submitted(batch, options)
        self.requests.append(Request(self, batch, options, stop, 0, Beginning(0, b"", ()), keep))
        return self.requests[-1]

    def step(self):
        for request, ids in zip(self.requests, self.rows, strict=True):
            answer = request.answer
            if answer.finish:
                continue
            if len(answer.tokens) == len(ids):
                answer.finish = self.finish
                continue
            answer.tokens.append(ids[len(answer.tokens)])
            if request.stop(answer.tokens):
                answer.finish = "stop"
