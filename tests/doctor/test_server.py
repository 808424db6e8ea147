"""A server is told by what it does to images: a stub of one looks at the pixels, and tells what it sees."""

import base64
import contextlib
import io
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image, ImageOps

from ojito.doctor import drawings, examine_server
from ojito.doctor.endpoint import ChatEndpoint, ServerError

WORDS = {"grass": "Green.", "sky": "Blue."}


def nearest(pixel):
    """Name of a pixel's colour; "white" and "black" are names, too."""
    known = {**drawings.COLOURS, "white": (255, 255, 255), "black": (0, 0, 0)}
    return min(known, key=lambda name: sum((int(a) - b) ** 2 for a, b in zip(pixel, known[name], strict=True)))


def square(image):
    """Colour and middle, in 0..1, of what is not white; None where there is nothing."""
    array = np.asarray(image)
    where = np.argwhere(array.astype(int).sum(-1) < 640)
    if not len(where):
        return None
    y, x = where.mean(0)
    return nearest(array[int(y), int(x)]), x / image.width, y / image.height


def look(text, images):
    """Answer as a model that sees."""
    if not images:
        return next((answer for word, answer in WORDS.items() if word in text), "I see no image.")
    if "two images" in text:
        number = min(int("second" in text), len(images) - 1)
        return nearest(np.asarray(images[number])[5, 5])
    image = images[0]
    if "main color" in text:
        return f"It is {nearest(np.asarray(image)[image.height // 2, image.width // 2])}."
    if "digit" in text:
        small = np.asarray(image.convert("L").resize((48, 48)), int)
        apart = {d: abs(np.asarray(drawings.digit(d).convert("L").resize((48, 48)), int) - small).mean()
                 for d in drawings.DIGITS}  # fmt: skip
        best = min(apart, key=apart.get)
        return best if apart[best] < 20 else "none"
    seen = square(image)
    if seen is None:
        return "There is no square."
    colour, x, y = seen
    if "Where" in text:
        return f"{'bottom' if y > 0.5 else 'top'} {'right' if x > 0.5 else 'left'}"
    return colour.capitalize()


def crop(image):
    """The middle: of the shorter side, and nine tenths of that."""
    side = int(0.8 * min(image.size))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def each(change):
    return lambda images: [change(image) for image in images]


def turned(turn):
    return each(lambda image: image.transpose(turn))


T = Image.Transpose
SERVERS = {  # what a server does to images, and what is then found
    "right": (each(lambda image: image), ()),
    "drops images": (lambda images: [], ("image received",)),
    "turns right": (turned(T.ROTATE_270), ("upright",)),
    "turns left": (turned(T.ROTATE_90), ("upright",)),
    "turns upside down": (turned(T.ROTATE_180), ("upright",)),
    "mirrors": (turned(T.FLIP_LEFT_RIGHT), ("upright",)),
    "flips": (turned(T.FLIP_TOP_BOTTOM), ("upright",)),
    "exchanges rows and columns": (turned(T.TRANSPOSE), ("upright",)),
    "reorders": (lambda images: images[::-1], ("image order",)),
    "keeps the first": (lambda images: images[:1], ("image order",)),
    "keeps the last": (lambda images: images[-1:], ("image order",)),
    "crops": (each(crop), ("whole",)),
    "cuts a wide image": (each(lambda image: ImageOps.fit(image, (336, 336))), ("whole",)),
    "exchanges channels": (each(lambda i: Image.merge("RGB", i.split()[::-1])), ("channels",)),
}


