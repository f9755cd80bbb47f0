"""Pictures of a dataset: found safely, looked at cheaply, loaded in the frame of their masks."""

from curate.pictures.decode import DECODERS, MAX_BYTES, MAX_PIXELS, ImageHeader
from curate.pictures.folder import ImageFolder, Inspection, worse
from curate.pictures.windows import Box, Rectangle, window

__all__ = [
    "DECODERS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Box",
    "ImageFolder",
    "ImageHeader",
    "Inspection",
    "Rectangle",
    "window",
    "worse",
]
