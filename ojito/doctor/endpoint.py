"""A chat endpoint in OpenAI's form, asked over HTTP: one address, given by the user, and no other."""

from __future__ import annotations

import base64
import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import IO, Any, NamedTuple

from PIL import Image

from ojito.doctor.finding import Shown
from ojito.errors import OjitoError

_LARGEST = 2**20  # bytes of a response
_SLOWEST = 30.0  # seconds for one request
_MAX_TOKENS = 32  # of an answer: all questions ask for a word or two
_SHOWN = 200  # characters of a server's own message


class ServerError(OjitoError):
    """A server that cannot be asked."""


class RefusedError(ServerError):
    """A request that the server answers with an error; others may well succeed."""


class Reply(NamedTuple):
    """What a server answers.

    Attributes:
        text: The answer.
        prompt_tokens: Tokens of the question as the server counts them, images included; 0 where it does not say.
    """

    text: str
    prompt_tokens: int


class ChatEndpoint:
    """An endpoint that is asked about images.

    No proxy is asked, and no redirect to another host is followed: the images and the key go to this address alone.

    Args:
        url: Its address up to the version, "http://127.0.0.1:8000/v1".
        model: Name of the model; "" takes the first that the server lists.
        key: Sent as a bearer token; "" sends none.
        seconds: For all requests together.

    Attributes:
        asked: Every question that was answered, in their order, with its images and the answer.

    Raises:
        ServerError: The address is none, or the server does not answer there.
    """

    def __init__(self, url: str, model: str = "", key: str = "", seconds: float = 60.0) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerError(f"--url {url}", "is no address", "write for example http://127.0.0.1:8000/v1")
        self.url = url.rstrip("/")
        self.asked: list[Shown] = []
        self._ends = time.monotonic() + seconds
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _SameHost())
        self.model = model or self._first_model()

    def ask(self, text: str, images: Sequence[Image.Image | bytes] = ()) -> Reply:
        """Ask a question about images, greedily.

        Args:
            text: The question.
            images: PIL images, or encoded PNG or JPEG.

        Raises:
            RefusedError: The server answers with an error.
            ServerError: It does not answer, or in another form.
        """
        content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": _data_url(i)}} for i in images]
        content.append({"type": "text", "text": text})
        asked = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": _MAX_TOKENS,
            "temperature": 0,
        }
        values = self._send("/chat/completions", asked)
        try:
            said = values["choices"][0]["message"]["content"]
            usage = values.get("usage") or {}
            reply = Reply(said if isinstance(said, str) else "", int(usage.get("prompt_tokens") or 0))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            problem = "answers in another form than chat completions"
            raise ServerError(self.url, problem, "give the address of an OpenAI-compatible endpoint") from None
        self.asked.append(Shown(tuple(images), text, reply.text.strip()))
        return reply

    @property
    def time_left(self) -> bool:
        """Whether there is time for another request."""
        return time.monotonic() < self._ends

    def _first_model(self) -> str:
        try:
            return str(self._send("/models")["data"][0]["id"])
        except RefusedError:
            return "default"
        except (KeyError, IndexError, TypeError):
            raise ServerError(self.url, "lists no model", "name one with --model") from None

    def _send(self, path: str, values: dict[str, Any] | None = None) -> Any:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise ServerError(self.url, "took too long for all questions", "try again when it is less busy")
        data = None if values is None else json.dumps(values).encode()
        request = urllib.request.Request(self.url + path, data, self._headers)  # noqa: S310 - checked to be http
        try:
            with self._opener.open(request, timeout=min(_SLOWEST, left)) as response:
                said = response.read(_LARGEST + 1)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(_SHOWN).decode("utf-8", "replace")
            unversioned = error.code == HTTPStatus.NOT_FOUND and not urllib.parse.urlsplit(self.url).path.strip("/")
            remedy = "add /v1 to the address" if unversioned else "check address, model and key"
            raise RefusedError(self.url + path, f"answers {error.code} {error.reason}: {text}", remedy) from None
        except (TimeoutError, urllib.error.URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(self.url, f"does not answer ({reason or 'time is up'})", "start the server") from None
        if len(said) > _LARGEST:
            problem = f"answers with more than {_LARGEST:,} bytes"
            raise ServerError(self.url, problem, "give the address of a chat endpoint")
        try:
            return json.loads(said)
        except ValueError:
            raise ServerError(self.url + path, "answers something that is not JSON", "add /v1 to the address") from None


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects on the same host alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to send instead.

        Raises:
            ServerError: It would go to another host.
        """
        old, new = (urllib.parse.urlsplit(url) for url in (req.full_url, newurl))
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            problem = f"redirects to {new.scheme}://{new.netloc}, another host"
            raise ServerError(req.full_url, problem, "give that address, if you trust it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _data_url(image: Image.Image | bytes) -> str:
    if isinstance(image, Image.Image):
        content = io.BytesIO()
        image.save(content, "PNG")
        image = content.getvalue()
    kind = "jpeg" if image[:2] == b"\xff\xd8" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
