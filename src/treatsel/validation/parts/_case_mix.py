"""Part: spread of the predictions, overall and by arm."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._stats.logits import inside
from treatsel.metrics.discrimination import model_based_concordance
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import PartResult, row_of
from treatsel.validation.parts._policies import Policies


def case_mix(setting: ValidationTask, _: Policies) -> PartResult:
    """Return how predictions are spread, overall and by arm: the logit's mean and standard deviation."""
    logits = np.log(inside(setting.own) / (1 - inside(setting.own)))
    groups = {"overall": np.ones(len(logits), dtype=bool)}
    groups |= {str(arm): setting.arms == arm for arm in sorted(set(setting.arms), key=str)}
    table = pd.DataFrame(
        [
            {
                "group": name,
                "n": int(mask.sum()),
                "mean_prediction": float(setting.own[mask].mean()),
                "observed": float(setting.observed[mask].mean()),
                "mean_logit": float(logits[mask].mean()),
                "sd_logit": float(logits[mask].std(ddof=1)) if mask.sum() > 1 else float("nan"),
            }
            for name, mask in groups.items()
        ]
    )
    options: dict[str, Any] = {"clusters": setting.clusters, "level": setting.level}
    auc = model_based_concordance(setting.own, **options)
    within = model_based_concordance(setting.own, setting.arms, **options)
    rows = [
        row_of("discrimination", "AUC to expect in this case mix", auc),
        row_of("discrimination", "within-arm AUC to expect in this case mix", within),
    ]
    return PartResult(figures=rows, tables={"case mix": table})
