"""Checks of arms and persons: few events, small arms, poor overlap, persons in several groups.

Each check returns a list of findings, empty if there is nothing to report. Messages contain columns, arms and
counts, never the value of a patient, nor a count of 1 to 4 patients.
"""

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel._disclosure import events_stated, stated, suppression
from treatsel.fitted import DataCheck
from treatsel.models import Assignment

MIN_EVENTS = 10  # the minimum for comparing arms: with fewer, an arm is always "insufficient_evidence"
MIN_PATIENTS = 300  # per arm; see check_sample_size
MAX_SHARE_LOW_PROPENSITY = 0.05  # share of patients with low propensity for an arm above which it is reported


def check_events(received: pd.Series, y: pd.Series, *, fewest: int = MIN_EVENTS) -> list[DataCheck]:
    """Report arms with fewer than `fewest` events, or non-events, of an outcome (0, 1 or NaN)."""
    counts = y.groupby(received.to_numpy()).agg(["count", "sum"])
    other = counts["count"] - counts["sum"]
    few = counts[(counts["sum"] < fewest) | (other < fewest)]
    if not len(few):
        return []
    arms = "; ".join(f"{arm!r}: {events_stated(int(s), int(n))}" for arm, (n, s) in few.iterrows())
    message, disclosed = (
        f"Outcome {y.name!r} has fewer than {fewest} events, or non-events, in {count_of(len(few), 'arm')} "
        f"({listed}). Estimates for such an arm are mostly borrowed from the other arms. "
        "Merge it with a similar arm, leave its patients out, or collect more data."
        for listed in (f"events of observed: {arms}", _listed(few.index))
    )
    return [DataCheck("few_events", message, disclosed)]


def check_sample_size(received: pd.Series, y: pd.Series, *, fewest: int = MIN_PATIENTS) -> list[DataCheck]:
    """Report arms with fewer than `fewest` patients whose outcome was observed.

    References
    ----------
    Luedtke, Sadikova & Kessler (2019), Clinical Psychological Science 7(3), 445-461: at least 300 patients
    per arm to detect a gain from selecting treatments. doi:10.1177/2167702618815466
    """
    counts = y.notna().groupby(received.to_numpy()).sum()
    few = counts[counts < fewest]
    if not len(few):
        return []
    hidden = set(counts.index[suppression(counts)])  # with all arms stated but one, it would follow
    arms = ", ".join(f"{arm!r}" if arm in hidden else f"{arm!r}: {int(n)}" for arm, n in few.items())
    message, disclosed = (
        f"{len(few)} of {count_of(len(counts), 'arm')} have fewer than {fewest} patients with {y.name!r} "
        f"observed ({listed}). In simulations, at least 300 per arm were needed to detect the gain of a "
        "treatment rule (Luedtke et al. 2019). Expect little gain over the best single arm, and do not act "
        "on differences that are not supported."
        for listed in (arms, _listed(few.index))
    )
    return [DataCheck("small_arms", message, disclosed)]


def check_persons(persons: pd.Series, groups: pd.Series | None) -> list[DataCheck]:
    """Report persons whose rows may be in different folds."""
    known = persons.notna().to_numpy()
    person = pd.factorize(persons[known])[0]
    part = np.arange(len(person)) if groups is None else pd.factorize(groups[known])[0]
    n_parts = part.max(initial=0) + 1
    divided = np.bincount((np.unique(person * n_parts + part) // n_parts).astype(np.int64)) > 1
    if not divided.any():
        return []
    n = int(divided.sum())
    where = "" if groups is None else " in several groups"
    n_rows = int(divided[person].sum())
    message, disclosed = (
        f"{stated(n, 'person')} (column {persons.name!r}{rows}) have several rows{where}. The model is then "
        "tested in persons to whom it was fitted, and its performance is overestimated. Keep one row per "
        "person, or use the person column as groups."
        for rows in (f", {stated(n_rows, 'row')}", "")
    )
    return [DataCheck("person_in_several_groups", message, disclosed)]


def check_sites(received: pd.Series, groups: pd.Series, *, fewest: int) -> list[DataCheck]:
    """Report arms received at fewer than `fewest` sites, where intervals are cluster-robust.

    References
    ----------
    MacKinnon & Webb (2017), Journal of Applied Econometrics 32(2), 233-254. doi:10.1002/jae.2508
    """
    sites = pd.Series(pd.factorize(groups)[0], received.index).groupby(received.to_numpy()).nunique()
    few = sites[sites < fewest]
    if groups.nunique() < fewest or not len(few):
        return []
    message, disclosed = (
        f"{count_of(len(few), 'arm')} received at fewer than {fewest} sites ({listed}). Its rate cannot be "
        "separated from that of these sites: with one site it has no interval, with a few a wide one. See "
        "arm_means_."
        for listed in (", ".join(f"{arm!r}: {int(n)}" for arm, n in few.items()), _listed(few.index))
    )
    return [DataCheck("arm_at_few_sites", message, disclosed)]


def check_overlap(assignment: Assignment) -> list[DataCheck]:
    """Report arms for which many patients have a low propensity, so that predictions are extrapolated.

    References
    ----------
    Crump et al. (2009), Biometrika 96(1), 187-199. doi:10.1093/biomet/asn055
    """
    rare = assignment.table["share_low_propensity"]
    rare = rare[rare > MAX_SHARE_LOW_PROPENSITY]
    if not len(rare):
        return []
    arms = ", ".join(f"{arm!r}: {share:.0%}" for arm, share in rare.items())
    message, disclosed = (
        f"For {count_of(len(rare), 'arm')}, more than {MAX_SHARE_LOW_PROPENSITY:.0%} of the patients have a "
        f"propensity below 2 % ({listed}). Predictions under the arm are extrapolated for them, and each "
        "such patient is flagged low_propensity. See assignment_."
        for listed in (f"share of patients: {arms}", _listed(rare.index))
    )
    return [DataCheck("poor_overlap", message, disclosed)]


def _listed(arms: pd.Index) -> str:
    return ", ".join(repr(arm) for arm in arms)
