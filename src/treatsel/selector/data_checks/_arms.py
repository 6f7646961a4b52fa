"""What makes a cohort shaky: guards of arms, persons and predictions. They tell, and never mend.

Each guard returns what it has to say, as a list that is empty when all is well. Messages name columns, arms
and counts, never a patient's value. `_guard_table` calls them, with those of columns and rows.
"""

import numpy as np
import pandas as pd

from treatsel.fitted import DataCheck
from treatsel.models import Assignment

FEWEST_EVENTS = 10
FEWEST_PATIENTS = 300
HIGHEST_AUC = 0.85
MOST_HARDLY_GIVEN = 0.05  # share of patients who hardly ever get an arm, from which on a guard speaks


def guard_events(received: pd.Series, y: pd.Series, *, fewest: int = FEWEST_EVENTS) -> list[DataCheck]:
    """Tell of arms with fewer than `fewest` events, or non-events, of an outcome (0, 1 or NaN)."""
    counts = y.groupby(received.to_numpy()).agg(["count", "sum"])
    other = counts["count"] - counts["sum"]
    few = counts[(counts["sum"] < fewest) | (other < fewest)]
    if not len(few):
        return []
    arms = "; ".join(f"{arm!r}: {int(s)} of {int(n)}" for arm, (n, s) in few.iterrows())
    message = (
        f"Outcome {y.name!r} has fewer than {fewest} events, or non-events, in {len(few)} arms (events "
        f"of observed: {arms}). What is said of these arms is mostly borrowed from the others. Merge "
        "them with similar arms, leave their patients out, or collect more."
    )
    return [DataCheck("few_events", message)]


def guard_sample_size(received: pd.Series, y: pd.Series, *, fewest: int = FEWEST_PATIENTS) -> list[DataCheck]:
    """Tell of arms with fewer than `fewest` patients whose outcome was observed.

    References
    ----------
    Luedtke, Sadikova & Kessler (2019), Clinical Psychological Science 7(3), 445-461: at least 300 patients
    per arm to detect a gain from selecting treatments. doi:10.1177/2167702618815466
    """
    counts = y.notna().groupby(received.to_numpy()).sum()
    few = counts[counts < fewest]
    if not len(few):
        return []
    arms = ", ".join(f"{arm!r}: {int(n)}" for arm, n in few.items())
    message = (
        f"{len(few)} of {len(counts)} arms have fewer than {fewest} patients with {y.name!r} observed "
        f"({arms}). Simulations found at least 300 per arm necessary before a rule's gain can be shown "
        "(Luedtke et al. 2019). Expect little over the best single arm, and do not act on differences "
        "that are not supported."
    )
    return [DataCheck("small_arms", message)]


def check_auc(auc: float, outcome: str, *, highest: float = HIGHEST_AUC) -> list[DataCheck]:
    """Tell of a cross-validated AUC too good to come from baseline covariates.

    References
    ----------
    Kapoor & Narayanan (2023), Patterns 4(9), 100804 (leakage). doi:10.1016/j.patter.2023.100804
    """
    if not auc > highest:
        return []
    message = (
        f"Outcome {outcome!r} is predicted with a cross-validated AUC of {auc:.3f}, above {highest}; "
        "baseline covariates seldom reach that. One may have been recorded after treatment began, or be "
        "part of the outcome. Look at the most important ones, and drop what was not known before."
    )
    return [DataCheck("suspected_leakage", message)]


def check_persons(persons: pd.Series, groups: pd.Series | None) -> list[DataCheck]:
    """Tell of persons with several rows, if these need not lie in one fold: in several groups, or without."""
    known = persons.notna().to_numpy()
    person = pd.factorize(persons[known])[0]
    part = np.arange(len(person)) if groups is None else pd.factorize(groups[known])[0]
    n_parts = part.max(initial=0) + 1
    divided = np.bincount((np.unique(person * n_parts + part) // n_parts).astype(np.int64)) > 1
    if not divided.any():
        return []
    where = "" if groups is None else " in several groups"
    message = (
        f"{int(divided.sum())} persons (column {persons.name!r}, {int(divided[person].sum())} rows) have "
        f"several rows{where}. A model is then tested on persons it learned from, and looks better than it "
        "is. Keep one row a person, or let the persons be the groups."
    )
    return [DataCheck("person_in_several_groups", message)]


def check_overlap(assignment: Assignment) -> list[DataCheck]:
    """Tell of arms that many patients hardly ever got: what is said of them there is extrapolated.

    References
    ----------
    Crump et al. (2009), Biometrika 96(1), 187-199. doi:10.1093/biomet/asn055
    """
    rare = assignment.table["share_low_propensity"]
    rare = rare[rare > MOST_HARDLY_GIVEN]
    if not len(rare):
        return []
    arms = ", ".join(f"{arm!r}: {share:.0%}" for arm, share in rare.items())
    message = (
        f"{len(rare)} arms were given to fewer than 2 % of patients like many of these (share of such "
        f"patients: {arms}). What the model says of the arm there is extrapolated, and each such patient "
        "is flagged low_propensity. See assignment_."
    )
    return [DataCheck("poor_overlap", message)]
