"""The patients of an update in whom an outcome was observed, as the model sees them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, by_text, check_choice, check_known_arms, count_of
from treatsel._disclosure import SMALLEST_GROUP, events_stated, stated
from treatsel.codebook import check_same_definition, direction_of
from treatsel.cohort import Cohort
from treatsel.errors import InputError, warn
from treatsel.selector import TreatmentSelector

# The usual rule of thumb for a logistic coefficient: Peduzzi et al. (1996). doi:10.1016/S0895-4356(96)00236-3
MIN_EVENTS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Patients:
    """Patients of an update.

    Attributes
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Covariates in clean form, the arm by the model's labels, and the site if the model knows sites.
    y : ndarray of shape (n_patients,)
        Outcome, 0 or 1.
    arm : str
        Column of the received arm.
    codes : ndarray of int of shape (n_patients,)
        Number of the received arm among those of the model.
    groups : Series or None
        Site or person of each patient.
    n_all : int
        Patients of the cohort, including those whose outcome was not observed.
    """

    X: pd.DataFrame
    y: FloatArray
    arm: str
    codes: npt.NDArray[np.intp]
    groups: pd.Series | None
    n_all: int

    @property
    def n_rarer(self) -> int:
        """Number of patients with the rarer value of the outcome."""
        return int(min(self.y.sum(), (1 - self.y).sum()))

    def arms_short_of_events(self, n_arms: int) -> list[int]:
        """Return the arms that fewer than `MIN_EVENTS` patients with, or without, the event received."""
        events = np.bincount(self.codes, self.y, minlength=n_arms)
        others = np.bincount(self.codes, 1 - self.y, minlength=n_arms)
        return np.flatnonzero(np.minimum(events, others) < MIN_EVENTS).tolist()

    def take(self, rows: npt.NDArray[np.intp]) -> "Patients":
        """Return the patients at some positions."""
        groups = None if self.groups is None else self.groups.iloc[rows]
        return replace(self, X=self.X.iloc[rows], y=self.y[rows], codes=self.codes[rows], groups=groups)


def new_patients(selector: TreatmentSelector, cohort: Cohort) -> Cohort:
    """Return the cohort without patients on whom the model was developed.

    Raises
    ------
    InputError
        If more than a few were: recalibrating to them would only undo the shrinkage of the model.
    """
    shared = selector.shared_with(cohort.frame, cohort.received)
    if shared is None or not shared.is_known or not shared.share:
        return cohort
    if shared.too_many:
        raise InputError(
            f"About {shared.share:.0%} of these patients are among those on which the model was developed or "
            "updated. An update needs new patients: leave out the earlier ones."
        )
    if shared.rows is None:
        return cohort
    warn(f"{stated(int(shared.rows.sum()), 'patient')} of the development cohort were left out.")
    return cohort.take(~shared.rows)


def patients_of(selector: TreatmentSelector, cohort: Cohort, name: str) -> Patients:
    """Return the patients of a cohort in whom an outcome was observed.

    Raises
    ------
    InputError
        If the cohort has no such outcome, or another one of this name, an arm is unknown to the model, or
        fewer than 10 patients had the event, or did not have it.
    """
    _check_outcome(selector, cohort, name)
    arm, site = selector.codebook_.arm, selector.model_.site_column
    received = cohort.received.map(by_text(selector.arms_))
    check_known_arms(received, selector.arms_, fewest_named=SMALLEST_GROUP)
    X = selector.covariates(cohort.X).assign(**{str(arm): received.to_numpy()})
    if site is not None and site in cohort.frame:
        X[site] = cohort.frame[site].to_numpy()
    y = cohort.frame[name].to_numpy(dtype=float)
    seen = np.flatnonzero(~np.isnan(y))
    codes = pd.Index(selector.arms_).get_indexer(received)
    groups = None if cohort.groups is None else cohort.groups.fillna("not stated").astype(str)
    found = Patients(X=X, y=y, arm=str(arm), codes=codes, groups=groups, n_all=len(y)).take(seen)
    if found.n_rarer < MIN_EVENTS:
        raise InputError(
            f"Outcome {name!r} was 1 in {events_stated(int(found.y.sum()), len(seen))} patients; an update "
            f"needs at least {MIN_EVENTS} patients with each value. Use the model unchanged until there are "
            "more, or add patients."
        )
    if lost := found.n_all - len(seen):
        warn(
            f"Outcome {name!r} was not observed in {stated(lost, 'patient')} of {found.n_all:,}. The update "
            "represents the others: it is biased if those who were lost fared differently from patients with "
            "the same prediction under the same arm."
        )
    return found


def _check_outcome(selector: TreatmentSelector, cohort: Cohort, name: str) -> None:
    """Check that the outcome is the same in model and cohort, and that a recalibration to it is sound."""
    check_choice("The outcome of the cohort", name, cohort.codebook.outcomes)
    if name not in cohort.frame:
        raise InputError(
            f"The cohort has no column of the outcome {name!r}. Add it, or the scores behind it."
        )
    check_same_definition(selector.codebook_[name], cohort.codebook[name])
    own = ("the model", selector.event_is_good_[name])
    direction_of(name, own, ("the codebook of the cohort", cohort.codebook[name].event_is_good))
    for check in selector.data_checks_:
        if check.code == "lost_outcomes_shifted" and check.message.startswith(f"Outcome {name!r}:"):
            raise InputError(
                f"The model of {name!r} assumes that patients whose outcome was lost fare differently. A "
                "recalibration to observed outcomes would remove this assumption unseen. Develop a new model "
                "on all patients: treatsel train --missing."
            )


def warn_of_arms(patients: Patients, arms: list[Any], name: str, method: str) -> None:
    """Warn if the update changes predictions under arms that no patient of the update received."""
    absent = [arm for k, arm in enumerate(arms) if not (patients.codes == k).any()]
    if absent and method != "none":
        warn(
            f"No patient with {name!r} observed received {count_of(len(absent), 'arm')} of the model: "
            f"{absent}. Predictions under such an arm are changed like those under the others, which these "
            "patients cannot confirm."
        )
