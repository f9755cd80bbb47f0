"""The one join of what belongs to images to images."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass, replace
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_cases import draws

from curate.dataset.image_join import Join, Listing, join


def joined(found: Join) -> dict[int, int]:
    return {t: int(i) for t, i in enumerate(found.rows) if i >= 0}


def by(found: Join, thing: int = 0) -> str:
    return next(iter(replace(found, keys=found.keys[[thing]]).by_key()), "")


def why(found: Join, thing: int = 0) -> str:
    return next(iter(replace(found, reasons=found.reasons[[thing]]).by_reason()), "")


def test_each_key_is_named() -> None:
    images = Listing(["t/a b.jpg", "0012.jpg", "Z.png", "n/c.jpg", "d.jpg", "E.jpg", "f.jpg"])
    things = Listing(
        ["t/a b.jpg", "x/c.jpg", "d.png", "z.PNG", "t/../0012.jpg", "e.txt", "up/0a1b2c3d-f.jpg"],
    )
    found = join(images, things)
    assert joined(found) == {0: 0, 1: 3, 2: 4, 3: 2, 4: 1, 5: 5, 6: 6}
    assert list(found.by_key().items()) == [
        ("file_name", 1),
        ("normalised name", 1),
        ("end of the path", 1),
        ("name without suffix", 1),
        ("name without case", 1),
        ("name without suffix and case", 1),
        ("name without upload prefix", 1),
    ]
    assert found.by_reason() == {}


def test_an_upload_is_never_joined_to_the_upload_of_another_picture_of_its_name() -> None:
    images = Listing(["0a1b2c3d-a.jpg", "4a1b2c3d-a.jpg", "b.jpg"])
    found = join(images, Listing(["a.jpg", "4a1b2c3d-a.jpg", "1a2b3c4d-b.png", "2a2b3c4d-b.png"]))
    assert joined(found) == {1: 1}
    assert [why(found, k) for k in (0, 2, 3)] == ["ambiguous"] * 3


def test_positions_are_no_ids() -> None:
    """Predictions of a YOLO dataset bear the number of the file's name, not its place."""
    images = Listing([f"images/val/{k:04d}.jpg" for k in range(1, 5)])
    found = join(images, Listing([None] * 5, ids=np.array([1, 2, 3, 4, 0])))
    assert joined(found) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert by(found) == "number in the name"
    assert why(found, 4) == "none"
    texts = join(Listing(["a.jpg", "b.jpg"]), Listing([None, None], ids=np.array([0, 1])))
    assert joined(texts) == {}


def test_ids_count_where_both_sides_state_them() -> None:
    images = Listing(["0002.jpg", "0001.jpg"], ids=np.array([1, 2]))
    found = join(images, Listing([None, None], ids=np.array([2, 1])))
    assert joined(found) == {0: 1, 1: 0}
    assert by(found) == "id"
    named = join(images, Listing(["x.jpg"], ids=np.array([1])))
    assert (joined(named), why(named)) == ({}, "none")


def test_ids_of_another_dataset_do_not_count() -> None:
    images = Listing(["a.jpg", "b.jpg", "c.jpg"], ids=np.array([1, 2, 3]))
    found = join(images, Listing(["a.jpg", "b.jpg", None], ids=np.array([2, 1, 3])))
    assert joined(found) == {0: 0, 1: 1}


def test_a_source_without_names_is_met_by_numbers() -> None:
    found = join(Listing([None, None], ids=np.array([7, 12])), Listing(["a/0012.png"]))
    assert joined(found) == {0: 1}


def test_what_is_not_unique_is_not_joined() -> None:
    images = Listing(["a/x.jpg", "b/x.jpg", "12.jpg", "0012.jpg"])
    found = join(images, Listing(["x.jpg", "12.png", "c/b/x.png", "c/x.jpg"]))
    assert joined(found) == {1: 2, 2: 1}
    assert why(found) == why(found, 3) == "ambiguous"
    numbers = join(images, Listing([None], ids=np.array([12])))
    assert (joined(numbers), why(numbers)) == ({}, "ambiguous")
    twice = join(Listing(["x.jpg"]), Listing(["a/x.jpg", "b/x.jpg"]))
    assert joined(twice) == {}


