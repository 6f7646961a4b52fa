"""Targeting operator characteristic (TOC) and its areas; public through `treatsel.metrics.benefit`."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import digamma

from treatsel._checks import FloatArray, check_choice, check_vector, count_of
from treatsel._reporting.plots import curves, intervals_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import Estimate
from treatsel._stats.intervals import quantile_of, two_sided_p, wald
from treatsel._stats.weights import WeightsAre
from treatsel.errors import InputError
from treatsel.metrics.benefit._arm_pair import ArmPair, benefit_scores, check_pair, codes_or_none

GRID = np.arange(1, 11) / 10
MOST_TABULATED = 10_000_000  # largest table of harmonic numbers


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RankWeightedEffect(Summarized):
    """Gain from treating the highest-ranked patients instead of as many chosen at random.

    Attributes
    ----------
    autoc, qini : Estimate
        Area under the TOC, and area weighted by the share treated; 0 for a ranking without information.
    table : pandas.DataFrame
        Columns q (share ranked first), value (their average benefit minus that of all patients), lower,
        upper, se.
    level : float
        Confidence level of all limits.
    """

    autoc: Estimate
    qini: Estimate
    table: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the curve."""
        return self.table.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the curve with its pointwise band.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the lines; bands have the same color.

        Returns
        -------
        matplotlib Axes
        """
        return curves(
            self.table.assign(curve="TOC"),
            x="q",
            by="curve",
            xlabel="Share of patients, highest priority first",
            ylabel="Average benefit minus that of all patients",
            band=intervals_of(self.level),
            reference=0,
            ax=ax,
            **kwargs,
        )


def rank_weighted_average_treatment_effect(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    by_arm: pd.DataFrame,
    propensity: npt.ArrayLike | pd.DataFrame,
    *,
    control: Hashable,
    treated: Hashable,
    priority: npt.ArrayLike | None = None,
    scores: Literal["aipw", "ht"] = "aipw",
    at: npt.ArrayLike | None = None,
    n_resamples: int = 200,
    random_state: int = 0,
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> RankWeightedEffect:
    """Rank-weighted average benefit (RATE): TOC curve, AUTOC and Qini of a ranking of the patients.

    TOC(q) is the average benefit of the share q of patients ranked highest minus that of all patients. AUTOC
    is its mean over the patients, Qini the mean of q TOC(q), as in R's grf (other packages scale "Qini"
    differently).

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received : array-like of shape (n_patients,)
        Arm labels; patients of other arms are left out.
    by_arm : pandas.DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome under each arm, from a model that has not seen these patients. It
        is the outcome model of the doubly robust scores.
    propensity : pandas.DataFrame of shape (n_patients, n_arms) or array-like of shape (n_patients,)
        Probability of receiving each arm; rows sum to 1; renormalized to the two arms. If `by_arm` has only
        two arms, the probability of the received arm is enough.
    control, treated : label
        The two arms.
    priority : array-like of shape (n_patients,), optional
        Any score by which patients are ranked, highest first. By default the predicted benefit. Patients of
        equal priority (to 15 significant digits, as in grf) share the mean of their scores.
    scores : {"aipw", "ht"}, default "aipw"
        Doubly robust scores, or Horvitz-Thompson scores without an outcome model.
    at : array-like of shape (n_points,), optional
        Shares in (0, 1] at which to give the TOC; by default .1, .2, ..., 1.
    n_resamples : int, default 200
        Number of half-samples (of patients, or of clusters), drawn without replacement for standard errors.
    random_state : int, default 0
        Seed of the half-samples.
    clusters : array-like of shape (n_patients,), optional
        Site of each patient; half-samples are of whole sites, and intervals use Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    RankWeightedEffect
        Differences of probabilities; higher is better, 0 is a ranking without information (`p_value` tests
        this). Wald intervals. No interval with fewer than four patients or clusters.

    Raises
    ------
    InputError
        If lengths differ, an arm has no column or no patient, a propensity of a received arm is 0, or an
        option is out of range.

    References
    ----------
    Yadlowsky, Fleming, Shah, Brunskill & Wager (2025), Journal of the American Statistical Association
    120(549), 38-51. doi:10.1080/01621459.2024.2393466

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> by_arm = pd.DataFrame({"CBT": rng.uniform(0.2, 0.6, 1000), "SSRI": rng.uniform(0.2, 0.6, 1000)})
    >>> arm = rng.choice(["CBT", "SSRI"], 1000)
    >>> y = rng.binomial(1, np.where(arm == "CBT", by_arm["CBT"], by_arm["SSRI"]))
    >>> even = pd.DataFrame(0.5, index=by_arm.index, columns=by_arm.columns)
    >>> found = rank_weighted_average_treatment_effect(y, arm, by_arm, even, control="CBT", treated="SSRI")
    >>> round(found.autoc.value, 3), bool(found.autoc.lower > 0)
    (0.173, True)
    """
    check_choice("scores", scores, ["aipw", "ht"])
    if not isinstance(n_resamples, int | np.integer) or n_resamples < 2:
        raise InputError(f"n_resamples is {n_resamples!r}; it must be a whole number of at least 2.")
    labels: dict[str, Any] = {"control": control, "treated": treated}
    if priority is not None:
        labels["priority"] = priority
    pair = check_pair(
        y_true,
        received,
        by_arm,
        **labels,
        sample_weight=sample_weight,
        weights_are=weights_are,
        clusters=clusters,
        level=level,
    )
    shares = GRID if at is None else _checked_shares(at)
    score = benefit_scores(pair, by_arm, propensity, model=scores == "aipw")
    ranks = pair.benefit if priority is None else check_vector("priority", priority)[pair.rows]
    order, starts = _ranking(ranks)
    areas = _Areas(starts=starts, score=score[order], shares=shares)
    found = areas.of(pair.weight[order])
    random = np.random.default_rng(random_state)
    codes = None if pair.units.codes is None else pair.units.codes[order]
    halves = _halves(pair.weight[order], codes_or_none(codes), n_resamples, random)
    draws = np.array([areas.of(half) for half in halves])
    errors = draws.std(axis=0, ddof=1) if len(draws) else np.full(len(found), np.nan)
    df = None if pair.units.n_clusters is None else pair.units.n_clusters - 1
    half_width = quantile_of(pair.units.level, df=df) * errors
    toc = pd.DataFrame({"q": shares, "value": found[2:]})
    toc = toc.assign(lower=found[2:] - half_width[2:], upper=found[2:] + half_width[2:], se=errors[2:])
    area = [_area(pair, found[i], errors[i], df, len(draws)) for i in (0, 1)]
    return RankWeightedEffect(autoc=area[0], qini=area[1], table=toc, level=pair.units.level)


def _ranking(priority: FloatArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the order of the patients, highest priority first, and where each rank starts in it.

    Priorities that agree to 15 significant digits are equal, so that most rounding errors of a subtraction
    create no separate rank.
    """
    rounded = np.char.mod("%.15g", priority).astype(float)
    order = np.argsort(-rounded, kind="stable")
    new = np.concatenate([[True], np.diff(rounded[order]) != 0])
    return order, np.flatnonzero(new)


