"""`make_cohort`: simulate patients, their treatment and outcomes, with the true probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray, check_choice, check_mapping_keys, check_unique
from treatsel._reporting.summary import Summarized, Summary, retitled
from treatsel.cohort import Cohort
from treatsel.datasets._columns import WEEKS, codebook
from treatsel.datasets._mechanism import (
    ARMS,
    HETEROGENEITY,
    Mechanism,
    draw_last_scores,
    draw_therapists,
    make_mechanism,
    true_recovery,
)
from treatsel.datasets._population import (
    IntArray,
    Services,
    blank_cells,
    choose_from,
    draw_patients,
    draw_services,
    whole_score,
)
from treatsel.errors import InputError
from treatsel.outcome import nhs_recovery

MIN_PATIENTS, MAX_PATIENTS = 50, 1_000_000
ONE_SESSION = 0.63  # share of dropouts after one session; slightly more among the young
UNMEASURED = {"one_session": 0.80, "later": 0.30, "completed": 0.02}  # share without last scores
PLANNED_SESSIONS = {  # fewest and most
    "guided_self_help": (4, 8),
    "cbt": (8, 16),
    "counselling": (6, 14),
    "ipt": (10, 16),
    "psychodynamic": (10, 20),
    "medication": (3, 6),
}


@dataclass(frozen=True, repr=False)
class SyntheticCohort(Summarized):
    """Simulated patients with their true probabilities.

    Attributes
    ----------
    cohort : Cohort
        The patients, as a service would record them.
    truth : dict of str to DataFrame
        By outcome, the by-arm table of true probabilities, of shape (n_patients, n_arms).
    propensity : DataFrame of shape (n_patients, n_arms)
        True probability of receiving each arm.

    Examples
    --------
    >>> simulated = make_cohort(100, assignment="routine", random_state=0)
    >>> len(simulated), sorted(simulated.truth), bool(simulated.propensity.min(axis=None) >= 0.01)
    (100, ['dropout', 'recovery'], True)
    """

    cohort: Cohort
    truth: Mapping[str, pd.DataFrame]
    propensity: pd.DataFrame

    def __len__(self) -> int:
        return len(self.cohort)

    def __repr__(self) -> str:
        """Summarize the cohort, without its patients."""
        return f"SyntheticCohort({self.cohort!r})"

    def _summary(self) -> Summary:
        return retitled(self.cohort._summary(), "SyntheticCohort")


def make_cohort(
    n: int = 2000,
    *,
    assignment: str | Mapping[str, float] = "randomised",
    heterogeneity: str = "realistic",
    sites: int | Sequence[str] = 8,
    missing: float = 0.0,
    weekly_scores: bool = False,
    shift: float = 0.0,
    random_state: Any = None,
) -> SyntheticCohort:
    """Simulate a cohort resembling NHS Talking Therapies, with known true probabilities.

    All patients are at caseness at the start (PHQ-9 of 10 or more, or GAD-7 of 8 or more). Outcomes:
    ``recovery`` (PHQ-9 below 10 and GAD-7 below 8 when treatment ends or would have ended) and
    ``dropout`` (did not complete; the event is bad). Patients who drop out have worse outcomes, and most of
    them have no last scores: their ``recovery`` is missing in the data. The truth is given for all patients.

    Parameters
    ----------
    n : int
        Number of patients, 50 to 1,000,000.
    assignment : {"randomised", "routine"} or mapping of arm to share
        How arms are assigned: with equal probabilities; as in stepped care, confounded by severity, history,
        preference and service, with at least 1 % for every arm; or randomized with these shares, in which
        case arms without a share are omitted.
    heterogeneity : {"none", "realistic", "strong"}
        Size of effect modification: SD 0, .10 or .25 on the logit of the fraction of symptoms left (total SD
        .74), summing to zero over arms.
    sites : int or sequence of str
        Number of services (named S01, S02, ...), or their names.
    missing : float
        Share of cells, 0 to .5, missing in each of eight covariates. In three of them (employment,
        chronicity, WSAS) they are missing more often in young and in severely ill patients.
    weekly_scores : bool
        Whether to add ``phq9_w1`` to ``phq9_w12``, empty after the last session attended.
    shift : float
        Case mix, -3 to 3: 0 is the reference population, 1 means five years older, more severely ill (by 1.2
        points on PHQ-9 and 0.8 on GAD-7), more deprived and more chronic. Effects of the arms are unchanged.
    random_state : int, numpy Generator or None
        Source of randomness.

    Returns
    -------
    SyntheticCohort

    Raises
    ------
    InputError
        If an option is not allowed.

    Notes
    -----
    The fraction of symptoms left is 3.32 / (1 + exp(-(m + .74 z))), with m -1.50 for CBT, -1.56
    counselling, -1.62 IPT, -1.41 guided self-help (book -1.43, computer -1.38), -1.53 psychodynamic;
    medication is assumed to equal CBT. Prognosis (SD .175), service (SD .10), service by arm (SD .10),
    therapist (SD .17) and effect modification are part of the total SD of .74. A true probability is
    conditional on all covariates (including values removed by `missing`) and on the service; therapist,
    dropout and residual variation are integrated out exactly, by the bivariate normal distribution of the
    two last scores.
    ``heterogeneity="none"`` with ``sites=1`` is a true null: one arm is best for all patients.

    References
    ----------
    NHS England, NHS Talking Therapies annual reports 2023-24 and 2024-25: outcomes by therapy and by
    deprivation (calibration). Therapist effects: Johns et al. (2019), Clinical Psychology Review 67, 78-93.
    doi:10.1016/j.cpr.2018.08.004

    Examples
    --------
    >>> simulated = make_cohort(500, heterogeneity="none", random_state=1)
    >>> simulated.cohort.X.shape, list(simulated.truth)
    ((500, 16), ['recovery', 'dropout'])
    >>> simulated.truth["recovery"].columns.tolist()
    ['guided_self_help', 'cbt', 'counselling', 'ipt', 'psychodynamic', 'medication']
    """
    check_choice("heterogeneity", heterogeneity, HETEROGENEITY)
    arms = _check_assignment(assignment)
    _check_number("n", n, MIN_PATIENTS, MAX_PATIENTS, whole=True)
    _check_number("missing", missing, 0, 0.5)
    _check_number("shift", shift, -3, 3)
    rng = _generator(random_state)
    services = draw_services(rng, n, _check_sites(sites))
    patients = draw_patients(rng, services, shift=shift, caseness_only=True)
    mechanism = make_mechanism(
        rng, patients, services, assignment=assignment, heterogeneity=heterogeneity
    ).only(arms)
    frame = treat(rng, patients, services, mechanism, weekly_scores=weekly_scores)
    if missing:
        frame = blank_cells(rng, frame, missing)
    cohort = Cohort(frame, codebook(arms, weekly_scores=weekly_scores))
    recovery = true_recovery(mechanism, patients["phq9_start"].to_numpy(), patients["gad7_start"].to_numpy())
    by_arm = {"recovery": recovery, "dropout": mechanism.dropout, "": mechanism.propensity}
    tables = {
        name: pd.DataFrame(table, index=cohort.frame.index, columns=list(arms))
        for name, table in by_arm.items()
    }
    return SyntheticCohort(cohort, propensity=tables.pop(""), truth=tables)


def treat(
    rng: np.random.Generator,
    patients: pd.DataFrame,
    services: Services,
    mechanism: Mechanism,
    *,
    weekly_scores: bool = False,
) -> pd.DataFrame:
    """Assign arms and simulate treatment; return the table that a service would record."""
    n, arms = len(patients), mechanism.arms
    received = choose_from(rng, mechanism.propensity)
    dropped = (rng.random(n) < mechanism.dropout[np.arange(n), received]).astype(float)
    planned, attended = _draw_sessions(rng, arms, received, dropped, patients["age"].to_numpy())
    therapist = draw_therapists(rng, services, received, len(arms))
    phq, gad = draw_last_scores(rng, mechanism, patients, therapist, received, dropped)
    weeks = _draw_weeks(rng, patients["phq9_start"].to_numpy(), phq, planned) if weekly_scores else None
    status = np.where(dropped == 0, "completed", np.where(attended == 1, "one_session", "later"))
    unmeasured = rng.random(n) < pd.Series(status).map(UNMEASURED).to_numpy(dtype=float)
    phq[unmeasured] = gad[unmeasured] = np.nan
    where = np.array(services.names, dtype=object)[services.of_patient]
    frame = patients.assign(
        arm=np.array(arms, dtype=object)[received],
        sessions_attended=attended,
        phq9_last=phq,
        gad7_last=gad,
    )
    if weeks is not None:
        later = np.arange(1, WEEKS + 1) > attended[:, np.newaxis]
        names = [f"phq9_w{week}" for week in range(1, WEEKS + 1)]
        frame[names] = np.where(later, np.nan, weeks)
    frame["recovery"] = nhs_recovery(
        frame["phq9_start"], frame["phq9_last"], frame["gad7_start"], frame["gad7_last"]
    )
    frame["dropout"] = dropped
    frame.insert(0, "patient_id", [f"{site}-{number:06d}" for number, site in enumerate(where, start=1)])
    frame.insert(1, "service", where)
    frame.insert(
        2, "therapist", [f"{site}-T{number:04d}" for site, number in zip(where, therapist, strict=True)]
    )
    return frame


def _draw_sessions(
    rng: np.random.Generator, arms: tuple[str, ...], received: IntArray, dropped: FloatArray, age: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Draw the numbers of planned and of attended sessions."""
    fewest, most = np.array([PLANNED_SESSIONS[arm] for arm in arms], dtype=float)[received].T
    planned = fewest + np.floor(rng.random(len(received)) * (most - fewest + 1))
    one = rng.random(len(received)) < expit(np.log(ONE_SESSION / (1 - ONE_SESSION)) + 0.2 * (age <= 30))
    later = 2 + np.floor(rng.random(len(received)) * (planned - 2))  # 2 to one fewer than planned
    return planned, np.where(dropped == 0, planned, np.where(one, 1.0, later))


