"""The naive contrast of concordant and discordant patients; public through `treatsel.metrics.policy`."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import FloatArray, check_choice, check_level, check_vector
from treatsel._reporting.summary import Summarized
from treatsel._stats.by_arm_tables import shares_of
from treatsel._stats.clusters import Clusters, check_clusters
from treatsel._stats.estimate import NAN, Estimate, estimate_of, not_estimable
from treatsel._stats.intervals import two_sided_p
from treatsel._stats.proportions import share_of
from treatsel._stats.two_proportions import LIMITS, chi_squared, fisher, limits_of, standard_error_of
from treatsel._stats.vectors import Scored, check_labels, check_patients, check_scored, ordered_labels
from treatsel._stats.weights import WeightsAre

BIASED = "biased: not the gain from following the recommendations"
NO_SPREAD = 1e-9  # share of the contrast left by the regression; below it, the regressors fix concordance


@dataclass(frozen=True, kw_only=True, repr=False)
class NaiveConcordanceContrast(Summarized):
    """The naive contrast, and its expected value if no patient gained from the recommendations.

    Attributes
    ----------
    concordant, discordant : Estimate
        Outcome rates of the patients who received the recommended arm and of the others (Wilson).
    difference : Estimate
        The first minus the second. **Biased: not the gain from following the recommendations.**
    without_gain : Estimate
        The same contrast of the outcome rates from an additive model of the received arm, the recommended
        arm and, if given, the prognosis: the differences between the arms are then the same whatever is
        recommended, so that no patient gains from the rule.
    excess : Estimate
        `difference` minus `without_gain`, with the p value for no such excess. It does not estimate the
        gain either, but indicates one.
    chi_squared, p_value_chi_squared, odds_ratio, p_value_fisher : float
        Pearson's test without continuity correction, and the conditional odds ratio and p value of
        Fisher's exact test, for `difference`: as published, and with the same bias. They treat the
        patients as independent. NaN with sampling weights.
    """

    concordant: Estimate
    discordant: Estimate
    difference: Estimate
    without_gain: Estimate
    excess: Estimate
    chi_squared: float = NAN
    p_value_chi_squared: float = NAN
    odds_ratio: float = NAN
    p_value_fisher: float = NAN

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name, each estimate as a dictionary."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per estimate."""
        names = ("concordant", "discordant", "difference", "without_gain", "excess")
        rows = {name.replace("_", " "): getattr(self, name).to_dict() for name in names}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="quantity")


