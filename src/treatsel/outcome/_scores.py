"""Outcomes defined by the scores of one instrument: remission, response, caseness."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel.errors import InputError
from treatsel.instrument import TOLERANCE, Instrument, match_scores
from treatsel.outcome._labels import labels
from treatsel.outcome._thresholds import are_whole, at_least, at_most, distances, spread_of


def remission(last: Any, *, instrument: Instrument | str) -> pd.Series:
    """Score at the end at or below the instrument's remission cut-off (PHQ-9: below 5).

    Parameters
    ----------
    last : array-like of shape (n_patients,)
        Score at the end, in points, within the instrument's range; NaN = missing.
    instrument : Instrument or str
        Provides range and cut-off (`remission_maximum`), with citations in `sources`.

    Returns
    -------
    Series of shape (n_patients,)
        1 = remission, 0 = no remission, NaN = score missing; named ``remission``, with the index of `last`.

    Raises
    ------
    InputError
        If the instrument is unknown or has no remission cut-off, or a score is not a number or out of range.

    References
    ----------
    Frank et al. (1991), Arch Gen Psychiatry 48(9), 851-855. doi:10.1001/archpsyc.1991.01810330075011

    Examples
    --------
    >>> from treatsel.outcome import remission
    >>> remission([4, 5, None], instrument="PHQ-9").tolist()
    [1.0, 0.0, nan]
    """
    instrument = Instrument.get(instrument)
    cutoff = instrument.require("remission_maximum")
    scores = match_scores(last=(last, instrument))
    return labels("remission", scores["last"] <= cutoff + TOLERANCE, known=scores)


def remission_distance(last: Any, *, instrument: Instrument | str) -> pd.Series:
    """Return how far each score is below the threshold of `remission`, in SDs of the score."""
    instrument = Instrument.get(instrument)
    cutoff = instrument.require("remission_maximum")
    scores = match_scores(last=(last, instrument))
    found = at_most(scores["last"], cutoff, whole=are_whole(scores["last"]), spread=spread_of(scores["last"]))
    return distances("remission", found, known=scores)


def response(
    first: Any, last: Any, *, fall: float = 0.5, instrument: Instrument | str | None = None
) -> pd.Series:
    """Score fell by at least `fall` of the first score; not defined where the first score is zero.

    Parameters
    ----------
    first, last : array-like of shape (n_patients,)
        First and last score, in points, at least 0; lower is better; NaN = missing. Two Series are matched by
        patient.
    fall : float, default 0.5
        Smallest relative fall that counts, in (0, 1].
    instrument : Instrument or str, optional
        Provides the range to check; without it, scores must be 0 or more.

    Returns
    -------
    Series of shape (n_patients,)
        1 = response, 0 = no response, NaN = a score is missing or the first one is zero; named ``response``.

    Raises
    ------
    InputError
        If `fall` is outside (0, 1]; the instrument is unknown, does not start at 0, or higher is better on
        it; a score is not a number or out of range; or lengths or patients differ.

    References
    ----------
    Frank et al. (1991), Arch Gen Psychiatry 48(9), 851-855. doi:10.1001/archpsyc.1991.01810330075011

    Examples
    --------
    >>> from treatsel.outcome import response
    >>> response([20, 20, 0], [10, 11, 0], instrument="PHQ-9").tolist()
    [1.0, 0.0, nan]
    >>> response([20, 20], [10, 15], fall=0.25).tolist()
    [1.0, 1.0]
    """
    scores = _first_and_last(first, last, fall, instrument)
    fell = scores["first"] - scores["last"] >= fall * scores["first"] - TOLERANCE
    return labels("response", fell, known=scores, among=scores["first"] > 0)


def response_distance(
    first: Any, last: Any, *, fall: float = 0.5, instrument: Instrument | str | None = None
) -> pd.Series:
    """Return how far last/first is below the threshold of `response`, in SDs of last/first."""
    scores = _first_and_last(first, last, fall, instrument)
    begun = scores["first"].where(scores["first"] > 0)
    # The threshold is found in points, of which the attainable values are known, and then divided by first.
    found = at_least(
        scores["first"] - scores["last"],
        fall * scores["first"],
        whole=are_whole(scores["first"], scores["last"]),
        spread=(begun * spread_of(scores["last"] / begun)).clip(lower=np.finfo(float).tiny),
    )
    return distances("response", found, known=scores, among=scores["first"] > 0)


def _first_and_last(first: Any, last: Any, fall: float, instrument: Instrument | str | None) -> pd.DataFrame:
    if not 0 < fall <= 1:
        raise InputError(f"fall is {fall}; it must be above 0 and at most 1, for example 0.5.")
    known = None if instrument is None else Instrument.get(instrument)
    if known and (known.minimum != 0 or known.direction != "lower is better"):
        raise InputError(f"{known.name} must start at 0, with lower scores better, for a relative fall.")
    return match_scores(first=(first, known), last=(last, known))


def caseness(score: Any, *, instrument: Instrument | str) -> pd.Series:
    """Score at or above the instrument's case cut-off (PHQ-9: 10; GAD-7: 8).

    Parameters
    ----------
    score : array-like of shape (n_patients,)
        Score in points, within the instrument's range; NaN = missing.
    instrument : Instrument or str
        Provides range and cut-off (`case_cutoff`), with citations in `sources`.

    Returns
    -------
    Series of shape (n_patients,)
        1 = a case, 0 = not a case, NaN = score missing; named ``caseness``, with the index of `score`.

    Raises
    ------
    InputError
        If the instrument is unknown or has no case cut-off, or a score is not a number or out of range.

    References
    ----------
    Gyani et al. (2013), Behav Res Ther 51(9), 597-606. doi:10.1016/j.brat.2013.06.004: PHQ-9, GAD-7.

    Examples
    --------
    >>> from treatsel.outcome import caseness
    >>> caseness([9, 10, None], instrument="PHQ-9").tolist()
    [0.0, 1.0, nan]
    """
    instrument = Instrument.get(instrument)
    cutoff = instrument.require("case_cutoff")
    scores = match_scores(score=(score, instrument))
    return labels("caseness", scores["score"] >= cutoff - TOLERANCE, known=scores)


def caseness_distance(score: Any, *, instrument: Instrument | str) -> pd.Series:
    """Return how far each score is above the threshold of `caseness`, in SDs of the score."""
    instrument = Instrument.get(instrument)
    cutoff = instrument.require("case_cutoff")
    scores = match_scores(score=(score, instrument))
    found = at_least(
        scores["score"], cutoff, whole=are_whole(scores["score"]), spread=spread_of(scores["score"])
    )
    return distances("caseness", found, known=scores)
