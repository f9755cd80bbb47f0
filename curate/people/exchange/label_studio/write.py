"""Export of a queue to Label Studio: pictures, tasks with pre-annotated masks, labeling config.

Every mask is one region, whose id holds the mask's id; Label Studio keeps it in what people make of
it. Where a picture lies on its image, and which masks it shows, stands in the task's data.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote as shell_quoted
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import orjson
import pandas as pd

from curate.common import files
from curate.dataset.notes import count_noun
from curate.errors import CallError
from curate.formats.format import new_folder
from curate.formats.label_studio.brush_rle import encode_brush
from curate.people.exchange.image_names import save_pictures
from curate.people.exchange.queue_images import (
    ExportedView,
    check_pictures,
    find_pictures,
    require_pictures,
)
from curate.people.exchange.queue_writing import DUMP
from curate.people.exchange.registry import ExportOptions, QueueWriter
from curate.people.exchange.tool_labels import Labels, label_studio_label, spell_categories
from curate.people.reviews.review_file import file_identity
from curate.store.audit import StoredAudit
from curate.store.audit_sql import DATASET_VERSION

BRUSH, IMAGE = "mask", "image"
"""Names of the two tags in the labelling config."""

DATA_KEY = "curate"
"""The key of a task's data under which stands what maps it back."""

MAX_LABELS = 100
"""Beyond so many categories, people get only those of the queue."""

_DRAW = ("draw_id", DATASET_VERSION, "queue_kind", "slot")

_README = """\
{masks} in {tasks} for Label Studio, drawn from {source}
{notes}
1. Start Label Studio (pip install label-studio) so that it may show the pictures of this folder:

   export TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(20))')
   LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true \\
   LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root} \\
   label-studio start --username me@example.com --password CHOOSE-ONE \\
     --user-token $TOKEN --enable-legacy-api-token &

2. Make a project, and let it show them (the first line answers with the project's "id"; put it
   where the other lines say 1):

   curl -H "Authorization: Token $TOKEN" http://localhost:8080/api/projects \\
     -F title={title} -F {config}
   curl -H "Authorization: Token $TOKEN" http://localhost:8080/api/storages/localfiles \\
     -F project=1 -F {images} -F use_blob_urls=true

3. Import the tasks:

   curl -H "Authorization: Token $TOKEN" http://localhost:8080/api/projects/1/import \\
     -F {file}

Steps 2 and 3 by mouse: Create Project; Labeling Setup > Custom template > Code: paste config.xml.
Settings > Cloud Storage > Add Source Storage > Local Files: the absolute path of images/, save
without a sync. Import: tasks.json. Keep this folder's name and place: the tasks hold them.

Labelling: submit a mask that is good as it is. Correct one with brush and eraser; delete one that
is wrong and submit what is left; draw what is missing as a new region. Skip what you cannot tell.

Then Export > JSON (not JSON-MIN, COCO or PNG, which lose ids, holes or parts), and

   curate import EXPORT.json --audit AUDIT
"""

_WHOLE = """
These are whole images. Label Studio's page becomes slow, and may hang, with more than about five
brush masks in a task; the busiest task here has {most:,}. Crops of one mask each are its default.
"""

_LEFT_OUT = """
Not in it: {lost} of the queue without a pixel, or whose picture cannot be read.
"""


def format_region_id(mask_id: int) -> str:
    """Return the id of a mask's region."""
    return f"mask_{mask_id}"