class Stub(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply({"data": [{"id": "stub"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((asked, self.headers))
        text, images = "", []
        for part in asked["messages"][-1]["content"]:
            if part["type"] == "text":
                text += part["text"]
            else:
                content = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                image = Image.open(io.BytesIO(content))
                images.append((image if self.server.exif_ignored else ImageOps.exif_transpose(image)).convert("RGB"))
        images = self.server.change(images) if images else images
        values = {"choices": [{"message": {"role": "assistant", "content": self.server.answer(text, images)}}]}
        if self.server.counts:
            values["usage"] = {"prompt_tokens": len(text.split()) + 64 * len(images)}
        self.reply(values)

    def reply(self, values, code=200):
        content = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client has no time left
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """Starts a stub; returns its address and what it was asked."""
    started = []

    def serve(change=lambda images: images, answer=look, counts=True, exif_ignored=False, handler=Stub):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.change, server.answer, server.counts, server.exif_ignored = change, answer, counts, exif_ignored
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1", server.asked

    yield serve
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("counts", [True, False], ids=["usage", "no usage"])
@pytest.mark.parametrize("name", SERVERS)
def test_what_a_server_does_to_images_is_named(serve, name, counts):
    change, expected = SERVERS[name]
    url, _ = serve(change, counts=counts)
    report = examine_server(url)
    assert report.alarms == expected, report.to_dict()


def test_turns_have_names(serve):
    said = {name: examine_server(serve(SERVERS[name][0])[0]).of("upright").evidence["turn"]
            for name in ("turns right", "turns left", "turns upside down", "mirrors", "flips")}  # fmt: skip
    assert said == {
        "turns right": "turned a quarter to the right",
        "turns left": "turned a quarter to the left",
        "turns upside down": "upside down",
        "mirrors": "mirrored, left for right",
        "flips": "mirrored, top for bottom",
    }


def test_ignored_exif_is_a_note(serve):
    report = examine_server(serve(exif_ignored=True)[0])
    assert report.healthy
    assert report.of("exif").severity == "note"
    assert "a quarter to the left" in report.of("exif").says


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("answer", ["I am a language model.", "", "blue"])
def test_dropped_images_are_told_from_a_model_that_cannot_answer(serve, counts, answer):
    def words_alone(text, images):
        return look(text, []) if any(word in text for word in WORDS) else answer

    dropped = examine_server(serve(lambda images: [], words_alone, counts)[0])
    assert dropped.alarms == ("image received",)
    assert "drops images" in dropped.findings[0].says
    cannot = examine_server(serve(answer=lambda text, images: "Lorem ipsum.", counts=counts)[0])
    assert cannot.healthy
    assert (cannot.findings[0].examination, cannot.findings[0].severity) == ("answers", "note")
    assert "cannot tell" in cannot.findings[0].says
    assert {one.severity for one in cannot.findings[1:]} == {"skipped"}


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("answer", ["green", "Blue."])
def test_model_that_always_says_the_same_is_not_blamed_on_the_server(serve, counts, answer):
    """ "green" is right about grass, and says nothing of what became of the images."""
    report = examine_server(serve(answer=lambda text, images: answer, counts=counts)[0])
    assert report.healthy
    assert "cannot tell" in report.findings[0].says


@pytest.mark.parametrize("counts", [True, False])
def test_wrong_answers_that_change_with_the_image_show_that_it_arrives(serve, counts):
    def shifted(text, images):
        names = [*drawings.COLOURS]
        seen = look(text, images)
        return next((names[i - 1] for i, name in enumerate(names) if images and name in seen), seen)

    report = examine_server(serve(answer=shifted, counts=counts)[0])
    assert report.healthy
    assert report.findings[0].severity == "note"


def test_guesses_of_a_server_that_samples_do_not_hide_dropped_images(serve):
    guesses = itertools.cycle(["red", "mauve", "blue", "mauve", "pink"])

    def guess(text, images):
        return look(text, []) if any(word in text for word in WORDS) else next(guesses)

    report = examine_server(serve(lambda images: [], guess, counts=False)[0])
    assert report.alarms == ("image received",)


def test_model_that_gets_images_and_knows_no_colours_is_not_blamed_on_the_server(serve):
    def colourless(text, images):
        return "It is nice." if images else look(text, images)

    report = examine_server(serve(answer=colourless)[0])
    assert report.healthy
    assert report.findings[0].severity == "note"


def test_weak_model_gives_notes_and_no_alarm(serve):
    def weak(text, images):
        return "top left" if "Where" in text else "both" if "two images" in text else look(text, images)

    report = examine_server(serve(answer=weak)[0])
    assert report.healthy
    assert {one.examination for one in report.findings if one.severity == "note"} == {"upright", "image order"}


@pytest.mark.parametrize(
    ("edge", "wrong"),
    [(0.8, lambda seen: [*drawings.COLOURS][[*drawings.COLOURS].index(seen) - 1]), (0.55, lambda seen: "none")],
    ids=["wrong answers that change", "the same answer, further inside, too"],
)
def test_weak_model_that_errs_at_an_edge_is_not_taken_for_a_crop(serve, edge, wrong):
    """What is cut off can change no answer, and what is further inside is not cut off."""

    def weak(text, images):
        at = square(images[0]) if "color is it" in text else None
        return wrong(at[0]) if at is not None and at[1] > edge else look(text, images)

    report = examine_server(serve(answer=weak)[0])
    assert report.healthy
    assert report.of("whole").severity == "note"
    assert report.of("whole").evidence["unsure"] == ["right", "far right"]


def test_model_and_key_are_sent(serve):
    url, asked = serve()
    ChatEndpoint(url, "owl", "secret").ask("Hello")
    assert asked[0][0]["model"] == "owl"
    assert asked[0][1]["Authorization"] == "Bearer secret"
    assert ChatEndpoint(url).model == "stub"


class Elsewhere(Stub):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", "http://localhost:9/v1/chat/completions")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Endless(Stub):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client hangs up
            for _ in range(40):
                self.wfile.write(b" " * 2**16)


class Refusing(Stub):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply({"error": "no such model"}, 404)


class Page(Stub):
    def do_GET(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n<html>")


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (Elsewhere, "redirects to http://localhost:9, another host"),
        (Endless, "answers with more than 1,048,576 bytes"),
        (Refusing, "no such model"),
        (Page, "is not JSON"),
    ],
)
def test_server_that_is_no_chat_endpoint_is_a_mistake(serve, handler, said):
    with pytest.raises(ServerError, match=said):
        examine_server(serve(handler=handler)[0])


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:8000/v1", "ftp://127.0.0.1/", "http://"])
def test_address_that_is_none_is_refused(url):
    with pytest.raises(ServerError, match="is no address"):
        examine_server(url)


def test_address_without_its_version_is_told(serve):
    url = serve(handler=Refusing)[0]
    with pytest.raises(ServerError) as caught:
        ChatEndpoint(url.removesuffix("/v1"), "stub").ask("Hello")
    assert caught.value.remedy == "add /v1 to the address"
    with pytest.raises(ServerError) as caught:
        ChatEndpoint(url, "stub").ask("Hello")
    assert caught.value.remedy == "check address, model and key"


def test_server_that_is_not_there_is_named():
    with pytest.raises(ServerError, match="does not answer"):
        examine_server("http://127.0.0.1:9/v1")


def test_slow_server_is_left_when_time_is_up(serve):
    def slow(text, images):
        time.sleep(0.1)
        return look(text, images)

    report = examine_server(serve(answer=slow)[0], seconds=1.2)
    assert report.healthy
    assert report.findings[-1].says == "no time was left"
