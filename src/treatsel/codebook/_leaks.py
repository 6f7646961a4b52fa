"""Whether a column follows an outcome so closely that it was hardly known before treatment."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Area under the ROC curve of one column alone: baseline columns of mental health care rarely exceed 0.75.
MAX_AUC = 0.9
MIN_CLASS = 10  # patients with, and without, the outcome from which on it is computed
MAX_LEVELS = 10  # with more, rates by level follow the outcome by chance
MIN_LOST = 5  # outcomes not observed from which on it is compared where values are missing
MIN_AGREEMENT = 0.9  # of "missing" with "outcome not observed" (phi coefficient)


def follows_outcome(column: "pd.Series", outcome: "pd.Series") -> str:
    """Return how a clean column follows a 0/1 outcome, as the start of a sentence; empty if it does not."""
    import pandas as pd

    seen = outcome.notna().to_numpy()
    absent = column.isna().to_numpy()
    comparable = min((~seen).sum(), seen.sum()) >= MIN_LOST and absent.any() and not absent.all()
    if comparable and np.corrcoef(absent, ~seen)[0, 1] > MIN_AGREEMENT:
        return "Missing in the patients without the outcome"
    both = seen & ~absent
    y = outcome.to_numpy()[both]
    if min(y.sum(), len(y) - y.sum()) < MIN_CLASS:
        return ""
    values = column[both]
    scores = [values] if pd.api.types.is_numeric_dtype(values.dtype) else []
    if values.nunique() <= MAX_LEVELS:  # codes and texts by their rates, whatever their order
        scores.append(pd.Series(y, values.index).groupby(values.to_numpy()).transform("mean"))
    if any(_auc(score.to_numpy(dtype=float), y) > MAX_AUC for score in scores):
        return "Predicts almost perfectly the outcome"
    missing = absent[seen].astype(float)
    y = outcome.to_numpy()[seen]
    if min(missing.sum(), len(missing) - missing.sum()) >= MIN_CLASS and _auc(missing, y) > MAX_AUC:
        return "Its missing values predict almost perfectly the outcome"
    return ""


def _auc(values: np.ndarray, y: np.ndarray) -> float:
    """Return the area under the ROC curve, in the direction in which it is above 0.5."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    n = y.sum()
    area = (ranks[y == 1].sum() - n * (n + 1) / 2) / (n * (len(y) - n))
    return float(max(area, 1 - area))
