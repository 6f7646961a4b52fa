"""Outcomes of NHS Talking Therapies from PHQ-9 and GAD-7 together."""

from typing import Any

import pandas as pd

from treatsel.instrument import TOLERANCE, Instrument, match_scores
from treatsel.outcome._labels import labels
from treatsel.outcome._thresholds import are_whole, at_least, distances, spread_of

_NHS = {"phq": "PHQ-9", "gad": "GAD-7"}


def nhs_recovery(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Recovery in NHS Talking Therapies: a case at the first assessment, below both cut-offs at the last.

    A case scores at least 10 on PHQ-9 or at least 8 on GAD-7. Patients who were not cases at the first
    assessment are not in the denominator, since the rate is among cases. The definition does not apply if a
    service uses a disorder-specific measure instead of the GAD-7.

    Parameters
    ----------
    phq_first, phq_last : array-like of shape (n_patients,)
        First and last PHQ-9 score, 0 to 27 points; NaN = missing.
    gad_first, gad_last : array-like of shape (n_patients,)
        First and last GAD-7 score, 0 to 21 points; NaN = missing. Series are matched by patient.

    Returns
    -------
    Series of shape (n_patients,)
        1 = recovered, 0 = still a case, NaN = a score is missing or the patient was not a case at the first
        assessment; named ``nhs_recovery``.

    Raises
    ------
    InputError
        If a score is not a number or out of range, or lengths or patients differ.

    References
    ----------
    NHS England (from 2018), NHS Talking Therapies for anxiety and depression Manual.
    Gyani et al. (2013), Behav Res Ther 51(9), 597-606. doi:10.1016/j.brat.2013.06.004

    Examples
    --------
    >>> from treatsel.outcome import nhs_recovery
    >>> nhs_recovery([10, 10, 9], [9, 9, 2], [0, 0, 7], [7, 8, 2]).tolist()
    [1.0, 0.0, nan]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return labels("nhs_recovery", ~_case(scores, "last"), known=scores, among=_case(scores, "first"))


def nhs_recovery_distance(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Return the smaller distance of the last scores below their cut-offs, each in SDs of the last score."""
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return distances("nhs_recovery", _below_cutoffs(scores), known=scores, among=_case(scores, "first"))


def reliable_improvement(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Reliable decrease on PHQ-9 (6 points) or GAD-7 (4 points) and no reliable increase on the other.

    All patients count, including those who were not cases at the first assessment.

    Parameters
    ----------
    phq_first, phq_last : array-like of shape (n_patients,)
        First and last PHQ-9 score, 0 to 27 points; NaN = missing.
    gad_first, gad_last : array-like of shape (n_patients,)
        First and last GAD-7 score, 0 to 21 points; NaN = missing. Series are matched by patient.

    Returns
    -------
    Series of shape (n_patients,)
        1 = reliably improved, 0 = not, NaN = a score is missing; named ``reliable_improvement``.

    Raises
    ------
    InputError
        If a score is not a number or out of range, or lengths or patients differ.

    References
    ----------
    NHS England (from 2018), NHS Talking Therapies for anxiety and depression Manual.
    Gyani et al. (2013), Behav Res Ther 51(9), 597-606. doi:10.1016/j.brat.2013.06.004

    Examples
    --------
    >>> from treatsel.outcome import reliable_improvement
    >>> reliable_improvement([16, 16, 16], [10, 11, 10], [8, 8, 8], [8, 8, 12]).tolist()
    [1.0, 0.0, 0.0]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return labels("reliable_improvement", _reliable(scores, sign=1), known=scores)


def reliable_improvement_distance(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Return the distance of the changes to a reliable fall (the larger) and to no reliable rise (any)."""
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return distances("reliable_improvement", _reliable_distance(scores, sign=1), known=scores)


def reliable_recovery(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Both `nhs_recovery` and `reliable_improvement`, among cases at the first assessment.

    Parameters
    ----------
    phq_first, phq_last : array-like of shape (n_patients,)
        First and last PHQ-9 score, 0 to 27 points; NaN = missing.
    gad_first, gad_last : array-like of shape (n_patients,)
        First and last GAD-7 score, 0 to 21 points; NaN = missing. Series are matched by patient.

    Returns
    -------
    Series of shape (n_patients,)
        1 = recovered and reliably improved, 0 = not both, NaN = a score is missing or the patient was not
        a case at the first assessment; named ``reliable_recovery``.

    Raises
    ------
    InputError
        If a score is not a number or out of range, or lengths or patients differ.

    References
    ----------
    NHS England (from 2018), NHS Talking Therapies for anxiety and depression Manual.
    Gyani et al. (2013), Behav Res Ther 51(9), 597-606. doi:10.1016/j.brat.2013.06.004

    Examples
    --------
    >>> from treatsel.outcome import reliable_recovery
    >>> reliable_recovery([15, 10, 9], [9, 9, 2], [0, 0, 7], [0, 0, 2]).tolist()
    [1.0, 0.0, nan]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    both = ~_case(scores, "last") & _reliable(scores, sign=1)
    return labels("reliable_recovery", both, known=scores, among=_case(scores, "first"))


def reliable_recovery_distance(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Return the smaller of the distances to recovery and to reliable improvement."""
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    both = pd.DataFrame({0: _below_cutoffs(scores), 1: _reliable_distance(scores, sign=1)})
    return distances("reliable_recovery", both.min(axis=1), known=scores, among=_case(scores, "first"))


def reliable_deterioration(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Reliable increase on PHQ-9 (6 points) or GAD-7 (4 points) and no reliable decrease on the other.

    All patients count, including those who were not cases at the first assessment.

    Parameters
    ----------
    phq_first, phq_last : array-like of shape (n_patients,)
        First and last PHQ-9 score, 0 to 27 points; NaN = missing.
    gad_first, gad_last : array-like of shape (n_patients,)
        First and last GAD-7 score, 0 to 21 points; NaN = missing. Series are matched by patient.

    Returns
    -------
    Series of shape (n_patients,)
        1 = reliably worse (the bad outcome), 0 = not, NaN = a score is missing; named
        ``reliable_deterioration``.

    Raises
    ------
    InputError
        If a score is not a number or out of range, or lengths or patients differ.

    References
    ----------
    NHS England (from 2018), NHS Talking Therapies for anxiety and depression Manual.
    Gyani et al. (2013), Behav Res Ther 51(9), 597-606. doi:10.1016/j.brat.2013.06.004

    Examples
    --------
    >>> from treatsel.outcome import reliable_deterioration
    >>> reliable_deterioration([10, 10, 10], [16, 15, 16], [8, 8, 8], [8, 8, 4]).tolist()
    [1.0, 0.0, 0.0]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return labels("reliable_deterioration", _reliable(scores, sign=-1), known=scores)


def reliable_deterioration_distance(
    phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any
) -> pd.Series:
    """Return the distance of the changes to a reliable rise (the larger) and to no reliable fall (any)."""
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return distances("reliable_deterioration", _reliable_distance(scores, sign=-1), known=scores)


def _nhs_scores(*values: Any) -> pd.DataFrame:
    names = ("phq_first", "phq_last", "gad_first", "gad_last")
    return match_scores(**{n: (v, Instrument.get(_NHS[n[:3]])) for n, v in zip(names, values, strict=True)})


def _case(scores: pd.DataFrame, time: str) -> pd.Series:
    cutoffs = {f"{key}_{time}": Instrument.get(name).require("case_cutoff") for key, name in _NHS.items()}
    return scores[list(cutoffs)].ge(pd.Series(cutoffs) - TOLERANCE).any(axis=1)


def _reliable(scores: pd.DataFrame, *, sign: int) -> pd.Series:
    """Return whether either score fell reliably and neither rose reliably (sign -1: reversed)."""
    fell = pd.DataFrame({key: sign * (scores[f"{key}_first"] - scores[f"{key}_last"]) for key in _NHS})
    change = pd.Series({key: Instrument.get(name).require("reliable_change") for key, name in _NHS.items()})
    return fell.ge(change - TOLERANCE).any(axis=1) & ~fell.le(TOLERANCE - change).any(axis=1)


def _below_cutoffs(scores: pd.DataFrame) -> pd.Series:
    """Return the distance to "below both cut-offs at the end": the smaller of the two."""
    found = {}
    for key, name in _NHS.items():
        last = scores[f"{key}_last"]
        cutoff = Instrument.get(name).require("case_cutoff")
        found[key] = -at_least(last, cutoff, whole=are_whole(last), spread=spread_of(last))
    return pd.DataFrame(found).min(axis=1)


def _reliable_distance(scores: pd.DataFrame, *, sign: int) -> pd.Series:
    """Return the distance to `_reliable`: a fall of either score (larger) and no rise of any (smaller)."""
    fell, held = {}, {}
    for key, name in _NHS.items():
        first, last = scores[f"{key}_first"], scores[f"{key}_last"]
        change = Instrument.get(name).require("reliable_change")
        fall, whole, spread = sign * (first - last), are_whole(first, last), spread_of(last)
        fell[key] = at_least(fall, change, whole=whole, spread=spread)
        held[key] = -at_least(-fall, change, whole=whole, spread=spread)
    return pd.DataFrame({**held, "fell": pd.DataFrame(fell).max(axis=1)}).min(axis=1)