def naive_concordance_contrast(
    y_true: npt.ArrayLike,
    received: npt.ArrayLike,
    recommended: npt.ArrayLike,
    *,
    prognosis: npt.ArrayLike | None = None,
    interval: Literal["wald", "newcombe", "agresti-caffo", "score"] = "newcombe",
    clusters: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> NaiveConcordanceContrast:
    """Outcome rate of the concordant minus that of the discordant patients, with its bias.

    **This is not the gain from following the recommendations.** It compares different patients, is about
    twice the true gain where there is one, and shows a gain where there is none as soon as some arm is
    better on average or assignment followed prognosis. It allows published figures to be reproduced, and is
    always returned with its expected value under no gain. Report `gain_over_best_arm`.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome (1 is good), 0 or 1.
    received, recommended : array-like of shape (n_patients,)
        Arm labels.
    prognosis : array-like of shape (n_patients,), optional
        Probability of the outcome regardless of the arm, for example the mean over the arms of a by-arm
        table. Needed for `without_gain` if assignment followed prognosis (routine data); optional in a trial.
    interval : {"newcombe", "wald", "agresti-caffo", "score"}, default "newcombe"
        Interval of `difference`: from two Wilson intervals; Wald without continuity correction; Wald with one
        event and one non-event added to each group; or the inverted score test of Miettinen and Nurminen.
    clusters : array-like of shape (n_patients,), optional
        Site or service of each patient; all intervals are then cluster-robust Wald with Student's t.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 is the same row twice.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    NaiveConcordanceContrast
        Differences of proportions in [-1, 1]; positive: the concordant patients did better. NaN if no patient
        is concordant, or all are. `without_gain` is the contrast of the fitted values of a linear
        regression of the outcome on the received arm and the recommended arm (and `prognosis`) without
        interaction; `excess` is the contrast of its residuals, with heteroscedasticity-robust errors.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a label is missing or a prognosis is not finite.

    References
    ----------
    DeRubeis et al. (2014), PLoS ONE 9(1), e83875. doi:10.1371/journal.pone.0083875
    Newcombe (1998), Statistics in Medicine 17(8), 873-890.
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I
    MacKinnon & White (1985), Journal of Econometrics 29(3), 305-325. doi:10.1016/0304-4076(85)90158-7

    Examples
    --------
    >>> received = ["CBT"] * 4 + ["SSRI"] * 4
    >>> found = naive_concordance_contrast([1, 1, 1, 0, 1, 0, 0, 0], received, ["CBT"] * 8)
    >>> found.difference.value, round(found.without_gain.value, 3), found.excess.value
    (0.5, 0.5, 0.0)
    """
    check_choice("interval", interval, LIMITS)
    if isinstance(recommended, pd.DataFrame):
        rows, recommended, shares = _expanded(recommended)
        y_true, received = np.asarray(y_true)[rows], np.asarray(received, dtype=object)[rows]
        prognosis = None if prognosis is None else np.asarray(prognosis)[rows]
        clusters = None if clusters is None else np.asarray(clusters, dtype=object)[rows]
        sample_weight = shares if sample_weight is None else shares * np.asarray(sample_weight)[rows]
    vectors = {"received": received, "recommended": recommended, "prognosis": prognosis}
    check_patients(y_true=y_true, **vectors, sample_weight=sample_weight)
    arms = [check_labels(name, vectors[name]) for name in ("received", "recommended")]
    agree = np.asarray(arms[0] == arms[1])
    data, level = _scored(y_true, agree, sample_weight, weights_are), check_level(level)
    clustering, concordant = check_clusters(clusters, data, y_true), data.score == 1
    if concordant.all() or not concordant.any():
        reason = "no patient is discordant" if concordant.any() else "no patient is concordant"
        nothing = not_estimable(reason, n=data.n, n_events=data.n_events, level=level)
        return NaiveConcordanceContrast(
            concordant=nothing, discordant=nothing, difference=nothing, without_gain=nothing, excess=nothing
        )
    columns = [_indicators(labels[data.rows]) for labels in arms]
    if prognosis is not None:
        columns.append(check_vector("prognosis", prognosis)[data.rows, None])
    parts = [data.subset(concordant), data.subset(~concordant)]
    n, events = np.array([part.total for part in parts]), np.array([part.events for part in parts])
    pearson, exact = (NAN, NAN), (NAN, NAN)
    if not data.weights.sampling:  # tests of counts
        pearson, exact = chi_squared(events, n), fisher(events, n)
    without_gain, excess = _split(data, clustering, np.hstack(columns), level)
    return NaiveConcordanceContrast(
        concordant=share_of(data.outcome, concordant, data, clustering, level),
        discordant=share_of(data.outcome, ~concordant, data, clustering, level),
        difference=_difference(data, events, n, clustering, interval=interval, level=level),
        without_gain=without_gain,
        excess=excess,
        chi_squared=pearson[0],
        p_value_chi_squared=pearson[1],
        odds_ratio=exact[0],
        p_value_fisher=exact[1],
    )


def _scored(y_true: Any, agree: Any, sample_weight: Any, weights_are: WeightsAre) -> Scored:
    return check_scored(y_true, agree.astype(float), sample_weight, weights_are=weights_are)


def _expanded(recommended: pd.DataFrame) -> tuple[Any, Any, FloatArray]:
    """Return one row per patient and recommended arm: position of the patient, arm, and its share."""
    shares = shares_of(recommended, recommended.columns)
    rows, columns = np.nonzero(shares)
    return rows, recommended.columns.to_numpy(dtype=object)[columns], shares[rows, columns]


def _difference(
    data: Scored, events: FloatArray, n: FloatArray, clustering: Clusters, *, interval: str, level: float
) -> Estimate:
    share = events / n
    value, se = float(share[0] - share[1]), standard_error_of(events, n)
    limits, method = limits_of(interval, events, n, level), interval.capitalize()
    if clustering.is_robust:
        own = np.where(data.score == 1, share[0], share[1])
        se = clustering.error((data.outcome - own) * _contrast(data) * data.total)
        limits, method = clustering.limits(value, se, level, low=-1, high=1), clustering.method("Wald", se)
    p_value = two_sided_p(value, se, df=clustering.df)
    named = f"{method}; {BIASED}"
    return estimate_of(data, value, limits, se=se, level=level, method=named, p_value=p_value)


def _split(
    data: Scored, clustering: Clusters, columns: FloatArray, level: float
) -> tuple[Estimate, Estimate]:
    """Return the contrast of the fitted values without interaction, and that of the residuals."""
    weight, contrast = data.weight, _contrast(data)
    design = np.column_stack([np.ones(len(weight)), columns - weight @ columns / weight.sum()])
    carried = design @ _coefficients(design, weight, contrast)
    left = contrast - carried
    if np.abs(left).max() <= NO_SPREAD * np.abs(contrast).max():
        carried, left = contrast, np.zeros_like(contrast)
    full = np.column_stack([design, left])
    residual = data.outcome - full @ _coefficients(full, weight, data.outcome)
    spare = data.total - np.linalg.matrix_rank(full.T @ (full * weight[:, None]), hermitian=True)
    factor = np.sqrt((data.total - 1) / spare) if spare > 0 else NAN
    found = []
    for own in (carried, left):
        value = float(weight @ (own * data.outcome))
        se = clustering.error(own * residual * data.total * factor)
        limits, p_value = clustering.limits(value, se, level), two_sided_p(value, se, df=clustering.df)
        method = clustering.method("regression without interaction, robust Wald", se)
        found.append(estimate_of(data, value, limits, se=se, level=level, method=method, p_value=p_value))
    return found[0], found[1]


def _contrast(data: Scored) -> FloatArray:
    """Return the coefficient of each outcome in the difference of the two rates."""
    concordant = data.score == 1
    sizes = [float(data.weight[own].sum()) for own in (concordant, ~concordant)]
    return np.where(concordant, 1 / sizes[0], -1 / sizes[1])


def _coefficients(design: FloatArray, weight: FloatArray, values: FloatArray) -> FloatArray:
    weighted = design * weight[:, None]
    return np.asarray(np.linalg.pinv(weighted.T @ design, hermitian=True) @ (weighted.T @ values))


def _indicators(labels: Any) -> FloatArray:
    return np.column_stack([labels == arm for arm in ordered_labels(labels)]).astype(float)
