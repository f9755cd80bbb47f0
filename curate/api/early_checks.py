"""Early argument checks: all that needs no mask read and no heavy library loaded.

What computes (numba, pandas, DuckDB, ...) takes longer to load than a wrong path should take to be
refused. So the command line asks these while it parses, before it loads a verb; what they miss is
found by what does the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curate.common.paths import AnyPath
from curate.common.ranges import PRESETS
from curate.errors import CallError
from curate.formats import check_source
from curate.policy.grammar import parse
from curate.policy.settings_file import policy_file
from curate.store.audit_info import INFO, any_info, finished_info, scored_info
from curate.store.engine_folder import find_open_audit, is_engine


def check_audit(path: AnyPath) -> None:
    """Check that a directory holds a finished audit.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted.
    """
    finished_info(Path(path))


def check_audit_or_engine(path: AnyPath) -> None:
    """Check that a directory holds a finished audit, or an engine with a round open for people.

    Raises:
        AuditError: It does not.
    """
    place = Path(path)
    finished_info(find_open_audit(place) if is_engine(place) else place)


def check_any_audit_or_engine(path: AnyPath) -> None:
    """Check that a directory holds an audit of any state, or an engine.

    Raises:
        AuditError: It does not, or it is of another version.
    """
    place = Path(path)
    if not is_engine(place):
        any_info(place)


def check_scored_audit(path: AnyPath) -> None:
    """Check that a directory holds an audit whose masks are scored; a verb decides on them.

    Raises:
        AuditError: There is none, it is of another version, or it was interrupted before.
    """
    scored_info(Path(path))


def check_dataset(path: AnyPath, format: str | None = None) -> None:
    """Check that a dataset, or an audit that stands for one, exists.

    Raises:
        CurateError: It does not, the audit is not finished, or there is no such format.
    """
    check_source(Path(path), format)
    if (Path(path) / INFO).is_file():
        finished_info(Path(path))


def check_policy(policy: object) -> None:
    """Check that a policy is named by a preset or by an existing TOML file.

    Args:
        policy: A name or a path; anything else is a policy and is looked at later.

    Raises:
        CallError: It is neither.
    """
    if isinstance(policy, str | Path) and str(policy) not in PRESETS:
        policy_file(policy)


def check_gates(conditions: Sequence[str]) -> None:
    """Check the syntax of conditions, without an audit.

    Raises:
        CallError: One is malformed.
    """
    for condition in conditions:
        parse(condition, f"--fail-on {condition!r}")


def only_audit(folder: Path | None = None) -> Path:
    """Return the audit of a folder that holds exactly one.

    Args:
        folder: The folder; the working one if None.

    Raises:
        CallError: It holds none, or several.
    """
    found = sorted(p.parent for p in (folder or Path()).glob(f"*/{INFO}"))
    if len(found) != 1:
        what = f"there are {len(found)} audits here" if found else "there is no audit here"
        raise CallError(what, str(folder or Path().resolve()), "name one with --audit DIR")
    return found[0]