def test_equal_names_are_told_apart_by_id() -> None:
    images = Listing(["x.jpg", "x.jpg"], ids=np.array([1, 2]))
    assert joined(join(images, Listing(["x.jpg", "x.jpg"], ids=np.array([2, 1])))) == {0: 1, 1: 0}
    assert joined(join(images, Listing(["x.jpg", "x.jpg"]))) == {}


def test_ids_of_another_dataset_do_not_tell_equal_names_apart() -> None:
    """Names alone show it, here those that are equal but for their folder."""
    images = Listing(["x.jpg", "x.jpg", "y.jpg"], ids=np.array([1, 2, 3]))
    others = Listing(["x.jpg", "a/y.jpg"], ids=np.array([2, 4]))
    found = join(images, others)
    assert (joined(found), why(found)) == ({1: 2}, "ambiguous")
    assert joined(join(images, others, same_ids=True)) == {0: 1, 1: 2}
    same = Listing(["x.jpg", "a/y.jpg"], ids=np.array([2, 3]))
    assert joined(join(images, same)) == {0: 1, 1: 2}


def test_stems_that_stand_twice_are_told_apart_by_sure_ids() -> None:
    """A tool dropped the folders, and kept the ids."""
    images = Listing(["a/x.jpg", "b/x.jpg", "y.jpg"], ids=np.array([1, 2, 3]))
    back = Listing(["x.png", "x.png"], ids=np.array([2, 1]))
    assert joined(join(images, back, same_ids=True)) == {0: 1, 1: 0}
    assert joined(join(images, back)) == {}
    with_one = Listing(["x.png", "x.png", "y.jpg"], ids=np.array([2, 1, 3]))
    assert joined(join(images, with_one)) == {0: 1, 1: 0, 2: 2}
    others = Listing(["x.png", "x.png", "y.jpg"], ids=np.array([2, 1, 4]))
    assert joined(join(images, others)) == {2: 2}


def test_sizes_and_splits_speak_against() -> None:
    images = Listing(["x.jpg", "train/y.jpg", "z.jpg"], sizes=np.array([[4, 6], [4, 6], [0, 0]]))
    things = Listing(["x.jpg", "valid/y.jpg", "z.jpg"], sizes=np.array([[6, 4], [4, 6], [9, 9]]))
    found = join(images, things)
    assert joined(found) == {2: 2}
    assert found.by_reason() == {"size": 1, "split": 1}
    assert joined(join(Listing(["train2017/y.jpg"]), Listing(["img/train/y.jpg"]))) == {0: 0}


def test_nothing_to_join() -> None:
    assert joined(join(Listing([]), Listing(["a"]))) == {}
    assert joined(join(Listing(["a"]), Listing([]))) == {}
    nameless = join(Listing(["a"]), Listing([None, float("nan"), " "]))
    assert nameless.by_reason() == {"no_name": 3}


# --- the property: no wrong join, and every one that a unique key allows --------------------------

STEMS = ("0001", "1", "12", "0012", "frame_1", "Frame_1", "a b", "\u00e9", "\u00c9", "x", "v.2")
FOLDERS = ((), ("a",), ("b",), ("a", "b"), ("b", "a"), ("train",), ("val",), ("train", "a"))
SUFFIXES = (".jpg", ".png", ".JPG")
ROOTS = ((), ("data", "im"), ("mnt",), ("\u00fc", "w x"))
SPELLINGS = ("plain", "url", "twice", "nfd", "windows", "drive", "store", "local", "dot", "query")


@dataclass(frozen=True)
class Row:
    """What a listing says of an image: the truth, and what stands there."""

    image: int
    folders: tuple[str, ...]
    stem: str
    suffix: str
    spelled: str
    number: int
    size: tuple[int, int]
    named: bool

    @property
    def parts(self) -> tuple[str, ...]:
        return (*self.folders, self.stem + self.suffix)

    def name(self) -> str | None:
        path = "/".join(self.parts)
        encoded = quote(path)
        spellings = {
            "plain": path,
            "url": encoded,
            "twice": quote(encoded),
            "nfd": unicodedata.normalize("NFD", path),
            "windows": path.replace("/", "\\"),
            "drive": "C:\\" + path.replace("/", "\\"),
            "store": f"file:///{encoded}",
            "local": f"/data/local-files/?d={quote(path, safe='')}",
            "dot": f"./{path}",
            "query": f"{path}?v=1" if self.suffix else path,
        }
        return spellings[self.spelled] if self.named else None


