"""Changes of bytes that know nothing of what the bytes mean."""

from __future__ import annotations

from random import Random

_ODD = (b"", b"\0", b"\xff\xff\xff\xff", b"\x80", b"\xef\xbb\xbf", b"\n", b'"', b"{", b"]", b"\x7f")


def mutate(data: bytes, random: Random) -> bytes:
    """Return bytes with one to three of them flipped, cut out, put in or repeated."""
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(made, random)
    return bytes(made)


def _change(made: bytearray, random: Random) -> None:
    if not made:
        made += random.choice(_ODD)
        return
    at = random.randrange(len(made))
    end = min(len(made), at + random.choice((1, 1, 2, 4, 16, 100)))
    way = random.randrange(7)
    if way == 0:
        made[at] ^= 1 << random.randrange(8)
    elif way == 1:
        made[at] = random.randrange(256)
    elif way == 2:
        del made[at:end]
    elif way == 3:
        made[at:at] = random.choice(_ODD)
    elif way == 4:
        made[at:at] = made[at:end] * random.choice((1, 2, 50))
    elif way == 5:
        del made[at:]
    else:
        made[at:end] = bytes(random.randrange(256) for _ in range(end - at))
