"""Part: sample size that a validation needs."""

from treatsel.metrics import roc_auc
from treatsel.metrics.sample_size import LinearPredictorDistribution, validation_sample_size
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult
from treatsel.validation.parts._policies import Policies


def sample_size(setting: ValidationTask, _: Policies) -> PartResult:
    """Return how many patients a validation needs for intervals of the usual widths."""
    auc = roc_auc(setting.observed, setting.own).value
    if not 0.5 < auc < 1:
        why = "the formulas need an AUC between 0.5 and 1"
        return PartResult(not_estimable=[("Sample size that a validation needs", why)])
    needed = validation_sample_size(
        prevalence=float(setting.observed.mean()),
        auc=auc,
        predictor=LinearPredictorDistribution.observed(setting.own),
        level=setting.level,
    )
    return PartResult(tables={"sample size": needed.to_frame().reset_index()})
