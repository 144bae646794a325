"""A hub on the loopback, with faults on demand: the few addresses that a download asks for.

As the public one does, it gives large files (`LARGE` and more) by a redirect to a store, with
their SHA-256 as the ETag; small ones directly, with git's SHA-1.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import huggingface_hub

from napari_clipseg.engine.checkpoints.locate import locate

NAME = "CIDAS/clipseg-rd64"
LARGE = 100_000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = {"license": "apache-2.0"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(content):
    return sha256(content) if len(content) >= LARGE else git_sha1(content)


class FakeHub:
    """What the server gives, and what it was asked.

    Attributes
    ----------
    repos : dict of str to dict of str to bytes
        Models by name: their files.
    asked : list of (str, str, str or None)
        Method, path, and Range of each request.
    faults : dict of str to callable
        By a pattern of the path: called with the handler and the content that would be sent
        (None for answers that are no file); returns true when it answered itself.
    etag : callable
        Gives a file's ETag, which a mirror may choose.
    """

    def __init__(self):
        self.repos = {}
        self.asked = []
        self.faults = {}
        self.card = CARD
        self.etag = etag
        self.model_type = "clipseg"
        self.endpoint = ""
        self.store = ""

    def paths(self, method="GET"):
        return [path for asked, path, _ in self.asked if asked == method]

    def ranges(self):
        return [given for _, _, given in self.asked if given]

    def find(self, digest):
        for files in self.repos.values():
            for content in files.values():
                if etag(content) == digest:
                    return content
        raise KeyError(digest)


@contextmanager
def serving():
    """Run a hub in a thread; it has the bundled checkpoint under a public name."""
    hub = FakeHub()
    hub.repos[NAME] = {path.name: path.read_bytes() for path in locate("demo").iterdir()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True  # a client may keep its connection
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    hub.store = f"http://localhost:{server.server_port}/store"  # another host, as in the world
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        huggingface_hub.close_session()


def as_default(hub, monkeypatch):
    """Make a hub the one that is asked where none is named, as HF_ENDPOINT would."""
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)


# --- faults -----------------------------------------------------------------------------


def status(code, **headers):
    """Answer with a status."""

    def fault(handler, _):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer(code, b"{}", {"Content-Type": "application/json", **sent})
        return True

    return fault


def text(content):
    """Answer with a page that has nothing to do with the hub."""

    def fault(handler, _):
        handler.answer(200, content, {"Content-Type": "text/html"})
        return True

    return fault


def api(change):
    """Answer with what the hub's API says, changed: a mapping, or the bytes themselves."""

    def fault(handler, _):
        found = re.match(r"/api/models/([^/]+/[^/?]+)", handler.path)
        values = change(handler.info(found[1], handler.hub.repos[found[1]]))
        content = values if isinstance(values, bytes) else json.dumps(values).encode()
        handler.answer(200, content, {"Content-Type": "application/json"})
        return True

    return fault


def only(method, fault):
    """Have a fault for one method alone."""
    return lambda handler, content: handler.command == method and fault(handler, content)


def cut(after, times=10**6):
    """Close the connection after some bytes of a file, so many times."""
    left = [times]

    def fault(handler, content):
        if content is None or left[0] <= 0 or handler.command != "GET":
            return False
        left[0] -= 1
        code, part, headers = handler.part(content)
        handler.head(code, {**headers, "Content-Length": str(len(part))})
        handler.wfile.write(part[:after])
        handler.wfile.flush()
        handler.close_connection = True
        return True

    return fault


def instead(wrong):
    """Send other bytes than were announced."""

    def fault(handler, content):
        if content is None or handler.command != "GET":
            return False
        handler.answer(200, wrong(content), {})
        return True

    return fault


def without_ranges(handler, content):
    """Send all from the start, whatever was asked for."""
    if content is None or handler.command != "GET":
        return False
    handler.answer(200, content, {})
    return True