def write_label_studio(
    audit: StoredAudit, rows: pd.DataFrame, out: Path, how: ExportOptions
) -> int:
    """Write a queue as a folder that Label Studio imports.

    Masks that cannot be shown are left out, as are those whose picture is missing. Tasks stand in
    the order of the queue, and their scores say the same, unless the order itself would tell people
    what to expect (an estimate, or masks with known answers among the others).

    Raises:
        CallError: There are no pictures.
    """
    folder = check_pictures(find_pictures(audit, how), "Label Studio")
    place = how.place or out
    as_crops, labels = how.crops is not False, Labels(audit, label_studio_label)
    tasks = masks = most = 0
    wanted = int(rows["mask_id"].nunique())
    ranked = "rank" in rows.columns
    with new_folder(out) as made:
        with files.open_file(made / "tasks.json") as file:
            file.write(b"[")
            for view, _, saved in save_pictures(
                *(audit, rows, folder, made / "images"), crops=as_crops, name=lambda view: view.name
            ):
                if not saved:
                    continue
                score = (masks + 1) / (wanted + 1) if ranked else None
                task = _make_task(audit, view, _image_url(place, view), score, labels)
                file.write((b",\n" if tasks else b"\n") + orjson.dumps(task, option=DUMP))
                tasks += 1
                masks += len(view.rows)
                most = max(most, len(view.rows))
            file.write(b"\n]\n")
        if not tasks:
            what = "no mask of the queue can be shown: their pictures are missing or broken"
            raise CallError(what, str(folder.path), "give their folder with --images DIR")
        why = as_crops and "reasons" in rows.columns
        files.write_text(made / "config.xml", _config(_choose_labels(labels, rows), why))
        notes = "" if as_crops else _WHOLE.format(most=most)
        notes += _LEFT_OUT.format(lost=count_noun(wanted - masks, "mask")) if masks < wanted else ""
        readme = _readme(audit, place, masks, tasks, notes)
        files.write_text(made / "README.txt", readme)
    return masks


def _image_url(out: Path, view: ExportedView) -> str:
    """Return where a Label Studio that may show the folder's neighbours finds a picture."""
    return f"/data/local-files/?d={quote(f'{out.resolve().name}/images/{view.name}')}"


def _make_task(
    audit: StoredAudit, view: ExportedView, address: str, score: float | None, labels: Labels
) -> dict[str, object]:
    first = view.rows[0]
    own: dict[str, object] = {
        "dataset": file_identity(audit)["fingerprint"],
        **view.place(),
        "masks": [row["mask_id"] for row in view.rows],
        **{name: first[name] for name in _DRAW if first.get(name) is not None},
    }
    data: dict[str, object] = {IMAGE: address, "file_name": view.file_name or ""}
    if view.is_of_mask:
        data |= {"mask_id": first["mask_id"], "category": labels.of(first)}
        if "reasons" in first:
            data["why"] = first["reasons"] or "nothing is known against it"
    prediction: dict[str, object] = {
        "model_version": DATA_KEY,
        "result": [_make_region(view, k, labels.of(row)) for k, row in enumerate(view.rows)],
    }
    if score is not None:
        prediction["score"] = score
    return {"data": {**data, DATA_KEY: own}, "predictions": [prediction]}


def _make_region(view: ExportedView, at: int, label: str) -> dict[str, object]:
    return {
        "id": format_region_id(view.rows[at]["mask_id"]),
        "type": "brushlabels",
        "from_name": BRUSH,
        "to_name": IMAGE,
        "original_width": view.box.w,
        "original_height": view.box.h,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": encode_brush(view.runs, at),
            "brushlabels": [label],
        },
    }


def _choose_labels(labels: Labels, rows: pd.DataFrame) -> list[str]:
    """Return the labels that people may choose: all of the audit's, as long as they are few."""
    if len(labels.names) <= MAX_LABELS:
        return labels.list_names()
    return sorted({labels.label(name) for name in spell_categories(rows)})


def _config(labels: list[str], why: bool) -> str:
    header = '  <Header value="$why" size="5"/>\n' if why else ""
    lines = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
    return (
        f"<View>\n{header}"
        f'  <BrushLabels name="{BRUSH}" toName="{IMAGE}">\n{lines}  </BrushLabels>\n'
        f'  <Image name="{IMAGE}" value="${IMAGE}" zoom="true" zoomControl="true"/>\n</View>\n'
    )


def _readme(audit: StoredAudit, out: Path, masks: int, tasks: int, notes: str) -> str:
    folder = out.resolve()
    return _README.format(
        masks=count_noun(masks, "mask"),
        tasks=count_noun(tasks, "task"),
        source=audit.info.source.get("path", audit.path),
        notes=notes,
        root=shell_quoted(str(folder.parent)),
        title=shell_quoted(folder.name[:50]),
        config=shell_quoted(f"label_config=<{folder / 'config.xml'}"),
        images=shell_quoted(f"path={folder / 'images'}"),
        file=shell_quoted(f"file=@{folder / 'tasks.json'}"),
    )


WRITER = QueueWriter("Label Studio", write_label_studio, require_pictures("Label Studio"))
