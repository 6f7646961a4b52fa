"""Outcomes that have arrived, beside what was predicted for the received arm, in order of time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import SMALL_CELL, FloatArray, check_binary, check_known_arms, check_same_length
from treatsel._stats.by_arm_tables import cells_of
from treatsel.errors import InputError
from treatsel.monitoring._finding import FEWEST, Finding, Part
from treatsel.monitoring._sequential_test import SequentialCalibrationTest, sequential_calibration_test
from treatsel.selector import TreatmentSelector

MANY_UNKNOWN = 0.05  # share of outcomes not known yet that deserves a word


@dataclass(frozen=True, kw_only=True, eq=False)
class ObservedOutcomes:
    """Patients whose outcome and arm are known.

    Attributes
    ----------
    y, p : array of shape (n_known,)
        Outcome, and its predicted probability under the received arm.
    received : array of shape (n_known,)
        Arms.
    groups : array of shape (n_known,), or None
        Sites.
    order : array of int
        Positions in order of time, of those whose date is known.
    cautions : tuple of str
        What is to be kept in mind about them.
    """

    y: FloatArray
    p: FloatArray
    received: np.ndarray
    groups: np.ndarray | None
    order: np.ndarray
    cautions: tuple[str, ...]

    @classmethod
    def of(
        cls,
        selector: TreatmentSelector,
        by_arm: pd.DataFrame,
        frame: pd.DataFrame,
        y: Any,
        dates: Any,
        groups: Any,
    ) -> "ObservedOutcomes":
        """Pick out these patients.

        Raises
        ------
        InputError
            If there is no arm column, an arm is unknown, lengths differ, or something is no date.
        """
        check_same_length(X=frame, y=y)
        values = check_binary("y", y, allow_missing=True)
        received = received_in(selector, frame)
        if received is None:
            raise InputError(
                f"X has no column {selector.arm!r}; calibration needs the arm that each patient got."
            )
        kept = ~np.isnan(values) & received.notna().to_numpy()
        arms = received[kept].to_numpy(dtype=object)
        when = None if dates is None else _dates(dates, frame)[kept]
        sites = None
        if groups is not None:
            check_same_length(X=frame, groups=groups)
            stated = np.asarray(groups, dtype=object)[kept]
            sites = np.where(pd.isna(stated), "not stated", stated.astype(str))
        order = np.arange(int(kept.sum()))
        if when is not None:
            order = np.argsort(when, kind="stable")[: int((~np.isnat(when)).sum())]  # no date comes last
        return cls(
            y=values[kept],
            p=cells_of("received", arms, by_arm[kept]) if kept.any() else np.empty(0),
            received=arms,
            groups=sites,
            order=order,
            cautions=_cautions(values, received, kept, len(order), dated=when is not None),
        )

    def running(self, rate: float, tolerance: float) -> tuple[SequentialCalibrationTest | None, Part]:
        """Return the running test, None with too few patients to tell of, and its finding."""
        n = len(self.order)
        if n < FEWEST:
            why = f"{n} patients with known outcome, arm and date; it is told from {FEWEST} on"
            return None, Part(not_estimable=[("Running test of calibration", why)])
        y, p = self.y[self.order], self.p[self.order]
        test = sequential_calibration_test(y, p, false_alarm_rate=rate, tolerance=tolerance)
        finding = Finding(
            section="running",
            name="overall",
            measure="highest evidence against calibration",
            value=test.highest,
            expected=test.threshold,
            found=test.highest,
            n=n,
            p_value=min(1.0, 1 / test.highest),
            p_adjusted=min(1.0, 1 / test.highest),
            matters=test.alarm,
            alarm=test.alarm,
            method=f"test martingale; expected: the threshold; Ville's inequality; tolerance {tolerance:g}",
        )
        return test, Part(findings=[finding])


def received_in(selector: TreatmentSelector, frame: pd.DataFrame) -> pd.Series | None:
    """Return the received arms as the codebook reads them, or None without such a column.

    Raises
    ------
    InputError
        If an arm is unknown to the model.
    """
    if selector.arm not in frame.columns:
        return None
    book = selector.codebook_
    received = book[selector.arm].parse(frame[selector.arm], book.missing_values)[0]
    check_known_arms(received[received.notna()], selector.arms_)
    return received


def _dates(dates: Any, frame: pd.DataFrame) -> np.ndarray:
    check_same_length(X=frame, dates=dates)
    given = pd.Series(np.asarray(dates, dtype=object))
    given = given.where(given.notna() & (given.astype(str).str.strip() != ""))
    read = pd.to_datetime(given, errors="coerce", format="ISO8601", utc=True)
    if n := int((read.isna() & given.notna()).sum()):
        raise InputError(f"dates holds {n} values that are no dates. Write them as YYYY-MM-DD.")
    return read.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")


def _cautions(
    values: FloatArray, received: pd.Series, kept: np.ndarray, n_ordered: int, *, dated: bool
) -> tuple[str, ...]:
    found, n, unknown = [], len(values), int(np.isnan(values).sum())
    if unknown > MANY_UNKNOWN * n:
        found.append(
            f"The outcome of {unknown} of {n} patients ({unknown / n:.0%}) is not known (yet). Those that "
            "are known first may be of another kind (dropout is known before recovery): judge calibration "
            "in patients whose outcome is due."
        )
    if no_arm := int((~np.isnan(values) & received.isna().to_numpy()).sum()):
        found.append(f"{_few(no_arm)} with a known outcome but no known arm are left out of calibration.")
    if (no_date := int(kept.sum()) - n_ordered) > 0:
        found.append(f"{_few(no_date)} with a known outcome but no date are left out of the running test.")
    if not dated and kept.any():
        found.append(
            "No dates were given: the running test takes the rows in their order, which must be that of "
            "time and must not depend on the outcome."
        )
    return tuple(found)


def _few(n: int) -> str:
    return f"Fewer than {SMALL_CELL} patients" if n < SMALL_CELL else f"{n} patients"
