"""Part: case mix, as the distribution of the predictions overall and by arm."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._stats.logits import inside
from treatsel.metrics.discrimination import model_based_concordance
from treatsel.validation._policies import Policies
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row_of


def case_mix(task: ValidationTask, _: Policies) -> PartResult:
    """Return mean and standard deviation of the linear predictor, overall and by arm, and expected AUCs."""
    logits = np.log(inside(task.own) / (1 - inside(task.own)))
    groups = {"overall": np.ones(len(logits), dtype=bool)}
    groups |= {str(arm): task.arms == arm for arm in sorted(set(task.arms), key=str)}
    table = pd.DataFrame(
        [
            {
                "group": name,
                "n": int(mask.sum()),
                "mean_prediction": float(task.own[mask].mean()),
                "observed": float(task.observed[mask].mean()),
                "mean_logit": float(logits[mask].mean()),
                "sd_logit": float(logits[mask].std(ddof=1)) if mask.sum() > 1 else float("nan"),
            }
            for name, mask in groups.items()
        ]
    )
    options: dict[str, Any] = {"clusters": task.clusters, "level": task.level}
    auc = model_based_concordance(task.own, **options)
    within = model_based_concordance(task.own, task.arms, **options)
    rows = [
        row_of("discrimination", "model-based concordance", auc),
        row_of("discrimination", "within-arm model-based concordance", within),
    ]
    return PartResult(figures=rows, tables={"case mix": table})
