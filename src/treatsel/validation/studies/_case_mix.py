"""Case mix: validation patients compared with development patients."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2

from treatsel._checks import FloatArray, check_binary, check_level, check_probability, check_weights, names_in
from treatsel._reporting import plots
from treatsel._reporting.summary import Summarized
from treatsel._stats.estimate import not_estimable
from treatsel._stats.intervals import quantile_of
from treatsel._stats.logistic import maximize
from treatsel._stats.logits import logits_of
from treatsel.errors import InputError
from treatsel.metrics import Estimate, roc_auc

Moments = Mapping[Any, tuple[float, float] | tuple[float, float, float]]
LINEAR_PREDICTOR = "linear predictor"
OVERALL = "overall"
# A column is collinear if its residual on earlier columns is below 1e-7 of its length, R's tolerance in lm.
ALIASED = 1e-7
MAX_LEVELS = 50  # categories of a column; a text with more is probably an id or free text
SEPARATED = "some columns separate the cohorts completely: their coefficients have no finite estimate"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CaseMix(Summarized):
    """Comparison of development and validation patients.

    Attributes
    ----------
    membership : Estimate
        AUC of the membership model, which distinguishes validation from development patients by
        covariates, arm and outcome: 0.5 if they are alike. `p_value`: likelihood ratio test of no
        difference.
    membership_without_outcome : Estimate
        The same without the outcome: case mix alone.
    coefficients : Series
        Of the membership model, on the logit scale, in the units of the data ("arm=CBT" against the
        first arm); NaN for a column that is a linear combination of earlier ones. If columns separate the
        cohorts completely, which `membership.method` then states, their coefficients are not meaningful.
    linear_predictor : DataFrame
        One row overall and for each received arm: n, mean and sd of the linear predictor in both cohorts
        (`development_*`, `validation_*`), `difference` of the means and `ratio` of the SDs (validation
        over development) with intervals.
    covariates : DataFrame
        One row for each number, and for each category: mean (proportion) and SD in both cohorts, and the
        standardized difference (validation minus development).
    level : float
        Confidence level of the intervals.
    """

    membership: Estimate
    membership_without_outcome: Estimate
    coefficients: pd.Series
    linear_predictor: pd.DataFrame
    covariates: pd.DataFrame
    level: float

    def __repr__(self) -> str:
        """Show the membership AUC."""
        return f"CaseMix(membership AUC {self.membership.value:.3f})"

    def to_frame(self) -> pd.DataFrame:
        """Return the table of covariates."""
        return self.covariates.copy()

    def plot(self, ax: Any = None, **kwargs: Any) -> Any:
        """Draw the standardized differences of the covariates.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points.

        Returns
        -------
        matplotlib Axes
        """
        value = self.covariates["standardized_difference"].dropna()
        points = pd.DataFrame({"value": value, "lower": value, "upper": value})
        label = "Standardized difference, validation minus development"
        return plots.estimates(points, reference=0, xlabel=label, ax=ax, **kwargs)


def case_mix(
    development: pd.DataFrame | Moments,
    validation: pd.DataFrame,
    *,
    arm: str | None = "arm",
    outcome: str | None = None,
    prediction: str | None = None,
    weight: str | None = None,
    level: float = 0.95,
) -> CaseMix:
    """Compare the case mix of a validation cohort with that of the development cohort.

    Parameters
    ----------
    development : DataFrame, or mapping of a column to (mean, SD) or (mean, SD, n)
        Development patients with the columns of `validation`; or published summaries only: of numbers, of
        a category as "column=level" (proportion and its SD), and of the linear predictor as "linear
        predictor".
    validation : DataFrame of shape (n_patients, n_columns)
        Validation patients. All columns that are not named below are covariates.
    arm : str or None, default "arm"
        Column of the received arm.
    outcome : str, optional
        Column of the outcome, 0 or 1.
    prediction : str, optional
        Column of the model's prediction (a probability) for the received arm; its logit is the linear
        predictor.
    weight : str, optional
        Column of weights, which are counts: a weight of 2 equals two identical rows. A development table
        without this column has weights of 1.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    CaseMix
        With summaries only, the membership estimates are NaN.

    Raises
    ------
    InputError
        If a column is missing, an outcome is not 0/1 or a prediction is outside [0, 1].

    Notes
    -----
    A larger SD of the linear predictor makes discrimination easier, and a smaller one harder, for a model of
    the same validity; a shift of its mean shows a different average prognosis. The membership AUC is
    apparent, so with many columns it exceeds 0.5 by chance: see its `p_value`. A missing value is replaced
    by the mean, with an indicator.

    References
    ----------
    Debray et al. (2015), Journal of Clinical Epidemiology 68(3), 279-289. doi:10.1016/j.jclinepi.2014.06.018

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> old = pd.DataFrame({"age": rng.normal(40, 12, 300), "arm": rng.choice(["CBT", "SSRI"], 300)})
    >>> new = pd.DataFrame({"age": rng.normal(50, 12, 200), "arm": rng.choice(["CBT", "SSRI"], 200)})
    >>> round(case_mix(old, new).membership.value, 2)
    0.73
    >>> case_mix({"age": (40, 12)}, new).covariates["standardized_difference"].round(2).to_dict()
    {'age': 0.8}
    """
    level = check_level(level)
    roles = _Roles(arm=arm, outcome=outcome, prediction=prediction, weight=weight)
    if not isinstance(validation, pd.DataFrame):
        raise InputError(f"validation must be a DataFrame; it is a {type(validation).__name__}.")
    new = _read("validation", validation, roles, needed=True)
    if isinstance(development, pd.DataFrame):
        old = _read("development", development[_shared(development, validation, roles)], roles, needed=False)
        full, coefficients = _membership(old, new, level, with_outcome=True)
        part = full if outcome is None else _membership(old, new, level, with_outcome=False)[0]
        before, after = _moments(old, new)
    else:
        reason = "the development cohort is given as summaries"
        full = not_estimable(reason, n=new.n, n_events=None, level=level)
        part, coefficients = full, pd.Series(dtype=float)
        before = {key: _Moment(*map(float, given)) for key, given in development.items()}
        after = _moments(new, new)[1]
    return CaseMix(
        membership=full,
        membership_without_outcome=part,
        coefficients=coefficients,
        linear_predictor=_linear_predictor(before, after, level),
        covariates=_covariates(before, after),
        level=level,
    )


class _Roles(NamedTuple):
    arm: str | None
    outcome: str | None
    prediction: str | None
    weight: str | None


class _Moment(NamedTuple):
    """Mean, SD, number of patients and kurtosis (3 for a normal distribution) of a variable."""

    mean: float
    sd: float
    n: float = float("nan")
    kurtosis: float = 3.0


class _Cohort(NamedTuple):
    """Columns of one cohort by role."""

    covariates: pd.DataFrame
    arms: pd.Series | None
    outcome: FloatArray | None
    linear: FloatArray | None
    weight: FloatArray

    @property
    def n(self) -> int:
        return round(float(self.weight.sum()))


def _shared(development: pd.DataFrame, validation: pd.DataFrame, roles: _Roles) -> list[Any]:
    needed = [column for column in validation.columns if column != roles.weight]
    if missing := [str(column) for column in needed if column not in development]:
        raise InputError(
            f"development lacks columns that validation has: {missing}. Drop them from validation too."
        )
    return [*needed, *([roles.weight] if roles.weight in development else [])]


def _read(name: str, table: pd.DataFrame, roles: _Roles, *, needed: bool) -> _Cohort:
    if not len(table):
        raise InputError(f"{name} holds no patients; at least one is needed.")
    given = [role for role in roles if role is not None]
    if absent := [role for role in given if role not in table and (needed or role != roles.weight)]:
        raise InputError(f"{name} has no column {absent[0]!r}. Its columns are {names_in(table)}.")
    covariates = table.drop(columns=given, errors="ignore")
    arms = None if roles.arm is None else table[roles.arm].astype("object")
    if arms is not None and (n := int(arms.isna().sum())):
        raise InputError(f"Column {roles.arm!r} of {name} holds {n} missing arms. Leave those patients out.")
    weights = table.get(roles.weight)
    outcome, prediction = roles.outcome, roles.prediction
    return _Cohort(
        covariates=covariates,
        arms=arms,
        outcome=None if outcome is None else check_binary(f"{outcome} of {name}", table[outcome]),
        linear=None
        if prediction is None
        else logits_of(check_probability(f"{prediction} of {name}", table[prediction])),
        weight=check_weights(f"{roles.weight} of {name}", weights, len(table)),
    )


def columns_of(tables: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Return numbers unchanged and categories as 0/1 columns "name=level", the same for all tables.

    Missing numbers stay missing; a missing category is 0 in all levels. Raises if a text has too many levels.
    """
    found: list[dict[str, Any]] = [{} for _ in tables]
    for name in tables[0].columns:
        parts = [table[name] for table in tables]
        if all(pd.api.types.is_numeric_dtype(part.dtype) for part in parts):
            for columns, part in zip(found, parts, strict=True):
                columns[str(name)] = part.to_numpy(dtype=float, na_value=np.nan)
            continue
        levels = sorted({str(level) for part in parts for level in part.dropna().unique()})
        if len(levels) > MAX_LEVELS:
            raise InputError(
                f"Column {str(name)!r} holds {len(levels)} different texts; at most {MAX_LEVELS} are "
                "allowed. Drop it, or pass it by its role (arm, outcome, prediction, weight)."
            )
        for columns, part in zip(found, parts, strict=True):
            text = part.astype("object").map(str, na_action="ignore")
            columns |= {f"{name}={level}": (text == level).to_numpy(dtype=float) for level in levels}
    return [pd.DataFrame(columns, index=table.index) for columns, table in zip(found, tables, strict=True)]


