"""Requests to the service in this process."""

import asyncio
import json
import struct
import zlib
from types import SimpleNamespace

from starlette.testclient import TestClient

from facemargin.serving.app import create_app


def client_of(parts, **arguments) -> TestClient:
    arguments = {"calibration": parts.calibration, **arguments}
    app = create_app(arguments.pop("model", parts.model), **arguments)
    return TestClient(app, base_url="http://127.0.0.1")


def images(*contents):
    return [("images", ("p.png", content)) for content in contents]


def pair(first, second):
    return {"image_a": ("a.png", first), "image_b": ("b.png", second)}


def code_of(response) -> tuple[int, str]:
    """The status and the code of an error, which has its one form."""
    found = response.json()
    assert list(found) == ["error"] and sorted(found["error"]) == ["code", "message", "request_id"]
    assert found["error"]["request_id"] == response.headers["x-request-id"] and found["error"]["message"]
    return response.status_code, found["error"]["code"]


def ask_raw(app, method, path, chunks, headers=()):
    """What `app` answers to a request whose body comes in `chunks`; `taken`: how many it took. A chunk that is None
    never comes."""
    sent, taken = [], []
    waiting = iter(chunks)

    async def receive():
        chunk = next(waiting, b"")
        taken.append(chunk)
        if chunk is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80), "headers": [(b"host", b"127.0.0.1"), *headers],
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 60))
    body = b"".join(message.get("body", b"") for message in sent)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return SimpleNamespace(
        status_code=sent[0]["status"], headers=headers, json=lambda: json.loads(body), taken=len(taken)
    )  # fmt: skip


def png_bomb(width: int, height: int) -> bytes:
    """A whole PNG file whose header states so many pixels, with hardly any behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
