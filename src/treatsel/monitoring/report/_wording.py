"""Sentences of the monitoring report."""

from typing import Any

import pandas as pd

from treatsel._disclosure import SUPPRESSED
from treatsel.monitoring._calibration import LEVEL, SLOPE
from treatsel.monitoring._covariate_drift import CATEGORIES, MEAN, MISSING, OUTSIDE, SPREAD

FAMILIES = ("covariates and warnings", "calibration", "sequential test of calibration")


def places_of(alarms: pd.DataFrame) -> list[str]:
    """Return the covariates and families with an alarm, each once."""
    names = {section: list(dict.fromkeys(rows["name"])) for section, rows in alarms.groupby("section")}
    groups = [section for section in ("warnings", "calibration") if section in names]
    return [
        *names.get("covariates", []),
        *(f"{section} ({', '.join(names[section])})" for section in groups),
        *(["sequential test of calibration"] if "sequential test" in names else []),
    ]


def sentence_of(row: Any) -> str:
    """Return an alarm as a sentence."""
    name, measure, p = row["name"], row["measure"], shown_p(row["p_adjusted"])
    values = {key: float(row[key]) for key in ("value", "lower", "upper", "expected", "observed")}
    if row["section"] == "sequential test":
        return (
            f"sequential test: evidence of {shown_evidence(values['value'])} against calibration, threshold "
            f"{values['expected']:g}."
        )
    if row["method"] == SUPPRESSED:
        where = f"calibration, {name}" if row["section"] == "calibration" else name
        return (
            f"{where}: {measure}: {SUPPRESSED}, but beyond its threshold; adjusted p at most "
            f"{float(row['p_adjusted']):.3g}, n = {int(row['n']):,}."
        )
    bounds = f"{values['lower']:+.2f} to {values['upper']:+.2f}"
    now, before = values["observed"], values["expected"]
    if measure == MEAN:
        text = f"mean {before:.3g} before, {now:.3g} now: {values['value']:+.2f} SD ({bounds})"
    elif measure == SPREAD:
        text = f"SD {before:.3g} before, {now:.3g} now"
    elif measure == CATEGORIES:
        text = f"different proportions of categories, w = {values['value']:.2f}"
    elif measure == MISSING:
        known = f", {100 * before:.1f} % before" if before == before else ""
        text = f"{100 * now:.1f} % missing now{known}"
    elif measure == OUTSIDE:
        text = f"{100 * now:.1f} % outside the stored range, at most {100 * before:g} % expected"
    elif measure == LEVEL:
        text = f"predicted {100 * before:.1f} %, observed {100 * now:.1f} %"
    elif measure == SLOPE:
        text = f"slope {values['value']:.2f} ({values['lower']:.2f} to {values['upper']:.2f})"
    else:
        text = f"{100 * now:.1f} % of patients, {100 * before:g} % tolerated"
    where = f"calibration, {name}" if row["section"] == "calibration" else name
    return f"{where}: {text}; adjusted p {p}, n = {int(row['n']):,}."


def shown_evidence(value: float) -> str:
    """Return evidence as text."""
    return "more than 1,000,000" if value > 1e6 else f"{value:,.1f}"


def shown_p(p: float) -> str:
    """Return a p value as text."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