@dataclass(frozen=True)
class Side:
    """A listing of some images, and whether its ids are its own."""

    rows: tuple[Row, ...]
    own_ids: bool

    def listing(self) -> Listing:
        ids = np.array([row.number for row in self.rows], np.int64)
        sizes = np.array([row.size for row in self.rows], np.int64).reshape(-1, 2)
        names = [row.name() for row in self.rows]
        return Listing(names, ids if self.own_ids else None, sizes)


def group_of(stem: str) -> object:
    return int(stem) if stem.isdecimal() else stem.casefold()


def make_world(rng: random.Random) -> list[tuple[tuple[str, ...], str, str, int, tuple[int, int]]]:
    """Images of different paths, each with an id (the number of its name, or a large one)."""
    paths = {
        (rng.choice(FOLDERS), rng.choice(STEMS), rng.choice(SUFFIXES))
        for _ in range(rng.randint(1, 9))
    }
    world, used = [], set()
    for k, (folders, stem, suffix) in enumerate(sorted(paths)):
        number = int(stem) if stem.isdecimal() and int(stem) not in used else 10**6 + k
        used.add(number)
        world.append((folders, stem, suffix, number, rng.choice([(4, 6), (6, 4)])))
    return world


def make_side(rng: random.Random, world: list, whole: set[object], nameless: bool) -> Side:
    """List some images in one habit; of the groups in ``whole`` every one.

    What is alike (a group: stems equal but for zeros and case) is written so that it stays to be
    told apart in principle: folders, case and suffix are lost only where nothing else is like it,
    or, for folders, where the group is there as a whole.
    """
    root, spelled = rng.choice(ROOTS), rng.choice(SPELLINGS)
    drop, suffix = rng.random() < 0.3, rng.choice([None, None, ".png", ".txt", ""])
    upper, sized = rng.random() < 0.2, rng.random() < 0.5
    counts: dict[object, int] = {}
    for _, stem, *_ in world:
        counts[group_of(stem)] = counts.get(group_of(stem), 0) + 1
    rows = []
    for k, (folders, stem, own, number, size) in enumerate(world):
        group = group_of(stem)
        single = counts[group] == 1
        if group not in whole and rng.random() < 0.4:
            continue
        row = Row(
            image=k,
            folders=() if drop and (single or group in whole) else (*root, *folders),
            stem=stem.upper() if upper and single else stem,
            suffix=own if suffix is None or not single else suffix,
            spelled=spelled,
            number=number,
            size=size if sized else (0, 0),
            named=not nameless,
        )
        rows += [row] * (2 if rng.random() < 0.05 else 1)
    rng.shuffle(rows)
    return Side(tuple(rows), own_ids=nameless or rng.random() < 0.5)


def make_case(rng: random.Random) -> tuple[Side, Side]:
    """Two listings of one world; what is alike is named as a whole by one side at least."""
    world = make_world(rng)
    groups = dict.fromkeys(group_of(stem) for _, stem, *_ in world)  # a set has no set order
    nameless = rng.random() < 0.25, rng.random() < 0.25
    first = {group for group in groups if nameless[1] or rng.random() < 0.5}
    second = set(groups) if nameless[0] else set(groups) - first
    images = make_side(rng, world, first, nameless[0])
    things = make_side(rng, world, second, nameless[1])
    if rng.random() < 0.2 and all(r.named for r in (*images.rows, *things.rows)):
        # ids of another dataset; names alone can tell
        other = [replace(row, number=row.number + 1) for row in things.rows]
        things = Side(tuple(other), True)
    return images, things


