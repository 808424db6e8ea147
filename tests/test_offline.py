"""Nothing is sent anywhere: a process does all that Ojito does, and two guards watch whom it wants to reach.

One is in Python and sees every name that is looked up and every socket that is connected. The other is a server that
the environment names as Hub and as proxy: code that is not Python, and asks the environment, would come there.
"""

import json
import os
import socketserver
import subprocess
import sys
import threading

import pytest

STAGES = {
    "importing": """
import ojito
for name in ojito.__all__:
    getattr(ojito, name)
from PIL import Image
Image.linear_gradient("L").save("photo.png")
""",
    "loading a preset": """
pipe = ojito.load("tiny", device="cpu")
""",
    "captioning": """
pipe.caption("photo.png", max_new_tokens=2)
pipe.ask("photo.png", "how many?", max_new_tokens=2)
list(pipe.stream("photo.png", max_new_tokens=2))
""",
    "training a step": """
from ojito.cli import main
small = ["train.batch_size=2", "train.eval_samples=2", "model.decoder.layers=1", "model.vision.layers=1"]
assert main(["train", "--steps", "1", "--out", "run", "--json", "--device", "cpu", *small]) == 0
""",
    "loading a folder": """
pipe = ojito.load("run", device="cpu")
pipe.save("again")
assert main(["info", "again"]) == main(["caption", "again", "photo.png", "--max-new-tokens", "2"]) == 0
""",
    "mistakes": """
for name in ("tinny", "./runs/none", "../none", "https://github.com/owl/eyes"):
    assert main(["info", name]) == 2, name
assert main(["caption", "run", "https://example.org/photo.png"]) == 2
assert "huggingface_hub" not in sys.modules
assert "transformers" not in sys.modules
""",
    "knocking": """
import socket
socket.create_connection(("localhost", int(sys.argv[1]))).recv(1)  # until the canary has hung up
""",
}

GUARD = """
import json, sys
reached, stage = {}, None
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        reached.setdefault(stage, []).append(f"{event} {arguments[1:] or arguments}")
sys.addaudithook(watch)
"""


class Canary(socketserver.ThreadingTCPServer):
    """Counts those who come."""

    daemon_threads = True

    def __init__(self):
        self.visits = 0
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.port = self.server_address[1]

    def process_request(self, request, address):
        self.visits += 1
        self.shutdown_request(request)


@pytest.fixture(scope="module")
def reached(tmp_path_factory):
    """Each stage to what it wanted to reach, and how many came to the canary."""
    with Canary() as canary:
        threading.Thread(target=canary.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{canary.port}"
        # `stage = ...` before each: the guard writes down what it was in.
        code = GUARD + "".join(f"stage = {name!r}\n{code}" for name, code in STAGES.items())
        code += "print('REACHED', json.dumps(reached))"
        names = ("HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        known = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        done = subprocess.run(
            [sys.executable, "-c", code, str(canary.port)],
            env={**known, **dict.fromkeys(names, address), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=tmp_path_factory.mktemp("offline"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        canary.shutdown()
    found = json.loads(done.stdout.rpartition("REACHED ")[2])
    return {**{name: found.get(name, []) for name in STAGES}, "canary": canary.visits}


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "knocking"])
def test_nobody_is_reached_while(reached, stage):
    assert not reached[stage]


def test_guards_see_who_is_reached(reached):
    assert any(event.startswith("socket.connect") for event in reached["knocking"])
    assert any(event.startswith("socket.getaddrinfo") for event in reached["knocking"])
    assert reached["canary"] == 1
