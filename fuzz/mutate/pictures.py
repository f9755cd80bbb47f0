"""Changes of pictures: PNG by its chunks, with the right CRC; TIFF by its tags."""

from __future__ import annotations

import struct
import zlib
from random import Random

from fuzz.mutate import raw

Chunk = tuple[bytes, bytes]

_SIZES = (0, 1, 2, 7, 255, 256, 13_000, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
_KINDS = (b"tRNS", b"PLTE", b"IDAT", b"IEND", b"IHDR", b"gAMA", b"acTL", b"fdAT", b"iCCP", b"eXIf")


def chunks_of(data: bytes) -> list[Chunk]:
    """Return the chunks of a PNG, as far as they are whole."""
    found = []
    at = 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if at + 12 + size > len(data):
            break
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png_of(chunks: list[Chunk]) -> bytes:
    """Return a PNG of some chunks."""
    made = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        made += struct.pack(">I", len(body)) + kind + body
        made += struct.pack(">I", zlib.crc32(kind + body))
    return made


def mutate_png(data: bytes, random: Random) -> bytes:
    """Return a PNG with one to three changes of its chunks."""
    chunks = chunks_of(data)
    if not chunks:
        return raw.mutate(data, random)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(chunks, random)
        if not chunks:
            break
    return png_of(chunks)


def _change(chunks: list[Chunk], random: Random) -> None:
    at = random.randrange(len(chunks))
    kind, body = chunks[at]
    way = random.random()
    if way < 0.3:
        _change_header(chunks, random)
    elif way < 0.65:
        _change_pixels(chunks, random)
    elif way < 0.72:
        del chunks[at]
    elif way < 0.78:
        chunks[at:at] = [chunks[at]] * random.choice((1, 2, 30))
    elif way < 0.84:
        other = random.randrange(len(chunks))
        chunks[at], chunks[other] = chunks[other], chunks[at]
    elif way < 0.92:
        odd = bytes(random.randrange(256) for _ in range(random.choice((0, 1, 2, 3, 6, 256, 768))))
        chunks.insert(random.randrange(len(chunks) + 1), (random.choice(_KINDS), odd))
    else:
        chunks[at] = kind, raw.mutate(body, random)


def _change_header(chunks: list[Chunk], random: Random) -> None:
    at = next((k for k, (kind, _) in enumerate(chunks) if kind == b"IHDR"), None)
    if at is None or len(chunks[at][1]) != 13:
        return
    fields = list(struct.unpack(">IIBBBBB", chunks[at][1]))
    which = random.randrange(7)
    if which < 2:
        near = (fields[which] - 1, fields[which] + 1, fields[which] * 2)
        fields[which] = max(0, random.choice((*_SIZES, *near))) % 2**32
    else:
        fields[which] = random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    chunks[at] = b"IHDR", struct.pack(">IIBBBBB", *fields)


def _change_pixels(chunks: list[Chunk], random: Random) -> None:
    """Change what is packed in the pixels, and pack it again."""
    places = [k for k, (kind, _) in enumerate(chunks) if kind == b"IDAT"]
    if not places:
        return
    try:
        rows = bytearray(zlib.decompress(b"".join(chunks[k][1] for k in places)))
    except zlib.error:
        return
    if rows:
        for _ in range(random.choice((1, 3, 20))):
            rows[random.randrange(len(rows))] = random.choice((0, 1, 2, 3, 4, 5, 128, 255))
    way = random.random()
    if way < 0.15:
        rows = rows[: random.randrange(len(rows) + 1)]
    elif way < 0.25:
        rows += rows[: random.randrange(len(rows) + 1)] or b"\0"
    packed = zlib.compress(bytes(rows), random.choice((0, 1, 9)))
    if random.random() < 0.05:
        packed = packed[:-4] + b"\0\0\0\0"  # another checksum
    first = places[0]
    for k in reversed(places):
        del chunks[k]
    cut = random.randrange(len(packed) + 1) if random.random() < 0.3 else len(packed)
    chunks[first:first] = [(b"IDAT", packed[:cut]), (b"IDAT", packed[cut:])][
        : 1 + (cut < len(packed))
    ]


def mutate_tiff(data: bytes, random: Random) -> bytes:
    """Return a TIFF (little-endian) with one to three of its tags changed."""
    made = bytearray(data)
    (first,) = struct.unpack_from("<I", made, 4)
    if first + 2 > len(made):
        return raw.mutate(data, random)
    (count,) = struct.unpack_from("<H", made, first)
    if not count or first + 2 + 12 * count > len(made):
        return raw.mutate(data, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        at = first + 2 + 12 * random.randrange(count)
        tag, kind, number, value = struct.unpack_from("<HHII", made, at)
        way = random.random()
        if way < 0.15:
            tag = random.choice((254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 320, 330))
        elif way < 0.3:
            kind = random.choice((0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 16, 255))
        elif way < 0.45:
            number = random.choice(_SIZES)
        else:
            value = random.choice((*_SIZES, value + 1, value * 2, max(0, value - 1))) % 2**32
        struct.pack_into("<HHII", made, at, tag, kind, number % 2**32, value)
    return bytes(made)