def shared_tail(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count


def split_words(row: Row) -> set[str]:
    return set(row.folders) & {"train", "val"}


def expected(images: Side, things: Side) -> dict[int, int]:
    """Return the pairs by trying every pair at every step: the oracle, which parses no name."""

    def named(step):
        return lambda i, t: step(i, t) if i.named and t.named else 0

    def tail(change):
        def score(i: Row, t: Row) -> int:
            return shared_tail(*(tuple(change(p) for p in key(r)) for r in (i, t)))

        def key(row: Row) -> tuple[str, ...]:
            return row.parts if change in (str, str.casefold) else (*row.folders, row.stem)

        return score

    def stemless(part: str) -> str:
        return part

    def folded(part: str) -> str:
        return part.casefold()

    own = images.own_ids, things.own_ids
    found: dict[int, int] = {}
    used_i: set[int] = set()
    used_t: set[int] = set()

    def settle(score, loose: bool) -> None:
        table = np.array(
            [[score(i, t) for t in things.rows] for i in images.rows], np.int64
        ).reshape(len(images.rows), len(things.rows))
        for t in range(len(things.rows)):
            for i in range(len(images.rows)):
                best = table[i, t]
                lone = (table[i] >= best).sum() == 1 and (table[:, t] >= best).sum() == 1
                if best <= 0 or not lone or i in used_i or t in used_t:
                    continue
                used_i.add(i)
                used_t.add(t)
                one, other = images.rows[i], things.rows[t]
                if 0 not in one.size + other.size and one.size != other.size:
                    continue
                words = split_words(one), split_words(other)
                if loose and all(words) and words[0] != words[1]:
                    continue
                found[t] = i

    def ids_agree() -> float:
        same = [images.rows[i].number == things.rows[t].number for t, i in found.items()]
        share = sum(same) / len(same) if same else -1.0
        return 0.0 if 0 <= share < 0.5 else share

    settle(named(lambda i, t: i.name() == t.name()), False)
    before = set(found)
    if all(own):
        settle(named(lambda i, t: i.name() == t.name() and i.number == t.number), False)
    by_id = set(found) - before
    settle(named(lambda i, t: i.parts == t.parts), False)
    for change in (str, stemless, str.casefold, folded):
        settle(named(tail(change)), True)
    agree = ids_agree()
    if all(own) and agree > 0:
        settle(named(lambda i, t: stem_of(i) == stem_of(t) and i.number == t.number), True)
    if own == (False, True):
        settle(lambda i, t: not t.named and i.named and number_of(i) == t.number, True)
    if own == (True, False):
        settle(lambda i, t: not i.named and t.named and number_of(t) == i.number, True)
    if all(own) and ids_agree() != 0:
        settle(lambda i, t: not (i.named and t.named) and i.number == t.number, True)
    sure = {t: i for t, i in found.items() if t not in by_id}
    same = [images.rows[i].number == things.rows[t].number for t, i in sure.items()]
    return sure if by_id and same and sum(same) < len(same) / 2 else found


def stem_of(row: Row) -> str:
    return row.stem.casefold()


def number_of(row: Row) -> int:
    return int(row.stem) if row.stem.isdecimal() else -1


def check_case(rng: random.Random) -> tuple[int, int]:
    """Compare a join with the oracle and with the truth; return joins and wrong ones."""
    images, things = make_case(rng)
    found = join(images.listing(), things.listing())
    pairs = joined(found)
    assert pairs == expected(images, things)
    assert {i: t for t, i in pairs.items()} == joined(join(things.listing(), images.listing()))
    assert ((found.rows >= 0) == (found.keys > 0)).all()
    assert ((found.rows >= 0) == (found.reasons == 0)).all()
    wrong = sum(images.rows[i].image != things.rows[t].image for t, i in pairs.items())
    return len(pairs), wrong


@given(st.randoms(use_true_random=False))
@draws(30)
def test_no_join_is_wrong_and_every_unique_one_is_found(rng: random.Random) -> None:
    assert check_case(rng)[1] == 0


@pytest.mark.slow
def test_no_join_is_wrong_in_many_cases() -> None:
    rng = random.Random(11)
    cases = [check_case(rng) for _ in range(10_000)]
    assert sum(wrong for _, wrong in cases) == 0
    assert sum(pairs for pairs, _ in cases) > 10_000
