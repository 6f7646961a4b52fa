"""Two validation reports side by side."""

import numpy as np
import pandas as pd

from treatsel.errors import InputError
from treatsel.metrics.policy import ON_THIS_DATA
from treatsel.validation.report._report import ValidationReport

KEYS = ["section", "measure", "group"]


def compare(first: ValidationReport, second: ValidationReport) -> pd.DataFrame:
    """Compare the estimates that two reports have in common.

    Parameters
    ----------
    first, second : ValidationReport
        Reports on the same outcome at the same confidence level: two models in one cohort, or one model in
        two cohorts or periods.

    Returns
    -------
    DataFrame
        One row per estimate: section, measure, group, first, second, difference (second minus first) with
        lower and upper, n_first, n_second, same_patients. The interval assumes independence (MOVER); for two
        models in the same patients it is therefore usually too wide. Estimates against the best single arm
        are omitted if that arm differs between the reports. Differences of test statistics have no interval.

    Raises
    ------
    InputError
        If outcome, direction or level differ.

    References
    ----------
    Zou & Donner (2008), Statistics in Medicine 27(10), 1693-1702. doi:10.1002/sim.3095

    Examples
    --------
    >>> from treatsel.datasets import make_cohort
    >>> from treatsel.validation import compare, validate
    >>> a, b = (make_cohort(600, random_state=seed) for seed in (3, 4))
    >>> reports = [
    ...     validate(part.truth["dropout"], part.cohort, outcome="dropout", sections=()) for part in (a, b)
    ... ]
    >>> table = compare(*reports)
    >>> table[table["measure"] == "base rate"][["n_first", "n_second"]].values.tolist()
    [[600, 600]]
    """
    for name in ("outcome", "event_is_good", "level"):
        mine, theirs = getattr(first, name), getattr(second, name)
        if mine != theirs:
            raise InputError(
                f"The reports differ in {name}: {mine!r} and {theirs!r}. They must be the same in both."
            )
    both = first.figures.merge(second.figures, on=KEYS, suffixes=("_first", "_second"), how="inner")
    # estimates against different comparators are not comparable
    if first.gain.comparator_arm != second.gain.comparator_arm:
        against = both["measure"].str.contains("best single arm|net benefit of treatment choice")
        both = both[~against & both["section"].ne("benefit")].reset_index(drop=True)
    picked = [both[f"method_{which}"].str.partition(";")[0] for which in ("first", "second")]
    same_pick = ~both["measure"].str.contains(ON_THIS_DATA) | picked[0].eq(picked[1])
    both = both[same_pick].reset_index(drop=True)
    a, b = both["value_first"], both["value_second"]
    below = np.hypot(b - both["lower_second"], both["upper_first"] - a)
    above = np.hypot(both["upper_second"] - b, a - both["lower_first"])
    digests = first.about.get("cohort"), second.about.get("cohort")
    return both[KEYS].assign(
        first=a,
        second=b,
        difference=b - a,
        lower=b - a - below,
        upper=b - a + above,
        n_first=both["n_first"],
        n_second=both["n_second"],
        same_patients=digests[0] is not None and digests[0] == digests[1],
    )


def not_shared(first: ValidationReport, second: ValidationReport) -> pd.DataFrame:
    """Return the estimates that only one of two reports has: section, measure, group, only_in."""
    keys = [report.figures[KEYS].assign(**{name: True}) for name, report in (("a", first), ("b", second))]
    merged = keys[0].merge(keys[1], on=KEYS, how="outer")
    alone = merged[merged["a"].isna() | merged["b"].isna()]
    return alone[KEYS].assign(only_in=np.where(alone["a"].isna(), "second", "first"))
