"""Metrics of matched pairs; public through `treatsel.metrics.benefit`."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, check_choice, check_level
from treatsel._reporting.plots import estimates
from treatsel._stats.clustered_means import Units, mean_estimate
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.intervals import wald
from treatsel._stats.logits import inside
from treatsel._stats.resampling import percentile_interval
from treatsel.errors import InputError
from treatsel.metrics._matching import Pairs

Definition = Literal["mean", "own_arm"]
Surface = Literal["interpolate", "direct"]
FURTHEST = 2.0  # a curve through benefits from -1 to 1 that goes further is singular
NAN = float("nan")


def c_for_benefit(
    pairs: Pairs,
    *,
    predicted: Definition = "mean",
    n_resamples: int | None = None,
    random_state: int = 0,
    level: float = 0.95,
) -> Estimate:
    """How often, of two matched pairs, the one with the larger predicted benefit has the larger observed one.

    Parameters
    ----------
    pairs : Pairs
        From `match_pairs`, or `Pairs.of` for pairs matched elsewhere. **The figure depends on the matching**:
        on what was matched, and on the order of the rows (a change of some .02 is usual).
    predicted : {"mean", "own_arm"}, default "mean"
        Predicted benefit of a pair: the mean of its two patients' predicted benefits (van Klaveren), or the
        prediction of the treated for the treatment less that of the control for control (the R package
        HTEPredictionMetrics). The second lets differences in prognosis within a pair count as benefit and
        is higher, the more so if pairs were matched on benefit.
    n_resamples : int, optional
        Bootstrap the whole procedure this often (draw patients, or `groups`, and match anew) for a percentile
        interval. By default Wald's interval with Noether's standard error, which takes the pairs as given.
    random_state : int, default 0
        Seed of the bootstrap.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1]; higher is better, 0.5 is chance. Pairs of equal observed benefit are not
        compared; equal predicted benefits count half. `n` is the number of pairs; `method` says how they
        were matched. Its largest possible value is far below 1, and unknown: do not read it as an AUC.
        NaN if all pairs have the same observed benefit.

    Raises
    ------
    InputError
        If an option is unknown, or pairs without `mean_benefit` are asked for it.

    References
    ----------
    van Klaveren et al. (2018), Journal of Clinical Epidemiology 94, 59-68.
    doi:10.1016/j.jclinepi.2017.10.021
    Hoogland et al. (2024), Statistics in Medicine 43(23), 4481-4498 (on its limits). doi:10.1002/sim.10186
    Noether (1967), Elements of Nonparametric Statistics.

    Examples
    --------
    >>> pairs = Pairs.of([1, 0, -1, 0], [0.6, 0.5, 0.5, 0.4], [0.3, 0.4, 0.5, 0.4], mean_benefit=[2, 1, 0, 1])
    >>> c_for_benefit(pairs).value
    1.0
    """
    level, seed, n = check_level(level), _check_seed(random_state), len(pairs)
    value, se = concordance(pairs.predicted(predicted), pairs.observed)
    if not np.isfinite(value):
        return not_estimable("all pairs have the same observed benefit", n=n, n_events=None, level=level)
    if n_resamples is not None:
        draws = _draws(
            pairs, lambda p: [concordance(p.predicted(predicted), p.observed)[0]], n_resamples, seed
        )
        return _percentile(value, draws[:, 0], pairs, level)
    method = f"Noether, Wald; {pairs.matched_on}, taken as given"
    if se == 0:
        method = f"no interval: no two pairs disagree, Noether's error is 0; {pairs.matched_on}"
    limits = wald(value, se if se > 0 else NAN, level, low=0, high=1)
    return Estimate(
        value=value,
        lower=limits.lower,
        upper=limits.upper,
        n=n,
        n_events=None,
        level=level,
        method=method,
        se=se,
    )


def concordance(predicted: FloatArray, observed: FloatArray) -> tuple[float, float]:
    """Return Harrell's concordance, ties of the prediction counting half, and Noether's standard error."""
    score, compared = np.zeros(len(observed)), np.zeros(len(observed))
    members = [np.flatnonzero(observed == value) for value in np.unique(observed)]
    ordered = [np.sort(predicted[rows]) for rows in members]
    for i, rows in enumerate(members):
        for j, others in enumerate(ordered):
            if i != j:
                own = predicted[rows]
                below = np.searchsorted(others, own, side="left")
                above = len(others) - np.searchsorted(others, own, side="right")
                score[rows] += (below - above) * np.sign(i - j)
                compared[rows] += len(others)
    total = compared.sum()
    if not total:
        return NAN, NAN
    dxy = score.sum() / total
    deviation = score - dxy * compared
    return float((dxy + 1) / 2), float(np.sqrt(deviation @ deviation) / total)


@dataclass(frozen=True, kw_only=True)
class BenefitErrors:
    """Distances between predicted benefits and their smooth calibration curve, in pairs; 0 is perfect.

    Attributes
    ----------
    eavg, e50, e90 : Estimate
        Mean, median and 90th percentile of the absolute distance, on the scale of probabilities.
    """

    eavg: Estimate
    e50: Estimate
    e90: Estimate

    def to_frame(self) -> pd.DataFrame:
        """Return one row a distance."""
        rows = {name: getattr(self, name).to_dict() for name in ("eavg", "e50", "e90")}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="distance")

    def plot(self, ax: Any = None) -> Any:
        """Draw the distances with their intervals on `ax` (new if None) and return it."""
        return estimates(self.to_frame(), reference=0, xlabel="Error of the predicted benefit", ax=ax)


def e_for_benefit(
    pairs: Pairs,
    *,
    predicted: Definition = "mean",
    surface: Surface = "interpolate",
    n_resamples: int | None = 200,
    random_state: int = 0,
    level: float = 0.95,
) -> BenefitErrors:
    """Distances of the predicted benefit of pairs from a loess curve of the observed benefit.

    The loess has span 0.75 and degree 2. As in the R package HTEPredictionMetrics it is fitted to harm (both
    benefits with their sign turned): with ties, R's interpolation differs a little from right to left.

    Parameters
    ----------
    pairs : Pairs
        From `match_pairs`, or `Pairs.of`. **The figures depend on the matching** and the order of the rows.
    predicted : {"mean", "own_arm"}, default "mean"
        Predicted benefit of a pair, as in `c_for_benefit`. HTEPredictionMetrics takes "own_arm".
    surface : {"interpolate", "direct"}, default "interpolate"
        R's default, which interpolates between few exact fits, or an exact fit at every pair (time grows with
        the square of the number of pairs).
    n_resamples : int or None, default 200
        Bootstrap of the whole procedure: patients (or `groups`) are drawn, matched anew, and the curve is
        fitted anew. None: no interval.
    random_state : int, default 0
        Seed of the bootstrap.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    BenefitErrors
        `.eavg`, `.e50`, `.e90`; lower is better. They are above 0 by chance even for a perfect model, the
        more so the fewer the pairs, and the percentile interval inherits that. NaN where no curve can be
        fitted (too few pairs, or too few distinct predictions).

    Raises
    ------
    InputError
        If an option is unknown, or pairs without `mean_benefit` are asked for it.

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
    >>> errors = e_for_benefit(Pairs.of(observed, high, low), predicted="own_arm", n_resamples=None)
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
        method = f"no interval asked for; {pairs.matched_on}"
        found = [_plain(value, pairs, level, method) for value in values]
    else:
        draws = _draws(pairs, lambda p: _distances(p, predicted, surface), n_resamples, seed)
        found = [_percentile(value, draw, pairs, level) for value, draw in zip(values, draws.T, strict=True)]
    return BenefitErrors(eavg=found[0], e50=found[1], e90=found[2])


