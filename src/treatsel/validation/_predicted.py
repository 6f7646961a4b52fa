"""Predictions of what is validated, for a cohort: a selector, another model, or a by-arm table."""

from typing import Any

import pandas as pd

from treatsel._checks import as_pandas, by_text, check_by_arm, check_unique
from treatsel._stats.alignment import aligned
from treatsel.cohort import Cohort
from treatsel.errors import InputError


def predicted(model: Any, cohort: Cohort, outcome: str) -> pd.DataFrame:
    """Return the by-arm table of a model for a cohort, with the cohort's arm labels.

    Raises
    ------
    InputError
        If the table lacks patients, or does not hold probabilities.
    """
    model = as_pandas(model) if not hasattr(model, "predict_by_arm") else model
    table: pd.DataFrame
    if isinstance(model, pd.DataFrame):
        table = aligned("The by-arm table", check_by_arm("the by-arm table", model), cohort.frame.index)
    elif hasattr(model, "outcomes_"):
        table = check_by_arm(
            "the predictions", model.predict_by_arm(with_site(model, cohort), outcome=outcome)
        )
    elif hasattr(model, "predict_by_arm"):
        table = check_by_arm("the predictions", model.predict_by_arm(with_site(model, cohort)))
    else:
        raise InputError(f"model is a {type(model).__name__}; give a selector, a model or a by-arm table.")
    table = table.rename(columns=by_text(pd.unique(cohort.received)))
    check_unique("The arms of the predictions, compared as text,", table.columns)
    return table


def with_site(model: Any, cohort: Cohort) -> pd.DataFrame:
    """Return covariates, arm and the site by which the model knows services: predictions are those served."""
    fitted = getattr(model, "model_", None)
    site = getattr(model, "groups", None) if fitted is None else fitted.site_column
    return cohort.X.assign(**{str(site): cohort.frame[site]}) if site in cohort.frame else cohort.X


def is_served(model: Any, outcome: str, good: bool) -> bool:
    """Return whether a model recommends by this outcome in this direction: a selector, not turned around."""
    return hasattr(model, "default_arm_") and model.event_is_good_.get(outcome) == good


def out_of_scope(model: Any, cohort: Cohort) -> int | None:
    """Return the number of patients whose values put them out of scope of a selector."""
    if not hasattr(model, "model_"):
        return None
    return int((~model.model_.without_draws().predict(cohort.X).in_scope).sum())
