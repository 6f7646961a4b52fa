"""Published estimates as a Gaussian factor: on differences of marginal log odds, and on slopes.

The marginal log odds of an arm are those of its mean probability over patients, and are no linear function of
the coefficients. The factor is therefore evaluated, with its derivative, wherever the posterior is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import block_diag
from scipy.special import expit, logit
from scipy.stats import chi2

from treatsel._checks import FloatArray, by_text, listed
from treatsel.additive import Encoding
from treatsel.errors import InputError
from treatsel.models.priors import Priors

# Heterogeneity between the published populations and this cohort, SD of a log odds ratio: grid, and scale of
# its half-normal prior, usual in meta-analysis (Röver et al. 2021, Res Synth Methods 12(4), 448-474).
HETEROGENEITY = np.linspace(0.0, 1.5, 25)
HETEROGENEITY_SCALE = 0.5
CONFLICT = 0.05  # p value below which a disagreement of published estimates and patients is told


COLUMNS = ("what", "prior", "prior_se", "patients", "patients_se", "difference_sd", "used_se")


@dataclass(frozen=True, eq=False, repr=False)
class Outside:
    """Estimates from elsewhere, as a Gaussian factor on functions of the terms.

    `design`, `weights`: patients over whom is averaged, (R, n), and their weights under each arm, (R, K),
    which sum to 1. `contrasts`: (C, K), from the arms' marginal log odds to the first functions; `slopes`:
    (L, K, n), linear functions of the terms, which follow. `mean`, `covariance`: (C + L,), (C + L, C + L).
    `names`: what each function is.
    """

    design: FloatArray
    weights: FloatArray
    contrasts: FloatArray
    slopes: FloatArray
    mean: FloatArray
    covariance: FloatArray
    names: tuple[str, ...]

    @property
    def speaks_of(self) -> np.ndarray:
        """Arms with a published mean or contrast, shape (K,)."""
        return np.asarray((self.contrasts != 0).any(axis=0))

    def arm_sd(self) -> float:
        """Return the SD of the published log odds of arms around their mean."""
        arms = np.linalg.pinv(self.contrasts) @ self.mean[: len(self.contrasts)]
        known = arms[self.speaks_of]
        return float(known.std(ddof=1)) if len(known) > 1 else 0.0

    def with_arms(self, order: np.ndarray) -> "Outside":
        """Return the same estimates for arms in another order."""
        parts = {name: getattr(self, name)[:, order] for name in ("weights", "contrasts", "slopes")}
        return replace(self, **parts)

    def functions(self, by_arm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the functions of terms (K, q), and their derivative, shape (C + L, K, q)."""
        n = self.design.shape[1]
        p = expit(self.design @ by_arm[:, :n].T)
        mean = (self.weights * p).sum(axis=0)
        slope = (self.weights * p * (1 - p)).T @ self.design
        slope /= (mean * (1 - mean))[:, None]
        value = np.concatenate(
            [self.contrasts @ logit(mean), np.einsum("lkp,kp->l", self.slopes, by_arm[:, :n])]
        )
        derivative = np.zeros((len(value), *by_arm.shape))
        derivative[: len(self.contrasts), :, :n] = self.contrasts[:, :, None] * slope
        derivative[len(self.contrasts) :, :, :n] = self.slopes
        return value, derivative

    def energy(self, by_arm: FloatArray) -> float:
        """Return minus the log density, without constants."""
        away = self.functions(by_arm)[0] - self.mean
        return 0.5 * float(away @ np.linalg.solve(self.covariance, away))

    def quadratic(self, by_arm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient (K, q) and curvature (K, q, K, q) of the log density (Gauss-Newton)."""
        value, derivative = self.functions(by_arm)
        weighted = np.linalg.solve(self.covariance, derivative.reshape(len(value), -1))
        gradient = -(value - self.mean) @ weighted
        curvature = derivative.reshape(len(value), -1).T @ weighted
        return gradient.reshape(by_arm.shape), curvature.reshape(*by_arm.shape, *by_arm.shape)

    def log_density(self, value: FloatArray, covariance: FloatArray) -> float:
        """Return the log density of the estimates under a model, without constants."""
        away, whole = value - self.mean, covariance + self.covariance
        return -0.5 * float(away @ np.linalg.solve(whole, away) + np.linalg.slogdet(whole)[1])

    def compared(self, value: FloatArray, covariance: FloatArray) -> "Agreement":
        """Compare with the same functions estimated from the patients alone; adapt how much they count."""
        joint = covariance + self.covariance
        away = value - self.mean
        spread = np.zeros_like(self.covariance)
        n = len(self.contrasts)
        # a difference of two arms varies between populations with the variance of heterogeneity
        spread[:n, :n] = self.contrasts @ self.contrasts.T / 2
        log_weights = []
        for tau in HETEROGENEITY:
            whole = joint[:n, :n] + tau**2 * spread[:n, :n]
            fit = away[:n] @ np.linalg.solve(whole, away[:n]) + np.linalg.slogdet(whole)[1] if n else 0.0
            log_weights.append(-0.5 * (float(fit) + (tau / HETEROGENEITY_SCALE) ** 2))
        weights = np.exp(np.array(log_weights) - max(log_weights))
        tau2 = float(weights @ HETEROGENEITY**2 / weights.sum())
        statistic = float(away @ np.linalg.solve(joint, away))
        return Agreement(
            outside=replace(self, covariance=self.covariance + tau2 * spread),
            value=value,
            se=np.sqrt(np.diag(covariance)),
            stated=np.sqrt(np.diag(self.covariance)),
            p_value=float(chi2.sf(statistic, len(away))),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Agreement:
    """Published estimates beside those of the patients alone.

    `outside`: the factor, with a covariance that includes heterogeneity; `value`, `se`: from the patients
    alone; `stated`: published standard errors; `p_value`: of their difference.
    """

    outside: Outside
    value: FloatArray
    se: FloatArray
    stated: FloatArray
    p_value: float

    def conflict(self) -> str | None:
        """Return how published estimates and patients disagree; None if they do not."""
        if self.p_value >= CONFLICT:
            return None
        row = max(self.rows(), key=lambda row: abs(row["difference_sd"]))
        prior, patients = (f"{row[key]:+.2f} (SE {row[f'{key}_se']:.2f})" for key in ("prior", "patients"))
        return (
            f"published estimates and patients disagree (p = {self.p_value:.2g}). The largest difference is "
            f"{abs(row['difference_sd']):.1f} SD, in the {row['what']}: {prior} published, {patients} in the "
            "patients. Published estimates of arms count less accordingly; check population, outcome and "
            "direction."
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each estimate, for a table."""
        used = np.sqrt(np.diag(self.outside.covariance))
        away = (self.value - self.outside.mean) / np.hypot(self.stated, self.se)
        columns = (self.outside.mean, self.stated, self.value, self.se, away, used)
        rows = zip(self.outside.names, *(column.tolist() for column in columns), strict=True)
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def outside_of(
    priors: Priors, encoding: Encoding, arms: Sequence[Any], design: FloatArray, weights: FloatArray
) -> Outside | None:
    """Return the factor of published estimates for a model with these arms; None without estimates.

    `design`, `weights`: patients over whom is averaged; one weight each, or one under each arm.

    Raises
    ------
    InputError
        If an arm or a covariate is unknown.
    """
    if priors.is_empty:
        return None
    known, n_arms = by_text(arms), len(arms)
    if weights.ndim == 1:
        weights = np.tile(weights[:, None], n_arms)
    weights = weights / weights.sum(axis=0)
    positions = {arm: number for number, arm in enumerate(arms)}

    def of_arms(named: Mapping[Any, float]) -> FloatArray:
        row = np.zeros(n_arms)
        for label, sign in named.items():
            arm = known(label)
            if arm in positions and row[positions[arm]]:
                raise InputError(f"priors compare the arm {label!r} with itself.")
            if arm not in positions:
                raise InputError(
                    f"priors name the arm {label!r}. The arms are {listed(list(map(str, arms)))}."
                )
            row[positions[arm]] = sign
        return row

    if len({known(arm) for arm in priors.arm_means}) < len(priors.arm_means):
        raise InputError("arm_means name an arm twice: labels with the same text are the same arm.")
    rows, means, covariances, names = [], [], [], []
    if priors.arm_means:  # the level of another population is free: only differences from the first arm count
        (first, *others), rates = priors.arm_means, np.array(list(priors.arm_means.values()), dtype=float)
        spread = rates[:, 1] / (rates[:, 0] * (1 - rates[:, 0]))  # delta method
        rows += [of_arms({arm: 1.0, first: -1.0}) for arm in others]
        means.append(logit(rates[1:, 0]) - logit(rates[0, 0]))
        covariances.append(np.diag(spread[1:] ** 2) + spread[0] ** 2)
        names += [f"log odds ratio of {arm} against {first}" for arm in others]
    if priors.arm_contrasts:
        found = np.array(list(priors.arm_contrasts.values()), dtype=float)
        rows += [of_arms({one: 1.0, other: -1.0}) for one, other in priors.arm_contrasts]
        means.append(found[:, 0])
        covariances.append(priors.correlation() * np.outer(found[:, 1], found[:, 1]))
        names += [f"log odds ratio of {one} against {other}" for one, other in priors.arm_contrasts]
    slopes = []
    for (one, other, covariate), (mean, se) in priors.modifiers.items():
        slope = _slope(covariate, encoding, design, weights)
        slopes.append(of_arms({one: 1.0, other: -1.0})[:, None] * slope)
        means.append(np.array([mean]))
        covariances.append(np.array([[se**2]]))
        names.append(f"log odds ratio of {one} against {other} per unit of {covariate}")
    for covariate, (mean, se) in priors.prognosis.items():
        slopes.append(np.full((n_arms, 1), 1 / n_arms) * _slope(covariate, encoding, design, weights))
        means.append(np.array([mean]))
        covariances.append(np.array([[se**2]]))
        names.append(f"log odds per unit of {covariate}")
    return Outside(
        design=design,
        weights=weights,
        contrasts=np.array(rows).reshape(-1, n_arms),
        slopes=np.array(slopes).reshape(-1, n_arms, design.shape[1]),
        mean=np.concatenate(means),
        covariance=block_diag(*covariances),
        names=tuple(names),
    )


def _slope(name: str, encoding: Encoding, design: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the least-squares slope of each term on a covariate, over the patients who have a value."""
    numbers = {column.name: column for column in encoding.columns if column.levels is None}
    matrix, used = design[:, 1:], np.ones(len(design), dtype=bool)
    if name in numbers:
        column = numbers[name]
        start = int(encoding.starts[encoding.names.index(name)])
        values = column.values(matrix[:, start])
        if column.indicator:
            used = matrix[:, start + column.width - 1] == 0
    elif name in encoding.features:
        values = matrix[:, encoding.features.index(name)]
    else:
        texts = [f for f, kind in zip(encoding.features, encoding.kinds, strict=True) if kind == "category"]
        raise InputError(
            f"priors name the covariate {name!r}. Numbers are {listed(list(numbers))}"
            + (f"; categories are {listed(texts[:20])}." if texts else ".")
        )
    own = weights.mean(axis=1) * used
    away = own * (values - np.average(values, weights=own))
    total = float(away @ values)
    if not total > 0:
        raise InputError(f"priors name the covariate {name!r}, which has the same value in all patients.")
    return np.asarray(away @ design / total)
