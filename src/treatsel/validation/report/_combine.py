"""Reports of several services pooled: what they show together, and what to expect at a new service."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from treatsel._checks import check_choice, count_of
from treatsel._files import write_text
from treatsel._measures import MEASURES, labels_of, measure_of
from treatsel._reporting import page, plots
from treatsel._reporting.format import points, with_interval
from treatsel._reporting.summary import Summarized, Summary
from treatsel._stats.intervals import quantile_of
from treatsel.errors import InputError
from treatsel.metrics.pooling import MetaAnalysis, Scale, on_scale, random_effects_meta_analysis
from treatsel.validation.parts import OVERALL
from treatsel.validation.report._combined_page import combined_page
from treatsel.validation.report._report import ValidationReport

SECTIONS = ("base rate", "discrimination", "calibration", "overall", "policy", "gain", "modification")
EACH_ARM, BEST = (MEASURES[key].label for key in ("gain_over_each_arm", "gain"))
MAIN = (
    "gain_over_each_arm",
    "gain_over_received",
    "within_arm_auc",
    "calibration_slope",
    "observed_expected",
)
ON_PAGE = tuple(labels_of(*MAIN).values())
KEYS = ["section", "measure", "group"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CombinedReports(Summarized):
    """Random-effects means of the estimates of several reports, with prediction intervals.

    Attributes
    ----------
    table : DataFrame
        One row per estimate: section, measure, group, n_reports, value, lower, upper, prediction_lower,
        prediction_upper (for a new service), tau2, i2, p_value_q, n, method.
    estimates : DataFrame
        The estimates that were pooled, with report, section, measure, group, value, lower, upper, se (on the
        scale of pooling), n.
    reports : DataFrame
        One row per report: report, kind, n, n_observed, comparator, assignment, model_id.
    gain : dict
        Gain over the truly best of the single arms that all reports evaluate: value (the smallest pooled
        gain, biased downward), lower and upper (adjusted for the selection), arm, n_arms; NaN without such
        arms.
    not_pooled : tuple of (str, str)
        Estimates that were not pooled, and why.
    cautions : tuple of str
        What readers must know.
    outcome : str
        Outcome validated.
    event_is_good : bool
        Whether outcome 1 is the good outcome.
    level : float
        Level of all intervals.
    """

    table: pd.DataFrame
    estimates: pd.DataFrame
    reports: pd.DataFrame
    gain: Mapping[str, Any]
    not_pooled: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...]
    outcome: str
    event_is_good: bool
    level: float

    @property
    def headline(self) -> str:
        """The gain over the truly best single arm, in one sentence."""
        many = f"{len(self.reports)} reports ({count_of(int(self.reports['n_observed'].sum()), 'patient')})"
        if self.gain["lower"] != self.gain["lower"]:
            return f"{many}: the gain over the best single arm cannot be pooled."
        shown = with_interval(self.gain, points)
        said = (
            "a gain is shown"
            if self.gain["lower"] > 0
            else "a loss is shown"
            if self.gain["upper"] < 0
            else "neither a gain nor a loss is shown"
        )
        return (
            f"{many}: {said} over the best single arm, whichever of {self.gain['n_arms']} it truly is. "
            f"Smallest gain over a single arm: {shown}, {100 * self.level:g} % interval adjusted for the "
            "selection."
        )

    def _summary(self) -> Summary:
        rows = [
            (row["measure"] if row["group"] == OVERALL else f"{row['measure']}, {row['group']}", *_shown(row))
            for row in self.table.to_dict(orient="records")
        ]
        return Summary(
            title=f"Combined reports: {self.outcome}",
            headline=self.headline,
            columns=("Measure", "Mean (interval)", "New service"),
            rows=rows,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pooled estimate."""
        return self.table.copy()

    def meta_analysis(self, measure: str, group: str = OVERALL) -> MetaAnalysis:
        """Return the random-effects meta-analysis of one measure.

        Raises
        ------
        InputError
            If it was not pooled.
        """
        check_choice("measure", measure, sorted(set(self.table["measure"])))
        rows = self.estimates[self.estimates["measure"] == measure]
        check_choice("group", group, sorted(set(rows["group"])))
        return _pooled(rows[rows["group"] == group], measure, self.level)

    def plot(
        self, measure: str = EACH_ARM, ax: Any = None, *, group: str | None = None, **kwargs: Any
    ) -> Any:
        """Draw the forest plot of one measure.

        Parameters
        ----------
        measure : str
            As in `table`.
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        group : str, optional
            As in `table`; None: overall, or for gains over each arm, the arm with the smallest gain.
        **kwargs
            Passed to `matplotlib.axes.Axes.plot` for the points; intervals have the same color.

        Returns
        -------
        matplotlib Axes
        """
        if group is None:
            group = str(self.gain["arm"]) if measure == EACH_ARM else OVERALL
        reference = measure_of(measure).reference
        name = measure if group == OVERALL else f"{measure}, {group}"
        found = self.meta_analysis(measure, group)
        return found.plot(ax, xlabel=name, reference=None if np.isnan(reference) else reference, **kwargs)

    def to_html(self, path: str | Path) -> None:
        """Write a self-contained page with a forest plot of each main measure."""
        wanted = [name for name in ON_PAGE if name in set(self.table["measure"])]
        made = combined_page(
            f"Combined reports: {self.outcome}",
            self.headline,
            self.cautions,
            table=self.table,
            reports=self.reports,
            not_pooled=self.not_pooled,
            forests=[(name, self.plot(name, plots.bare_axes)) for name in wanted],
        )
        write_text(path, page.to_html(made))


