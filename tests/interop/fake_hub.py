"""A Hugging Face Hub on this machine, as much of it as reading and listing repositories needs."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "a" * 40


class FakeHub:
    """Serves the folders `root`/owner/name; `requests` are the paths that were asked for. owner/gated is gated."""

    def __init__(self, root: Path) -> None:
        self.root, self.requests = root, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # no connection outlives the server

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                hub.answer(self, with_body=False)

            def do_GET(self):
                hub.answer(self, with_body=True)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler, with_body):
        path = handler.path.split("?")[0]
        self.requests.append(f"{handler.command} {path}")
        parts = path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        owner, name, *rest = parts[2:] if is_api else parts
        folder = self.root / owner / name
        if name == "gated":
            self.send(handler, 403, {}, {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask first"}, with_body)
        elif not folder.is_dir():
            self.send(handler, 404, {}, {"X-Error-Code": "RepoNotFound"}, with_body)
        elif is_api and rest[:1] == ["tree"]:
            files = [one for one in sorted(folder.rglob("*")) if one.is_file()]
            listing = [
                {"type": "file", "path": str(one.relative_to(folder)), "size": one.stat().st_size, "oid": "b" * 40}
                for one in files
            ]
            self.send(handler, 200, listing, {}, with_body)
        elif is_api:
            names = [str(one.relative_to(folder)) for one in sorted(folder.rglob("*")) if one.is_file()]
            siblings = [{"rfilename": one} for one in names]
            self.send(handler, 200, {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings}, {}, with_body)
        else:
            file = folder.joinpath(*rest[2:])
            if not file.is_file():
                self.send(handler, 404, {}, {"X-Error-Code": "EntryNotFound"}, with_body)
                return
            content = file.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.send(handler, 200, content, {"ETag": etag, "X-Repo-Commit": COMMIT}, with_body)

    def send(self, handler, status, content, headers, with_body):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if with_body:
            handler.wfile.write(body)
