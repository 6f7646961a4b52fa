"""Part: overall performance, in all patients and by received arm."""

from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, rows_by_arm

KEYS = ("brier_score", "scaled_brier_score", "log_loss", "nagelkerke_r2")


def overall(task: ValidationTask) -> PartResult:
    """Return measures of overall performance."""
    return PartResult(figures=rows_by_arm("overall", KEYS, task))
