"""The n-th input of a reader: the same wherever and whenever it is made."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from random import Random

from fuzz.mutate import mutate, parses
from fuzz.readers import Input, Reader
from fuzz.seeds import Seed

FILES_SHARE = 0.06
"""Share of the inputs of several files in which a file is gone, empty, renamed or another."""

_NAMES = ("x", "é ü.json", "a\nb.png", "0.txt", "x.png", ".hidden", "x" * 200, "images", "-", "~")


def make_input(reader: Reader, number: int, scratch: Path) -> tuple[Input, bool]:
    """Write an input into a folder of its own.

    Args:
        reader: What reads it.
        number: Which input, from 0.
        scratch: Where its folder is made.

    Returns:
        The input; and whether a plain parser takes what was changed.
    """
    random = Random(f"{reader.name}/{number}")
    seeds = reader.seeds()
    seed = seeds[random.randrange(len(seeds))]
    files = dict(seed.files)
    folder = scratch / f"{reader.name}-{number}"
    base = folder / seed.folder
    is_syntax_right = True
    if len(seed.changed) > 1 and random.random() < FILES_SHARE:
        files = _other_files(files, seed, random)
    else:
        for _ in range(1 if random.random() < 0.8 else 2):
            name = random.choice(seed.changed)
            files[name] = mutate(name, files[name], random)
            is_syntax_right &= parses(name, files[name])
    _write(files, base)
    _with_links(base, seed, files, random)
    return Input(
        base / seed.source if seed.source else base, folder, files, random
    ), is_syntax_right


def make_seed(reader: Reader, number: int, scratch: Path) -> Input:
    """Write a valid input, as it is."""
    seed = reader.seeds()[number]
    folder = scratch / f"{reader.name}-seed-{number}"
    base = folder / seed.folder
    _write(seed.files, base)
    path = base / seed.source if seed.source else base
    return Input(path, folder, dict(seed.files), Random(number))


def _write(files: dict[str, bytes], base: Path) -> None:
    for name, data in files.items():
        path = base / name
        # A mutated name can be that of a folder, or lie in a file: then there is no such file.
        with suppress(IsADirectoryError, NotADirectoryError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def remove_input(given: Input) -> None:
    """Remove an input and all that was made of it."""
    shutil.rmtree(given.folder, ignore_errors=True)


def _other_files(files: dict[str, bytes], seed: Seed, random: Random) -> dict[str, bytes]:
    """Return files of which one is gone, empty, renamed, doubled, or has another's content."""
    name = random.choice(seed.changed)
    folder, slash, last = name.rpartition("/")
    way = random.randrange(6)
    if way == 0:
        del files[name]
    elif way == 1:
        files[name] = b""
    elif way == 2:
        files[f"{folder}{slash}{random.choice(_NAMES)}"] = files.pop(name)
    elif way == 3:
        files[f"{folder}{slash}{random.choice((last.upper(), 'copy ' + last, last + '.bak'))}"] = (
            files[name]
        )
    elif way == 4:
        files[name] = files[random.choice(seed.changed)]
    else:
        files[f"{name}.d/{last}"] = files.pop(name)  # a folder deeper
    return files


def _with_links(base: Path, seed: Seed, files: dict[str, bytes], random: Random) -> None:
    """Now and then put a folder, or a link that leads nowhere or in a circle, for a file."""
    if len(seed.changed) < 2 or random.random() > 0.01:
        return
    name = random.choice(seed.changed)
    path = base / name
    if files.pop(name, None) is None or not path.is_file():
        return
    path.unlink()
    if random.random() < 0.3:
        path.mkdir()
    else:
        path.symlink_to(random.choice((path.name, "nowhere", "../" + base.name)))
