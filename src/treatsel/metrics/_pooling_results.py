"""Results of pooling, and the scales that estimates are pooled on."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit, logit, stdtr

from treatsel._reporting.plots import estimates
from treatsel._stats.estimate import NAN
from treatsel.errors import InputError

Scale = Literal["identity", "logit", "log"]
BACK: dict[str, Callable[[Any], Any]] = {"identity": lambda x: x, "logit": expit, "log": np.exp}
FORTH: dict[str, Callable[[Any], Any]] = {"identity": lambda x: x, "logit": logit, "log": np.log}
RANGE = {"identity": (-np.inf, np.inf), "logit": (0.0, 1.0), "log": (0.0, np.inf)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Pooled:
    """Estimates of several sites, pooled by random effects.

    Attributes
    ----------
    value, lower, upper : float
        Mean over the population of sites with its interval, transformed back to the natural scale.
    prediction_lower, prediction_upper : float
        Where the true value of one new site is expected to lie, with probability `level`; natural scale.
    prediction_df : int
        Degrees of freedom of the prediction interval.
    se : float
        Standard error of the mean on the scale that was pooled.
    tau2 : float
        Variance of the true values between sites, on the scale that was pooled.
    i2 : float
        Share (0 to 1) of the variance of the sites' estimates that lies between sites.
    q, q_p_value : float
        Cochran's Q and the p value of no differences between sites (chi-squared, n_sites - 1 df).
    n_sites, n_left_out : int
        Sites pooled; sites without a finite estimate and a standard error above 0.
    scale, level, method : str, float, str
        Scale that was pooled; level of all intervals; how the interval was made, or why there is none.
    sites : pandas.DataFrame
        One row per site given: site, value, lower, upper (natural scale; normal interval), se (pooled
        scale), weight (share; 0: left out), pooled (bool).
    """

    value: float
    lower: float
    upper: float
    prediction_lower: float
    prediction_upper: float
    prediction_df: int
    se: float
    tau2: float
    i2: float
    q: float
    q_p_value: float
    n_sites: int
    n_left_out: int
    scale: str
    level: float
    method: str
    sites: pd.DataFrame

    def probability_above(self, target: float) -> float:
        """Return the probability that the true value of a new site exceeds a target (natural scale).

        From the distribution of the prediction interval: Student's t around the mean with variance
        tau2 + se^2 and `prediction_df` degrees of freedom (Riley et al. 2015, Statistics in Medicine 34(13),
        2081-2103, doi:10.1002/sim.6471). NaN where there is no prediction interval.

        Raises
        ------
        InputError
            If the target is outside the natural scale.
        """
        low, high = RANGE[self.scale]
        if not low <= target <= high:
            raise InputError(f"target is {target}; on the {self.scale} scale it must be {low:g} to {high:g}.")
        if self.prediction_df < 1 or not np.isfinite(self.prediction_lower):
            return NAN
        spread = np.sqrt(self.tau2 + self.se**2)
        with np.errstate(divide="ignore"):
            above = float(FORTH[self.scale](self.value) - FORTH[self.scale](target))
        if not spread:
            return float(above > 0)
        return float(stdtr(self.prediction_df, above / spread))

    def to_frame(self) -> pd.DataFrame:
        """Return the sites, then the pooled mean, then the prediction interval; column kind tells which."""
        pooled = {"kind": "pooled", "site": "pooled", "se": self.se, "pooled": True}
        mean = {**pooled, "value": self.value, "lower": self.lower, "upper": self.upper, "weight": 1.0}
        limits = {"lower": self.prediction_lower, "upper": self.prediction_upper, "value": self.value}
        new = {"kind": "new site", "site": "new site", "se": NAN, "weight": NAN, "pooled": True, **limits}
        rows = [*self.sites.assign(kind="site").to_dict(orient="records"), mean, new]
        return pd.DataFrame(rows, columns=["kind", *self.sites.columns])

    def plot(self, ax: Any = None, *, xlabel: str = "Estimate", reference: float | None = None) -> Any:
        """Draw the forest: each site, the mean, and the interval for a new site; return the Axes."""
        table = self.to_frame()
        ends = {"pooled": f"pooled, {self.n_sites} sites", "new site": "new site (prediction interval)"}
        reason = np.where(table["value"].notna(), "not pooled", "not estimable")
        columns = zip(table["kind"], table["site"], table["pooled"], reason, strict=True)
        labels = [
            ends.get(kind, f"{site}" if used else f"{site} ({why})") for kind, site, used, why in columns
        ]
        text = f"{xlabel} ({100 * self.level:g}% intervals)"
        return estimates(table.set_index(pd.Index(labels)), reference=reference, xlabel=text, ax=ax)


@dataclass(frozen=True, kw_only=True)
class PooledImputations:
    """Estimates from several imputed data sets, pooled by Rubin's rules.

    Attributes
    ----------
    value, lower, upper : float
        Mean and its interval, transformed back to the natural scale.
    se, df : float
        Standard error (sqrt of `total`) on the pooled scale, and degrees of freedom of its t interval.
    within, between, total : float
        Mean of the squared standard errors; variance of the estimates; within + (1 + 1/m) between.
    fmi : float
        Fraction of the information that is missing, 0 to 1.
    n_imputations : int
        Imputed data sets, m.
    scale, level, method : str, float, str
        Scale that was pooled; level of the interval; which degrees of freedom, or why there is no interval.
    """

    value: float
    lower: float
    upper: float
    se: float
    df: float
    within: float
    between: float
    total: float
    fmi: float
    n_imputations: int
    scale: str
    level: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return dataclasses.asdict(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row."""
        return pd.DataFrame([self.to_dict()])
