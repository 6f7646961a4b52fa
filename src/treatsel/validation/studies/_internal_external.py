"""Internal-external cross-validation: the model is refitted without each site and evaluated there."""

import inspect
import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone, is_classifier

from treatsel._checks import (
    FloatArray,
    check_binary,
    check_choice,
    check_level,
    check_weights,
    count_of,
    names_in,
)
from treatsel._jobs import run_jobs
from treatsel._measures import BY_LABEL
from treatsel._reporting.summary import Summarized
from treatsel._stats.by_arm_tables import check_propensities
from treatsel._stats.vectors import check_labels, check_patients
from treatsel._stats.weights import Weights
from treatsel.errors import InputError, TreatselError, warn
from treatsel.metrics.pooling import MetaAnalysis
from treatsel.validation.studies._direction import direction_of_study
from treatsel.validation.studies._site_figures import (
    SITE_MEASURES,
    Mask,
    SiteData,
    drift_of,
    pooled_over,
    site_figures,
)

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InternalExternalCV(Summarized):
    """Held-out performance of a modeling procedure at each site, and pooled over sites.

    Attributes
    ----------
    predictions : pandas.DataFrame of shape (n_patients, n_arms)
        By-arm table: each patient's probabilities from the model fitted without the patient's site; NaN
        where that model could not be fitted or was not fitted to the arm.
    predicted : pandas.Series of shape (n_patients,)
        The same for the received arm.
    sites : pandas.DataFrame
        One row per site: site, n, n_unobserved (no outcome), n_unpredicted (no prediction for the received
        arm), n_events, arms (received at the site), comparator (from the other sites), note (warnings of
        the refit, or why it failed). Counts are sums of weights.
    figures : pandas.DataFrame
        One row per measure and site: measure, site, value, lower, upper, se (on the scale of pooling),
        n, n_events, pooled (whether it enters the pooled estimate), method (or why not estimable).
    pooled : dict of str to MetaAnalysis
        By measure; AUCs on the logit scale, observed / expected on the log scale.
    level : float
        Confidence level of all intervals.
    by : {"site", "period"}
        Whether sites were left out, or later periods predicted from earlier ones.
    """

    predictions: pd.DataFrame
    predicted: pd.Series
    sites: pd.DataFrame
    figures: pd.DataFrame
    pooled: dict[str, MetaAnalysis]
    level: float
    by: str = "site"

    def trend(self) -> pd.DataFrame:
        """Return the drift of each measure from one period to the next, for ``by="period"``.

        Returns
        -------
        DataFrame
            One row per measure: measure, slope (per period, on the scale of pooling), lower, upper, p_value,
            n_periods. From a weighted regression of the estimates on the number of the period, with weights
            inverse to their variances and, as in a random-effects meta-regression, a residual variance of its
            own. NaN with fewer than three periods.

        Raises
        ------
        InputError
            If the validation was by site.
        """
        if self.by != "period":
            raise InputError("Sites have no order. A trend needs internal_external_cv(..., by='period').")
        rows = [drift_of(self.figures, measure, self.level) for measure in SITE_MEASURES]
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """Return `figures` with two more rows per measure, of kind "pooled" and "new site" (prediction)."""
        parts = []
        for measure, rows in self.figures.groupby("measure", sort=False):
            pooled = self.pooled[str(measure)]
            new = f"prediction interval, {pooled.prediction_method}"
            methods = {"pooled": pooled.method, "new site": new}
            ends = pooled.to_frame().query("kind != 'site'")
            about = {"measure": measure, "method": ends["kind"].map(methods)}
            totals = {name: rows.loc[rows["pooled"], name].sum() for name in ("n", "n_events")}
            parts += [rows.assign(kind="site"), ends.assign(**about, **totals)]
        columns = ["measure", "kind", "site", "value", "lower", "upper", "se", "n", "n_events", "method"]
        return pd.concat(parts, ignore_index=True)[columns]

    def plot(self, ax: Any = None, *, measure: str = "AUC", **kwargs: Any) -> Any:
        """Draw the forest plot of one measure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        measure : str
            Measure to draw, as in `pooled`.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        check_choice("measure", measure, SITE_MEASURES)
        name = measure[0].upper() + measure[1:]
        return self.pooled[measure].plot(ax, xlabel=name, reference=BY_LABEL[measure].reference, **kwargs)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Refit:
    """Predictions of the model fitted without one site; `table` is None if the fit failed."""

    site: Any
    table: pd.DataFrame | None
    default_arm: Any
    note: str


def internal_external_cv(
    model: Any,
    X: pd.DataFrame,
    y: npt.ArrayLike,
    sites: npt.ArrayLike | str,
    *,
    by: str = "site",
    propensity: pd.DataFrame | None = None,
    comparator: Any = None,
    event_is_good: bool | None = None,
    min_events: int = 1,
    sample_weight: npt.ArrayLike | None = None,
    level: float = 0.95,
    n_jobs: int | None = None,
) -> InternalExternalCV:
    """Refit a model without each site in turn, predict that site, and pool performance over sites.

    Estimates how well the modeling procedure performs at a new site, and how much sites differ. The
    procedure is evaluated, not one fitted model; the model for use is fitted to all sites afterwards.

    Parameters
    ----------
    model : estimator
        Unfitted selector or model with an arm column: `fit(X, y)`, `predict_by_arm(X)`. It is cloned.
    X : pandas.DataFrame of shape (n_patients, n_columns)
        Covariates and the arm column.
    y : array-like of shape (n_patients,)
        Outcome, 0 or 1; NaN: not observed. Such patients are passed to a selector (which weights the
        others), not to a classifier; they are left out of the evaluation.
    sites : array-like of shape (n_patients,), or str
        Site of each patient, or the column of X that holds it. The column is withheld from the model,
        unless it is the model's own `groups`.
    by : {"site", "period"}, default "site"
        "period": `sites` are periods, such as years, in the order of their numbers or names. Each is
        predicted by the model fitted to all earlier ones (rolling origin); the first is never predicted.
        `trend()` estimates the drift of performance.
    propensity : pandas.DataFrame of shape (n_patients, n_arms), optional
        Probability of receiving each arm, for the gain; without it the gain is not estimable.
    comparator : label, optional
        The best single arm. Without it, the `default_arm_` of each refit, or the arm with the best weighted
        outcome (Hajek estimator) at the other sites; the site itself is never used to select it.
    event_is_good : bool, optional
        Whether 1 is the good outcome, whose probability the recommended arm maximizes. None: as stated by a
        selector, or by the outcome itself (see `treatsel.outcome`). If nothing is stated, the gain is not
        estimable.
    min_events : int, default 1
        Sites with fewer events or non-events are reported as not estimable. (AUC, intercept and slope need
        one of each in any case; a standard error of the AUC needs two.)
    sample_weight : array-like of shape (n_patients,), optional
        Counts, for the fits and for the estimates: a weight of 2 equals two identical rows.
    level : float, default 0.95
        Level of all intervals.
    n_jobs : int, optional
        Number of sites to process in parallel, as in joblib. Progress is logged.

    Returns
    -------
    InternalExternalCV
        Held-out predictions, and AUC, within-arm AUC, calibration in the large, calibration slope,
        observed / expected and gain over the best single arm, by site and pooled (REML, Hartung-Knapp).
        Estimates without a standard error are reported and not pooled; among them is a gain of exactly 0
        where the best single arm is recommended to all patients.

    Raises
    ------
    InputError
        If lengths differ, there are fewer than two sites, the model has no arm column, or no refit succeeds.

    Warns
    -----
    TreatselWarning
        If refits warned or failed; see the column `note` of `sites`.

    References
    ----------
    Steyerberg & Harrell (2016), J Clin Epidemiol 69, 245-247. doi:10.1016/j.jclinepi.2015.04.005
    Debray et al. (2013), Statistics in Medicine 32(18), 3158-3180. doi:10.1002/sim.5732
    Takada et al. (2021), J Clin Epidemiol 137, 83-91. doi:10.1016/j.jclinepi.2021.03.025

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from treatsel.datasets import make_cohort
    >>> from treatsel.models import PooledClassifier
    >>> cohort = make_cohort(600, random_state=1).cohort
    >>> X = cohort.X[["age", "arm"]]
    >>> model = PooledClassifier(LogisticRegression())
    >>> found = internal_external_cv(model, X, cohort.y["dropout"], cohort.groups, event_is_good=False)
    >>> found.pooled["AUC"].n_sites == found.sites["site"].nunique()
    True
    """
    if not isinstance(X, pd.DataFrame):
        raise InputError(f"X must be a DataFrame with the arm column, not {type(X).__name__}.")
    level = check_level(level)
    check_choice("by", by, ["site", "period"])
    arm = _parameter(model, "arm")
    if arm is None or arm not in X:
        raise InputError(f"The model's arm column is {arm!r}; X has the columns {names_in(X)}.")
    if isinstance(sites, str):
        sites, X = _take_sites(model, X, sites)
    check_patients(X=X, y=y, sites=sites, propensity=propensity, sample_weight=sample_weight)
    outcome = check_binary("y", y, allow_missing=True)
    sites, received = check_labels("sites", sites), check_labels(f"Column {arm!r}", X[arm])
    weight = check_weights("sample_weight", sample_weight, len(X))
    names = _in_order(sites[weight > 0])
    if len(names) < 2:
        raise InputError(
            f"sites holds {count_of(len(names), by)}; internal-external cross-validation needs 2."
        )
    others = {site: sites != site for site in names}
    if by == "period":
        others = {name: np.isin(sites, names[:k]) for k, name in enumerate(names) if k}
    passed = _checked_weight(model, sample_weight, weight)
    named = pd.Series(outcome, index=X.index, name=getattr(y, "name", None) or "outcome")
    refits = _refit_all(model, X, named, sites, others, passed, n_jobs=n_jobs)
    table = None if propensity is None else check_propensities(propensity, propensity.columns)
    predictions = _assemble(refits, sites, received, X.index)
    data = SiteData(
        outcome=outcome,
        received=received,
        weights=Weights(values=weight),
        predictions=predictions,
        propensity=table,
        good=direction_of_study(model, y, event_is_good),
        min_events=min_events,
        level=level,
    )
    parts = []
    for refit in refits:
        best = refit.default_arm if comparator is None else comparator
        best = data.best_arm(others[refit.site]) if best is None else best
        parts.append(
            site_figures(data, sites == refit.site, site=refit.site, comparator=best, note=refit.note)
        )
    figures = pd.DataFrame([row for rows, _ in parts for row in rows])
    figures = figures.sort_values("measure", key=lambda s: s.map(SITE_MEASURES.index), kind="stable")
    pooled = {measure: pooled_over(figures, measure, level) for measure in SITE_MEASURES}
    for measure, one in pooled.items():
        figures.loc[figures["measure"] == measure, "pooled"] = one.sites["pooled"].to_numpy()
    return InternalExternalCV(
        predictions=predictions,
        predicted=pd.Series(data.own, index=X.index, name="predicted"),
        sites=pd.DataFrame([about for _, about in parts]),
        figures=figures.reset_index(drop=True),
        pooled=pooled,
        level=level,
        by=by,
    )


def _parameter(model: Any, name: str) -> Any:
    """Return a parameter of the model, or of the one inside a search or wrapper."""
    if not hasattr(model, "get_params"):
        raise InputError(f"model is a {type(model).__name__}; give an unfitted model or selector.")
    parameters = model.get_params()
    found = [value for key, value in sorted(parameters.items()) if key.rsplit("__", 1)[-1] == name]
    return parameters.get(name, found[0] if found else None)


def _take_sites(model: Any, X: pd.DataFrame, column: str) -> tuple[pd.Series, pd.DataFrame]:
    """Return the site column, and X without it unless the model uses it as its own groups."""
    if column not in X:
        raise InputError(f"X has no column {column!r}, which sites names.")
    return X[column], X if _parameter(model, "groups") == column else X.drop(columns=column)


def _in_order(sites: Any) -> list[Any]:
    """Return the distinct sites: numbers in numeric order, then names in alphabetical order."""
    number = (int, float, np.number)
    return sorted(
        pd.unique(sites),
        key=lambda s: (0, float(s), "") if isinstance(s, number) else (1, 0.0, str(s)),
    )


def _checked_weight(model: Any, given: Any, weight: FloatArray) -> FloatArray | None:
    """Return the weights passed to the fits; None if none were given."""
    if given is None:
        return None
    parameters = inspect.signature(model.fit).parameters
    if "sample_weight" not in parameters and "params" not in parameters:
        raise InputError(f"{type(model).__name__}.fit takes no sample_weight. Leave it out, or repeat rows.")
    return weight


def _refit_all(
    model: Any,
    X: pd.DataFrame,
    y: pd.Series,
    sites: Any,
    others: dict[Any, Mask],
    weight: FloatArray | None,
    *,
    n_jobs: int | None,
) -> list[_Refit]:
    """Fit the model to the others of each site in turn; issue one warning for the warnings of all fits."""
    usable = y.notna().to_numpy() if _is_classifier(model) else np.ones(len(y), dtype=bool)
    found: dict[int, _Refit] = {}
    for number, refit in run_jobs(
        _refit,
        lambda: ((model, X, y, weight, usable & kept, sites == site, site) for site, kept in others.items()),
        n_jobs=n_jobs,
    ):
        found[number] = refit
        LOG.info("Refitted without a site: %d of %d", len(found), len(others))
    refits = [found[number] for number in range(len(others))]
    if all(refit.table is None for refit in refits):
        raise InputError(f"No refit succeeded. Without the first of the sites: {refits[0].note}")
    if n := sum(refit.note != "" for refit in refits):
        message = f"{n} of {len(refits)} refits warned or failed; see the column note of `sites`."
        warn(message)
    return refits


def _refit(
    model: Any, X: pd.DataFrame, y: pd.Series, weight: FloatArray | None, kept: Any, held: Any, site: Any
) -> _Refit:
    passed = {} if weight is None else {"sample_weight": weight[kept]}
    table = default = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted = clone(model).fit(X[kept], y[kept], **passed)
            table = getattr(fitted, "best_estimator_", fitted).predict_by_arm(X[held])
            default = getattr(fitted, "default_arm_", None)
        except (TreatselError, ValueError) as error:
            return _Refit(site=site, table=None, default_arm=None, note=f"not fitted: {error}")
    notes = dict.fromkeys(str(warning.message) for warning in caught)
    return _Refit(site=site, table=table, default_arm=default, note=" ".join(notes))


def _is_classifier(model: Any) -> bool:
    try:
        return bool(is_classifier(model))
    except (
        AttributeError,
        TypeError,
    ):  # not a scikit-learn estimator: assume that it does not accept missing outcomes
        return True


def _assemble(refits: list[_Refit], sites: Any, received: Any, index: "pd.Index[Any]") -> pd.DataFrame:
    """Return the held-out predictions of all patients for each arm received or predicted."""
    arms = set(received).union(*(refit.table.columns for refit in refits if refit.table is not None))
    table = pd.DataFrame(np.nan, index=index, columns=sorted(arms, key=str))
    for refit in refits:
        if refit.table is not None:
            cells = refit.table.reindex(columns=table.columns).to_numpy(dtype=float)
            table.iloc[np.flatnonzero(sites == refit.site), :] = cells
    return table
