"""Where the true value of a new site is expected: the distributions behind a prediction interval."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import stdtr

from treatsel._checks import FloatArray
from treatsel._stats.heterogeneity import cochran_q
from treatsel._stats.intervals import Interval, wald

# As in R's pimeta; each draw is used with both signs. Limits computed from other draws differ, as a standard
# deviation, by about 0.6 % of the width of the interval.
N_DRAWS = 25_000
FEWEST_SITES = 3  # with two sites, draws of tau2 are so often huge that the interval tells nothing


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StudentsT:
    """Student's t around the mean: Higgins et al. (2009), doi:10.1111/j.1467-985X.2008.00552.x."""

    center: float
    scale: float
    df: int

    def below(self, target: float) -> float:
        """Return the probability that the true value is at most a target."""
        if not self.scale:
            return float(target >= self.center)
        return float(stdtr(self.df, (target - self.center) / self.scale))

    def interval(self, level: float) -> Interval:
        """Return the limits between which the true value lies with a probability of `level`."""
        return wald(self.center, self.scale, level, df=self.df)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Draws:
    """Draws of the true value."""

    values: FloatArray
    df: int

    def below(self, target: float) -> float:
        """Return the probability that the true value is at most a target."""
        return float((self.values <= target).mean())

    def interval(self, level: float) -> Interval:
        """Return the limits between which the true value lies with a probability of `level`."""
        lower, upper = np.quantile(self.values, [(1 - level) / 2, (1 + level) / 2])
        return Interval(float(lower), float(upper))


def confidence_distribution(y: FloatArray, v: FloatArray) -> Draws:
    """Return draws that allow for the uncertainty of tau2, as Nagashima et al. (2019).

    Each draw of tau2 gives a mean m, with weights 1 / (v + tau2), and its Hartung-Knapp variance s^2; the new
    value is m + tau z + s t, with z standard normal and t Student's t with k - 1 df.

    References
    ----------
    Nagashima, Noma & Furukawa (2019), Statistical Methods in Medical Research 28(6), 1689-1702.
    doi:10.1177/0962280218773520
    """
    df = len(y) - 1
    tau2, (_, z, t) = draws_of_tau2(y, v), _standard_draws(df)
    share = 1 / (v + tau2[:, None])
    total = share.sum(axis=1)
    mean = share @ y / total
    # sum w (y - m)^2 as sum w (y - c)^2 - W (m - c)^2: no further table of draws by sites
    squares = share @ (y - y.mean()) ** 2 - total * (mean - y.mean()) ** 2
    away = np.sqrt(tau2) * z + np.sqrt(np.maximum(squares, 0.0) / df / total) * t
    return Draws(values=np.concatenate([mean + away, mean - away]), df=df)


def draws_of_tau2(y: FloatArray, v: FloatArray) -> FloatArray:
    """Return draws from the confidence distribution of tau2, for which P(tau2 <= t) = P(Q > q) given t.

    Given tau2, Cochran's Q is distributed as sum_r (1 + tau2 a_r) X_r, where the X_r are independent
    chi-squared variables with 1 df and the a_r are the eigenvalues above 0 of diag(w) - w w' / sum(w), with
    w = 1 / v. Setting this to the observed q and solving for tau2 turns draws of the X_r into one of tau2 (0
    where the solution is negative); the distribution of Q needs no numerical inversion.
    """
    weight = 1 / v
    spread = np.linalg.eigvalsh(np.diag(weight) - np.outer(weight, weight) / weight.sum())[1:]
    chi2, _, _ = _standard_draws(len(y) - 1)
    draws = (cochran_q(y, v).statistic - chi2.sum(axis=1)) / (chi2 @ spread)
    return np.asarray(np.maximum(0.0, draws))


@lru_cache(maxsize=4)  # the measures of a report have the same number of sites
def _standard_draws(df: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return `df` columns of chi-squared variables with 1 df, and normal and Student's t variables.

    The seed is fixed, so that an interval depends on the data alone.
    """
    random = np.random.default_rng(2019)
    chi2 = random.normal(size=(N_DRAWS, df)) ** 2
    return chi2, random.normal(size=N_DRAWS), random.standard_t(df, N_DRAWS)
