"""Labels 0, 1 and NaN from an event and the known inputs, shared by all definitions."""

import pandas as pd

from treatsel.codebook import ATTRIBUTE, SHIPPED


def labels(name: str, event: pd.Series, *, known: pd.DataFrame, among: pd.Series | None = None) -> pd.Series:
    """Return 1 and 0 where all inputs are known (and the patient is in the denominator), else NaN."""
    defined = known.notna().all(axis=1)
    found = event.astype(float).where(defined if among is None else defined & among).rename(name)
    found.attrs[ATTRIBUTE] = SHIPPED[name]
    return found
