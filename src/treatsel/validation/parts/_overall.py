"""Part: overall performance, in all patients and by received arm."""

from collections.abc import Callable

from treatsel.metrics import Estimate, brier_score, log_loss, nagelkerke_r2, scaled_brier_score
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, rows_by_arm

MEASURES: dict[str, Callable[..., Estimate]] = {
    "Brier score": brier_score,
    "scaled Brier score": scaled_brier_score,
    "log loss": log_loss,
    "Nagelkerke R2": nagelkerke_r2,
}


def overall(task: ValidationTask) -> PartResult:
    """Return measures of overall performance."""
    return PartResult(figures=rows_by_arm("overall", MEASURES, task))
