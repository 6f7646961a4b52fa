"""Brier and cross-entropy losses of predicted benefit in matched pairs."""

import dataclasses

import numpy as np

from treatsel._checks import FloatArray, check_level
from treatsel._stats.clustered_means import Units, mean_estimate
from treatsel._stats.estimate import Estimate
from treatsel._stats.logits import inside
from treatsel._stats.weights import Weights
from treatsel.metrics.benefit._matching import MatchedPairs


def brier_for_benefit(pairs: MatchedPairs, *, level: float = 0.95) -> Estimate:
    """Brier score for benefit: half the squared error of a pair's predicted probabilities.

    The probabilities are those of harm, no difference and benefit.

    Parameters
    ----------
    pairs : MatchedPairs
        From `match_pairs`, or `MatchedPairs.of`; taken as given.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        In [0, 1]; lower is better. Mean over pairs with a Wald interval; `n` is the number of pairs. The two
        outcomes of a pair are assumed to be independent given the predictions.

    References
    ----------
    Maas et al. (2023), BMC Medical Research Methodology 23, 165. doi:10.1186/s12874-023-01974-w

    Examples
    --------
    >>> brier_for_benefit(MatchedPairs.of([1, 0], [1.0, 0.5], [0.0, 0.5])).value
    0.09375
    """
    loss = sum((share - seen) ** 2 for share, seen in _shares(pairs, pairs.p_treated, pairs.p_control))
    return _mean_loss(np.asarray(loss) / 2, pairs, level)


def cross_entropy_for_benefit(pairs: MatchedPairs, *, level: float = 0.95) -> Estimate:
    """Cross-entropy for benefit: minus the log probability predicted for a pair's observed benefit.

    Parameters
    ----------
    pairs : MatchedPairs
        From `match_pairs`, or `MatchedPairs.of`; taken as given.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    Estimate
        0 or more; lower is better. Mean over pairs with a Wald interval; `n` is the number of pairs.

    Warns
    -----
    TreatselWarning
        If predictions are 0 or 1; 1e-8 and 1 - 1e-8 are used instead.

    References
    ----------
    Maas et al. (2023), BMC Medical Research Methodology 23, 165. doi:10.1186/s12874-023-01974-w

    Examples
    --------
    >>> round(cross_entropy_for_benefit(MatchedPairs.of([1, 0], [0.8, 0.5], [0.2, 0.5])).value, 4)
    0.5697
    """
    both = inside(np.concatenate([pairs.p_treated, pairs.p_control]))
    high, low = both[: len(pairs)], both[len(pairs) :]
    likelihood = sum(share * seen for share, seen in _shares(pairs, high, low))
    return _mean_loss(-np.log(np.asarray(likelihood)), pairs, level)


def _shares(pairs: MatchedPairs, high: FloatArray, low: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    benefit, harm = high * (1 - low), (1 - high) * low
    same = (1 - high) * (1 - low) + high * low
    return [(p, (pairs.observed == v).astype(float)) for p, v in ((benefit, 1), (same, 0), (harm, -1))]


def _mean_loss(loss: FloatArray, pairs: MatchedPairs, level: float) -> Estimate:
    units = Units(weights=Weights(values=np.ones(len(loss))), codes=None, level=check_level(level))
    found = mean_estimate(loss, units, n_events=None)
    return dataclasses.replace(found, method=f"{found.method}; {pairs.matched_on}, taken as given")
