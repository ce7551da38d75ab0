"""Requests that try to break a service: damaged multipart, huge headers, image bombs, wrong types, tricks with paths,
wrong keys, bodies that end early, texts that are not UTF-8. Used by serve.py and by the tests."""

import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

Make = Callable[[random.Random], bytes]

_PATHS = (
    "/v1/galleries/../../etc/passwd/people", "/v1/galleries/%2e%2e/people", "/v1/galleries/staff%2f..%2f/people",
    "/v1/galleries/%00/people", "//v1//verify", "/v1/galleries/staff/people/../../..", "/v1/galleries/C:%5C/people",
    "/v1/galleries/staff/identify%0d%0aX:1", "/\xff\xfe", "/v1/galleries/" + "a" * 9000 + "/people",
    "/v1/galleries/staff/review?after=-1", "/v1/galleries/staff/review?after=9223372036854775808",
    "/v1/galleries/staff/people?after=-1", "/v1/galleries/staff/people?limit=1e9", "/static/../../../etc/shadow",
    "/v1/galleries/staff/people?after=99999999999999999999999", "/v1/galleries/staff/people?limit=%00",
    "http://elsewhere.example/v1/galleries", "*", "/v1/galleries/staff/people?person=%ff%fe", "/metrics/../v1/verify",
    "/docs", "/redoc", "/openapi.json", "/v1/galleries/file:%2f%2f%2fetc/people", "/?" + "a=1&" * 3000,
)  # fmt: skip
_KEYS = (
    "", "Bearer", "Bearer ", "Bearer  ", "Basic YTpi", "Bearer fm_", "Bearer " + "x" * 5000, "Bearer \xff\xfe",
    "bearer null", "Bearer fm_' OR '1'='1", "Bearer ../../keys.json", "Token x", "Bearer a b c",
)  # fmt: skip
_VALUES = (
    "nan", "inf", "-inf", "1e999", "-1", "0", "", " ", "[]", "{}", "null", "true", "1e-320", "0x10", "9" * 400, "\x00",
    "off", "../../etc/passwd", "<script>alert(1)</script>", "${jndi:ldap://x}", "a" * 70_000, "é" * 300, "\u202e",
)  # fmt: skip
_METHODS = ("PUT", "PATCH", "TRACE", "OPTIONS", "HEAD", "CONNECT", "get", "FOO", "DELETE", "G\x00T", "POST")


def hostile_requests(
    seed: int, count: int, pictures: Sequence[bytes], writes: str, reads: str
) -> Iterator[tuple[str, bytes]]:
    """`count` requests with the kind of each, as bytes to send. `writes` and `reads` are valid keys: the first is only
    used with what nobody may accept, so that nothing must have changed afterwards."""
    kinds = _kinds(pictures, writes, reads)
    draw = random.Random(seed)
    for number in range(count):
        name = list(kinds)[number % len(kinds)]
        yield name, kinds[name](draw)


ENDS_EARLY = ("cut", "wrong length", "bad chunks", "no http")
"""Kinds of requests after which the service may wait for more."""


