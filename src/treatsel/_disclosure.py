"""Statistical disclosure control: one rule for small counts in model files, reports and pages.

A count of 1 to 4 patients is never disclosed, nor a proportion, a mean or a remainder based on such a count:
these cells are suppressed, and rare categories are merged. Where the total of a table is known, suppressed
cells could be recovered by subtraction. Further cells are therefore suppressed, the smallest first, until at
least two cells with together at least ten patients are suppressed (complementary suppression).

The threshold of 5 is common for health statistics. Suppression is never undone: cells without a count (NaN)
are treated as suppressed.

References
----------
Hundepool et al. (2012), Statistical Disclosure Control, chapters 4 and 5. doi:10.1002/9781118348239
"""

from typing import Any

import numpy as np
import numpy.typing as npt

SMALLEST_GROUP = 5  # patients; the smallest count, and the smallest group with a mean, that is disclosed
FEWEST_CASES = 15  # patients of a therapist under an arm whose effect is kept or disclosed
SUPPRESSED = f"suppressed (count below {SMALLEST_GROUP})"
_ROUNDING = 10  # twice the threshold: a count rounded down to tens hides a remainder of 1 to 4
_EXACT = 6  # decimals: a count computed as proportion times total is whole up to rounding error

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def is_small(counts: Any) -> Any:
    """Return whether counts lie between 0 and `SMALLEST_GROUP`, both excluded; NaN is not small.

    Zero is not small, because an empty category describes no patient.

    Examples
    --------
    >>> is_small(4), is_small(5), is_small(0)
    (True, False, False)
    """
    rounded = np.round(np.asarray(counts, dtype=np.float64), _EXACT)
    small = (rounded > 0) & (rounded < SMALLEST_GROUP)
    return small if small.ndim else bool(small)


def is_disclosive(counts: Any, totals: Any) -> Any:
    """Return whether counts, or their remainders in known totals, are small.

    Examples
    --------
    >>> is_disclosive(96, 100), is_disclosive(50, 100)
    (True, False)
    """
    small = is_small(counts) | is_small(np.asarray(totals, dtype=np.float64) - counts)
    return small if np.ndim(small) else bool(small)


def is_telling(n: Any, n_events: Any) -> Any:
    """Return whether figures of a group tell the outcome of its patients.

    They do in a group of 1 to 4 patients, and in one of fewer than 10 who all had the same outcome.

    Examples
    --------
    >>> is_telling(4, 2), is_telling(8, 0), is_telling(8, 1), is_telling(30, 0)
    (True, True, False, False)
    """
    n, n_events = (np.round(np.asarray(value, dtype=np.float64), _EXACT) for value in (n, n_events))
    uniform = (n_events == 0) | (n_events == n)
    found = is_small(n) | ((n > 0) & (n < 2 * SMALLEST_GROUP) & uniform)
    return found if np.ndim(found) else bool(found)


def joined_groups(n: Any, n_events: Any) -> npt.NDArray[np.intp]:
    """Return the number of the group that each of several neighboring groups is merged into.

    Groups are merged from the first on until each has at least `SMALLEST_GROUP` patients, with and without
    the event; the rest is added to the last one. -1: all groups together are too few.

    Examples
    --------
    >>> joined_groups([4, 4, 9, 8, 2], [0, 2, 9, 3, 1]).tolist()
    [0, 0, 1, 1, 1]
    """
    found, start, last, size, events = [0] * len(n), 0, -1, 0.0, 0.0
    for position, (more, with_event) in enumerate(zip(n, n_events, strict=True)):
        size, events = size + more, events + with_event
        if size >= SMALLEST_GROUP and 0 < events < size:
            last += 1
            found[start : position + 1] = [last] * (position + 1 - start)
            start, size, events = position + 1, 0.0, 0.0
    found[start:] = [last] * (len(n) - start)
    return np.array(found, dtype=np.intp)


