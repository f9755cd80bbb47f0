"""JSON of unknown content: what is parsed from it is checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping

JsonObject = Mapping[str, object]
"""An object of a JSON (TOML, CBOR) document of strangers, or of a record that is only passed on."""
