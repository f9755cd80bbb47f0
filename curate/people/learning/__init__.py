"""Learning from people: from their decisions on an audit's masks to a calibrated quality.

**What holds when.** A probability is right for masks that were chosen for review by chance or by
their scores alone: what is learned of a mask with given scores does not depend on how often such
masks were shown. Queues of likely errors and of doubtful masks choose by scores; their reviews are
weighted so that together they stand for the dataset, by how prominent a mask is in such queues.
Below the least prominent masks that people saw, probabilities are extrapolated, and the result
says for which share of the dataset. Where people chose masks by looking at them, nothing is
promised. Reviews of a random sample for certificates and estimates are never learned from: the
finished model is only held against them, which changes nothing in it.
"""

from curate.people.learning.learn_result import LearningResult
from curate.people.learning.model_learning import learn

__all__ = ["LearningResult", "learn"]
