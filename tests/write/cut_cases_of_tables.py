"""Generated cases of run-length CSV, with what is legal and unusual in it."""

from __future__ import annotations

import random

from cut_cases import SIZE, Case, draw_drops, draw_mask
from small_table_datasets import pairs_of

_COLUMNS = ("EncodedPixels", "Height", "Width", "ClassId", "note")


def _field(chance: random.Random, text: str) -> str:
    if any(mark in text for mark in ',"\n\r') or chance.random() < 0.2:
        return '"' + text.replace('"', '""') + '"'
    return text


def kaggle(chance: random.Random) -> Case:
    """Rows of images in any order, columns in any order, quotes, line ends, blank lines."""
    case = Case("train.csv", {}, {})
    newline = chance.choice(("\n", "\r\n"))
    names = [*_COLUMNS[: chance.randint(3, 5)]]
    chance.shuffle(names)
    rows: list[tuple[str, dict[str, str]]] = []
    for number in range(chance.randint(1, 3)):
        image = chance.choice(("{}.png", "{} é.jpg", 'a,{} "b".png')).format(number)
        count = chance.randint(number == 0, 5)
        for _ in range(count or 1):
            runs = pairs_of(draw_mask(chance).ravel("F")) if count else ""
            if runs and chance.random() < 0.2:
                runs = f" {runs.replace(' ', '  ')} "
            note = chance.choice(("", "a", "x, y", 'say "a"', "two\nlines", "é"))
            stated = {"EncodedPixels": runs, "Height": str(SIZE[0]), "Width": str(SIZE[1])}
            rows.append((image, stated | {"ClassId": str(chance.randrange(3)), "note": note}))
    if chance.random() < 0.3:
        chance.shuffle(rows)
    drop = draw_drops(chance, len(rows))
    drop = {k for k in drop if rows[k][1]["EncodedPixels"]}
    staying = {image for k, (image, _) in enumerate(rows) if k not in drop}
    head = ",".join(_field(chance, name) for name in ("ImageId", *names))
    whole, left, line = [head], [head], 2
    for k, (image, values) in enumerate(rows):
        blank = chance.choice(("", "", "", newline))
        fields = [_field(chance, image), *(_field(chance, values[name]) for name in names)]
        row = ",".join(fields)
        line += len(blank) > 0
        case.masks += bool(values["EncodedPixels"])
        if k in drop:
            case.drop.add(f"train.csv:{line}")
        if k not in drop:
            left.append(blank + row)
        elif image not in staying:  # the last of its image stays, without its runs
            staying.add(image)
            at = 1 + names.index("EncodedPixels")
            fields[at] = '""' if fields[at].startswith('"') else ""
            left.append(blank + ",".join(fields))
        whole.append(blank + row)
        line += 1 + row.count("\n")
    bom = chance.choice((b"", b"", b"\xef\xbb\xbf"))
    end = chance.choice(("", newline))
    for files, lines in ((case.files, whole), (case.left, left)):
        files[""] = bom + (newline.join(lines) + end).encode()
    return case
