"""Use of the quality model of one audit in another one of the same kind of masks."""

from __future__ import annotations

from curate.common.progress import Progress
from curate.errors import AuditError
from curate.people.learning.model_learning import find_start, store_model
from curate.people.learning.reviewed_masks import check_finished, sample_features
from curate.store.audit import StoredAudit


def adopt_model(
    audit: StoredAudit, source: StoredAudit, progress: Progress | None = None
) -> StoredAudit:
    """Put the quality model of another audit in force, and decide by it.

    Its probabilities hold as far as the masks of both audits, scored by the same signals, are
    alike.

    Args:
        audit: The audit that gets it; nobody has decided on a mask of it.
        source: The audit that people's decisions were learned in.
        progress: Called with progress.

    Returns:
        The audit, decided anew; as it is where the model is in force already.

    Raises:
        AuditError: There is no model, or one of the audits is not finished.
    """
    check_finished(audit)
    given, record, known = find_start(source, None), source.info.learning, source.info.quality_model
    if given is None or record is None or known is None:
        what = "there is no quality model"
        raise AuditError(what, str(source.path), "run `curate learn` on it first")
    mine = audit.info.quality_model
    if mine and mine.get("asked") == known["asked"]:
        return audit
    dataset = sample_features(audit)
    model = given.model.center(dataset.matrix(given.model.columns))
    return store_model(audit, model, dataset, record, known["asked"], progress).audit
