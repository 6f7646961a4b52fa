"""C-for-benefit of matched pairs; public through `treatsel.metrics.benefit`."""

import numpy as np

from treatsel._checks import FloatArray, check_level
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.intervals import wald
from treatsel.metrics.benefit._matching import MatchedPairs
from treatsel.metrics.benefit._pair_bootstrap import NAN, Definition, _check_seed, _draws, _percentile


def c_for_benefit(
    pairs: MatchedPairs,
    *,
    predicted: Definition = "mean",
    n_resamples: int | None = None,
    random_state: int = 0,
    level: float = 0.95,
) -> Estimate:
    """C-for-benefit: concordance of predicted and observed benefit between matched pairs.

    The probability that, of two pairs with different observed benefits, the one with the larger predicted
    benefit has the larger observed benefit.

    Parameters
    ----------
    pairs : MatchedPairs
        From `match_pairs`, or `MatchedPairs.of` for pairs matched elsewhere. **The value depends on the
        matching**: on the matching variables, and on the order of the rows (changes of about .02 are usual).
    predicted : {"mean", "own_arm"}, default "mean"
        Predicted benefit of a pair: the mean of its two patients' predicted benefits (van Klaveren), or the
        treated patient's prediction under treatment minus the control patient's prediction under control
        (the R package HTEPredictionMetrics). The second definition counts differences in prognosis within
        a pair as benefit and gives higher values, especially if pairs were matched on benefit.
    n_resamples : int, optional
        Number of bootstrap resamples of the whole procedure (patients, or `clusters`, are resampled and
        matched again) for a percentile interval. By default a Wald interval with Noether's standard error,
        which takes the pairs as given.
    random_state : int, default 0
        Seed of the bootstrap.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        Proportion in [0, 1]; higher is better, 0.5 is chance. Pairs of equal observed benefit are not
        compared; equal predicted benefits count half. `n` is the number of pairs; `method` describes the
        matching. The largest attainable value is unknown and far below 1: do not interpret the estimate as
        an AUC. NaN if all pairs have the same observed benefit.

    Raises
    ------
    InputError
        If an option is unknown, or `predicted` is "mean" and the pairs have no `mean_benefit`.

    References
    ----------
    van Klaveren et al. (2018), Journal of Clinical Epidemiology 94, 59-68.
    doi:10.1016/j.jclinepi.2017.10.021
    Hoogland et al. (2024), Statistics in Medicine 43(23), 4481-4498 (on its limits). doi:10.1002/sim.10186
    Noether (1967), Elements of Nonparametric Statistics.

    Examples
    --------
    >>> p_treated, p_control = [0.6, 0.5, 0.5, 0.4], [0.3, 0.4, 0.5, 0.4]
    >>> pairs = MatchedPairs.of([1, 0, -1, 0], p_treated, p_control, mean_benefit=[2, 1, 0, 1])
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
        method = f"no interval: no two pairs disagree, so Noether's standard error is 0; {pairs.matched_on}"
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
    """Return Harrell's concordance, with tied predictions counting half, and Noether's standard error.

    Over comparisons of different observed benefits, Dxy = (concordant - discordant) / comparable and
    C = (Dxy + 1) / 2. With q_i the number of comparisons of i, and r_i the concordant minus the discordant
    ones among them: se(C) = sqrt(sum (r_i - Dxy q_i)^2) / sum q_i (Noether 1967; as `rcorr.cens` of R's
    Hmisc).
    """
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
