"""Patients who may receive every arm by the rules of eligibility: arms are contrasted among them alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel._disclosure import SMALLEST_GROUP
from treatsel.codebook import by_id
from treatsel.cohort import Cohort
from treatsel.eligibility import Rules
from treatsel.errors import InputError
from treatsel.fitted import DataCheck

FEWEST = 10  # patients of each arm


def may_receive_all(
    eligibility: Rules | str | Path | None, X: Any, received: pd.Series, codebook: Any
) -> tuple[np.ndarray | None, list[DataCheck]]:
    """Return who may receive every arm (None: without rules), and what there is to report.

    An arm that is never given to some patients by rule is structurally missing among them: its mean over all
    patients would be extrapolated.

    Raises
    ------
    InputError
        If the rules do not fit, or leave fewer than 10 patients of an arm.
    """
    if eligibility is None:
        return None, []
    arms = sorted(received.unique(), key=str)
    rules = Rules.of(eligibility, codebook, arms)
    frame = X.frame if isinstance(X, Cohort) else by_id(X, codebook)
    allowed = rules.apply(frame.loc[received.index]).allowed
    all_of_them = allowed.all(axis=1).to_numpy()
    counts = received[all_of_them].value_counts().reindex(arms, fill_value=0)
    if few := [str(arm) for arm in arms if counts[arm] < FEWEST]:
        raise InputError(
            f"By the rules, {count_of(int(all_of_them.sum()), 'patient')} of {len(received):,} may receive "
            f"every arm, and of these fewer than {FEWEST} received {few}. Arms cannot be contrasted among so "
            "few. Exclude these arms from the data, or state narrower rules."
        )
    own = allowed.to_numpy()[np.arange(len(received)), pd.Index(arms).get_indexer(received)]
    return all_of_them, _checks(all_of_them, int((~own).sum()))


def _checks(all_of_them: np.ndarray, n_against: int) -> list[DataCheck]:
    n, n_out = len(all_of_them), int((~all_of_them).sum())
    if not n_out:
        return []
    against = "fewer than 5" if 0 < n_against < SMALLEST_GROUP else f"{n_against:,}"
    out = "fewer than 5" if n_out < SMALLEST_GROUP else f"{n_out:,}"
    return [
        DataCheck(
            "excluded_by_rules",
            f"The rules of eligibility exclude an arm for {out} of {n:,} patients: arm_means_ and the best "
            f"single arm are those of the others. {against} received an arm that the rules exclude for them.",
        )
    ]
