"""E-for-benefit: distances between predicted and observed benefit of matched pairs."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from treatsel._checks import check_choice, check_level
from treatsel._reporting.plots import estimates, intervals_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel.metrics.benefit._matching import MatchedPairs
from treatsel.metrics.benefit._pair_bootstrap import NAN, Definition, _check_seed, _draws, _percentile, _plain

Surface = Literal["interpolate", "direct"]
MAX_DISTANCE = 2.0  # observed benefits lie in [-1, 1]: a curve beyond this is a singular fit


@dataclass(frozen=True, kw_only=True, repr=False)
class BenefitErrors(Summarized):
    """E-for-benefit: distances of predicted benefits from a smooth calibration curve; 0 is perfect.

    Attributes
    ----------
    eavg, e50, e90 : Estimate
        Mean, median and 90th percentile of the absolute distance, on the scale of probabilities.
    """

    eavg: Estimate
    e50: Estimate
    e90: Estimate

    def to_frame(self) -> pd.DataFrame:
        """Return one row per distance."""
        rows = {name: getattr(self, name).to_dict() for name in ("eavg", "e50", "e90")}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="distance")

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the distances with their intervals.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        table = self.to_frame()
        ends = intervals_of(self.eavg.level, any_finite=bool(table["lower"].notna().any()))
        label = f"Error of the predicted benefit, in probability ({ends})"
        names = {"eavg": "mean", "e50": "median", "e90": "90th percentile"}
        return estimates(table.rename(index=names), reference=0, xlabel=label, ax=ax, **kwargs)


def e_for_benefit(
    pairs: MatchedPairs,
    *,
    predicted: Definition = "mean",
    surface: Surface = "interpolate",
    n_resamples: int | None = 200,
    random_state: int = 0,
    level: float = 0.95,
) -> BenefitErrors:
    """E-for-benefit: distances of the pairs' predicted benefits from a loess curve of the observed benefit.

    The loess has span 0.75 and degree 2. As in the R package HTEPredictionMetrics, it is fitted to harm (both
    benefits with reversed sign): with ties, R's interpolation changes slightly if the axis is reversed.

    Parameters
    ----------
    pairs : MatchedPairs
        From `match_pairs`, or `MatchedPairs.of`. **The values depend on the matching** and on the order of
        the rows.
    predicted : {"mean", "own_arm"}, default "mean"
        Predicted benefit of a pair, as in `c_for_benefit`. HTEPredictionMetrics takes "own_arm".
    surface : {"interpolate", "direct"}, default "interpolate"
        R's default, which interpolates between a few exact fits, or an exact fit at every pair (computing
        time grows with the square of the number of pairs).
    n_resamples : int or None, default 200
        Bootstrap of the whole procedure: patients (or `clusters`) are resampled and matched again,
        and the curve is fitted again. None: no interval.
    random_state : int, default 0
        Seed of the bootstrap.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    BenefitErrors
        `.eavg`, `.e50`, `.e90`; lower is better. They are above 0 by chance even for a perfect model, more so
        with fewer pairs, and the percentile interval shares this bias. NaN where no curve can be fitted (too
        few pairs, or too few distinct predictions).

    Raises
    ------
    InputError
        If an option is unknown, or `predicted` is "mean" and the pairs have no `mean_benefit`.

    References
    ----------
    Maas et al. (2023), BMC Medical Research Methodology 23, 165 (metrics for benefit).
    doi:10.1186/s12874-023-01974-w
    Cleveland, Grosse & Shyu (1992), Local regression models, in Statistical Models in S, chapter 8.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> high, low = rng.uniform(0.3, 0.9, 300), rng.uniform(0.1, 0.7, 300)
    >>> observed = rng.binomial(1, high) - rng.binomial(1, low)
    >>> errors = e_for_benefit(MatchedPairs.of(observed, high, low), predicted="own_arm", n_resamples=None)
    >>> round(errors.eavg.value, 3)
    0.051
    """
    check_choice("surface", surface, ["interpolate", "direct"])
    level, seed = check_level(level), _check_seed(random_state)
    values = _distances(pairs, predicted, surface)
    if not np.isfinite(values[0]):
        nothing = not_estimable(
            "too few pairs or distinct predictions", n=len(pairs), n_events=None, level=level
        )
        return BenefitErrors(eavg=nothing, e50=nothing, e90=nothing)
    if n_resamples is None:
        method = f"no interval requested; {pairs.matched_on}"
        found = [_plain(value, pairs, level, method) for value in values]
    else:
        draws = _draws(pairs, lambda p: _distances(p, predicted, surface), n_resamples, seed)
        found = [_percentile(value, draw, pairs, level) for value, draw in zip(values, draws.T, strict=True)]
    return BenefitErrors(eavg=found[0], e50=found[1], e90=found[2])


def _distances(pairs: MatchedPairs, predicted: Definition, surface: Surface) -> list[float]:
    from skmisc.loess import loess

    harm = -pairs.predicted(predicted)
    if len(harm) < 4:
        return [NAN] * 3
    try:
        curve = loess(harm, -pairs.observed, span=0.75, degree=2, surface=surface)
        curve.control.trace_hat = "exact" if len(harm) < 500 else "approximate"  # changes no fitted value
        curve.fit()
    except ValueError as error:  # few distinct predictions: R warns and keeps the pseudo-inverse fit
        if not any(word in str(error) for word in ("singularities", "pseudoinverse")):
            return [NAN] * 3
    fitted = curve.outputs.fitted_values
    if not (np.abs(fitted) <= MAX_DISTANCE).all():
        return [NAN] * 3
    distance = np.abs(fitted - harm)
    middle, high = np.quantile(distance, [0.5, 0.9])
    return [float(distance.mean()), float(middle), float(high)]
