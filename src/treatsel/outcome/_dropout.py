"""Definitions of dropout; their rates differ widely, so each has its own name, never "dropout"."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_binary, count_of
from treatsel.errors import InputError
from treatsel.instrument import input_name, match_patients
from treatsel.outcome._labels import labels


def non_start(sessions: Any) -> pd.Series:
    """No treatment session attended.

    Parameters
    ----------
    sessions : array-like of shape (n_patients,)
        Treatment sessions attended, whole numbers of at least 0; NaN = not known.

    Returns
    -------
    Series of shape (n_patients,)
        1 = never started, 0 = started, NaN = not known; named ``non_start``, with the index of `sessions`.

    Raises
    ------
    InputError
        If a value is not a whole number of sessions.

    References
    ----------
    Swift & Greenberg (2012), J Consult Clin Psychol 80(4), 547-559. doi:10.1037/a0028226

    Examples
    --------
    >>> from treatsel.outcome import non_start
    >>> non_start([0, 1, None]).tolist()
    [1.0, 0.0, nan]
    """
    counts = _counts(sessions)
    return labels("non_start", counts["sessions"] == 0, known=counts)


def one_session(sessions: Any) -> pd.Series:
    """Exactly one treatment session attended.

    Parameters
    ----------
    sessions : array-like of shape (n_patients,)
        Treatment sessions attended, whole numbers of at least 0; NaN = not known.

    Returns
    -------
    Series of shape (n_patients,)
        1 = one session, 0 = none or several, NaN = not known; named ``one_session``, with the
        index of `sessions`.

    Raises
    ------
    InputError
        If a value is not a whole number of sessions.

    References
    ----------
    Swift & Greenberg (2012), J Consult Clin Psychol 80(4), 547-559. doi:10.1037/a0028226

    Examples
    --------
    >>> from treatsel.outcome import one_session
    >>> one_session([0, 1, 2]).tolist()
    [0.0, 1.0, 0.0]
    """
    counts = _counts(sessions)
    return labels("one_session", counts["sessions"] == 1, known=counts)


def unplanned_end(planned_end: Any) -> pd.Series:
    """Treatment ended without planned completion.

    Parameters
    ----------
    planned_end : array-like of shape (n_patients,)
        1 = the end was planned, 0 = it was not (including patients who never started), NaN = still in
        treatment.

    Returns
    -------
    Series of shape (n_patients,)
        1 = unplanned end, 0 = planned end, NaN = not known; named ``unplanned_end``, with the index of
        `planned_end`.

    Raises
    ------
    InputError
        If a value is neither 0 nor 1.

    References
    ----------
    Swift & Greenberg (2012), J Consult Clin Psychol 80(4), 547-559. doi:10.1037/a0028226

    Examples
    --------
    >>> from treatsel.outcome import unplanned_end
    >>> unplanned_end([1, 0, None]).tolist()
    [0.0, 1.0, nan]
    """
    planned = match_patients(planned_end=planned_end)
    check_binary(input_name("planned_end", planned_end), planned["planned_end"], allow_missing=True)
    return labels("unplanned_end", planned["planned_end"] == 0, known=planned)


def below_dose(sessions: Any, *, k: int) -> pd.Series:
    """Fewer than `k` treatment sessions attended (0 included).

    Parameters
    ----------
    sessions : array-like of shape (n_patients,)
        Treatment sessions attended, whole numbers of at least 0; NaN = not known.
    k : int
        Number of sessions that defines the dose, at least 1.

    Returns
    -------
    Series of shape (n_patients,)
        1 = below the dose, 0 = `k` sessions or more, NaN = not known; named ``below_dose``, with the index
        of `sessions`.

    Raises
    ------
    InputError
        If a value is not a whole number of sessions, or `k` is not a whole number of at least 1.

    References
    ----------
    Swift & Greenberg (2012), J Consult Clin Psychol 80(4), 547-559. doi:10.1037/a0028226

    Examples
    --------
    >>> from treatsel.outcome import below_dose
    >>> below_dose([3, 4, None], k=4).tolist()
    [1.0, 0.0, nan]
    """
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise InputError(f"k is {k}; it must be a whole number of sessions, 1 or more.")
    counts = _counts(sessions)
    return labels("below_dose", counts["sessions"] < k, known=counts)


def _counts(sessions: Any) -> pd.DataFrame:
    counts = match_patients(sessions=sessions)
    known = counts["sessions"].dropna()
    if n := int(((known < 0) | (known % 1 != 0)).sum()):
        raise InputError(
            f"{input_name('sessions', sessions)} holds {count_of(n, 'value')} other than counts (0, 1, ...). "
            "Correct them, or set them to missing."
        )
    return counts
