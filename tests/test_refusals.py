"""Quick refusals: a wrong path or word is refused before anything heavy is loaded."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from decided_audit import audit, finished, source  # noqa: F401

import curate
from curate import cli
from curate.cli.shared_options import show
from curate.errors import CallError
from curate.reporting import summary
from curate.reporting.gates import metrics, names
from curate.store.audit import StoredAudit
from curate.store.audit_info import SCHEMA_VERSION

HEAVY = ("numpy", "pandas", "numba", "pyarrow", "duckdb", "scipy", "matplotlib", "PIL", "starlette")

REFUSED = {
    "audit none.json": "there is no such file or folder",
    "audit here.json --format coc": "there is no format coc",
    "audit here.json --images nowhere": "there is no such folder of images",
    "audit here.json --soft-masks none": "there is no such folder of soft masks",
    "audit here.json --detections none.json": "there is no such file or folder",
    "audit here.json --compare a=none.json": "there is no such file or folder",
    "audit here.json --policy none": "there is no such policy",
    "audit here.json --policy here.json": "it is not TOML",
    "audit here.json --workers 0": "--workers is 0",
    "audit here.json --crowd some": "'some' is not one of",
    "audit here.json --fail-on ' a >> 1'": "a column or a value is expected",
    "decide none": "there is no audit here",
    "decide done --rule most": "'most' is not one of",
    "decide done --policy none": "there is no such policy",
    "decide done --fail-on 'a >> 1'": "a column or a value is expected",
    "status none": "there is no audit here",
    "report none": "there is no audit here",
    "report done --images none": "there is no such folder of images",
    "compare done none": "there is no audit here",
    "diff done none": "there is no such file or folder",
    "version none": "there is no such file or folder",
    "queue none": "there is no audit here",
    "queue done --kind error": "'error' is not one of",
    "queue done --known none.csv": "there is no such file or folder",
    "queue done --seed -1": "--seed is -1",
    "learn done --seed 99999999999": "--seed is 99999999999",
    "review none": "there is no audit here",
    "review done --kind error": "'error' is not one of",
    "import none.csv --audit none": "there is no audit here",
    "import none.csv --audit done": "there is no such file or folder",
    "import none.csv": "there are 2 audits here",
    "agreement none": "there is no audit here",
    "learn none": "there is no audit here",
    "certify none": "there is no audit here",
    "estimate none": "there is no audit here",
    "prune none": "there is no audit here",
    "prune done --source none": "there is no such file or folder",
    "prune done --drop foo": "there is no action 'foo'",
    "write done --drop foo": "there is no action 'foo'",
    "write none": "there is no audit here",
    "write done --masks poly": "'poly' is not one of same, polygon, rle",
    "write started": "the audit was interrupted",
    "generate none --out new --segmenter x": "there is no such folder of images",
    "engine new new --images nowhere": "there is no such folder of images",
    "engine next none": "there is no engine here",
    "engine status none": "there is no engine here",
    "engine close none": "there is no engine here",
    "engine train none": "there is no engine here",
    "engine repeat none": "there is no engine here",
    "engine prompts none": "there is no engine here",
    "engine report none": "there is no engine here",
    "train-detector none --out new": "there is no audit here",
    "train-segmenter none --out new": "there is no such file or folder",
    "train-segmenter done --images none --out new": "there is no such folder of images",
    "train-verifier none --out new": "there is no such file or folder",
    "train-verifier done --images none --out new": "there is no such folder of images",
}

SCRIPT = """
import contextlib, io, json, shlex, sys
from curate.cli import main
said = {}
for call in json.loads(sys.stdin.read()):
    sys.argv = ["curate", *shlex.split(call)]
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code
    heavy = [name for name in %r if name in sys.modules]
    said[call] = (code, error.getvalue(), heavy)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file, and what says that it is a finished audit and an interrupted one."""
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "here.json").write_text("{}")
    for state, name in (("complete", "done"), ("scoring", "started")):
        (folder / name).mkdir()
        about = {"schema_version": SCHEMA_VERSION, "state": state}
        (folder / name / "audit.json").write_text(json.dumps(about))
    return folder


def test_wrong_paths_and_words_load_nothing_heavy(folder: Path) -> None:
    """In a fresh interpreter, one after the other; by what is loaded, for clocks are not equal."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT % (HEAVY,)],
        input=json.dumps(["--help", "--version", *REFUSED]),
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    said = json.loads(done.stdout)
    for call, (code, error, heavy) in said.items():
        assert heavy == [], f"{call} loads {heavy}"
        assert code == (2 if call in REFUSED else 0), f"{call}: {error}"
        assert REFUSED.get(call, "") in error
        assert error.count("\n") == (call in REFUSED)


