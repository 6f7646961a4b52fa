"""Net benefit at a threshold: TP/n - odds(threshold) x FP/n."""

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, check_level, reaches
from treatsel._stats.clustered_means import Units, mean_estimate
from treatsel._stats.estimate import Estimate, not_estimable
from treatsel._stats.vectors import Scored, check_labels, check_patients, check_predicted, codes_of
from treatsel._stats.weights import WeightsAre
from treatsel.metrics.utility._threshold_counts import check_grid, check_harm, check_prevalence

NEEDS_BOTH = "a known prevalence needs patients with both outcomes"


def net_benefit(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    threshold: float,
    *,
    prevalence: float | None = None,
    harm: float = 0.0,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> Estimate:
    """Net benefit of acting where the predicted probability is at least the threshold.

    True positives minus false positives, each as a proportion of all patients; false positives are weighted
    by threshold / (1 - threshold). See `decision_curve` for the interpretation, and for when to pass 1 - y
    and 1 - p.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1, in [0, 1]. Values of exactly 0 and 1 are not modified.
    threshold : float
        In [0, 1). A prediction of at least the threshold is positive, with a tolerance of 1e-12 for
        rounding: 1 - 0.9 reaches 0.1.
    prevalence : float, optional
        Known prevalence of outcome 1 in the population, if these patients were sampled by outcome.
    harm : float, default 0
        Cost of obtaining the prediction, in true positives per patient.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient, for a cluster-robust standard error with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        In true positives per patient, at most the prevalence; higher is better; 0 is treat none. Wald
        interval, not truncated; of zero width if no prediction reaches the threshold. NaN if `prevalence` is
        given and one of the outcomes is absent.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], the threshold outside
        [0, 1), or an option out of its range.

    References
    ----------
    Vickers & Elkin (2006), Medical Decision Making 26(6), 565-574. doi:10.1177/0272989X06295361
    Pfeiffer & Gail (2020), Biometrical Journal 62(3), 764-776. doi:10.1002/bimj.201800240

    Examples
    --------
    >>> found = net_benefit([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.7], 0.4)
    >>> f"{found.value:.3f} ({found.lower:.3f} to {found.upper:.3f})"
    '0.222 (-0.302 to 0.747)'
    """
    (at,) = check_grid(threshold, below=1)
    known, (cost,) = check_prevalence(prevalence), check_harm(harm, ["model"])
    check_patients(y_true=y_true, y_prob=y_prob, clusters=clusters)
    data = check_predicted(y_true, y_prob, sample_weight, weights_are=weights_are)
    level = check_level(level)
    if known is not None and not data.has_both:
        return not_estimable(NEEDS_BOTH, n=data.n, n_events=data.n_events, level=level)
    codes = None if clusters is None else codes_of(check_labels("clusters", clusters))[data.rows]
    units = Units(weights=data.weights, codes=codes, level=level)
    return mean_estimate(_parts(data, at, known) - cost, units, n_events=data.n_events)


def _parts(data: Scored, threshold: float, prevalence: float | None) -> FloatArray:
    """Return one value per patient whose mean is the net benefit and whose variance is that of its influence.

    NB = TP / n - FP / n x t / (1 - t). With a known prevalence pi: NB = pi TPR - (1 - pi) FPR t / (1 - t),
    where the influence of a member of a class on its rate is (indicator - rate) / share of the class.
    """
    positive: FloatArray = reaches(data.score, threshold).astype(float)
    odds = threshold / (1 - threshold)
    if prevalence is None:
        return positive * (data.outcome - odds * (1 - data.outcome))
    share, found = data.prevalence, np.zeros(len(positive))
    pairs = ((data.outcome, prevalence, share), (1 - data.outcome, odds * (prevalence - 1), 1 - share))
    for member, worth, of_all in pairs:
        rate = data.mean(member * positive) / of_all
        found += worth * (rate + member * (positive - rate) / of_all)
    return found
