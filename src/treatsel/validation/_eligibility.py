"""Patients of a validation cohort who may receive every arm by the rules of eligibility."""

from pathlib import Path

from treatsel._checks import count_of
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.cohort import Cohort
from treatsel.eligibility import Rules
from treatsel.errors import InputError
from treatsel.validation.parts import Caution, Severity


def eligible_for_all(cohort: Cohort, eligibility: Rules | str | Path | None) -> tuple[Cohort, list[Caution]]:
    """Return the patients who may receive every arm, and a caution that counts the others.

    Raises
    ------
    InputError
        If the rules do not fit the cohort, or exclude an arm for every patient.
    """
    if eligibility is None:
        return cohort, []
    arms = sorted(cohort.received.unique(), key=str)
    rules = Rules.of(eligibility, cohort.codebook, arms)
    may = rules.apply(cohort.frame).allowed.all(axis=1).to_numpy()
    n_out = int((~may).sum())
    if not may.any():
        raise InputError(
            f"The rules exclude an arm for all {len(may):,} patients, so that arms cannot be compared. State "
            "narrower rules, or leave the arms out that nobody may receive."
        )
    if not n_out:
        return cohort, []
    few = n_out < SMALLEST_GROUP
    counted = f"fewer than {SMALLEST_GROUP} patients" if few else count_of(n_out, "patient")
    text = (
        f"The rules of eligibility exclude an arm for {counted} of {len(may):,}, who are left out: arms are "
        "compared in patients who may receive every one."
    )
    return cohort.take(may), [Caution(Severity.PARTIAL, text)]
