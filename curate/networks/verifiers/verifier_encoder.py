"""Image encoder that a verifier was trained with: its record, and the way back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curate.errors import CurateError, SourceError
from curate.networks.encoders.encoder_loading import load_grid_encoder
from curate.networks.encoders.grid_encoders import MOST_CHANNELS, GridEncoder


@dataclass(frozen=True)
class VerifierEncoder:
    """What a verifier's ``config.json`` says of the encoder that it was trained with.

    Attributes:
        name: Absolute path, or hub name.
        fingerprint: Hash of its files.
        channels: Its features of a place.
        object_side: Side of the training's typical object as a square, in pixels.
        used: Whether its features made the networks better; else they judge without.
    """

    name: str
    fingerprint: str
    channels: int
    object_side: float
    used: bool

    def as_record(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return dict(vars(self))

    @classmethod
    def from_record(cls, record: object) -> VerifierEncoder:
        """Read what :meth:`as_record` gave.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(record, Mapping):
            raise ValueError("what is said of its encoder is no object")
        name, fingerprint = record.get("name"), record.get("fingerprint")
        channels, used = record.get("channels"), record.get("used")
        side = record.get("object_side")
        if not (isinstance(name, str) and isinstance(fingerprint, str) and isinstance(used, bool)):
            raise ValueError("name and fingerprint of its encoder are no texts")
        if not (isinstance(channels, int) and 1 <= channels <= MOST_CHANNELS):
            raise ValueError(f"its encoder has no 1 to {MOST_CHANNELS:,} features")
        if isinstance(side, bool) or not isinstance(side, int | float) or not 0 < side < 1e9:
            raise ValueError("the side of its typical object is no number over 0")
        return cls(name, fingerprint, channels, float(side), used)

    def load(self, folder: Path, device: str) -> GridEncoder:
        """Load the encoder, the same one that the verifier was trained with.

        Args:
            folder: The verifier's.
            device: torch's name of the device.

        Raises:
            SourceError: It is not where it was, or another one.
        """
        do = f"bring it back to {self.name}, or train the verifier again with --encoder"
        try:
            found = load_grid_encoder(self.name, device=device)
        except CurateError as error:
            what = f"it was trained with the encoder {self.name}, which cannot be used ({error})"
            raise SourceError(what, str(folder), do) from error
        if found.fingerprint != self.fingerprint or found.channels != self.channels:
            what = f"it was trained with another encoder than lies at {self.name} now"
            raise SourceError(what, str(folder), do)
        return found.at_scale(self.object_side)


def place_of(name: str) -> str:
    """Return an encoder's name as it is found again from anywhere: paths are absolute."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name
