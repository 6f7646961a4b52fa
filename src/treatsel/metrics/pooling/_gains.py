"""Random-effects pooling of the gains of a rule over sites, cohorts or studies."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from treatsel._checks import listed
from treatsel._stats.estimate import Estimate
from treatsel.errors import InputError
from treatsel.metrics.policy import Gain
from treatsel.metrics.pooling._random_effects import MetaAnalysis, random_effects_meta_analysis


def pool_gains(gains: Mapping[Any, Gain | Estimate], *, level: float = 0.95) -> MetaAnalysis:
    """Pool the gains of a rule over sites, cohorts or studies by random effects.

    A gain of a realistic size is rarely shown by one cohort. The mean over cohorts is more precise, and the
    prediction interval says what a new one can expect.

    Parameters
    ----------
    gains : mapping of label to Gain or Estimate
        One gain per site, cohort or study, as a difference of proportions (-1 to 1; positive: the rule is
        better), with its standard error. A gain without a finite value or a standard error above 0 is left
        out, counted and shown; this includes a gain of exactly 0 where the rule gives everyone the
        comparator's arm, so that the mean is that of places where the rule changes something.
    level : float, default 0.95
        Level of all intervals.

    Returns
    -------
    MetaAnalysis
        Mean gain with a Hartung-Knapp interval, prediction interval for a new place (Nagashima et al.),
        heterogeneity; `to_frame()`, `plot()` (forest) and `probability_above(0)`: the probability that the
        rule gains at a new place.

    Raises
    ------
    InputError
        If `gains` is not a mapping of gains, is empty, or holds gains over different comparators.

    References
    ----------
    Hartung & Knapp (2001), Statistics in Medicine 20(24), 3875-3889. doi:10.1002/sim.1009
    Nagashima, Noma & Furukawa (2019), Statistical Methods in Medical Research 28(6), 1689-1702.
    doi:10.1177/0962280218773520

    Examples
    --------
    >>> import pandas as pd
    >>> from treatsel.metrics import gain_over_best_arm
    >>> def gain_of(site):
    ...     rng = np.random.default_rng(site)
    ...     scores = pd.DataFrame(rng.normal([0.40, 0.45], 0.5, (500, 2)), columns=["CBT", "SSRI"])
    ...     return gain_over_best_arm(scores, np.where(scores["SSRI"] > 0.1, "SSRI", "CBT"), comparator="CBT")
    >>> pooled = pool_gains({site: gain_of(site) for site in range(4)})
    >>> pooled.n_sites, pooled.lower < pooled.value < pooled.upper
    (4, True)
    """
    if not isinstance(gains, Mapping) or not gains:
        raise InputError(
            f"gains is {type(gains).__name__}; give a mapping of at least one label to its gain."
        )
    if wrong := {type(gain).__name__ for gain in gains.values() if not isinstance(gain, Gain | Estimate)}:
        raise InputError(f"gains holds {listed(sorted(wrong))}; each value must be a Gain or an Estimate.")
    comparators = {gain.comparator for gain in gains.values() if isinstance(gain, Gain)}
    if len(comparators) > 1:
        raise InputError(
            f"gains holds gains over different comparators: {listed(sorted(comparators))}. Pool gains over "
            "the same one."
        )
    values, errors = (
        np.array([getattr(gain, name) for gain in gains.values()], dtype=float) for name in ("value", "se")
    )
    return random_effects_meta_analysis(values, errors, sites=list(gains), level=level)
