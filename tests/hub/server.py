"""A Hub that runs in a thread of the test: it speaks HTTP as the Hub does, and counts what it is asked."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")
"""Ends of the names of files that another host has."""


class Hub:
    """What this Hub holds (at first one model), how it behaves, and what it was asked.

    Attributes:
        commits: Name to commit to file to content.
        branches: Name to branch or tag to commit.
        lies: Changes to what the Hub lists: a function of the listing.
        stops: How many bytes of which file it sends before it hangs up; a list, an item a request.
        refuses: Beginning of a path to (status, error code) or to a function that answers for itself.
        ranges: Whether it goes on in the middle of a file.
        asked: Method, path and headers of each request, without those of huggingface_hub's own.
    """

    def __init__(self, name, commit, files):
        self.commits, self.branches = {name: {commit: dict(files)}}, {name: {"main": commit}}
        self.lies, self.stops, self.refuses, self.ranges = lambda listing: None, {}, {}, True
        self.asked = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        path = unquote(urlsplit(request.path).path)
        if path == "/api/agent-harnesses":
            return reply(request, 404)
        self.asked.append((request.command, path, dict(request.headers)))
        for beginning, refusal in self.refuses.items():
            if path.startswith(beginning):
                return refusal(request) if callable(refusal) else reply(request, refusal[0], code=refusal[1])
        if listed := re.fullmatch(r"/api/models/(.+?)/revision/(.+)", path):
            return self.list(request, *listed.groups())
        if file := re.fullmatch(r"/(.+?)/resolve/(.+?)/(.+)", path):
            return self.send(request, *file.groups())
        if large := re.fullmatch(r"/large/([0-9a-f]{64})", path):
            contents = (c for commits in self.commits.values() for files in commits.values() for c in files.values())
            content = next(c for c in contents if sha256(c) == large[1])
            return self.send_bytes(request, large[1], content)
        return reply(request, 404)

    def list(self, request, name, revision):
        """What files a revision has, of what size and hash."""
        if name not in self.commits:
            return reply(request, 401, code="RepoNotFound")
        commit = self.branches[name].get(revision, revision)
        if commit not in self.commits[name]:
            return reply(request, 404, code="RevisionNotFound")
        listing = {"id": name, "sha": commit, "siblings": []}
        for file, content in self.commits[name][commit].items():
            entry = {"rfilename": file, "size": len(content), "blobId": git_hash(content)}
            if file.endswith(LARGE):
                entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
            listing["siblings"].append(entry)
        self.lies(listing)
        return reply(request, 200, json.dumps(listing).encode())

    def send(self, request, name, revision, file):
        """A file, or where it is."""
        commit = self.branches[name].get(revision, revision)
        content = self.commits[name][commit].get(file)
        if content is None:
            return reply(request, 404, code="EntryNotFound")
        large = file.endswith(LARGE)
        digest = sha256(content) if large else git_hash(content)
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": len(content), "X-Linked-Etag": f'"{digest}"'}
        if large:
            return reply(request, 302, Location=f"http://localhost:{self.server.server_port}/large/{digest}", **headers)
        return self.send_bytes(request, file, content, **headers)

    def send_bytes(self, request, file, content, **headers):
        """A content from where the request wants it, as far as the line holds; `file` is a name, or a hash."""
        headers["ETag"] = f'"{sha256(content) if len(file) == 64 else git_hash(content)}"'
        start = 0
        if self.ranges and (asked := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))):
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        stops = self.stops.get(file)
        stop = stops.pop(0) if stops else None
        return reply(request, 206 if start else 200, content[start:], stop=stop, **headers)

    @property
    def paths(self):
        """Those asked with GET since the last look, each file without what stands before its name."""
        paths = [path.rpartition("/")[2] if "/resolve/" in path else path for _, path, _ in self.asked]
        self.asked.clear()
        return [path for path in paths if not path.startswith("/large/")]

    def headers(self, ending):
        """Of each request for a path that ends so."""
        return [headers for _, path, headers in self.asked if path.endswith(ending)]


def reply(request, status, content=b"", code=None, stop=None, **headers):
    """Answers a request; hangs up after `stop` bytes."""
    request.send_response(status)
    if code:
        request.send_header("X-Error-Code", code)
    for key, value in {"Content-Length": len(content), **headers}.items():
        request.send_header(key, str(value))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content[:stop])
    if stop is not None:
        request.wfile.flush()
        request.close_connection = True


def git_hash(content):
    """As git calls a file, and the Hub a small one."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()
