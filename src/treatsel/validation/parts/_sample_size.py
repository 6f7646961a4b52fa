"""Part: sample size needed for a validation."""

from treatsel.metrics import roc_auc
from treatsel.metrics.sample_size import LinearPredictorDistribution, validation_sample_size
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult


def sample_size(task: ValidationTask, _: Policies) -> PartResult:
    """Return the number of patients needed for intervals of the usual widths."""
    auc = roc_auc(task.observed, task.own).value
    if not 0.5 < auc < 1:
        why = "the formulas need an AUC between 0.5 and 1"
        return PartResult(not_estimable=[("Sample size needed for a validation", why)])
    needed = validation_sample_size(
        prevalence=float(task.observed.mean()),
        auc=auc,
        predictor=LinearPredictorDistribution.observed(task.own),
        level=task.level,
    )
    return PartResult(tables={"sample size": needed.to_frame().reset_index()})
