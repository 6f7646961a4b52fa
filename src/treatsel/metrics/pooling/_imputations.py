"""Rubin's rules: pool an estimate over multiply imputed tables."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import check_choice, check_level, count_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import NAN
from treatsel._stats.intervals import Interval, wald
from treatsel.errors import InputError
from treatsel.metrics.pooling._scales import BACK, Scale, _check_estimates

LEAST_BETWEEN = 1e-4  # lower bound of the between-imputation share of the variance, as in R's mice


@dataclass(frozen=True, kw_only=True, repr=False)
class RubinPooled(Summarized):
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
        Fraction of missing information, 0 to 1.
    n_imputations : int
        Number of imputed data sets, m.
    scale, level, method : str, float, str
        Scale of pooling; level of the interval; type of degrees of freedom, or why there is no interval.
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


def pool_rubin(
    values: npt.ArrayLike,
    se: npt.ArrayLike,
    *,
    n: int | None = None,
    scale: Scale = "identity",
    level: float = 0.95,
) -> RubinPooled:
    """Pool one estimate per imputed data set by Rubin's rules.

    Parameters
    ----------
    values, se : array-like of shape (n_imputations,)
        Estimate from each imputed data set and its standard error, **both on the scale to pool**, on which
        the estimate is approximately normal: logit for an AUC, log for O/E, identity for intercept and slope.
    n : int, optional
        Number of patients, for the degrees of freedom of Barnard and Rubin, which never exceed those of the
        complete data (n - 1). By default, the larger degrees of freedom of Rubin (1987).
    scale : {"identity", "logit", "log"}, default "identity"
        Scale of `values`; value and interval are transformed back from it.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    RubinPooled
        NaN, with the reason in `method`, if a value is not finite: omitting that imputation could bias the
        result.

    Raises
    ------
    InputError
        If lengths differ, there are fewer than two imputations, a standard error is negative or `n` is
        below 2.

    References
    ----------
    Rubin (1987), Multiple Imputation for Nonresponse in Surveys. doi:10.1002/9780470316696
    Barnard & Rubin (1999), Biometrika 86(4), 948-955. doi:10.1093/biomet/86.4.948
    Marshall et al. (2009), BMC Medical Research Methodology 9, 57. doi:10.1186/1471-2288-9-57

    Examples
    --------
    >>> pooled = pool_rubin([0.56, 0.58, 0.55], [0.065, 0.066, 0.064], n=1200)
    >>> f"{pooled.value:.3f} ({pooled.lower:.3f} to {pooled.upper:.3f}), {pooled.df:.0f} df"
    '0.563 (0.431 to 0.696), 308 df'
    """
    check_choice("scale", scale, list(BACK))
    level, (y, error) = check_level(level), _check_estimates(values, se)
    if (m := len(y)) < 2:
        raise InputError(f"values holds {count_of(m, 'imputation')}; Rubin's rules need at least 2.")
    if n is not None and n < 2:
        raise InputError(f"n is {n}; it must be the number of patients, at least 2.")
    value, within = float(y.mean()), float((error**2).mean())
    between = float(y.var(ddof=1)) if np.isfinite(value) else NAN
    total = within + (1 + 1 / m) * between
    df = _rubin_df(m, between, total, n)
    relative = (1 + 1 / m) * between / within if within > 0 else NAN
    limits = wald(value, float(np.sqrt(total)), level, df=df) if total > 0 else Interval(NAN, NAN)
    named = "Rubin (1987)" if n is None else "Barnard & Rubin (1999)"
    reason = "not estimable: an imputation gives no finite estimate, or no standard error is above 0"
    back = BACK[scale]
    return RubinPooled(
        value=float(back(value)) if np.isfinite(value) else NAN,
        lower=float(back(limits.lower)),
        upper=float(back(limits.upper)),
        se=float(np.sqrt(total)),
        df=df,
        within=within,
        between=between,
        total=total,
        fmi=(relative + 2 / (df + 3)) / (relative + 1),
        n_imputations=m,
        scale=scale,
        level=level,
        method=f"Rubin's rules, t with the df of {named}" if np.isfinite(limits.lower) else reason,
    )


def _rubin_df(m: int, between: float, total: float, n: int | None) -> float:
    if not total > 0:
        return NAN
    share = max((1 + 1 / m) * between / total, LEAST_BETWEEN)
    old = (m - 1) / share**2
    if n is None:
        return float(old)
    complete = n - 1
    observed = (complete + 1) / (complete + 3) * complete * (1 - share)
    return float(old * observed / (old + observed))