def brier_for_benefit(pairs: Pairs, *, level: float = 0.95) -> Estimate:
    """Half the squared distance of the predicted probabilities of harm, no difference and benefit of a pair.

    Parameters
    ----------
    pairs : Pairs
        From `match_pairs`, or `Pairs.of`; taken as given.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        In [0, 1]; lower is better. Mean over pairs with Wald's interval; `n` is the number of pairs. The two
        outcomes of a pair are taken as independent given the predictions.

    References
    ----------
    Maas et al. (2023), BMC Medical Research Methodology 23, 165. doi:10.1186/s12874-023-01974-w

    Examples
    --------
    >>> brier_for_benefit(Pairs.of([1, 0], [1.0, 0.5], [0.0, 0.5])).value
    0.09375
    """
    loss = sum((share - seen) ** 2 for share, seen in _shares(pairs, pairs.p_treated, pairs.p_control))
    return _mean_loss(np.asarray(loss) / 2, pairs, level)


def cross_entropy_for_benefit(pairs: Pairs, *, level: float = 0.95) -> Estimate:
    """Minus the log probability that was predicted for the observed benefit of a pair.

    Parameters
    ----------
    pairs : Pairs
        From `match_pairs`, or `Pairs.of`; taken as given.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        From 0 up; lower is better. Mean over pairs with Wald's interval; `n` is the number of pairs.

    Warns
    -----
    TreatselWarning
        If predictions are 0 or 1: they count as 1e-8 and 1 - 1e-8.

    References
    ----------
    Maas et al. (2023), BMC Medical Research Methodology 23, 165. doi:10.1186/s12874-023-01974-w

    Examples
    --------
    >>> round(cross_entropy_for_benefit(Pairs.of([1, 0], [0.8, 0.5], [0.2, 0.5])).value, 4)
    0.5697
    """
    both = inside(np.concatenate([pairs.p_treated, pairs.p_control]))
    high, low = both[: len(pairs)], both[len(pairs) :]
    likelihood = sum(share * seen for share, seen in _shares(pairs, high, low))
    return _mean_loss(-np.log(np.asarray(likelihood)), pairs, level)