def ask(port: int, request: bytes, seconds: float = 60.0, ends: bool = False) -> bytes:
    """The whole answer of a service on this machine; what is left of the request is not sent if it answers before.
    `ends`: no more is sent, and the service is told so, which hangs up then instead of answering what takes time."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        try:
            connection.sendall(request)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionError:
            pass
        return answer


def _kinds(pictures: Sequence[bytes], writes: str, reads: str) -> dict[str, Make]:
    def verify(draw: random.Random) -> bytes:
        return _form([("image_a", draw.choice(pictures)), ("image_b", draw.choice(pictures))])

    def flipped(draw: random.Random) -> bytes:
        body = bytearray(verify(draw))
        for _ in range(draw.randint(1, 30)):
            body[draw.randrange(len(body))] = draw.randrange(256)
        return _post("/v1/verify", bytes(body), reads)

    def flipped_enrolment(draw: random.Random) -> bytes:
        body = bytearray(_form([("images", draw.choice(pictures))], [("person", "Eve")]))
        for _ in range(draw.randint(0, 10)):
            body[draw.randrange(len(body))] = draw.randrange(256)
        return _post("/v1/galleries/staff/people", bytes(body), reads)

    def cut(draw: random.Random) -> bytes:
        whole = _post("/v1/verify", verify(draw), reads)
        return whole[: draw.randrange(1, len(whole))]

    def wrong_length(draw: random.Random) -> bytes:
        length = draw.choice(["0", "1", "-1", "abc", "9" * 30, "100000000", "", "1, 2", "+5"])
        return _post("/v1/verify", verify(draw), reads, [("Content-Length", length)], counted=False)

    def bad_chunks(draw: random.Random) -> bytes:
        chunks = draw.choice(
            [b"zz\r\n", b"-1\r\nabc\r\n", b"FFFFFFFFFFFFFFFF\r\n", b"5\r\nab\r\n0\r\n\r\n", b"5;" + b"x" * 9000]
        )
        return _post("/v1/verify", chunks, reads, [("Transfer-Encoding", "chunked")], counted=False)

    def boundary(draw: random.Random) -> bytes:
        kind = draw.choice([
            "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 9000,
            "multipart/form-data; boundary=\"\xff\"", "multipart/form-data; boundary=x; charset=utf-7", "text/plain",
            "multipart/form-data; boundary=x; charset=rot13", "application/json", "multipart/mixed; boundary=x", "",
            "multipart/form-data; boundary=other",
        ])  # fmt: skip
        return _post("/v1/verify", verify(draw), reads, kind=kind)

    def bad_parts(draw: random.Random) -> bytes:
        begun = b'--x\r\nContent-Disposition: form-data; name="'
        body = draw.choice([
            b"", b"--x", b"--x--", b"--x\r\n\r\n\r\n--x--\r\n", b"\r\n" * 20_000, b"--x\r\n" * 20_000,
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
            begun + b'image_a"; filename="a"\r\n' + b"A: b\r\n" * 5000 + b"\r\nx\r\n--x--\r\n",
            b"--x\r\nA: " + b"b" * 200_000 + b"\r\n\r\nx\r\n--x--\r\n",
            begun + b'\xff\xfe"; filename="\xff"\r\n\r\n\xff\r\n--x--\r\n',
            begun + b'person"\r\n\r\n\xc3\x28\r\n--x--\r\n',
        ])  # fmt: skip
        return _post(draw.choice(["/v1/verify", "/v1/galleries/staff/people"]), body, writes)

    def headers(draw: random.Random) -> bytes:
        extra = draw.choice([
            [("X", "a" * 100_000)], [(f"X{n}", "a") for n in range(3000)], [("X-Request-ID", "../../x\t")],
            [("Host", "other")], [("Expect", "100-continue")], [("Upgrade", "websocket"), ("Connection", "Upgrade")],
            [("Origin", "https://other.example")], [("X-Forwarded-For", "127.0.0.1")], [("Content-Encoding", "gzip")],
            [("Range", "bytes=0-")], [("Cookie", "a=" + "b" * 5000)], [("Bad Name", "x")], [("A", "b\x00c")],
        ])  # fmt: skip
        return _post("/v1/galleries/staff/people", b"--x--", writes, extra)

    def bombs(draw: random.Random) -> bytes:
        side = draw.choice([8001, 20_000, 50_000, 65_535, 2**31 - 1])
        picture = draw.choice([
            _png(side, side),
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
            b"GIF89a" + struct.pack("<HH", min(side, 65535), 65535) + bytes(30), b"P6\n%d %d\n255\n" % (side, side),
            b"RIFF\x00\x00\x00\x00WEBPVP8X" + struct.pack("<I", 10) + b"\xff" * 10,
            b"II*\x00\x08\x00\x00\x00\x02\x00" + struct.pack("<HHIIHHII", 256, 4, 1, side, 257, 4, 1, side) + bytes(8),
            b"\xff\xd8\xff\xc0\x00\x11\x08" + b"\xff\xff\xff\xff" + b"\x03" + bytes(9) + b"\xff\xda\x00\x02\xff\xd9",
            b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00avifmif1", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x1f\x8b" + bytes(100), b"PK\x03\x04" + bytes(100), b"\x80\x04cos\nsystem\n(S'id'\ntR.", b"",
        ])  # fmt: skip
        fields = [("person", "Eve"), ("gate", "off")]
        name = draw.choice(["p.png", "../../../tmp/evil", "/etc/passwd", "C:\\evil", "a\x00b", "\xff", "p.png' OR 1"])
        body = _form([("images", picture)], fields, filename=name.encode("latin-1"))
        return _post("/v1/galleries/staff/people", body, writes)

    def values(draw: random.Random) -> bytes:
        value = draw.choice(_VALUES)
        if draw.random() < 0.5:
            field = draw.choice(["fmr", "fpir", "candidates", "pool", "gate", "on_several", "__class__", "images"])
            body = _form([("images", draw.choice(pictures))], [(field, value)])
            return _post("/v1/galleries/staff/identify", body, reads)
        person = draw.choice(["", " ", "\x00", "a\nb", "a" * 300, "\x1b[31m", "\u202eevil", "\ufeff"])
        return _post(
            "/v1/galleries/staff/people", _form([("images", b"")], [("person", person), ("consent", value)]), writes
        )

    def many(draw: random.Random) -> bytes:
        files = [("images", b"x")] * draw.choice([33, 200, 1000])
        fields = [(f"f{n}", "v") for n in range(draw.choice([0, 30, 2000]))]
        return _post("/v1/embed", _form(files, fields), reads)

    def too_long(draw: random.Random) -> bytes:
        body = _form([("images", bytes(3 << 20))])
        if draw.random() < 0.5:
            return _post("/v1/embed", body, reads)
        chunked = b"".join(
            b"10000\r\n" + body[at : at + 65536].ljust(65536, b"-") + b"\r\n" for at in range(0, len(body), 65536)
        )
        return _post("/v1/embed", chunked + b"0\r\n\r\n", reads, [("Transfer-Encoding", "chunked")], counted=False)

    def paths(draw: random.Random) -> bytes:
        method = draw.choice(["GET", "POST", "GET"])
        return _head(method, draw.choice(_PATHS), reads)

    def keys(draw: random.Random) -> bytes:
        body = _form([("images", draw.choice(pictures))], [("person", "Eve")])
        return _post("/v1/galleries/staff/people", body, None, [("Authorization", draw.choice(_KEYS))])

    def methods(draw: random.Random) -> bytes:
        return _head(
            draw.choice(_METHODS), draw.choice(["/v1/verify", "/v1/galleries/staff/people", "/healthz"]), writes
        )

    def no_http(draw: random.Random) -> bytes:
        return draw.choice([
            b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"\x00" * 5000,
            b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n",
            draw.randbytes(draw.randint(1, 3000)), b"GET " + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        ])  # fmt: skip

    return {
        "flipped": flipped, "flipped enrolment": flipped_enrolment, "cut": cut, "wrong length": wrong_length,
        "bad chunks": bad_chunks, "boundary": boundary, "bad parts": bad_parts, "headers": headers, "bombs": bombs,
        "values": values, "many": many, "too long": too_long, "paths": paths, "keys": keys, "methods": methods,
        "no http": no_http,
    }  # fmt: skip


def _form(
    files: Sequence[tuple[str, bytes]], fields: Sequence[tuple[str, str]] = (), filename: bytes = b"p.png"
) -> bytes:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (name.encode(), value.encode("utf-8", "surrogatepass"))
        for name, value in fields
    ]
    parts += [
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), filename, content)
        for name, content in files
    ]
    return b"".join(parts) + b"--x--\r\n"


def _post(
    path: str,
    body: bytes,
    key: str | None,
    headers: Sequence[tuple[str, str]] = (),
    counted: bool = True,
    kind: str = "multipart/form-data; boundary=x",
) -> bytes:
    length = [("Content-Length", str(len(body)))] if counted else []
    return _head("POST", path, key, [("Content-Type", kind), *length, *headers]) + body


def _head(method: str, path: str, key: str | None, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    given = [("Host", "127.0.0.1"), ("Connection", "close"), *headers]
    if key is not None:
        given.append(("Authorization", f"Bearer {key}"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given)
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace")


def _png(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )
