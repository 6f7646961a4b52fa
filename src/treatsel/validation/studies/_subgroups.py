"""Subgroup performance with tests of heterogeneity, and recommended arms by subgroup."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from treatsel._checks import (
    check_binary,
    check_choice,
    check_level,
    check_probability,
    check_unique,
    count_of,
)
from treatsel._reporting import plots
from treatsel._reporting.summary import Summarized
from treatsel._stats.by_arm_tables import shares_of
from treatsel._stats.heterogeneity import cochran_q
from treatsel._stats.multiplicity import holm
from treatsel._stats.vectors import check_labels, check_patients, ordered_labels
from treatsel._stats.weights import Weights, WeightsAre, check_sample_weight
from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import arm_means
from treatsel.validation.studies._subgroup_figures import (
    COMPUTED,
    GAIN,
    RECOMMENDED,
    Figure,
    Mask,
    Patients,
    figure_of,
    plan_of,
)

MAX_GROUPS = 30  # a variable with more is probably a number or an id
NOT_STATED = "not stated"
OVERALL = "overall"
NAN = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SubgroupPerformance(Summarized):
    """Performance by subgroup, and tests of heterogeneity.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per variable, measure and group, beginning with all patients (variable and group
        "overall"); columns variable, measure, group, value, lower, upper, n, n_events, estimable, method (of
        the interval, or why the measure is not estimable).
    tests : pandas.DataFrame
        One row per variable and measure: scale, n_groups (compared), left_out (groups not compared), q, df,
        p_value (of no difference) and p_value_holm (Holm's correction for all tests of the table).
    level : float
        Confidence level of the intervals.
    """

    table: pd.DataFrame
    tests: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the estimates, each with the test of its variable and measure."""
        tests = self.tests.drop(columns=["n_groups", "left_out"])
        return self.table.merge(tests, on=["variable", "measure"], how="left", validate="many_to_one")

    def recommended(self) -> pd.DataFrame:
        """Return the proportion of each group (row) for whom each arm (column) is recommended."""
        rows = self.table[self.table["measure"].str.startswith(f"{RECOMMENDED} ")]
        if rows.empty:
            raise InputError(
                "There are no recommended arms in this result. Pass recommended= to subgroup_performance."
            )
        arms = rows["measure"].str.removeprefix(f"{RECOMMENDED} ")
        wide = rows.assign(arm=arms).pivot_table(
            index=["variable", "group"], columns="arm", values="value", sort=False
        )
        return wide.rename_axis(columns=None)

    def plot(
        self, measure: str = "within-arm AUC", *, variable: Any = None, ax: Any = None, **kwargs: Any
    ) -> Any:
        """Draw one measure by group, with the overall estimate as a line.

        Groups that are not estimable keep their row, without a point.

        Parameters
        ----------
        measure : str
            Measure to draw.
        variable : label, optional
            Only the groups of this variable; None: of all.
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        check_choice("measure", measure, pd.unique(self.table["measure"]))
        rows = self.table[self.table["measure"] == measure]
        overall = rows[rows["variable"] == OVERALL]
        rows = rows[rows["variable"] != OVERALL]
        if variable is not None:
            check_choice("variable", variable, pd.unique(rows["variable"]))
            rows = rows[rows["variable"] == variable]
        states = ["" if fine else ", not estimable" for fine in rows["estimable"]]
        named = zip(rows["variable"], rows["group"], rows["n"], states, strict=True)
        labels = [f"{name}: {group} (n = {n}{state})" for name, group, n, state in named]
        reference = float(overall["value"].iloc[0])
        xlabel = f"{measure} ({100 * self.level:g}% interval; dashed: all patients)"
        return plots.estimates(
            rows.set_index(pd.Index(labels)),
            reference=reference if math.isfinite(reference) else None,
            xlabel=xlabel,
            ax=ax,
            **kwargs,
        )


def subgroup_performance(
    y_true: npt.ArrayLike,
    y_prob: npt.ArrayLike,
    received: npt.ArrayLike,
    labels: Any,
    *,
    scores: pd.DataFrame | None = None,
    recommended: npt.ArrayLike | None = None,
    comparator: Any = None,
    measures: Sequence[str] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    weights_are: WeightsAre = "counts",
    level: float = 0.95,
) -> SubgroupPerformance:
    """Estimate performance in each subgroup, with a test of heterogeneity for each measure.

    In groups with fewer than 10 events or non-events, measures that need outcomes are reported as not
    estimable; base rate, mean prediction and recommended arms remain. A difference between groups calls for
    an explanation and does not prove unfairness: AUCs, for example, depend on case mix. With small groups,
    the absence of a significant difference is not evidence of equality. Patients are treated as
    independent, including those of one site.

    Parameters
    ----------
    y_true : array-like of shape (n_patients,)
        Outcome, 0 or 1.
    y_prob : array-like of shape (n_patients,)
        Predicted probability of outcome 1 under the received arm, in [0, 1].
    received : array-like of shape (n_patients,)
        Labels of the received arms.
    labels : array-like of shape (n_patients,) or pandas.DataFrame of shape (n_patients, n_variables)
        Group of each patient, by one variable or by several, taken one at a time; missing: "not stated".
    scores : pandas.DataFrame of shape (n_patients, n_arms), optional
        Doubly robust scores from `aipw_scores`; with `recommended`, for the gain.
    recommended : array-like of shape (n_patients,) or DataFrame of shape (n_patients, n_arms), optional
        Labels of the recommended arms, or the share of each arm (tied arms share a patient).
    comparator : label, or Series of labels of shape (n_patients,), optional
        The best single arm for the gain, the same for all groups; or one arm per patient, as in
        `treatsel.metrics.gain_over_best_arm`. Without it, the arm with the highest mean score over all
        patients.
    measures : sequence of str, optional
        Of "base rate", "mean prediction", "within-arm AUC", "calibration in the large", "calibration
        slope", "observed / expected", "Brier score", "gain over the best single arm", "recommended". By
        default all measures that the arguments allow.
    sample_weight : array-like of shape (n_patients,), optional
        Weight of each patient; as counts, a weight of 2 equals two identical rows.
    weights_are : {"counts", "sampling"}, default "counts"
        Meaning of the weights: frequency counts, or sampling weights (the inverse of the probability of
        being in the data), with linearized standard errors and n the number of patients.
    level : float, default 0.95
        Confidence level.

    Returns
    -------
    SubgroupPerformance
        `.table`, `.tests` (Cochran's Q with inverse-variance weights, on the scale named in `scale`, over
        the groups with an estimate and a standard error), `.recommended()`, `.plot(measure)`.

    Raises
    ------
    InputError
        If lengths differ, an outcome is not 0/1, a probability is outside [0, 1], a measure is unknown or
        lacks an argument it needs, a variable has one group or more than 30, or rows are in another order.

    References
    ----------
    Cochran (1954), Biometrics 10(1), 101-129. doi:10.2307/3001666
    Altman & Bland (2003), BMJ 326, 219. doi:10.1136/bmj.326.7382.219
    Collins et al. (2024), BMJ 385, e078378 (TRIPOD+AI, item 23a). doi:10.1136/bmj-2023-078378

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> p, sex = random.uniform(0.2, 0.8, 400), random.choice(["f", "m"], 400)
    >>> found = subgroup_performance(random.binomial(1, p), p, random.choice(["CBT", "SSRI"], 400), sex)
    >>> int(found.tests.set_index("measure").loc["calibration slope", "df"])
    1
    """
    check_patients(
        y_true=y_true, y_prob=y_prob, received=received, labels=labels, scores=scores, recommended=recommended
    )
    weights = check_sample_weight(sample_weight, len(np.asarray(y_true)), weights_are)
    patients = _patients(y_true, y_prob, received, scores, recommended, comparator, weights, level)
    kept = weights.values > 0
    variables, patients = _variables(labels, kept), patients.take(kept)
    plan = list(plan_of(_names(measures, patients), patients))
    figures = [(OVERALL, measure, OVERALL, patients, figure_of(patients, measure, f)) for measure, f in plan]
    tests = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)  # already issued above, for all patients
        for variable, masks in variables.items():
            parts = {group: patients.take(mask) for group, mask in masks.items()}
            for measure, compute in plan:
                found = {group: figure_of(part, measure, compute) for group, part in parts.items()}
                figures += [(variable, measure, group, parts[group], f) for group, f in found.items()]
                tests.append({"variable": variable, "measure": measure} | _cochran(found))
    tested = pd.DataFrame(tests)
    tested["p_value_holm"] = holm(tested["p_value"].to_numpy(dtype=float))
    return SubgroupPerformance(
        table=pd.DataFrame([_row(*figure) for figure in figures]), tests=tested, level=patients.level
    )


def _patients(
    y_true: Any,
    y_prob: Any,
    received: Any,
    scores: Any,
    recommended: Any,
    comparator: Any,
    weights: Weights,
    level: float,
) -> Patients:
    y, p = check_binary("y_true", y_true), check_probability("y_prob", y_prob)
    if scores is not None and comparator is None:
        comparator = arm_means(scores, sample_weight=weights.values)["value"].idxmax()
    rule = recommended
    if rule is not None and not isinstance(rule, pd.DataFrame):
        labels = check_labels("recommended", rule)
        arms = pd.Index(ordered_labels(labels))
        rule = pd.DataFrame(shares_of(labels, arms), columns=arms)
    return Patients(
        y=y,
        p=p,
        received=np.asarray(received, dtype=object),
        weights=weights,
        scores=scores,
        recommended=rule,
        comparator=comparator,
        level=check_level(level),
    )


def _variables(labels: Any, kept: Mask) -> dict[str, dict[str, Mask]]:
    """Return, by variable, which of the retained patients belong to each group."""
    if not isinstance(labels, pd.DataFrame):
        name = str(getattr(labels, "name", None) or "group")
        labels = pd.DataFrame({name: np.asarray(labels, dtype=object)})
    check_unique("The columns of labels", labels.columns)
    if not len(labels.columns):
        raise InputError("labels has no columns; give at least one grouping variable.")
    found = {}
    for variable in labels.columns:
        values = labels[variable].to_numpy(dtype=object)[kept]
        text = np.where(pd.isna(values), NOT_STATED, values.astype(str))
        groups = sorted(set(text), key=lambda group: (group == NOT_STATED, group))
        if not 1 < len(groups) <= MAX_GROUPS:
            raise InputError(
                f"labels {str(variable)!r} holds {count_of(len(groups), 'group')}; 2 to {MAX_GROUPS} can be "
                "compared. Cut numbers into intervals, or leave the variable out."
            )
        found[str(variable)] = {str(group): np.asarray(text == group) for group in groups}
    return found


def _names(measures: Sequence[str] | None, patients: Patients) -> list[str]:
    """Return the measures to compute, in a fixed order; raise if one needs an argument not given."""
    lacking = {GAIN, RECOMMENDED} if patients.recommended is None else set()
    if patients.scores is None:
        lacking.add(GAIN)
    if measures is None:
        return [name for name in COMPUTED if name not in lacking]
    for name in measures:
        if check_choice("A measure", name, COMPUTED) in lacking:
            needs = "recommended" if name == RECOMMENDED else "scores and recommended"
            raise InputError(f"The measure {name!r} needs {needs}. Give that, or leave the measure out.")
    return [name for name in COMPUTED if name in measures]


def _row(variable: str, measure: str, group: str, patients: Patients, figure: Figure) -> dict[str, Any]:
    return {
        "variable": variable,
        "measure": measure,
        "group": group,
        "value": figure.value,
        "lower": figure.lower,
        "upper": figure.upper,
        "n": round(patients.n),
        "n_events": round(patients.events),
        "estimable": math.isfinite(figure.value),
        "method": figure.method,
    }


def _cochran(figures: Mapping[str, Figure]) -> dict[str, Any]:
    """Return Cochran's Q test of equality of all groups."""
    used = {group: figure for group, figure in figures.items() if math.isfinite(figure.se)}
    row = {
        "scale": next((figure.scale for figure in figures.values() if figure.scale), ""),
        "n_groups": len(used),
        "left_out": ", ".join(group for group in figures if group not in used),
    }
    values = np.array([figure.scaled for figure in used.values()])
    found = cochran_q(values, np.array([figure.se for figure in used.values()]) ** 2)
    return row | {"q": found.statistic, "df": found.df, "p_value": found.p_value}
