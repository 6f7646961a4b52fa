"""Observed outcomes with the predictions for the received arm, in chronological order."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_known_arms,
    check_same_length,
    count_of,
    look_alikes,
)
from treatsel._disclosure import SMALLEST_GROUP, is_disclosive, rounded_down, stated
from treatsel._stats.by_arm_tables import cells_of
from treatsel.errors import InputError
from treatsel.monitoring._finding import MIN_PATIENTS, Finding, PartResult
from treatsel.monitoring._sequential_test import SequentialCalibrationTest, sequential_calibration_test
from treatsel.selector import TreatmentSelector

MANY_UNKNOWN = 0.05  # proportion of unknown outcomes above which a caution is given


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ObservedOutcomes:
    """Patients whose outcome and received arm are known.

    Attributes
    ----------
    y, p : array of shape (n_known,)
        Outcome, and its predicted probability under the received arm.
    received : array of shape (n_known,)
        Received arms.
    clusters : array of shape (n_known,), or None
        Sites.
    order : array of int
        Positions in chronological order, of patients whose date is known.
    n_patients : int
        All patients, with and without a known outcome.
    cautions : tuple of str
        Cautions about missing outcomes, arms and dates.
    """

    y: FloatArray
    p: FloatArray
    received: np.ndarray
    clusters: np.ndarray | None
    order: np.ndarray
    n_patients: int
    cautions: tuple[str, ...]

    @classmethod
    def of(
        cls,
        selector: TreatmentSelector,
        by_arm: pd.DataFrame,
        frame: pd.DataFrame,
        y: Any,
        dates: Any,
        clusters: Any,
    ) -> "ObservedOutcomes":
        """Select the patients whose outcome and received arm are known.

        Raises
        ------
        InputError
            If there is no arm column, an arm is unknown, lengths differ, or a date cannot be read.
        """
        check_same_length(X=frame, y=y)
        values = check_binary("y", y, allow_missing=True)
        received = received_in(selector, frame)
        if received is None:
            raise InputError(
                f"X has no column {selector.arm!r}. Calibration needs the received arm of each patient."
            )
        kept = ~np.isnan(values) & received.notna().to_numpy()
        arms = received[kept].to_numpy(dtype=object)
        when = None if dates is None else _dates(dates, frame)[kept]
        sites = None
        if clusters is not None:
            check_same_length(X=frame, clusters=clusters)
            given = np.asarray(clusters, dtype=object)[kept]
            sites = np.where(pd.isna(given), "not stated", given.astype(str))
        order = np.arange(int(kept.sum()))
        if when is not None:
            order = np.argsort(when, kind="stable")[: int((~np.isnat(when)).sum())]  # missing dates come last
        return cls(
            y=values[kept],
            p=cells_of("received", arms, by_arm[kept]) if kept.any() else np.empty(0),
            received=arms,
            clusters=sites,
            order=order,
            n_patients=len(frame),
            cautions=_cautions(values, received, kept, len(order), dated=when is not None),
        )

    def sequential_test(
        self, rate: float, tolerance: float
    ) -> tuple[SequentialCalibrationTest | None, PartResult]:
        """Return the sequential test (None with fewer than `MIN_PATIENTS` patients) and its finding."""
        n = len(self.order)
        if n < MIN_PATIENTS:
            why = f"{stated(n, 'patient')} with known outcome, arm and date; it needs {MIN_PATIENTS}"
            return None, PartResult(not_estimable=[("Sequential test of calibration", why)])
        y, p = self.y[self.order], self.p[self.order]
        test = sequential_calibration_test(y, p, false_alarm_rate=rate, tolerance=tolerance)
        shown = rounded_down(n, self.n_patients)
        if shown < n:  # the last row of the table would give the number of patients without an outcome
            test = replace(test, table=test.table.assign(n=test.table["n"].clip(upper=shown)))
        finding = Finding(
            section="sequential test",
            name="overall",
            measure="highest evidence against calibration",
            value=test.highest,
            expected=test.threshold,
            observed=test.highest,
            n=shown,
            p_value=min(1.0, 1 / test.highest),
            p_adjusted=min(1.0, 1 / test.highest),
            exceeds_threshold=test.alarm,
            alarm=test.alarm,
            method=f"test martingale, Ville's inequality; tolerance {tolerance:g}; expected: the threshold",
        )
        return test, PartResult(findings=[finding])


def received_in(selector: TreatmentSelector, frame: pd.DataFrame) -> pd.Series | None:
    """Return the received arms as the codebook reads them, or None without such a column.

    Raises
    ------
    InputError
        If an arm is unknown to the model.
    """
    book = selector.codebook_
    if selector.arm not in frame.columns:
        frame = frame.rename(columns=look_alikes(frame.columns, [selector.arm]))
    if selector.arm not in frame.columns:
        return None
    received = book[selector.arm].parse(frame[selector.arm], book.missing_values)[0]
    known = check_known_arms(received[received.notna()], selector.arms_, fewest_named=SMALLEST_GROUP)
    return known.reindex(received.index)


def _dates(dates: Any, frame: pd.DataFrame) -> np.ndarray:
    check_same_length(X=frame, dates=dates)
    given = pd.Series(np.asarray(dates, dtype=object))
    given = given.where(given.notna() & (given.astype(str).str.strip() != ""))
    read = pd.to_datetime(given, errors="coerce", format="ISO8601", utc=True)
    if n := int((read.isna() & given.notna()).sum()):
        raise InputError(
            f"dates holds {count_of(n, 'value')} not in the form of a date. Write dates as YYYY-MM-DD."
        )
    return read.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")


def _cautions(
    values: FloatArray, received: pd.Series, kept: np.ndarray, n_ordered: int, *, dated: bool
) -> tuple[str, ...]:
    found, n, unknown = [], len(values), int(np.isnan(values).sum())
    if unknown > MANY_UNKNOWN * n:
        which = f"{unknown:,} of {n:,} patients ({unknown / n:.0%})"
        if is_disclosive(unknown, n):
            which = f"some of {n:,} patients"
        found.append(
            f"The outcome of {which} is not (yet) known. Outcomes that become known early may differ from "
            "others (dropout is known before recovery): assess calibration in patients whose outcome is due."
        )
    if no_arm := int((~np.isnan(values) & received.isna().to_numpy()).sum()):
        found.append(
            _sentence(
                no_arm, "with a known outcome but without a received arm are excluded from calibration."
            )
        )
    if (no_date := int(kept.sum()) - n_ordered) > 0:
        found.append(
            _sentence(
                no_date, "with a known outcome but without a date are excluded from the sequential test."
            )
        )
    if not dated and kept.any():
        found.append(
            "No dates were given: the sequential test takes the rows in the given order, which must be "
            "chronological and must not depend on the outcome."
        )
    return tuple(found)


def _sentence(n: int, rest: str) -> str:
    text = stated(n, "patient")
    return f"{text[0].upper()}{text[1:]} {rest}"
