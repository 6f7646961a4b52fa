"""Whether values or names of columns show that a column was hardly known before treatment."""

import re
from collections.abc import Collection
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
MIN_CORRELATION = 0.3  # of a first and a later measurement of the same quantity
MIN_RECORDED = 5  # patients with, and without, a later value from which on its presence is recognized


def measured_again(names: Collection[str]) -> dict[str, str]:
    """Return columns named as a first measurement, but with a later time, each with the first.

    For example cd420 and cd496 beside cd40. Numbered columns (x1, ..., x10) are not meant.
    """
    found: dict[str, str] = {}
    for first in names:
        stem = first[:-1]
        if not stem or not first.endswith("0") or stem in names or f"{stem}1" in names:
            continue
        later = re.compile(re.escape(stem) + r"[1-9]\d{0,2}")
        found |= {name: first for name in names if later.fullmatch(name)}
    return found


def repeats(column: "pd.Series", first: "pd.Series") -> bool:
    """Whether two clean columns may hold the same quantity at different times."""
    import pandas as pd

    if not all(pd.api.types.is_numeric_dtype(each.dtype) for each in (column, first)):
        return False
    both = column.notna() & first.notna()
    if both.sum() < MIN_CLASS or min(column[both].nunique(), first[both].nunique()) < 2:
        return False
    return bool(abs(np.corrcoef(column[both], first[both])[0, 1]) > MIN_CORRELATION)


def says_recorded(column: "pd.Series", later: "pd.Series") -> bool:
    """Whether a clean 0/1 column says for every patient if a later value was recorded, or if it was not."""
    there = later.notna().to_numpy().astype(float)
    if min(there.sum(), len(there) - there.sum()) < MIN_RECORDED or column.isna().any():
        return False
    values = column.to_numpy(dtype=float)
    return bool((values == there).all() or (values == 1 - there).all())


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
