"""Check for categories of so few patients that a model would describe these patients."""

import pandas as pd

from treatsel._checks import count_of
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.fitted import DataCheck


def check_rare(covariates: pd.DataFrame) -> list[DataCheck]:
    """Report columns with categories, or one of two numbers, that fewer than 5 patients have.

    Models leave them out (`treatsel.additive.Encoding.of_cohort`).
    """
    found: dict[str, str] = {}
    if len(covariates) < SMALLEST_GROUP:  # every value is rare
        return []
    for name in covariates.columns:
        column = covariates[name].dropna()
        counts = column.value_counts()
        if n := int((counts < SMALLEST_GROUP).sum()):
            if not pd.api.types.is_numeric_dtype(column.dtype):
                found[name] = count_of(n, "category", "categories")
            elif len(counts) == 2:
                found[name] = "a number"
    if not found:
        return []
    listed = ", ".join(f"{name!r}: {what}" for name, what in found.items())
    message = (
        f"Fewer than {SMALLEST_GROUP} patients have some values of {count_of(len(found), 'column')} "
        f"({listed}). The models leave these values out, so that no patient can be told from a model; a "
        "patient who has such a category is predicted as one with an unknown category (unseen_category). "
        "Merge rare categories before the fit if they belong together."
    )
    return [DataCheck("rare_levels", message)]
