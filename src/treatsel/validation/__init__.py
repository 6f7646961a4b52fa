"""External validation: how far can a model's answer be trusted in patients it has never seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel import _html, _plotting
from treatsel._checks import check_by_arm, check_choice, check_known_arms, check_level, check_unique
from treatsel.codebook import guess_direction
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.metrics import MIN_CLUSTERS, CalibrationCurve, Gain
from treatsel.predictions import fingerprint
from treatsel.validation._figures import accuracy_figures, calibration_of, policy_figures
from treatsel.validation._page import page_of
from treatsel.validation._policy import Policies, evaluate_policies, recommended_arms

__all__ = ["ValidationReport", "validate"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValidationReport:
    """Figures of an external validation, each with interval, n and events.

    Attributes
    ----------
    figures : DataFrame
        Columns section, measure, group ("overall" or an arm), value, lower, upper, n, n_events (both
        None where they do not apply), method.
    gain : Gain
        The headline: rate of the good outcome under the recommendations minus that under the best single
        arm for everybody.
    calibration, calibration_by_arm : CalibrationCurve
        Observed against predicted, overall and by arm.
    flow : DataFrame
        By arm: n, n_observed, n_events (received it), n_recommended (of all patients).
    effective_n : float
        Effective sample size of the weighted estimate: what the concordant patients are worth.
    outcome : str
        Outcome validated.
    event_is_good : bool
        Whether the outcome is the good one; policies are always judged by the good one.
    level : float
        Confidence level of all intervals.
    assignment : str
        Where the probabilities of the received arms come from.
    cautions : tuple of str
        What a reader must not overlook.
    model_id : str or None
        Id of the model file, if there is one.
    """

    figures: pd.DataFrame
    gain: Gain
    calibration: CalibrationCurve
    calibration_by_arm: CalibrationCurve
    flow: pd.DataFrame
    effective_n: float
    outcome: str
    event_is_good: bool
    level: float
    assignment: str
    cautions: tuple[str, ...]
    model_id: str | None

    def __repr__(self) -> str:
        """Show the headline."""
        return f"ValidationReport({self.headline})"

    @property
    def headline(self) -> str:
        """The gain over the best single arm, with its interval, in one sentence."""
        gain, what = self.gain, self.outcome if self.event_is_good else f"no {self.outcome}"
        if gain.lower != gain.lower:
            return f"The gain over the best single arm cannot be estimated: {gain.method}."
        if not gain.n_differs:
            return (
                f"The model recommends {gain.best_arm}, the best single arm, to everybody: no gain, no loss."
            )
        verdict = "more" if gain.lower > 0 else "fewer" if gain.upper < 0 else None
        bounds = f"{100 * gain.lower:+.1f} to {100 * gain.upper:+.1f}"
        points = f"{100 * gain.value:+.1f} percentage points ({100 * self.level:g}% interval {bounds})"
        if verdict is None:
            return (
                f"No gain shown: giving each patient the recommended arm instead of {gain.best_arm} for "
                f"everybody changes {what} by {points}."
            )
        return (
            f"Giving each patient the recommended arm instead of {gain.best_arm} for everybody is followed "
            f"by {verdict} patients with {what}: {points}."
        )

    def figure(self, measure: str, group: str = "overall") -> pd.Series:
        """Return one row of `figures`."""
        check_choice("measure", measure, sorted(set(self.figures["measure"])))
        rows = self.figures[self.figures["measure"] == measure]
        check_choice("group", group, list(rows["group"]))
        return rows[rows["group"] == group].iloc[0]

    def to_frame(self) -> pd.DataFrame:
        """Return all figures, one per row."""
        return self.figures.copy()

    def summary(self) -> dict[str, Any]:
        """Return the main figures as plain numbers, for a model file or a registry; no NaN."""
        rows = self.figures[self.figures["group"] == "overall"]
        kept = {
            str(row["measure"]): {key: _plain(row[key]) for key in ("value", "lower", "upper")}
            for row in rows.to_dict(orient="records")
        }
        return {
            "outcome": self.outcome,
            "n": int(self.flow["n_observed"].sum()),
            "level": self.level,
            "headline": self.headline,
            "figures": kept,
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the calibration curve; return the Axes."""
        return self.calibration.plot(ax)

    def plot_policies(self, ax: Any = None) -> Any:
        """Draw the expected rate of the good outcome under each policy; return the Axes."""
        rows = self.figures[self.figures["section"] == "policy"].set_index("measure")
        good = self.outcome if self.event_is_good else f"no {self.outcome}"
        label = f"Expected proportion with {good} ({100 * self.level:g}% interval)"
        return _plotting.estimates(rows, reference=None, xlabel=label, ax=ax)

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML page."""
        Path(path).write_text(_html.to_html(page_of(self)), encoding="utf-8")

    def to_markdown(self, path: str | Path) -> None:
        """Write the report as Markdown, without pictures."""
        Path(path).write_text(_html.to_markdown(page_of(self)), encoding="utf-8")


def validate(
    model: Any,
    cohort: Cohort,
    *,
    outcome: str | None = None,
    best_arm: Any = None,
    event_is_good: bool | None = None,
    assignment: str | Mapping[Any, float] | pd.DataFrame = "estimated",
    level: float = 0.95,
    random_state: int | None = 0,
) -> ValidationReport:
    """Validate a model, or a by-arm table of its predictions, on a cohort it has not seen.

    Patients whose outcome was not observed are counted and left out.

    Parameters
    ----------
    model : TreatmentSelector, fitted model of `treatsel.models`, or DataFrame
        The DataFrame is a by-arm table: probability of the outcome, one row per patient of the cohort.
    cohort : Cohort
        Validation cohort with the received arm and the outcome.
    outcome : str, optional
        Outcome to validate; None: the model's first outcome, or the cohort's first.
    best_arm : label, optional
        The best single arm, named beforehand. None: a selector's `default_arm_` (which is that of its
        first outcome), else the arm that does best in this very cohort (which is said).
    event_is_good : bool, optional
        Whether 1 is the good outcome. None: as the selector or the cohort's codebook states, or as the
        outcome's name says (remission, dropout).
    assignment : "estimated", "randomised", mapping of arm to probability, or by-arm DataFrame
        How the received arms came about. "estimated": cross-fitted multinomial logistic regression on the
        covariates. "randomised": the same probabilities for everybody, as observed. Or those known.
    level : float
        Confidence level.
    random_state : int or None
        Deals patients to folds for the assignment model.

    Returns
    -------
    ValidationReport

    Raises
    ------
    InputError
        If the table lacks patients or arms, an arm is unknown to the model, or no outcome was observed.

    References
    ----------
    Debray et al. (2015), J Clin Epidemiol 68(3), 279-289. doi:10.1016/j.jclinepi.2014.06.018
    Collins et al. (2024), BMJ 385, e078378 (TRIPOD+AI). doi:10.1136/bmj-2023-078378

    Examples
    --------
    >>> from treatsel.datasets import make_cohort
    >>> simulated = make_cohort(600, random_state=3)
    >>> report = validate(simulated.truth["dropout"], simulated.cohort, outcome="dropout")
    >>> int(report.figure("calibration slope")["n"])
    600
    """
    check_level(level)
    name = _outcome(model, cohort, outcome)
    by_arm = _by_arm(model, cohort, name)
    good = _direction(model, cohort, name, event_is_good)
    received = check_known_arms(cohort.received, by_arm.columns)
    y = cohort.frame[name]
    seen = y.notna().to_numpy()
    if not seen.any():
        raise InputError(f"Outcome {name!r} was observed in no patient of this cohort.")
    best = best_arm
    if best is None and name == getattr(model, "outcomes_", [None])[0]:
        best = model.default_arm_
    if best is not None:
        check_choice("best_arm", best, list(by_arm.columns))
    policies = evaluate_policies(
        cohort,
        y[seen],
        by_arm[seen],
        good=good,
        best_arm=best,
        assignment=assignment,
        level=level,
        random_state=random_state,
    )
    own = by_arm.to_numpy()[np.arange(len(by_arm)), by_arm.columns.get_indexer(pd.Index(received))]
    seen_y, own, arms = y[seen].to_numpy(), own[seen], received[seen]
    figures = [*accuracy_figures(seen_y, own, arms, level=level), *policy_figures(policies)]
    return ValidationReport(
        figures=pd.DataFrame(figures),
        gain=policies.gain,
        calibration=calibration_of(seen_y, own, None, level=level),
        calibration_by_arm=calibration_of(seen_y, own, arms, level=level),
        flow=_flow(y, received, by_arm if good else 1 - by_arm, best),
        effective_n=policies.effective_n,
        outcome=name,
        event_is_good=good,
        level=level,
        assignment=policies.assignment,
        cautions=_cautions(model, cohort, y, arms, policies),
        model_id=getattr(model, "model_id_", None),
    )


def _outcome(model: Any, cohort: Cohort, outcome: str | None) -> str:
    known = cohort.codebook.outcomes
    if not known:
        raise InputError("The cohort's codebook gives no column the role outcome.")
    mine = list(getattr(model, "outcomes_", known))
    name = mine[0] if outcome is None else outcome
    check_choice("outcome", name, mine)
    return str(check_choice("The outcome of the cohort", name, known))


def _by_arm(model: Any, cohort: Cohort, outcome: str) -> pd.DataFrame:
    if isinstance(model, pd.DataFrame):
        check_unique("The patients (index) of the by-arm table", model.index)
        table = check_by_arm("The by-arm table", model)
        if n := int((~cohort.frame.index.isin(table.index)).sum()):
            raise InputError(f"The by-arm table lacks {n} of {len(cohort)} patients. Match them by index.")
        return table.loc[cohort.frame.index]
    if hasattr(model, "outcomes_"):
        table = model.predict_by_arm(cohort.X, outcome=outcome)
    elif hasattr(model, "predict_by_arm"):
        table = model.predict_by_arm(cohort.X)
    else:
        raise InputError(f"model is a {type(model).__name__}; give a selector, a model or a by-arm table.")
    return check_by_arm("The predictions", table)


def _direction(model: Any, cohort: Cohort, outcome: str, given: bool | None) -> bool:
    stated = getattr(model, "event_is_good_", {}).get(outcome) if given is None else given
    for fallback in (cohort.codebook[outcome].event_is_good, guess_direction(outcome)):
        stated = fallback if stated is None else stated
    if stated is None:
        raise InputError(
            f"Nobody said whether {outcome!r} = 1 is good. Say event_is_good=True or False, or state it in "
            "the codebook of the cohort."
        )
    return bool(stated)


def _flow(y: pd.Series, received: pd.Series, table: pd.DataFrame, best: Any) -> pd.DataFrame:
    recommended = recommended_arms(table, best).value_counts()
    rows = []
    for arm in table.columns:
        mine = y[received == arm]
        counts = {"n": len(mine), "n_observed": int(mine.notna().sum()), "n_events": int(mine.sum())}
        rows.append({"arm": arm, **counts, "n_recommended": int(recommended.get(arm, 0))})
    return pd.DataFrame(rows)


def _cautions(
    model: Any, cohort: Cohort, y: pd.Series, received: pd.Series, policies: Policies
) -> tuple[str, ...]:
    found = []
    if n := int(y.isna().sum()):
        found.append(
            f"The outcome was not observed in {n} of {len(y)} patients ({n / len(y):.0%}); they are left "
            "out, which is right only if they are alike given the covariates."
        )
    if policies.assignment.startswith("estimated"):
        found.append(
            "The probabilities of the received arms were estimated. Policy figures are associations: they "
            "hold only if every reason for choosing an arm is among the covariates"
            + ("; the site is not." if policies.n_sites > 1 else ".")
        )
    if policies.gain.chosen != "named beforehand":
        found.append(
            "No best single arm that anybody here received was named beforehand; it was picked on this very "
            "cohort, which is a little too hard on the recommendations."
        )
    if policies.n_replaced:
        found.append(
            f"{policies.n_replaced} patients are recommended an arm that nobody here received; the policy "
            "figures give them the next best arm instead."
        )
    if 1 < policies.n_sites < MIN_CLUSTERS:
        found.append(
            f"There are {policies.n_sites} sites, too few for intervals that allow for differences between "
            "sites: they speak of these sites only."
        )
    if getattr(model, "fingerprint_", None) == fingerprint(cohort.X):
        found.insert(
            0,
            "This is the very cohort that the model was developed on. The figures are apparent performance, "
            "which flatters; they are no external validation.",
        )
    events = pd.crosstab(received.to_numpy(), y.dropna().to_numpy()).reindex(columns=[0.0, 1.0], fill_value=0)
    if few := sorted(map(str, events.index[events.min(axis=1) < 10])):
        found.append(f"Arms {few} have fewer than 10 events or non-events: their own figures say little.")
    return tuple(found)


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
