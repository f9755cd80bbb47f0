"""Tables of the report: invalid records, joins, near-duplicates, categories, images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curate.dataset.image_join import REASON_TEXTS
from curate.dataset.notes import plural
from curate.reporting.queries import ReportSource, actions_sql, value_of
from curate.store.audit_records import JoinRecord


@dataclass(frozen=True)
class Missing:
    """Things that were not joined for one reason.

    Attributes:
        count: How many.
        text: The reason.
        examples: Names of some of them.
    """

    count: int
    text: str
    examples: Sequence[str]


@dataclass(frozen=True)
class Joined:
    """One input joined with the images of the source.

    Attributes:
        name: The input: pictures, detections, or the name of other annotations.
        joined: Images that something is joined to.
        images: Images of the source.
        keys: What they were joined by, and how many.
        missing: What of the input has no image, by reason; then the images that got nothing.
        listed: Whether ``joins.json`` lists what of the input has no image.
    """

    name: str
    joined: int
    images: int
    keys: Sequence[tuple[str, int]]
    missing: Sequence[Missing]
    listed: bool


def joins(source: ReportSource) -> list[Joined]:
    """Return every input that was joined, as ``audit.json`` says; none in audits without."""
    return [_join_row(name, facts) for name, facts in source.info.joins.items()]


def _join_row(name: str, facts: JoinRecord) -> Joined:
    not_joined = facts.get("not_joined", {})
    missing = [
        Missing(one["count"], f"not joined: {REASON_TEXTS.get(reason, reason)}", one["examples"])
        for reason, one in not_joined.items()
    ]
    bare = facts.get("images_without")
    if bare and bare["count"]:
        what = "without a picture" if name == "pictures" else "that got none of it"
        text = f"{plural(bare['count'], 'image')} {what}"
        missing.append(Missing(bare["count"], text, bare["examples"]))
    keys = tuple(facts["keys"].items())
    return Joined(name, facts["joined"], facts["images"], keys, missing, bool(not_joined))


@dataclass(frozen=True)
class Status:
    """Masks or images with one status other than ok, with a few examples."""

    status: str
    count: int
    examples: Sequence[tuple[str, str]]


def statuses(source: ReportSource, view: str, examples: int = 5) -> list[Status]:
    """Count what is wrong with the masks or images themselves; ``view`` is one of these words."""
    columns = source.masks if view == "masks" else source.images
    if "status" not in columns:
        return []
    rows_of = view if view == "masks" else f"({images_sql(source)})"
    key = "source_key" if view == "masks" else "file_name"
    ident = "mask_id" if view == "masks" else "image_id"
    detail = "status_detail" if "status_detail" in columns else "''"
    counts = source.rows(
        f"select status, count(*) n from {rows_of} where status <> 'ok' "
        "group by status order by n desc, status"
    )
    rows = source.rows(
        f"select status, left({key}, 400) as place, left({detail}, 400) as detail from {rows_of} "
        f"where status <> 'ok' qualify row_number() over (partition by status order by {ident}) "
        f"<= {examples} order by {ident}"
    )
    return [
        Status(
            row["status"],
            int(row["n"]),
            [(r["place"] or "", r["detail"] or "") for r in rows if r["status"] == row["status"]],
        )
        for row in counts
    ]


def images_sql(source: ReportSource) -> str:
    """Return SQL of the images with what is wrong with them, by the dataset or by the pictures."""
    if "picture_status" not in source.images:
        return "select * from images"
    told = "status <> 'ok' or coalesce(picture_status, 'ok') = 'ok'"
    return (
        f"select * replace (case when {told} then status else picture_status end as status, "
        f"case when {told} then status_detail else picture_status_detail end as status_detail) "
        "from images"
    )


def near_duplicates(source: ReportSource, most: int = 30) -> tuple[list[dict[str, object]], int]:
    """Return pairs of images that look the same, and how many there are in all."""
    if "near_duplicate_of" not in source.images:
        return [], 0
    total = source.row("select count(near_duplicate_of) n from images")["n"]
    pairs = source.rows(
        "select a.image_id, a.file_name, b.image_id as other_id, b.file_name as other_name "
        "from images a left join images b on b.image_id = a.near_duplicate_of "
        f"where a.near_duplicate_of is not null order by a.image_id limit {most}"
    )
    return pairs, int(total)


@dataclass(frozen=True)
class ExhaustiveImage:
    """An image, its ``exhaustive_score``, and how many objects in it are seen without a mask."""

    image_id: int
    file_name: str
    score: float
    missing: int


def missing_masks(source: ReportSource, most: int = 12) -> tuple[list[dict[str, object]], int, int]:
    """Return the images with most detections that no mask explains.

    Returns:
        Their rows, how many such detections there are, and in how many images.
    """
    if "missing_detections" not in source.images:
        return [], 0, 0
    number = value_of("missing_detections")
    row = source.row(
        f"select coalesce(sum(n), 0) n, count(*) filter (n > 0) images "
        f"from (select {number} as n from images)"
    )
    found = source.image_column("missing_detections_json", "''")
    rows = source.rows(
        f"select image_id, file_name, height, width, {number} as n, {found} as found "
        f"from images where {number} > 0 order by n desc, image_id limit {most}"
    )
    return rows, int(row["n"]), int(row["images"])


def least_exhaustive(source: ReportSource, most: int = 10) -> list[ExhaustiveImage]:
    """Return the images of lowest ``exhaustive_score``, the lowest first; none without the score.

    With each the number of objects in it that are seen without a matching mask.
    """
    if not {"exhaustive_score", "missing_detections"} <= set(source.images):
        return []
    value, number = value_of("exhaustive_score"), value_of("missing_detections")
    rows = source.rows(
        f"select image_id, file_name, {value} as score, coalesce({number}, 0) as n from images "
        f"where {value} is not null order by score, image_id limit {most}"
    )
    return [
        ExhaustiveImage(row["image_id"], str(row["file_name"]), float(row["score"]), int(row["n"]))
        for row in rows
    ]


def missing_known(source: ReportSource) -> bool:
    """Whether anything looked for objects without a mask in any image."""
    if "missing_detections" not in source.images:
        return False
    return bool(source.row(f"select count({value_of('missing_detections')}) n from images")["n"])


def category_names(source: ReportSource, most: int = 10_000) -> dict[int, str]:
    """Return the name of each category number that the masks use."""
    if not {"category", "category_id"} <= source.masks.keys():
        return {}
    rows = source.rows(
        "select category_id, min(category) as name from masks where category_id is not null "
        f"and category is not null group by category_id limit {most}"
    )
    return {int(row["category_id"]): row["name"] for row in rows}


def by_category(source: ReportSource, most: int = 1500) -> tuple[list[dict[str, object]], int]:
    """Return the counts of each category, most masks first, and how many categories there are."""
    quality = value_of("quality_score") if "quality_score" in source.masks else "null::double"
    category, area = source.column("category"), f"nullif({source.column('area_px')}, 0)"
    rows = source.rows(
        f"select {category} as category, count(*) n, count(distinct image_id) images, "
        f"{actions_sql(source)}, {source.quantile(quality, 0.5)} quality, "
        f"{source.quantile(quality, 0.1)} worst, {source.quantile(area, 0.5)} area "
        f"from masks group by 1 order by n desc, category limit {most}"
    )
    total = source.row(f"select count(*) n from (select distinct {category} from masks)")["n"]
    return rows, int(total)


def by_image(source: ReportSource, most: int = 200) -> list[dict[str, object]]:
    """Return the worst images: most rejected masks, then most to review, then lowest quality."""
    quality = value_of("quality_score") if "quality_score" in source.masks else "null::double"
    known = "missing_detections" in source.images
    missing = value_of("missing_detections") if known else "null"
    status = source.image_column("status", "'ok'")
    return source.rows(
        f"with counted as (select image_id, count(*) n, {actions_sql(source)}, "
        f"avg({quality}) quality, min({quality}) worst from masks group by image_id), "
        f"pictures as (select image_id, file_name, height, width, {status} as status, "
        f"{missing} as missing from ({images_sql(source)})) "
        "select p.*, coalesce(n, 0) n, coalesce(accept, 0) accept, coalesce(review, 0) review, "
        "coalesce(reject, 0) reject, quality, worst from pictures p left join counted using "
        "(image_id) order by reject desc, review desc, coalesce(missing, 0) desc, "
        f"(status <> 'ok') desc, quality nulls last, image_id limit {most}"
    )
