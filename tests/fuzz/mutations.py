"""Damage to real files: as disks and networks do it, and as somebody would who means harm. All of it is seeded.

Containers with checksums (zip, gzip, PNG) and safetensors' header are also damaged inside and put together again, so
that the damage reaches the reader behind them.
"""

import gzip
import io
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence

_NUMBERS = [
    *(b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f"),
    *(b"\x80" + b"\0" * 7, b"\0" * 7 + b"\x80"),
]
_TOKENS = [
    *(b"-1", b"-0", b"0", b"1", b"2", b"0.5", b"1e5", b"1e999", b"1e-400", b"1.5e300", b"0x10", b"1_000"),
    *(b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"null", b"true", b"~", b"{}", b"[]", b'""', b'"x"'),
    *(b"4294967295", b"2147483648", b"9223372036854775808", b"18446744073709551616", b"9" * 400, b"9" * 5000),
    *(b"'", b'"', b"", b" ", b"\t", b",", b":", b"/", b"..", b"../../x", b"/dev/zero", b"/dev/stdin", b"%s%n"),
    *(b"\0", b"\r", b"\r\n", b"\n", b"\x1c", b"\x85", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8"),
    *(b"\xd9\xa3", b"\xc2\xb2", b"\xc3\xa4", b"x" * 300, b"x" * 5000, b"2024-13-45", b"__class__"),
    *(b"[" * 50_000, b'{"a":' * 20_000, b"- " * 20_000, b"&a [*a]", b"<<: *a", b"!!python/name:os.system"),
]
_LARGEST = 1 << 22
_TOKEN = re.compile(rb"[^\s,:;\[\]{}\"]+")


def damaged(content: bytes, rng: random.Random, others: Sequence[bytes], text: bool) -> bytes:
    """`content` with one to four pieces of damage; `others` are real files to take pieces from."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        inside = _inside(content) if rng.random() < 0.5 else None
        if inside is not None:
            content = inside(content, rng, others)
        else:
            content = rng.choice(_OF_TEXT if text and rng.random() < 0.8 else _OF_BYTES)(content, rng, others)
        content = content[:_LARGEST]
    return content


def _place(content: bytes, rng: random.Random) -> int:
    """Anywhere, but more often near the beginning and the end, where headers and tables are."""
    size = len(content)
    spans = [(0, size), (0, size), (0, min(size, 64)), (0, min(size, 512)), (max(0, size - 128), size)]
    return rng.randint(*rng.choice(spans))


def _flip_bits(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if changed:
            changed[min(_place(content, rng), len(changed) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_number(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A field of 1 to 8 bytes becomes a number that a length or an offset had better not be."""
    size, place = rng.choice([1, 2, 4, 4, 4, 8]), _place(content, rng)
    place -= rng.choice([0, place % 4])
    number = rng.choice(_NUMBERS)
    number = rng.choice([number[:size], number[-size:], rng.randbytes(size)])
    return content[:place] + number + content[place + size :]


def _truncate(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return content[: _place(content, rng)]


def _block(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = _place(content, rng)
    return start, min(len(content), start + rng.choice([1, 4, 16, 100, 512, 4096]))


def _remove(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _block(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _block(content, rng)
    return content[:end] + content[start:end] * rng.choice([1, 1, 3, 100]) + content[end:]


def _zero(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _block(content, rng)
    return content[:start] + bytes([rng.choice([0, 255])]) * (end - start) + content[end:]


def _noise(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _block(content, rng)
    return content[:start] + rng.randbytes(end - start) + content[end:]


def _swap(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    a, b, c = sorted(rng.randint(0, len(content)) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _splice(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Begins as this file and goes on as another, or the other way round."""
    other = rng.choice(others)
    first, second = (content, other) if rng.random() < 0.7 else (other, content)
    return first[: rng.randint(0, len(first))] + second[rng.randint(0, len(second)) :]


def _extend(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return content + rng.choice([bytes(rng.choice([1, 512, 10_240])), rng.randbytes(700), content, rng.choice(others)])


def _replace(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return rng.choice([b"", b"\0", rng.randbytes(rng.choice([1, 16, 1000])), rng.choice(others), content[::-1]])


_OF_BYTES = [_flip_bits, _flip_bits, _set_number, _set_number, _set_number, _truncate, _remove, _repeat, _zero, _noise]
_OF_BYTES += [_swap, _splice, _extend, _replace]


def _change_token(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    tokens = list(_TOKEN.finditer(content))
    if not tokens:
        return rng.choice(_TOKENS)
    start, end = rng.choice(tokens).span()
    return content[:start] + rng.choice(_TOKENS) + content[end:]


def _insert_token(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place = _place(content, rng)
    return content[:place] + rng.choice(_TOKENS) + content[place:]


def _swap_tokens(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    tokens = list(_TOKEN.finditer(content))
    if len(tokens) < 2:
        return content
    (a, b), (c, d) = sorted(token.span() for token in rng.sample(tokens, 2))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _change_lines(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    place = rng.randrange(len(lines))
    change = rng.choice(["remove", "repeat", "swap", "cut", "join"])
    if change == "remove":
        del lines[place]
    elif change == "repeat":
        lines[place:place] = [lines[place]] * min(rng.choice([1, 2, 1000]), _LARGEST // (len(lines[place]) + 1))
    elif change == "swap":
        other = rng.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    elif change == "cut":
        lines[place] = lines[place][: rng.randint(0, len(lines[place]))] + b"\n"
    else:
        lines[place] = lines[place].rstrip(b"\r\n")
    return b"".join(lines)


def _change_separators(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    old, new = rng.sample([b"\t", b" ", b",", b"\n", b":", b";"], 2)
    return content.replace(old, new, rng.choice([1, -1]))


_OF_TEXT = [_change_token, _change_token, _change_token, _insert_token, _swap_tokens, _change_lines, _change_separators]

Damage = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


def _inside(content: bytes) -> Damage | None:
    """How to damage what a container holds, keeping the container whole; None for what is none."""
    if content[:4] == b"PK\x03\x04":
        return _inside_zip
    if content[:2] == b"\x1f\x8b":
        return _inside_gzip
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return _inside_png
    if content[8:10] == b'{"' and int.from_bytes(content[:8], "little") < len(content):
        return _inside_safetensors
    return None


def _inside_zip(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except Exception:
        members = {}
    if not members:
        return _flip_bits(content, rng, others)
    name = rng.choice(sorted(members))
    change = rng.choice(["damage", "damage", "damage", "damage", "remove", "rename"])
    if change == "damage":
        members[name] = damaged(members[name], rng, others, text=False)
    else:
        member = members.pop(name)
        if change == "rename":
            members[rng.choice(["x", "../x", "archive/data.pkl", name + "0", "a/" + name])] = member
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, member in members.items():
            archive.writestr(
                zipfile.ZipInfo(name), member, rng.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED])
            )
    return target.getvalue()


def _inside_gzip(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    try:
        return gzip.compress(damaged(gzip.decompress(content), rng, others, text=False), 1, mtime=0)
    except (OSError, EOFError, zlib.error):
        return _flip_bits(content, rng, others)


def _inside_png(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A chunk is damaged and gets its checksum."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    if not chunks:
        return content
    chosen = rng.randrange(len(chunks))
    kind, data = chunks[chosen]
    chunks[chosen] = kind, rng.choice(_OF_BYTES)(data, rng, others)[: 1 << 20]
    return content[:8] + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    )


def _inside_safetensors(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    end = 8 + int.from_bytes(content[:8], "little")
    header = rng.choice(_OF_TEXT)(content[8:end], rng, others)
    return len(header).to_bytes(8, "little") + header + content[end:]
