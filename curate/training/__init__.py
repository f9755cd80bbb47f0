"""From an audit to a detector: accepted masks become boxes to learn from, split by image.

The semi-automatic step of *Segment Anything* (section 4): a class-agnostic detector, trained on the
masks that are sure, tells later which masks it can confirm.
"""

from curate.training.record import Training
from curate.training.run import train_detector
from curate.training.settings import TrainingSettings

__all__ = ["Training", "TrainingSettings", "train_detector"]