def suppression(counts: Any, *, primary: Any = None, remainders: Any = None, events: Any = None) -> BoolArray:
    """Return which cells of a table with a known total to suppress.

    Parameters
    ----------
    counts : array-like of shape (n_cells,)
        Patients in each cell; NaN where the count was suppressed before.
    primary : array-like of bool, shape (n_cells,), optional
        Cells to suppress in any case; None: small cells and those without a count.
    remainders : array-like of shape (n_cells,), optional
        Number of patients missing from each cell, if their total is also known: together, the suppressed
        cells then lack either no patient or at least `SMALLEST_GROUP`.
    events : array-like of shape (n_cells,), optional
        Number of patients with an event in each cell, if its total is also known: the patients in the
        suppressed cells then do not all have the same outcome.

    Returns
    -------
    array of bool, shape (n_cells,)
        True for no cell, or for at least two cells with together at least 2 x `SMALLEST_GROUP` patients; for
        all cells with patients, if these are too few.

    Examples
    --------
    >>> suppression([3, 7, 0, 90]).tolist()
    [True, True, False, False]
    >>> suppression([10, 90]).tolist()
    [False, False]
    """
    counts = np.asarray(counts, dtype=np.float64)
    if primary is None:
        primary = is_small(counts) | np.isnan(counts)
    hidden = np.array(primary, dtype=bool)
    # an empty cell is no protection: the patients in suppressed cells would still be as few
    waiting = [cell for cell in np.argsort(counts, kind="stable") if counts[cell] > 0 and not hidden[cell]]
    for cell in waiting:
        lacking = None if remainders is None else remainders[hidden]
        n, n_events = counts[hidden].sum(), None if events is None else events[hidden].sum()
        mixed = n_events is None or 0 < n_events < n or bool(np.isnan(n_events))
        if not hidden.any() or (mixed and _is_safe(counts[hidden], lacking)):
            break
        hidden[cell] = True
    return hidden


def _is_safe(counts: FloatArray, remainders: FloatArray | None) -> bool:
    """Whether suppressed cells cannot be narrowed down to small counts by their sum.

    With a count suppressed earlier the sum is unknown, and two cells suffice.
    """
    if len(counts) < 2:
        return False
    if np.isnan(counts).any():
        return True
    lacking = 0.0 if remainders is None else np.nansum(remainders)
    return bool(np.round(counts.sum(), _EXACT) >= 2 * SMALLEST_GROUP and not is_small(lacking))


def suppressed(counts: Any) -> FloatArray:
    """Return the counts of a table with a known total, NaN in the cells to suppress.

    Examples
    --------
    >>> suppressed([3, 7, 0, 90]).tolist()
    [nan, nan, 0.0, 90.0]
    """
    counts = np.asarray(counts, dtype=np.float64)
    return np.asarray(np.where(suppression(counts), np.nan, counts))


def table_suppression(counts: Any) -> BoolArray:
    """Return the cells of a table to suppress, if the totals of its rows and of its columns are known.

    Small cells, and others by which they would follow from a total.

    Examples
    --------
    >>> table_suppression([[3, 40, 60], [50, 30, 70], [80, 90, 65]]).tolist()
    [[True, True, False], [True, True, False], [False, False, False]]
    """
    counts = np.asarray(counts, dtype=np.float64)
    hidden = np.array(is_small(counts))
    while True:
        before = hidden.copy()
        for table, own in ((counts, hidden), (counts.T, hidden.T)):
            for cells, mine in zip(table, own, strict=True):
                if mine.any():
                    mine |= suppression(cells, primary=mine)
        if (hidden == before).all():
            return hidden