def _shown(row: Mapping[Any, Any]) -> tuple[str, str]:
    value = [f"{row[name]:.3f}" for name in ("value", "lower", "upper")]
    new = [f"{row[f'prediction_{end}']:.3f}" for end in ("lower", "upper")]
    return f"{value[0]} ({value[1]} to {value[2]})", f"{new[0]} to {new[1]}"


def combine(reports: Mapping[str, ValidationReport] | Sequence[ValidationReport]) -> CombinedReports:
    """Pool validation reports of several services, cohorts or studies, without any patient's data.

    Each estimate is pooled by random effects on its own scale (the logit of an AUC, the log of O/E), with the
    standard error that its interval implies. Services share the JSON files of their reports, and keep their
    data.

    Parameters
    ----------
    reports : mapping of name to ValidationReport, or sequence of ValidationReport
        Two or more reports on the same outcome, at the same level, of different patients. Without names:
        "report 1", "report 2", ...

    Returns
    -------
    CombinedReports
        With `to_frame()`, `plot(measure)` (forest plots) and `to_html(path)`. The gain over the best single
        arm is pooled only if all reports compare with the same arm; the headline is the gain over the truly
        best of the arms that all reports evaluate: the smallest of the pooled gains over single arms, with
        limits valid whichever arm is best (intersection-union below, Bonferroni above).

    Raises
    ------
    InputError
        If there are fewer than two reports, two of them rest on the same patients, or outcome, direction
        or level differ.

    References
    ----------
    Debray et al. (2017), BMJ 356, i6460. doi:10.1136/bmj.i6460
    Berger (1982), Technometrics 24(4), 295-300. doi:10.1080/00401706.1982.10487790

    Examples
    --------
    >>> from treatsel.datasets import make_cohort
    >>> from treatsel.validation import combine, validate
    >>> parts = [make_cohort(500, random_state=seed) for seed in (3, 4, 5)]
    >>> reports = [
    ...     validate(part.truth["dropout"], part.cohort, outcome="dropout", sections=()) for part in parts
    ... ]
    >>> combined = combine(reports)
    >>> table = combined.to_frame().set_index("measure")
    >>> int(table.loc["AUC", "n_reports"]), int(table.loc["AUC", "n"])
    (3, 1500)
    """
    named = _checked(reports)
    first = next(iter(named.values()))
    estimates = pd.concat(
        [_estimates(report).assign(report=name) for name, report in named.items()], ignore_index=True
    )
    comparators = {str(report.gain.comparator_arm) for report in named.values()}
    left: list[tuple[str, str]] = []
    if len(comparators) > 1:
        estimates = estimates[estimates["measure"] != BEST]
        left.append((BEST, f"the reports compare with different arms: {sorted(comparators)}"))
    rows, kept = [], []
    for keys, part in estimates.groupby(KEYS, sort=False):
        section, measure, group = cast(tuple[str, str, str], keys)
        what = measure if group == OVERALL else f"{measure}, {group}"
        found = _pooled(part, measure, first.level)
        if found.n_sites < 2:
            has = count_of(found.n_sites, "report")
            left.append((what, f"{has} with an estimate and an interval; at least 2 are needed"))
            continue
        kept.append(part)
        names = dict(zip(KEYS, (section, measure, group), strict=True))
        rows.append(names | _row(part, found, measure_of(measure).range))
    pooled = pd.concat(kept, ignore_index=True)[["report", *KEYS, "value", "lower", "upper", "se", "n"]]
    return CombinedReports(
        table=pd.DataFrame(rows),
        estimates=pooled,
        reports=pd.DataFrame([_about(name, report) for name, report in named.items()]),
        gain=_best_gain(pooled, list(named.values()), first.level),
        not_pooled=tuple(left),
        cautions=tuple(_cautions(named)),
        outcome=first.outcome,
        event_is_good=first.event_is_good,
        level=first.level,
    )


def _checked(reports: Any) -> dict[str, ValidationReport]:
    if not isinstance(reports, Mapping):
        reports = {f"report {k}": report for k, report in enumerate(reports, start=1)}
    if len(reports) < 2:
        raise InputError(f"There is {count_of(len(reports), 'report')} to combine; give two or more.")
    for name, report in reports.items():
        if not isinstance(report, ValidationReport):
            raise InputError(
                f"{name!r} is a {type(report).__name__}; give the ValidationReport of a service."
            )
    for name in ("outcome", "event_is_good", "level"):
        if len(values := {getattr(report, name) for report in reports.values()}) > 1:
            raise InputError(
                f"The reports differ in {name}: {sorted(map(str, values))}. Combine those of one."
            )
    digests = {name: report.about.get("cohort") for name, report in reports.items()}
    counts = Counter(digest for digest in digests.values() if digest is not None)
    if same := [name for name, digest in digests.items() if counts[digest] > 1]:
        raise InputError(f"The reports {same} rest on the same patients, who would count twice. Keep one.")
    return {str(name): report for name, report in reports.items()}


def _estimates(report: ValidationReport) -> pd.DataFrame:
    """Return the estimates of a report that can be pooled, with standard errors on the scale of pooling."""
    rows = report.figures[report.figures["section"].isin(SECTIONS)]
    variants = rows["measure"].str.startswith(f"{BEST}, ")  # over arms that were selected by each service
    rows = rows[~variants & ((rows["group"] == OVERALL) | (rows["measure"] == EACH_ARM))]
    rows = rows.reset_index(drop=True)
    ends = rows[["value", "lower", "upper"]].to_numpy(dtype=float)
    se = np.full(len(rows), np.nan)
    for i, name in enumerate(rows["measure"]):
        _, lower, upper = on_scale(ends[i], measure_of(name).scale)
        se[i] = (upper - lower) / (2 * quantile_of(report.level))
    return rows.assign(se=se)


def _pooled(rows: pd.DataFrame, measure: str, level: float) -> MetaAnalysis:
    scale: Scale = measure_of(measure).scale
    se = np.where(np.isfinite(rows["se"]), rows["se"], np.nan)
    # with few services, a Hartung-Knapp interval can be shorter than the ordinary one by chance
    return random_effects_meta_analysis(
        on_scale(rows["value"], scale),
        se,
        sites=rows["report"],
        scale=scale,
        interval="hk_adhoc",
        level=level,
    )


def _row(part: pd.DataFrame, found: MetaAnalysis, span: tuple[float, float]) -> dict[str, Any]:
    """Return a row of the table; normal intervals are cut at the ends of the range of the measure."""
    ends = ("value", "lower", "upper", "prediction_lower", "prediction_upper")
    return {
        "n_reports": found.n_sites,
        **{name: float(np.clip(getattr(found, name), *span)) for name in ends},
        **{name: getattr(found, name) for name in ("tau2", "i2", "p_value_q")},
        "n": int(part["n"].sum()),
        "method": found.method,
    }


def _best_gain(estimates: pd.DataFrame, reports: Sequence[ValidationReport], level: float) -> dict[str, Any]:
    """Return the gain over the truly best single arm, with limits that allow for its selection."""
    rows = estimates[estimates["measure"] == EACH_ARM]
    usable = rows[np.isfinite(rows["se"]) & (rows["se"] > 0)]
    arms = [arm for arm, part in usable.groupby("group", sort=False) if len(part) == len(reports)]
    if not arms:
        nothing = dict.fromkeys(("value", "lower", "upper"), float("nan"))
        return nothing | {"arm": None, "n_arms": 0}
    wider = 1 - (1 - level) / len(arms)
    found = {arm: _pooled(usable[usable["group"] == arm], EACH_ARM, level) for arm in arms}
    above = [_pooled(usable[usable["group"] == arm], EACH_ARM, wider).upper for arm in arms]
    arm = min(found, key=lambda each: found[each].value)
    return {
        "value": found[arm].value,
        "lower": min(each.lower for each in found.values()),
        "upper": min(above),
        "arm": arm,
        "n_arms": len(arms),
    }


def _about(name: str, report: ValidationReport) -> dict[str, Any]:
    return {
        "report": name,
        "kind": report.kind,
        "n": report.about["n"],
        "n_observed": report.about["n_observed"],
        "comparator": None if report.gain.comparator_arm is None else str(report.gain.comparator_arm),
        "assignment": report.assignment,
        "model_id": report.model_id,
    }


def _cautions(reports: Mapping[str, ValidationReport]) -> list[str]:
    found = []
    kinds = {name: report.kind for name, report in reports.items()}
    if others := [name for name, kind in kinds.items() if kind != "external"]:
        found.append(f"Not external validations: {others}. Their estimates may be optimistic.")
    models = {report.model_id for report in reports.values()}
    if len(models) > 1 or None in models:
        found.append(
            "The reports are not known to be of one and the same model: differences between services may be "
            "differences between models."
        )
    if len(reports) < 5:
        found.append(
            f"{count_of(len(reports), 'report')}: the variance between services is hardly known, and "
            "intervals are wide for this reason."
        )
    found.append(
        "Standard errors come from the intervals of the reports. Services are treated as independent; "
        "patients who are in two of them cannot be recognized."
    )
    return found