def drip(size, seconds=0.0):
    """Send a file in small pieces, with pauses; what the client no longer reads is not sent."""

    def fault(handler, content):
        if content is None or handler.command != "GET":
            return False
        code, part, headers = handler.part(content)
        handler.head(code, {**headers, "Content-Length": str(len(part))})
        for start in range(0, len(part), size):
            handler.wfile.write(part[start : start + size])
            handler.wfile.flush()
            time.sleep(seconds)
        return True

    return fault


def ranged(span):
    """Answer a request for the rest of a file with another Content-Range; None for none."""

    def fault(handler, content):
        if content is None or "Range" not in handler.headers:
            return False
        code, part, _ = handler.part(content)
        start = len(content) - len(part)
        said = span and span.format(start=start, before=start - 1, last=len(content) - 1)
        handler.answer(code, part, {"Content-Range": said} if said else {})
        return True

    return fault


def slow(seconds):
    """Wait before anything is sent."""

    def fault(*_):
        time.sleep(seconds)
        return False

    return fault


def held(event, after=0):
    """Send the first bytes of a file, then wait for an event (of threading)."""

    def fault(handler, content):
        if content is None or handler.command != "GET":
            return False
        code, part, headers = handler.part(content)
        handler.head(code, {**headers, "Content-Length": str(len(part))})
        handler.wfile.write(part[:after])
        handler.wfile.flush()
        event.wait(30)
        handler.wfile.write(part[after:])
        return True

    return fault


# --- the server -------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:  # the client went away, as it may
            self.close_connection = True

    def do_HEAD(self):
        self.serve()

    def do_GET(self):
        self.serve()

    def serve(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        store = re.fullmatch(r"/store/([0-9a-f]{64})", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/(.+?)/([^/]+)", path)
        content = None
        if store:
            content = self.hub.find(store[1])
        elif file:
            small = self.hub.repos.get(file[1], {}).get(file[3], b"")
            content = small if 0 < len(small) < LARGE else None
        for pattern, fault in list(self.hub.faults.items()):
            if re.search(pattern, path) and fault(self, content):
                return
        if store:
            self.answer(*self.part(content))
        elif file:
            self.resolve(*file.groups())
        else:
            self.api(path)

    def resolve(self, name, revision, file):
        if name not in self.hub.repos or file not in self.hub.repos[name]:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = self.hub.repos[name][file]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{self.hub.etag(content)}"'}
        if len(content) < LARGE:
            code, part, more = self.part(content)
            self.answer(code, part, {**headers, **more})
            return
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        self.answer(302, b"", {**headers, "Location": f"{self.hub.store}/{sha256(content)}"})

    def api(self, path):
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path)
        if found is None or found[1] not in self.hub.repos:
            self.answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif found[3] not in (None, "main", "refs/pr/1", COMMIT):
            self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            files = self.hub.repos[found[1]]
            values = self.tree(files) if found[2] == "tree" else self.info(found[1], files)
            self.answer(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def info(self, name, files):
        siblings = []
        for file, content in files.items():
            one = {"rfilename": file, "size": len(content), "blobId": git_sha1(content)}
            if len(content) >= LARGE:
                one["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(one)
        config = {"model_type": self.hub.model_type}
        card = {"cardData": self.hub.card} if self.hub.card else {}
        return {"id": name, "sha": COMMIT, "siblings": siblings, "config": config, **card}

    def tree(self, files):
        entries = []
        for file, content in files.items():
            one = {"type": "file", "path": file, "size": len(content), "oid": git_sha1(content)}
            if len(content) >= LARGE:
                one["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
            entries.append(one)
        return entries

    def part(self, content):
        """Return status, content and headers, with the Range that was asked for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found is None:
            return 200, content, {"Accept-Ranges": "bytes"}
        start = int(found[1])
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return 206, content[start:], {"Content-Range": span}

    def head(self, code, headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, code, content, headers):
        self.head(code, {**headers, "Content-Length": str(len(content))})
        if self.command == "GET":
            self.wfile.write(content)