def merged(counts: Any) -> FloatArray:
    """Return counts whose proportions disclose no small count.

    If any cell is small, small cells become 0 and the others are rounded to multiples of
    `SMALLEST_GROUP`, so that exact counts cannot be recovered from proportions and a total.

    Examples
    --------
    >>> merged([3, 48, 101]).tolist()
    [0.0, 50.0, 100.0]
    >>> merged([48, 101]).tolist()
    [48.0, 101.0]
    """
    counts = np.asarray(counts, dtype=np.float64)
    small = (counts > 0) & (counts < SMALLEST_GROUP)
    if small.any():
        counts = np.where(small, 0.0, SMALLEST_GROUP * np.round(counts / SMALLEST_GROUP))
    return np.asarray(counts)


def smooth_quantile(values: Any, at: float, patients: Any = None) -> float:
    """Return the mean of the values of the five patients nearest to a quantile; NaN if there are fewer.

    A quantile is the value of one or two patients: close to the ends of the range, or in a continuous column,
    it could be recognized. `patients` is the number of patients with each value (default: one).

    Examples
    --------
    >>> smooth_quantile([1, 2, 3, 4, 50, 60], 0.0), smooth_quantile([1, 2, 3, 4, 50, 60], 0.5)
    (12.0, 12.0)
    """
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    counts = np.ones(len(values)) if patients is None else np.asarray(patients, dtype=np.float64)
    reached = np.cumsum(counts[order])
    if not len(values) or reached[-1] < SMALLEST_GROUP:
        return float("nan")
    first = np.floor(at * (reached[-1] - 1)) - SMALLEST_GROUP // 2
    first = min(max(first, 0.0), reached[-1] - SMALLEST_GROUP)
    nearest = values[order][np.searchsorted(reached, first + np.arange(SMALLEST_GROUP), side="right")]
    center = nearest[SMALLEST_GROUP // 2]  # deviations from it cannot overflow, and equal values stay exact
    return float(center + np.mean(nearest - center))


def rounded_down(n: int, total: int) -> int:
    """Return a count, rounded down to tens if it, or the number of remaining patients, is small.

    Examples
    --------
    >>> rounded_down(597, 600), rounded_down(580, 600)
    (590, 580)
    """
    return n - n % _ROUNDING if is_disclosive(n, total) else n


def arm_named(arm: Any, n: int) -> str:
    """Return an arm with its number of patients, for use in a message at the start of a sentence.

    An arm of 1 to 4 patients is not named: in a table that was not checked, it may be any text of a patient.

    Examples
    --------
    >>> arm_named("CBT", 3), arm_named("CBT", 12)
    ('An arm has fewer than 5 patients', "Arm 'CBT' has 12 patients")
    """
    return f"{'An arm' if is_small(n) else f'Arm {arm!r}'} has {stated(n, 'patient')}"


def stated(n: int, noun: str) -> str:
    """Return a count with its noun for use in text; small counts are not shown.

    Examples
    --------
    >>> stated(3, "patient"), stated(12, "patient")
    ('fewer than 5 patients', '12 patients')
    """
    return f"fewer than {SMALLEST_GROUP} {noun}s" if is_small(n) else f"{n:,} {noun}s"


def events_stated(n_events: int, n: int) -> str:
    """Return numbers of events and of patients for use in text; small counts, and remainders, are not shown.

    Examples
    --------
    >>> events_stated(9, 39), events_stated(3, 39), events_stated(37, 39)
    ('9 of 39', 'fewer than 5 of 39', 'all but fewer than 5 of 39')
    >>> events_stated(2, 4), events_stated(0, 8)
    ('some of fewer than 5', 'none or all of fewer than 10')
    """
    if is_small(n):
        return f"some of fewer than {SMALLEST_GROUP}"
    if is_telling(n, n_events):
        return f"none or all of fewer than {2 * SMALLEST_GROUP}"
    if is_small(n_events):
        return f"fewer than {SMALLEST_GROUP} of {n:,}"
    if is_small(n - n_events):
        return f"all but fewer than {SMALLEST_GROUP} of {n:,}"
    return f"{n_events:,} of {n:,}"
