"""Fixtures that every room's tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from browsers import launch_chromium, launch_firefox
from hypothesis import HealthCheck, settings
from random_cases import PROFILES

from curate.common.garbage_collection import relax_collector
from curate.reporting import page, report_file, report_values

for name, examples in PROFILES.items():
    settings.register_profile(
        name,
        deadline=None,  # the first call of a kernel compiles it
        derandomize=True,
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("curate")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "agg")  # no window of a plot opens
# Networks of a few hundred weights: threads that wait for each other would take most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is unpacked lies where the tests' files lie; processes that a test starts use it too."""
    os.environ["CURATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def build_commands_once() -> Iterator[None]:
    """typer's runner builds all commands anew for each call: a third of the time of such a test."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("typer.testing._get_command", cache(typer.main.get_command))
        yield


def pytest_collection_finish() -> None:
    """Keep the collector from walking over all libraries and tests again and again."""
    gc.collect()
    gc.freeze()
    relax_collector()


DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real datasets; tests that need it are skipped where it is not."""
    if not DATA.is_dir():
        pytest.skip("the real datasets are not beside this checkout")
    return DATA


@pytest.fixture(scope="session", autouse=True)
def no_report() -> Iterator[None]:
    """No ``report.html`` is written: it takes three quarters of the time of a small audit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_file, "write_report", lambda *_, **__: None)
        yield


@pytest.fixture
def with_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written, for tests that look at one and at its plots."""
    monkeypatch.setattr(report_file, "write_report", page.write_report)


@pytest.fixture
def with_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written, without the plots, which take most of the time of a small one."""
    monkeypatch.setattr(report_file, "write_report", page.write_report)
    monkeypatch.setattr(report_values, "draw_plots", lambda _: ([], ""))


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """What drives browsers; one for all rooms, since a process cannot run two at once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(playwright: Any) -> Iterator[Any]:
    """A real Chromium; the tests that need one fail where there is none, they are not skipped."""
    chromium = launch_chromium(playwright)
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which Firefox saves."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def firefox(playwright: Any, downloads: Path) -> Iterator[Any]:
    """A real Firefox, for the slow tests; `make test-slow` installs one."""
    started = launch_firefox(playwright, downloads_path=downloads)
    yield started
    started.close()
