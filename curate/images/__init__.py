"""Pictures of a dataset: found safely, looked at cheaply, loaded in the frame of their masks."""

from curate.images.canvas import Box, Rectangle, ValueRange, window
from curate.images.decode import ImageHeader
from curate.images.image_folder import ImageFolder, Inspection, worse_status
from curate.images.limits import MAX_BYTES, MAX_PIXELS
from curate.images.opening import DECODERS

__all__ = [
    "DECODERS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Box",
    "ImageFolder",
    "ImageHeader",
    "Inspection",
    "Rectangle",
    "ValueRange",
    "window",
    "worse_status",
]
