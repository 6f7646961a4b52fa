"""Part: flow of participants by arm."""

import pandas as pd

from treatsel.validation._small_groups import disclosed_recommendations
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult


def participants(task: ValidationTask) -> PartResult:
    """Return, for each arm, the numbers of patients who received it and for whom it is recommended."""
    recommended = task.recommended.sum()
    rows = []
    for arm in task.by_arm.columns:
        mine = task.y[task.received == arm]
        counts = {"n": len(mine), "n_observed": int(mine.notna().sum()), "n_events": int(mine.sum())}
        rows.append({"arm": arm, **counts, "n_recommended": round(float(recommended[arm]))})
    n_kept = round(len(task.y) - float(recommended.sum()))
    return PartResult(tables={"flow": disclosed_recommendations(pd.DataFrame(rows), n_kept)})