def _membership(
    old: _Cohort, new: _Cohort, level: float, *, with_outcome: bool
) -> tuple[Estimate, pd.Series]:
    """Fit the membership model (0 development, 1 validation); return its AUC and coefficients."""
    weight = np.concatenate([old.weight, new.weight])
    member = np.repeat([0.0, 1.0], [len(old.weight), len(new.weight)])
    design = _design(old, new, with_outcome=with_outcome)
    matrix = design.to_numpy()
    kept = _independent(matrix[weight > 0])
    best = maximize(matrix[:, kept], member, weight)
    coefficients = pd.Series(np.nan, index=design.columns)
    coefficients[kept] = best.coefficients
    auc = roc_auc(member, matrix[:, kept] @ best.coefficients, sample_weight=weight, level=level)
    share = np.average(member, weights=weight)
    null = float(weight.sum() * (share * np.log(share) + (1 - share) * np.log1p(-share)))
    p_value = float(chi2.sf(max(2 * (best.log_likelihood - null), 0), max(int(kept.sum()) - 1, 1)))
    method = auc.method if best.exists else f"{auc.method}; {SEPARATED}"
    return dataclasses.replace(auc, p_value=p_value, method=method), coefficients


def _design(old: _Cohort, new: _Cohort, *, with_outcome: bool) -> pd.DataFrame:
    """Return the design matrix: intercept, covariates (missing: mean), arms except the first, outcome."""
    tables = [cohort.covariates for cohort in (old, new)]
    both = pd.concat(columns_of(tables), ignore_index=True)
    for name in list(both.columns[both.isna().any()]):
        both[f"{name} missing"] = both[name].isna().astype(float)
        both[name] = both[name].fillna(both[name].mean())
    both.insert(0, "intercept", 1.0)
    if old.arms is not None and new.arms is not None:
        arms = pd.concat([old.arms, new.arms], ignore_index=True)
        names = sorted(arms.unique(), key=str)
        both = both.assign(**{f"arm={name}": (arms == name).astype(float) for name in names[1:]})
    if with_outcome and old.outcome is not None and new.outcome is not None:
        both["outcome"] = np.concatenate([old.outcome, new.outcome])
    return both.astype(float)


