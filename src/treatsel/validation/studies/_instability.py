"""Instability of predictions and recommendations: refits of the whole procedure to bootstrap resamples."""

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection._search import BaseSearchCV
from threadpoolctl import threadpool_limits

from treatsel._checks import check_choice
from treatsel._disclosure import stated
from treatsel._reporting import bands, plots
from treatsel._reporting.format import number, percent
from treatsel._reporting.summary import Summarized, Summary, count_text
from treatsel.codebook import stated_for
from treatsel.cohort import Cohort
from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import MIN_CLUSTERS, Estimate, enough_clusters
from treatsel.validation._policies import policies_of
from treatsel.validation._predicted import predicted
from treatsel.validation._task import ValidationTask
from treatsel.validation.studies._instability_figures import (
    LEVEL,
    OVERALL,
    Compared,
    bands_of,
    curves_of,
    figures_of,
)
from treatsel.validation.studies._refits import (
    BootstrapRefits,
    ModelProcedure,
    Procedure,
    Progress,
    bootstrap_refits,
    original_predictions,
)

SAME = 1e-6  # largest difference of predictions between the model that was given and its procedure
KINDS = ("predictions", "recommendations", "calibration")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Instability(Summarized):
    """How much predictions and recommendations depend on the patients that happened to be sampled.

    Attributes
    ----------
    table : DataFrame
        One row for each measure and group: measure, group ("overall" or an arm), original (of the model
        fitted to all patients), value (mean over refits), lower and upper (2.5th and 97.5th percentile over
        refits), mc_error (Monte Carlo error of the mean), n (patients). Measures:

        - mape: mean over patients of the absolute difference between the predictions of a refit and of the
          original model, in all arms or under one arm (0 is perfect).
        - recommendation_agreement: share of patients to whom a refit recommends the same arm as the
          original model; in a group, of those to whom the original model recommends this arm (1 is perfect).
        - recommended: share of patients to whom the arm is recommended.
        - policy_value, gain: rate of the good outcome under the recommendations of a refit, by doubly robust
          scores in these patients, and its gain over the original model's best single arm. Both are
          optimistic, since a refit was fitted to two thirds of these patients; gain_out_of_bag is the gain in
          the others alone.
        - calibration_slope, calibration_in_the_large: of the predictions of a refit in all patients.
    predictions : DataFrame
        Groups of patients with similar original predictions, by arm: arm, original, lower, upper, n; the
        limits are means over the group of each patient's 2.5th and 97.5th percentile over refits.
    curves : DataFrame
        Calibration curves in these patients: predicted, original, lower, upper (percentiles over refits).
    runs : DataFrame of shape (n_fitted, n_rows)
        The values of each refit; columns are pairs of measure and group, as in `table`.
    refits : BootstrapRefits
        The predictions of each refit, which `bootstrap_optimism` takes as well.
    outcome, comparator : str
        The outcome, and the best single arm of the original model ("" if there is none).
    n, n_resamples, n_failed : int
        Patients, resamples, and resamples in which the model could not be fitted.
    resampled : str
        What was drawn: "patients", "whole sites" or "whole persons".
    """

    table: pd.DataFrame
    predictions: pd.DataFrame
    curves: pd.DataFrame
    runs: pd.DataFrame
    refits: BootstrapRefits
    outcome: str
    comparator: str
    n: int
    n_resamples: int
    n_failed: int
    resampled: str
    level: float = field(default=LEVEL, init=False)

    def _summary(self) -> Summary:
        mape, facts = self.estimate("mape"), []
        for measure, label, shown in (
            ("recommendation_agreement", "recommended arm unchanged", percent),
            ("calibration_slope", "calibration slope in these patients", number),
        ):
            if self.has(measure):
                one = self.estimate(measure)
                facts.append((label, f"{shown(one.value)} ({shown(one.lower)} to {shown(one.upper)})"))
        facts += [("patients", count_text(self.n)), ("drawn", self.resampled)]
        error = f"{100 * mape.value:.1f} ({100 * mape.lower:.1f} to {100 * mape.upper:.1f})"
        return Summary(
            title="Instability",
            headline=f"mean absolute prediction error {error} points in {self.n_resamples:,} refits",
            facts=facts,
            note="In parentheses: 2.5th to 97.5th percentile over refits.",
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each measure and group."""
        return self.table.copy()

    def has(self, measure: str, group: str = OVERALL) -> bool:
        """Return whether there is a value of a measure."""
        rows = self.table[(self.table["measure"] == measure) & (self.table["group"] == group)]
        return bool(rows["value"].notna().any())

    def estimate(self, measure: str, group: str = OVERALL) -> Estimate:
        """Return the mean of a measure over refits, with its 2.5th and 97.5th percentile."""
        measure = check_choice("measure", measure, self.table["measure"].unique())
        mine = self.table[self.table["measure"] == measure]
        name = check_choice("group", group, mine["group"])
        row = mine[mine["group"] == name].iloc[0]
        return Estimate(
            value=float(row["value"]),
            lower=float(row["lower"]),
            upper=float(row["upper"]),
            n=int(row["n"]),
            n_events=None,
            level=LEVEL,
            method=self.method(float(row["mc_error"])),
        )

    def method(self, mc_error: float) -> str:
        """Return how a mean over refits was obtained, as text."""
        drawn = f"mean and percentiles of {len(self.refits):,} refits, {self.resampled} drawn"
        if mc_error != mc_error:
            return f"not estimable in nine of ten refits ({drawn})"
        return f"{drawn}; Monte Carlo error of the mean {mc_error:.2g}"

    def plot(self, ax: Any = None, *, kind: str = "predictions", **kwargs: Any) -> Any:
        """Draw predictions, recommendations or calibration curves of the refits; no single patients.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones. With kind "predictions", one panel per arm is drawn on new Axes.
        kind : {"predictions", "recommendations", "calibration"}
            "predictions": predictions of the refits (band of 2.5th to 97.5th percentile) against those of the
            original model. "recommendations": share of patients whose recommended arm is unchanged, by arm.
            "calibration": curves in these patients, original and band over refits.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for lines or points.

        Returns
        -------
        matplotlib Axes
            The first, with several panels.
        """
        check_choice("kind", kind, KINDS)
        if kind == "predictions":
            return bands.prediction_bands(self.predictions, ax, **kwargs)
        if kind == "calibration":
            return bands.calibration_band(self.curves, ax, **kwargs)
        rows = self.table[(self.table["measure"] == "recommendation_agreement") & self.table["value"].notna()]
        points = rows.set_index("group")[["value", "lower", "upper"]]
        label = "Share of patients whose recommended arm is unchanged (95% of refits)"
        return plots.estimates(points, reference=None, xlabel=label, ax=ax, **kwargs)


def instability(
    model: Any,
    cohort: Cohort,
    *,
    outcome: str | None = None,
    assignment: Any = "estimated",
    n_boot: int = 200,
    n_jobs: int | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> Instability:
    """Refit a modeling procedure to bootstrap resamples, and compare predictions and recommendations.

    All that predictions depend on is repeated in each resample: imputation, encoding, screening, tuning,
    shrinkage, averaging, stacking, and the treatment of lost outcomes. The refits predict the patients of
    the cohort, and are compared with the original model, which is fitted to all of them.

    Parameters
    ----------
    model : TreatmentSelector, or model of `treatsel.models`
        Fitted or not; clones are fitted. A fitted one must be what its parameters give in this cohort.
    cohort : Cohort
        Development cohort.
    outcome : str, optional
        Outcome to predict. None: the first outcome of a selector, or of the cohort.
    assignment : "estimated", "randomised", mapping or by-arm DataFrame
        Probabilities of receiving the arms, for the value of the recommendations; see `treatsel.validate`.
    n_boot : int, default 200
        Number of resamples.
    n_jobs : int, optional
        Number of parallel processes, as in joblib.
    random_state : int, default 0
        Seed of the resamples. Results do not depend on `n_jobs`.
    progress : callable, optional
        Called after each refit with the number of refits so far and their total. None: a line in the log.

    Returns
    -------
    Instability

    Raises
    ------
    InputError
        If fewer than nine in ten refits can be made, or a fitted model was fitted to other patients, or with
        other parameters.

    Notes
    -----
    Whole sites are drawn if the cohort has 10 or more, and otherwise whole persons, if some have several
    rows, or patients. A patient who is drawn several times is one row with a weight, so that all copies are
    held out together in the inner cross-validation of a stack or of a search.

    The measures describe the procedure at this number of patients: how far apart two models would be, had
    they been developed in two such samples. They do not say which of them is right. A model that predicts
    the same for all patients is stable, and of no use.

    References
    ----------
    Riley & Collins (2023), Biometrical Journal 65(8), 2200302. doi:10.1002/bimj.202200302

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from treatsel.datasets import make_cohort
    >>> from treatsel.models import PooledClassifier
    >>> model = PooledClassifier(LogisticRegression(C=0.1))
    >>> found = instability(model, make_cohort(300, random_state=0).cohort, outcome="dropout", n_boot=20)
    >>> bool(found.estimate("recommendation_agreement").value < 0.8)
    True
    """
    name = _outcome_of(model, cohort, outcome)
    procedure = _procedure_of(model, cohort, name)
    clusters, resampled = _clusters_of(cohort)
    options: dict[str, Any] = {"n_boot": n_boot, "clusters": clusters, "random_state": random_state}
    original, served = original_predictions(procedure, len(cohort)), hasattr(model, "arms_")
    if served:  # before the refits, which take long
        _check_same(predicted(model, cohort, name), original)
    refits = bootstrap_refits(procedure, original, **options, n_jobs=n_jobs, progress=progress)
    refits = replace(refits, original=original.set_axis(cohort.frame.index))
    best = getattr(model, "default_arm_", None) if served and name == _first(model, cohort) else None
    # one BLAS thread: the matrices are small, and threads compete with each other on a busy machine
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)  # of predictions of 0 or 1, which a report counts
        found = _compared(
            refits, cohort, assignment, outcome=name, comparator=best, good=_direction(model, name)
        )
        (table, runs), curves = figures_of(found), curves_of(found)
    arm = found.ties
    return Instability(
        table=table,
        predictions=bands_of(found),
        curves=curves,
        runs=runs,
        refits=found.refits,
        outcome=name,
        comparator="" if arm is None else str(arm),
        n=len(found.refits.original),
        n_resamples=n_boot,
        n_failed=len(refits.failures),
        resampled=resampled,
    )


def _compared(
    refits: BootstrapRefits,
    cohort: Cohort,
    assignment: Any,
    *,
    outcome: str,
    comparator: Any,
    good: bool | None,
) -> Compared:
    """Return original and refits in the patients whose arms are not too rare to be told."""
    task = ValidationTask.of(
        refits.original,
        cohort,
        outcome=outcome,
        comparator=comparator,
        event_is_good=good,
        level=LEVEL,
        random_state=0,
    )
    kept = ~cohort.received.astype(str).isin(task.left_out).to_numpy()
    policies = policies_of(task, assignment)
    best = policies.gain.comparator_arm
    return Compared(task=task, policies=policies, refits=refits.among(kept), ties=best)


def _first(model: Any, cohort: Cohort) -> str | None:
    """Return the main outcome."""
    names = list(getattr(model, "outcomes_", cohort.codebook.outcomes))
    return str(names[0]) if names else None


def _outcome_of(model: Any, cohort: Cohort, outcome: str | None) -> str:
    """Return the name of the outcome, which the cohort must have."""
    known = list(cohort.codebook.outcomes)
    if not known:
        raise InputError("No column of the cohort's codebook has the role outcome.")
    name = _first(model, cohort) if outcome is None else outcome
    return str(check_choice("outcome", name, [each for each in known if each in cohort.frame]))


def _procedure_of(model: Any, cohort: Cohort, outcome: str) -> Procedure:
    """Return the procedure of a selector, or of a model, in a cohort."""
    if hasattr(model, "procedure"):
        procedure: Procedure = model.procedure(cohort, outcome)
        return procedure
    own = model.estimator if isinstance(model, BaseSearchCV) else model
    if not hasattr(own, "predict_by_arm") or not hasattr(own, "fit"):
        raise InputError(
            f"model is a {type(model).__name__}, which cannot be refitted. Give a TreatmentSelector, or a "
            "model of treatsel.models."
        )
    X = cohort.X
    for name in ("groups", "therapists"):
        column = getattr(own, name, None)
        if column in cohort.frame:
            X = X.assign(**{str(column): cohort.frame[column]})
    return ModelProcedure(model=model, X=X, y=cohort.frame[outcome].to_numpy(dtype=float, na_value=np.nan))


def _clusters_of(cohort: Cohort) -> tuple[np.ndarray | None, str]:
    """Return what is drawn whole: sites, if there are enough, or else persons with several rows."""
    for role, drawn in (("site", "whole sites"), ("person", "whole persons")):
        name = cohort.codebook.name(role)
        if name not in cohort.frame:
            continue
        labels = cohort.frame[name].astype("object").fillna("not stated").astype(str)
        whole = enough_clusters(labels, fewest=MIN_CLUSTERS) is not None
        if whole and (role == "site" or labels.duplicated().any()):
            return labels.to_numpy(dtype=object), drawn
    return None, "patients"


def _check_same(own: pd.DataFrame, again: pd.DataFrame) -> None:
    """Raise if a fitted model is not what its parameters give in this cohort."""
    arms = [str(arm) for arm in again.columns]
    values = own.rename(columns=str).reindex(columns=arms).to_numpy(dtype=float)
    off = np.abs(values - again.to_numpy(dtype=float)) > SAME
    if n := int((off | np.isnan(values)).any(axis=1).sum()):
        raise InputError(
            "The model predicts otherwise than its parameters, fitted to this cohort, in "
            f"{stated(n, 'patient')}. Give the cohort on which it was developed, with the same columns, and "
            "(for a model from a file, which does not hold its parameters) an unfitted selector with the "
            "parameters of the development, as `treatsel crossvalidate` does."
        )


def _direction(model: Any, outcome: str) -> bool | None:
    """Return whether 1 is good, as the model states."""
    learned = getattr(model, "event_is_good_", {}).get(outcome) if hasattr(model, "arms_") else None
    if learned is not None:
        return bool(learned)
    return stated_for(outcome, getattr(model, "event_is_good", None))
