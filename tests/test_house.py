"""The house's rules: imports go one way, nothing heavy is early, public things are explained."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "curate"

FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "networks",
        "people",
    ),
    ("common",),
    (
        "archives",
        "rle",
    ),
    ("dataset",),
    (
        "images",
        "networks/runtime",
    ),
    (
        "formats",
        "networks/segmenters",
        "render",
        "store",
    ),
    ("networks/encoders",),
    ("networks/verifiers",),
    ("scorers",),
    ("quality",),
    ("policy",),
    ("plots",),
    ("people/reviews",),
    ("networks/training",),
    (
        "networks/detectors",
        "people/exchange",
        "people/queues",
    ),
    (
        "demo_dataset",
        "networks/loading",
    ),
    (
        "networks/generation",
        "pipeline",
    ),
    (
        "networks/segmenter_training",
        "people/guarantees",
        "people/learning",
        "judges",
        "subsets",
    ),
    (
        "networks/verifier_training",
        "reporting",
        "writing",
    ),
    (
        "notebook",
        "people/webapp",
        "testing",
    ),
    ("api",),
    ("engine",),
    ("cli",),
    ("__main__",),
)
"""Rooms from the ground up; a room imports only from lower floors, or from itself."""

FLOOR = {room: k for k, rooms in enumerate(FLOORS) for room in rooms}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return all nodes of a module: most tests look at each of them."""
    return list(ast.walk(tree_of(path)))


@cache
def modules() -> list[Path]:
    return sorted(
        p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE
    )


WINGS = ("people", "networks")
"""Folders whose folders are the rooms."""


def room_of(names: Sequence[str]) -> str:
    """Return the room of a module, whose names start below the package."""
    is_wing = names[0] in WINGS and names[1:] and names[1] != "__init__"
    return "/".join(names[: 2 if is_wing else 1])


