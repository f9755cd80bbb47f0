"""Contract suites for plug-ins: what a scorer, a format or an exchange tool has to keep.

A suite is a class of pytest tests. Whoever writes a plug-in subclasses it in a test file, says what
is to be tested, and runs pytest; curate's own scorers, formats and tools are tested by the same
suites. Needs pytest, and nothing of curate's own tests.
"""

try:
    import pytest
except ImportError as error:
    raise ImportError("curate.testing needs pytest: pip install pytest") from error

pytest.register_assert_rewrite(
    *(f"curate.testing.{kind}_contract" for kind in ("scorer", "format", "exchange"))
)

from curate.testing.exchange_contract import ExchangeContract  # noqa: E402
from curate.testing.format_contract import FormatContract  # noqa: E402
from curate.testing.scene import Scene, disc, table_of  # noqa: E402
from curate.testing.scorer_contract import ScorerContract  # noqa: E402

__all__ = ["ExchangeContract", "FormatContract", "Scene", "ScorerContract", "disc", "table_of"]