def test_gates_name_what_an_audit_has(audit: StoredAudit) -> None:  # noqa: F811
    known = names(audit.query("describe masks")["column_name"])
    assert set(metrics(audit)) <= known
    summary.check_gate_names(["quality_median < 0.5 or person_added_count > 0"])
    summary.check_gate_names(["detector_median < 0.5", "hole_p10 < 0.1", "odd_rate > 0.1"])
    with pytest.raises(CallError, match=r"no number rejct_rate .*did you mean reject_rate"):
        summary.check_gate_names(["rejct_rate > 0.01"])
    with pytest.raises(CallError, match="no number own_median"):
        summary.check_gate_names(["own_median > 0.01"])
    summary.check_gate_names(["own_median > 0.01"], ["own_score"])


def test_gates_are_refused_before_the_run(tmp_path: Path, audit: StoredAudit) -> None:  # noqa: F811
    given = tmp_path / "a.json"
    given.write_text("{}")
    with pytest.raises(CallError, match="no number rejct_rate"):
        curate.audit(given, tmp_path / "new", gates=["rejct_rate > 0.01"])
    assert not (tmp_path / "new").exists()
    before = (audit.path / "audit.json").read_bytes()
    with pytest.raises(CallError, match="no number rejct_rate"):
        curate.decide(audit.path, rule="latest", gates=["rejct_rate > 0.01"])
    assert (audit.path / "audit.json").read_bytes() == before


def printed(monkeypatch: pytest.MonkeyPatch, run: Callable[[], None]) -> bytes:
    """Run with an output that knows ASCII only, as with PYTHONIOENCODING=ascii."""
    raw = io.BytesIO()
    with monkeypatch.context() as changed:
        changed.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", write_through=True))
        run()
        return raw.getvalue()


def called() -> None:
    with contextlib.suppress(SystemExit):
        cli.main()


VERBS = ("decide", "report", "compare", "diff", "version", "queue", "write", "prune")


@pytest.mark.parametrize("verb", VERBS)
def test_an_output_that_knows_ascii_only_gets_escapes(
    audit: StoredAudit,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    named = str(audit.path.rename(audit.path.with_name("käfer")))
    arguments = [verb, named, named][: 3 if verb in ("compare", "diff") else 2]
    monkeypatch.setattr(sys, "argv", ["curate", *arguments])
    found = printed(monkeypatch, called)
    assert found
    if verb == "report":
        assert b"k\\xe4fer" in found


def test_json_stays_json_on_an_output_that_knows_ascii_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = {"name": "käfer", "count": 3}
    assert json.loads(printed(monkeypatch, lambda: show(value, "", True))) == value


def test_moved_pictures_are_given_to_what_writes_the_report(
    audit: StoredAudit,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    rows = tmp_path / "rows.csv"
    rows.write_text("mask_id,decision\n1,accept\n")
    seen: list[Path | None] = []

    def noted(audit: StoredAudit, out: Path, *, images: Path | None) -> None:
        seen.append(images)

    monkeypatch.setattr("curate.reporting.report_file.write_report", noted)
    curate.report(audit.path, images=moved)
    curate.decide(audit.path, images=moved)
    curate.import_decisions(rows, audit.path, images=moved)
    assert seen == [moved] * 3
    curate.report(audit.path)
    assert seen[3:] == [None]
