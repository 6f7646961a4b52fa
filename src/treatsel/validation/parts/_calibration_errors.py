"""Part: ICI, E50, E90 and Emax, and their distribution under perfect calibration."""

import numpy as np

from treatsel._measures import labels_of
from treatsel.metrics import calibration as metrics
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row_of
from treatsel.validation.parts._utility import N_RESAMPLES

ERRORS = labels_of("ici", "e50", "e90", "emax")


def calibration_errors(task: ValidationTask, _: Policies) -> PartResult:
    """Return the distances from the calibration curve, and those expected under perfect calibration."""
    found = metrics.integrated_calibration_index(
        task.observed,
        task.own,
        n_resamples=N_RESAMPLES,
        n_simulations=N_RESAMPLES,
        clusters=task.clusters,
        level=task.level,
        random_state=task.seed,
        **task.weights(),
    )
    rows = [row_of("calibration errors", ERRORS[name], found.estimates[name]) for name in ERRORS]
    table = found.to_frame().loc[list(ERRORS)]
    if not np.isfinite(found.ici):
        return PartResult(not_estimable=[("Calibration errors (ICI, E50, E90)", found.smoother)])
    return PartResult(figures=rows, tables={"calibration errors": table.rename_axis("measure").reset_index()})