def _checked_shares(at: npt.ArrayLike) -> FloatArray:
    shares = check_vector("at", at)
    if n := int(((shares <= 0) | (shares > 1)).sum()):
        raise InputError(
            f"at holds {count_of(n, 'share')} outside (0, 1]; give shares above 0 and at most 1."
        )
    return shares


def _area(pair: ArmPair, value: float, se: float, df: int | None, n_draws: int) -> Estimate:
    limits = wald(value, se, pair.units.level, df=df)
    unit = "clusters" if df is not None else "patients"
    method = f"Wald, {n_draws} half-samples of {unit}" + ("" if df is None else f", t with {df} df")
    return Estimate(
        value=float(value),
        lower=limits.lower,
        upper=limits.upper,
        n=pair.n,
        n_events=pair.n_events,
        level=pair.units.level,
        method=method if n_draws else f"no interval: it needs at least four {unit}",
        se=float(se),
        p_value=two_sided_p(value, se, df=df),
    )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Areas:
    """Exact AUTOC, Qini and TOC of ranked patients, as a function of their weights.

    With scores G_(1), ..., G_(n) in the order of the ranking (Yadlowsky et al. 2025):

        TOC(j/n) = (1/j) sum_{i<=j} G_(i) - (1/n) sum_i G_(i)
        AUTOC = (1/n) sum_j TOC(j/n),   Qini = (1/n) sum_j (j/n) TOC(j/n)

    Within a tied group with mean score m at ranks a + 1, ..., b, the sum of the first i scores is
    s + (i - a) m, where s is the sum of the scores before the group. The sum over i of that divided by i
    follows from differences of harmonic numbers.
    """

    starts: npt.NDArray[np.intp]
    score: FloatArray
    shares: FloatArray

    def of(self, weight: FloatArray) -> FloatArray:
        """Return AUTOC, Qini and the TOC at the shares."""
        size = np.add.reduceat(weight, self.starts)
        mass = np.add.reduceat(weight * self.score, self.starts)
        end, reached = np.cumsum(size), np.cumsum(mass)
        total, average = end[-1], reached[-1] / end[-1]
        start, before = end - size, reached - mass
        mean = np.divide(mass, size, out=np.zeros_like(mass), where=size > 0)
        harmonic = np.diff(_harmonic(np.concatenate([[0.0], end])))
        autoc = ((before - start * mean) @ harmonic + reached[-1]) / total - average
        gains = size @ before + mean @ (size * (size + 1) / 2)
        qini = gains / total**2 - average * (total + 1) / (2 * total)
        at = self.shares * total
        summed = np.interp(at, np.concatenate([[0.0], end]), np.concatenate([[0.0], reached]))
        toc = np.where(self.shares == 1, 0.0, summed / at - average)
        return np.concatenate([[autoc, qini], toc])


def _harmonic(count: FloatArray) -> FloatArray:
    """Return harmonic numbers up to a constant; `count` is sorted, and need not be whole numbers."""
    if (count % 1).any() or count[-1] > MOST_TABULATED:
        return np.asarray(digamma(count + 1))
    table = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, count[-1] + 1))])
    return np.asarray(table[count.astype(np.intp)])


def _halves(
    weight: FloatArray, codes: npt.NDArray[np.intp] | None, n_resamples: int, random: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield the weights of half-samples; none if there are fewer than four units.

    As in R's grf, half-samples are drawn without replacement, because a bootstrap would create ties in the
    ranking. Four units make halves of two.
    """
    if codes is not None:
        count = int(codes.max()) + 1
        for _ in range(n_resamples if count >= 4 else 0):
            drawn = np.zeros(count)
            drawn[random.permutation(count)[: count // 2]] = 1
            yield weight * drawn[codes]
        return
    whole = not (weight % 1).any()
    rows = np.repeat(np.arange(len(weight)), weight.astype(np.intp) if whole else 1)
    for _ in range(n_resamples if len(rows) >= 4 else 0):
        drawn = random.choice(rows, len(rows) // 2, replace=False, shuffle=False)
        half = np.bincount(drawn, minlength=len(weight)).astype(float)
        yield half if whole else weight * half