def _draw_weeks(
    rng: np.random.Generator, first: FloatArray, last: FloatArray, planned: FloatArray
) -> FloatArray:
    """Draw PHQ-9 by week on a curved path from first to last score, with most change early."""
    time = np.minimum(np.arange(1, WEEKS + 1) / planned[:, np.newaxis], 1.0)
    path = first[:, np.newaxis] + (last - first)[:, np.newaxis] * -np.expm1(-2 * time) / -np.expm1(-2)
    noise = 5 * np.sqrt(time * (1 - time)) * rng.standard_normal(time.shape)
    return whole_score(path + noise, 27)


def _check_assignment(assignment: Any) -> tuple[str, ...]:
    """Return the arms of the cohort."""
    if not isinstance(assignment, Mapping):
        check_choice("assignment", assignment, ["randomised", "routine"])
        return ARMS
    check_mapping_keys("assignment", assignment, ARMS)
    for arm, share in assignment.items():
        _check_number(f"The share of {arm!r} in assignment", share, 0, np.finfo(float).max)
    arms = tuple(arm for arm in ARMS if assignment.get(arm, 0) > 0)
    if not arms:
        raise InputError("assignment gives no arm a share above 0. Name at least one.")
    return arms


def _check_sites(sites: Any) -> tuple[str, ...]:
    """Return the names of the services."""
    if isinstance(sites, Integral) and not isinstance(sites, bool):
        _check_number("sites", sites, 1, 10_000, whole=True)
        return tuple(f"S{number:02d}" for number in range(1, int(sites) + 1))
    named = isinstance(sites, Sequence) and not isinstance(sites, str)
    if not named or not sites or not all(isinstance(site, str) and site for site in sites):
        raise InputError("sites must be a number of services from 1 to 10000, or a list of their names.")
    check_unique("The names in sites", sites)
    return tuple(sites)


def _check_number(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= float(value) <= high:
        noun = "a whole number" if whole else "a number"
        raise InputError(f"{name} is {value!r}; it must be {noun} from {low:g} to {high:g}.")


def _generator(random_state: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise InputError(
            f"random_state is a {type(random_state).__name__}; it must be a whole number of at least 0, "
            "a numpy Generator or None."
        ) from None