@cache
def imported(path: Path) -> list[tuple[str, bool]]:
    """Return what a module imports of curate, and whether only a type checker sees it."""
    found = []
    typing_only = {
        id(node)
        for branch in nodes_of(path)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "curate" and name != "curate.__version__":
                found.append((name, id(node) in typing_only))
    return found


def test_imports_go_one_way() -> None:
    for path in modules():
        here = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
        assert here in FLOOR, f"{here} has no place in FLOORS"
        for name, _ in imported(path):
            if name == "curate":  # all that is public, loaded on first use
                assert here == "cli", f"{path.name} imports the whole package"
                continue
            there = room_of(name.split(".")[1:])
            if there != here:
                assert FLOOR[there] < FLOOR[here], (
                    f"{path.name} imports {name}, which is not below it"
                )


def test_what_is_imported_is_there() -> None:
    """A name that was renamed meanwhile is found here, not when the module is first loaded."""
    names: dict[str, set[str]] = {}
    for path in (*modules(), PACKAGE / "__init__.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        names[module] = set(top_level_names(path))
        parent, _, own = module.rpartition(".")
        names.setdefault(parent, set()).add(own)
    for path in modules():
        for name, _ in imported(path):
            module, _, own = name.rpartition(".")
            found = name in names or own in names.get(module, ())
            assert found, f"{path.relative_to(ROOT)} imports {name}, which is not there"


def top_level_names(path: Path) -> Iterator[str]:
    """Yield the names that a module has when it is loaded."""
    todo: list[ast.stmt] = list(tree_of(path).body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((a.asname or a.name).split(".")[0] for a in node.names)
        else:
            yield from (
                one.id
                for one in ast.walk(node)
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
            )
            todo += [s for s in ast.iter_child_nodes(node) if isinstance(s, ast.stmt)]


def test_no_cycle_between_modules() -> None:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in modules()
    }
    graph = {
        name: {
            known
            for used, typing_only in imported(path)
            if not typing_only
            for known in (used, used.rpartition(".")[0])
            if known in names and known != name
        }
        for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in graph[name] - {name.rpartition(".")[0]}:
                visit(other, (*above, name))
            done.add(name)

    for name in names:
        visit(name, ())


NOT_YET_REACHED: dict[str, str] = {}
"""Modules that no command reaches, and why they stay all the same."""


def test_every_module_is_reached() -> None:
    """By imports, or by name in a registry, from the command line, the verbs or the exemptions."""
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    todo = {"curate.__main__", *NOT_YET_REACHED}
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        reached.add(name)
        path = names[name]
        uses = {used for used, typing_only in imported(path) if not typing_only} | {name}
        if "import_module(" in path.read_text():  # a registry: modules of its package by name
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            for node in nodes_of(path):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    uses |= {node.value, f"{package}.{node.value}"}
        todo |= {used.rpartition(".")[0] for used in uses} | uses
        todo = todo & names.keys() - reached
    assert reached == names.keys(), "no command uses these modules"


WRITING = {
    "os": {"open", "fdopen", "write", "pwrite", "fsync", "replace", "rename", "renames", "remove"}
    | {"unlink", "rmdir", "removedirs", "mkdir", "makedirs", "link", "symlink", "truncate"}
    | {"ftruncate", "chmod", "chown", "utime", "mkfifo"},
    "shutil": {"copy", "copy2", "copyfile", "copymode", "copystat", "copytree", "move", "rmtree"},
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory"},
    "sqlite3": {"connect"},
    "np": {"save", "savez", "savez_compressed"},
    "": {"unlink", "rmdir", "mkdir", "touch", "write_text", "write_bytes", "chmod", "symlink_to"}
    | {"hardlink_to", "copyfile", "rmtree", "mkstemp", "mkdtemp", "TemporaryDirectory"}
    | {"to_csv", "to_parquet", "to_json", "to_feather", "to_pickle", "tofile", "savefig", "dump"}
    | {"save_file", "save_pretrained", "copytree"},
}
"""By module what writes on disk; under "" methods of whatever."""

ALLOWED = {
    ("writing/naming.py", "os.open"),  # a folder, to lock it
    ("cli/exit_codes.py", "os.open"),  # the null device
    ("rle/compile_once.py", "os.open"),  # a source, to lock it
    ("cli/stopping.py", "os.write"),  # onto stderr, where print may be what was interrupted
    ("people/reviews/schema_tables.py", "sqlite3.connect"),  # in memory
    ("demo_dataset/demo_writing.py", "np.savez_compressed"),  # into an open file
    (
        "networks/training/training_files.py",
        "save_pretrained",
    ),  # takes a path only; in the work folder
}


def writes(tree: ast.Module) -> Iterator[str]:
    """Yield calls that write on disk without :mod:`curate.common.files`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in WRITING:
            yield from (f"{node.module}.{a.name}" for a in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "open" and opens_to_write(node):
                yield "open"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of, name = ast.unparse(node.func.value), node.func.attr
            one = len(node.args) == 1 and not node.keywords  # else it is text or a frame
            if of == "files" or of.endswith("archive"):
                continue
            if name in WRITING.get(of, ()):
                yield f"{of}.{name}"
            elif (
                name in WRITING[""]
                or (name == "open" and opens_to_write(node))
                or (
                    one
                    and (
                        name == "replace"
                        or (name == "rename" and not isinstance(node.args[0], ast.Constant))
                    )
                )
            ):
                yield name


def opens_to_write(node: ast.Call) -> bool:
    words = [*node.args, *(k.value for k in node.keywords if k.arg == "mode")]
    modes = [str(w.value) for w in words if isinstance(w, ast.Constant)]
    return any(m and set(m) <= set("rwxabt+") and set(m) & set("wxa+") for m in modes)


def test_all_that_is_written_goes_through_files() -> None:
    """A test that disturbs every operation of :mod:`curate.common.files` then disturbs every
    one."""
    for path in modules():
        here = str(path.relative_to(PACKAGE))
        found = {call for call in writes(tree_of(path)) if (here, call) not in ALLOWED}
        assert not found or here == "common/files.py", (
            f"{here} calls {sorted(found)}: use curate.common.files"
        )
    assert {"os.replace", "open", "sqlite3.connect"} <= set(
        writes(tree_of(PACKAGE / "common/files.py"))
    )


LIBRARIES = {"write_table": 1, "ParquetWriter": 0, "new_file": 0, "new_stream": 0, "save": 0}
"""What writes into its argument of that number, a path or an open file."""


def test_libraries_write_into_files_that_are_open() -> None:
    """They get a file of :mod:`curate.common.files`, or memory, under one of few names, never a
    path."""
    calls = 0
    for path in modules():
        for node in nodes_of(path):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            at = LIBRARIES.get(node.func.attr)
            of = ast.unparse(node.func.value)
            if at is None or len(node.args) <= at or of in ("writer", "parquet"):
                continue
            given = ast.unparse(node.args[at])
            in_memory = "copies" if of == "safetensors" else "plain"
            named = ("file", "out", "packed", "cast(Any, _Sink(file))", in_memory)
            assert given in named, f"{path.name}: {ast.unparse(node)}"
            calls += 1
    assert calls > 10


WAITS = {
    "waiting.py": "sleep",
    "exchange/test_real_label_studio.py": "wait_for_timeout",  # another's page, which says nothing
}
"""Files of tests that may let time pass, and how."""


def test_no_test_sleeps() -> None:
    """It waits for an event, sets a hand clock, or asks again and again by tests/waiting.py."""
    calls = re.compile(r"\b(sleep|wait_for_timeout)\(")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        here = path.relative_to(ROOT / "tests").as_posix()
        found = set(calls.findall(path.read_text()))  # also in programs that a test writes
        allowed = {WAITS[here]} if here in WAITS else set()
        assert found == allowed, f"{here} calls {sorted(found)}: use until() of tests/waiting.py"


def test_public_names() -> None:
    assert sorted(curate._HOMES) == sorted(curate.__all__)
    for name in curate.__all__:
        assert getattr(curate, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = curate.nothing


def test_verbs_are_typed_whole() -> None:
    """No verb takes keywords that it does not name; mypy reads a call of each, in strict mode."""
    used = {
        node.attr
        for node in ast.walk(ast.parse((ROOT / "tests" / "typed_calls.py").read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "curate"
    }
    assert set(curate.__all__) <= used
    for name in curate.__all__:
        verb = getattr(curate, name)
        if inspect.isfunction(verb):
            signature = inspect.signature(verb)
            kinds = {parameter.kind for parameter in signature.parameters.values()}
            assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
            assert signature.return_annotation not in (inspect.Signature.empty, "Any"), name


DOORS = {
    "__init__.py": (1, "a public name is loaded when it is first used"),
    "api/comparing.py": (1, "only a page of differences needs templates"),
    "cli/__init__.py": (3, "handlers of signals stand before anything that can be interrupted"),
    "cli/audit_commands.py": (1, "the summary needs what the verb has loaded by then"),
    "cli/network_commands.py": (1, "reselect is no public verb, and needs what generate does"),
    "cli/stopping.py": (1, "as in cli/__init__.py"),
    "common/files.py": (2, "few that write need NumPy or SQLite, and help and refusals neither"),
    "common/plugins.py": (1, "no refusal of a wrong path needs the packages that are installed"),
    "common/progress.py": (1, "only a terminal shows a bar"),
    "notebook/audit_value.py": (5, "verbs open audits, and neither draw plots nor show masks"),
    "plots/figure_style.py": (5, "most verbs draw no plot"),
    "quality/model_file.py": (1, "most audits have no learned model, and scikit-learn is large"),
    "store/audit.py": (1, "diff and version make no query"),
}
"""Modules that import inside functions: how often, and why; torch and its kin, and plug-ins, are
loaded by their names."""


def test_imports_stand_at_the_top() -> None:
    found: dict[str, int] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = {
            id(node)
            for function in ast.walk(tree_of(path))
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        if inside:
            found[str(path.relative_to(PACKAGE))] = len(inside)
    assert found == {name: count for name, (count, _) in DOORS.items()}
    assert sum(found.values()) <= 25


def test_verbs_load_no_library_of_other_verbs() -> None:
    """In one process: the verbs that only read and write, then those that serve and learn."""
    script = """
import sys, curate
def loaded(names): return [name for name in names if name in sys.modules]
network = ("torch", "transformers", "onnxruntime")
large = ("duckdb", "jinja2", "starlette", "uvicorn", "sklearn", "skops", *network)
_ = curate.diff, curate.version, curate.prune, curate.write, curate.queue, curate.write_queue
print(loaded(large))
others = [name for name in curate.__all__ if name not in ("review", "learn")]
_ = [getattr(curate, name) for name in others]
print(loaded(("matplotlib", "starlette", "uvicorn", "sklearn", "skops", *network)))
_ = curate.review, curate.learn
print(loaded(("matplotlib", *network)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n") == ["[]", "[]", "[]", ""]


@pytest.mark.parametrize("code", ["import curate", "import curate.cli"])
def test_nothing_heavy_is_imported_early(code: str) -> None:
    heavy = ("numpy", "pandas", "numba", "pyarrow", "duckdb", "scipy", "matplotlib", "PIL", "rich")
    script = f"{code}; import sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def public_functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree_of(path).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
            continue
        for item in inner:
            if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                yield item.name, item


def test_docs_name_every_argument_they_list() -> None:
    """A docstring with an Args section lists exactly the arguments that the function has."""
    for path in modules():
        for name, node in public_functions(path):
            text = ast.get_docstring(node) or ""
            if "Args:\n" not in text:
                continue
            section = text.split("Args:\n")[1].split("\n\n")[0]
            listed = [
                line.strip().partition(":")[0]
                for line in section.splitlines()
                if line.startswith("    ") and not line.startswith("     ") and ":" in line
            ]
            spelled = node.args
            has = [a.arg for a in (*spelled.posonlyargs, *spelled.args, *spelled.kwonlyargs)]
            assert set(listed) <= set(has), f"{path.name}: {name} explains {set(listed) - set(has)}"
            missing = set(has) - set(listed) - {"self", "cls", "context"}
            assert not missing, f"{path.name}: {name} does not explain {missing}"


def test_the_docs_map_every_room() -> None:
    text = (ROOT / "docs" / "rooms.md").read_text()
    for path in sorted(PACKAGE.iterdir()):
        is_room = path.suffix == ".py" or (path / "__init__.py").exists()
        if is_room and path.name != "__init__.py":
            assert f"`{path.name}" in text, f"the room map lacks {path.name}"


def test_the_docs_list_the_rooms_by_floors() -> None:
    text = (ROOT / "docs" / "rooms.md").read_text()
    rows = re.findall(r"^\| `([\w/]+)(?:\.py)?` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(set(FLOOR) - set(WINGS))
    assert rows == sorted(rows, key=lambda room: -FLOOR[room]), "top floors first"


def test_no_class_name_has_two_meanings() -> None:
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert not twice


GONE_MODULES = """
adding adding_images asking audits blame coming_back compared_parts corrected corrected_coco
csv_rows cvat_tasks dealing decided drawing export_reading found_again given huggingface_queue
image_bets joined_inputs joining json_rows judging learn_draw lessons made parts people_checks
picks quick_json quick_kernels quiet random_draws readers records resolving result row_cells rows
segmenter_lessons sheets sides standing tails task_writing telling tool_coco tool_image_names
tool_shapes
values verdict views whole withdrawing wording words
"""
"""Names that modules had, and that told nobody what is in them."""

GONE_NAMES = """
Asked AuditLike Checked ComparedPart ComparisonTally CorrectedImages Decided Drawn Found Redrawn
Shown Side Tally added_by_people found_against_planted glimpsed hidden in_common judged_columns
left_beside left_over listed_names literal moved_by_people not_joined prepare_side
print_what_cannot_be_encoded redrawn_of reported voided
"""
"""Names that classes and functions of modules had: of two things at once, or of no act."""


def defined(path: Path) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """Yield the classes and functions of a module, without what is inside of them."""
    yield from (n for n in tree_of(path).body if isinstance(n, ast.ClassDef | ast.FunctionDef))


def test_names_that_went_do_not_come_back() -> None:
    for path in modules():
        parts = set(path.relative_to(PACKAGE).with_suffix("").parts)
        assert not parts & set(GONE_MODULES.split()), f"{path} does not say what it holds"
        back = {node.name for node in defined(path)} & set(GONE_NAMES.split())
        assert not back, f"{path} has {sorted(back)} again"


def test_the_progress_callback_is_called_progress() -> None:
    """A function that tells of progress takes `progress`: `report` is a verb, and a file."""
    takes = 0
    for path in modules():
        for node in nodes_of(path):
            if not isinstance(node, ast.FunctionDef | ast.Lambda):
                continue
            named = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
            assert "report" not in named, f"{path}:{node.lineno} takes a report"
            assert "all_looked" not in named, f"{path}:{node.lineno} takes all_looked"
            takes += "progress" in named
    assert takes > 10


def test_docstrings_name_their_subject() -> None:
    """Of a module a noun phrase, of a function what is done: no question that is answered later."""
    for path in modules():
        tree = tree_of(path)
        asked = re.compile(r"(What|How|Where|Who|Which)\b")
        assert not asked.match(ast.get_docstring(tree) or ""), f"{path}: begin with a noun"
        for node in nodes_of(path):
            if isinstance(node, ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                vague = text.startswith(("Return what ", "See that "))
                assert not vague, f"{path}: {node.name} does not name what it returns or checks"


def test_no_two_test_files_have_one_name() -> None:
    """Pytest imports them by their names alone, and takes the second for the first."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


MOST_UNTYPED = 31
"""Places with ``dict[str, Any]``: rows of SQL, tensors by name, documents that are being parsed."""


def test_values_of_known_shape_are_typed() -> None:
    """They are dataclasses or TypedDicts; JSON of strangers is a ``JsonObject`` of objects."""
    untyped = [line for p in modules() for line in p.read_text().splitlines() if _UNTYPED in line]
    assert len(untyped) <= MOST_UNTYPED, "\n".join(untyped)


_UNTYPED = "dict[str, Any]"