def _shares(pairs: Pairs, high: FloatArray, low: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    benefit, harm = high * (1 - low), (1 - high) * low
    same = (1 - high) * (1 - low) + high * low
    return [(p, (pairs.observed == v).astype(float)) for p, v in ((benefit, 1), (same, 0), (harm, -1))]


def _mean_loss(loss: FloatArray, pairs: Pairs, level: float) -> Estimate:
    units = Units(weight=np.ones(len(loss)), codes=None, level=check_level(level))
    found = mean_estimate(loss, units, n_events=None)
    return dataclasses.replace(found, method=f"{found.method}; {pairs.matched_on}, taken as given")


def _distances(pairs: Pairs, predicted: Definition, surface: Surface) -> list[float]:
    from skmisc.loess import loess

    harm = -pairs.predicted(predicted)
    if len(harm) < 4:
        return [NAN] * 3
    try:
        curve = loess(harm, -pairs.observed, span=0.75, degree=2, surface=surface)
        curve.control.trace_hat = "exact" if len(harm) < 500 else "approximate"  # of no fitted value
        curve.fit()
    except ValueError as error:  # few distinct predictions: R warns, and the fit by pseudo-inverse stands
        if not any(word in str(error) for word in ("singularities", "pseudoinverse")):
            return [NAN] * 3
    fitted = curve.outputs.fitted_values
    if not (np.abs(fitted) <= FURTHEST).all():
        return [NAN] * 3
    distance = np.abs(fitted - harm)
    middle, high = np.quantile(distance, [0.5, 0.9])
    return [float(distance.mean()), float(middle), float(high)]


def _check_seed(random_state: Any) -> int:
    if not isinstance(random_state, int | np.integer):
        raise InputError(f"random_state is {random_state!r}; it must be a whole number.")
    return int(random_state)


def _draws(pairs: Pairs, metric: Callable[[Pairs], list[float]], n_resamples: int, seed: int) -> FloatArray:
    width = len(metric(pairs))
    drawn = pairs.resampled(n_resamples, seed)
    return np.array([[NAN] * width if sample is None else metric(sample) for sample in drawn])


def _plain(value: float, pairs: Pairs, level: float, method: str) -> Estimate:
    return Estimate(
        value=value, lower=NAN, upper=NAN, n=len(pairs), n_events=None, level=level, method=method
    )


def _percentile(value: float, draws: FloatArray, pairs: Pairs, level: float) -> Estimate:
    limits = percentile_interval(draws, level)
    how = "pairs redrawn" if pairs.source is None else "patients redrawn and matched anew"
    finite = draws[np.isfinite(draws)]
    return Estimate(
        value=value,
        lower=limits.lower,
        upper=limits.upper,
        n=len(pairs),
        n_events=None,
        level=level,
        method=f"percentile bootstrap, {len(draws)} resamples, {how}; {pairs.matched_on}",
        se=float(finite.std(ddof=1)) if len(finite) > 1 else NAN,
    )