def _independent(matrix: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which columns are linearly independent of earlier ones."""
    lengths = np.linalg.norm(matrix, axis=0)
    kept = lengths > 0
    while True:
        left = np.abs(np.diag(np.linalg.qr(matrix[:, kept], mode="r")))
        columns = np.flatnonzero(kept)[: len(left)]
        aliased = columns[left <= ALIASED * lengths[columns]]
        if not len(aliased):
            return np.asarray(kept)
        kept[aliased[0]] = False


def _moments(old: _Cohort, new: _Cohort) -> tuple[dict[Any, _Moment], dict[Any, _Moment]]:
    """Return the moments of every column, and of the linear predictor overall and by arm."""
    tables = columns_of([old.covariates, new.covariates])
    both = []
    for cohort, table in zip((old, new), tables, strict=True):
        found: dict[Any, _Moment] = {name: _moment(table[name].to_numpy(), cohort.weight) for name in table}
        if cohort.linear is not None:
            found[LINEAR_PREDICTOR] = _moment(cohort.linear, cohort.weight)
            arms = [] if cohort.arms is None else sorted(cohort.arms.unique(), key=str)
            for name in arms:
                mine = (cohort.arms == name).to_numpy()
                found[LINEAR_PREDICTOR, name] = _moment(cohort.linear[mine], cohort.weight[mine])
        both.append(found)
    return both[0], both[1]


def _moment(values: FloatArray, weight: FloatArray) -> _Moment:
    """Return the moments of the observed values; the SD has the divisor n - 1."""
    seen = ~np.isnan(values) & (weight > 0)
    values, weight = values[seen], weight[seen]
    n = float(weight.sum())
    if n <= 1:
        return _Moment(float(weight @ values) if n else np.nan, np.nan, n)
    mean = float(weight @ values / n)
    variance = float(weight @ (values - mean) ** 2 / n)
    kurtosis = float(weight @ (values - mean) ** 4 / n / variance**2) if variance > 0 else np.nan
    return _Moment(mean, float(np.sqrt(variance * n / (n - 1))), n, kurtosis)


def _linear_predictor(before: dict[Any, _Moment], after: dict[Any, _Moment], level: float) -> pd.DataFrame:
    """Return the table of the linear predictor; without predictions it is empty."""
    rows, z, unknown = {}, quantile_of(level), _Moment(np.nan, np.nan)
    for key, new in after.items():
        is_arm = isinstance(key, tuple) and key[0] == LINEAR_PREDICTOR
        if key != LINEAR_PREDICTOR and not is_arm:
            continue
        old = before.get(key, unknown)
        value, ratio = new.mean - old.mean, new.sd / old.sd if old.sd > 0 else np.nan
        half, factor = z * _se_of_mean(old, new), np.exp(z * _se_of_log_sd(old, new))
        rows[key[1] if is_arm else OVERALL] = {
            "development_n": old.n,
            "development_mean": old.mean,
            "development_sd": old.sd,
            "validation_n": new.n,
            "validation_mean": new.mean,
            "validation_sd": new.sd,
            "difference": value,
            "difference_lower": value - half,
            "difference_upper": value + half,
            "ratio": ratio,
            "ratio_lower": ratio / factor,
            "ratio_upper": ratio * factor,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _se_of_mean(*moments: _Moment) -> float:
    """Return the standard error of a difference of means; a summary without n has no sampling error."""
    return float(np.sqrt(sum(m.sd**2 / m.n for m in moments if m.n == m.n)))


def _se_of_log_sd(*moments: _Moment) -> float:
    """Return the standard error of a log ratio of SDs, by the delta method from the fourth moments."""
    return float(np.sqrt(sum((m.kurtosis - 1) / (4 * m.n) for m in moments if m.n == m.n)))


def _covariates(before: dict[Any, _Moment], after: dict[Any, _Moment]) -> pd.DataFrame:
    rows = {}
    for key in [key for key in after if isinstance(key, str) and key != LINEAR_PREDICTOR]:
        old, new = before.get(key, _Moment(np.nan, np.nan)), after[key]
        pooled = np.sqrt((old.sd**2 + new.sd**2) / 2)
        rows[key] = {
            "development_mean": old.mean,
            "development_sd": old.sd,
            "validation_mean": new.mean,
            "validation_sd": new.sd,
            "standardized_difference": (new.mean - old.mean) / pooled if pooled > 0 else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index")
