"""The result of a validation: every number in tables, so that it can be stored, drawn again and compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_choice
from treatsel._reporting import page, plots
from treatsel._version import __version__
from treatsel.errors import InputError
from treatsel.metrics import CalibrationCurve, Gain
from treatsel.validation.parts._part import COLUMNS, OVERALL
from treatsel.validation.report._checklist import markdown_of
from treatsel.validation.report._schema import check_content

SCHEMA = 1
KIND = "treatsel validation report"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValidationReport:
    """Figures of an external validation, each with interval, n and events.

    Attributes
    ----------
    figures : DataFrame
        Columns section, measure, group ("overall", an arm, a pair of arms, a site or a subgroup), value,
        lower, upper, n, n_events (None where it does not apply), method.
    gain : Gain
        The headline: rate of the good outcome under the recommendations minus that under the best single
        arm for everybody.
    tables : dict of str to DataFrame
        Curves and lists: "flow", "calibration curve", "decision curve", "sites", "checklist", ...
    outcome : str
        Outcome validated.
    event_is_good : bool
        Whether the outcome is the good one; policies are always judged by the good one.
    level : float
        Confidence level of all intervals.
    assignment : str
        Where the probabilities of the received arms come from.
    effective_n : float
        Effective sample size of the weighted estimate: what the concordant patients are worth.
    cautions : tuple of str
        What a reader must not overlook, gravest first.
    not_estimable : tuple of (str, str)
        What could not be estimated, and why.
    model_id : str or None
        Id of the model file, if there is one.
    about : dict
        What else is known of model and cohort: plain values.
    """

    figures: pd.DataFrame
    gain: Gain
    tables: dict[str, pd.DataFrame]
    outcome: str
    event_is_good: bool
    level: float
    assignment: str
    effective_n: float
    cautions: tuple[str, ...]
    not_estimable: tuple[tuple[str, str], ...]
    model_id: str | None
    about: dict[str, Any]

    def __repr__(self) -> str:
        """Show the headline."""
        return f"ValidationReport({self.headline})"

    @property
    def good_name(self) -> str:
        """The good outcome in words."""
        return self.outcome if self.event_is_good else f"no {self.outcome}"

    @property
    def headline(self) -> str:
        """The gain over the best single arm, with its interval, in one sentence."""
        gain, what = self.gain, self.good_name
        if (rate := self.figure("base rate")["value"]) in (0, 1):
            return (
                f"The outcome is {rate:.0f} for everybody: whether the recommendations, or the predictions, "
                f"are any good for {self.outcome} cannot be told from this cohort."
            )
        if gain.lower != gain.lower:
            why = gain.method.removeprefix("not estimable: ")
            return f"The gain over the best single arm cannot be estimated: {why}."
        if not gain.n_differs:
            return (
                f"The model recommends {gain.best_arm}, the best single arm, to everybody: no gain, no loss."
            )
        verdict = "more" if gain.lower > 0 else "fewer" if gain.upper < 0 else None
        value, lower, upper = (page.fixed(100 * x, "+.1f") for x in (gain.value, gain.lower, gain.upper))
        points = f"{value} percentage points ({100 * self.level:g}% interval {lower} to {upper})"
        if verdict is None:
            return (
                f"No gain shown: giving each patient the recommended arm instead of {gain.best_arm} for "
                f"everybody changes {what} by {points}."
            )
        return (
            f"Giving each patient the recommended arm instead of {gain.best_arm} for everybody is followed "
            f"by {verdict} patients with {what}: {points}."
        )

    @property
    def flow(self) -> pd.DataFrame:
        """By arm: n, n_observed, n_events (received it), n_recommended (of all patients)."""
        return self.tables["flow"].copy()

    @property
    def calibration(self) -> CalibrationCurve:
        """Observed against predicted, overall."""
        return self._curve("")

    @property
    def calibration_by_arm(self) -> CalibrationCurve:
        """Observed against predicted, by received arm."""
        return self._curve(" by arm")

    def _curve(self, which: str) -> CalibrationCurve:
        return CalibrationCurve(
            table=self.tables[f"calibration curve{which}"],
            groups=self.tables[f"calibration groups{which}"],
            fits=self.tables[f"calibration fits{which}"],
            level=self.level,
        )

    def figure(self, measure: str, group: str = OVERALL) -> pd.Series:
        """Return one row of `figures`."""
        check_choice("measure", measure, sorted(set(self.figures["measure"])))
        rows = self.figures[self.figures["measure"] == measure]
        check_choice("group", group, list(rows["group"]))
        return rows[rows["group"] == group].iloc[0]

    def has(self, measure: str, group: str = OVERALL) -> bool:
        """Whether there is such a row of `figures`."""
        return bool(((self.figures["measure"] == measure) & (self.figures["group"] == group)).any())

    def to_frame(self) -> pd.DataFrame:
        """Return all figures, one per row."""
        return self.figures.copy()

    def summary(self) -> dict[str, Any]:
        """Return the main figures as plain numbers, for a model file or a registry; no NaN."""
        rows = self.figures[(self.figures["group"] == OVERALL) & self.figures["section"].isin(MAIN)]
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

    # --- out

    def plot(self, ax: Any = None) -> Any:
        """Draw the calibration curve; return the Axes."""
        return self.calibration.plot(ax)

    def plot_policies(self, ax: Any = None) -> Any:
        """Draw the expected rate of the good outcome under each policy; return the Axes."""
        rows = self.figures[self.figures["section"] == "policy"].set_index("measure")
        label = f"Expected proportion with {self.good_name} ({100 * self.level:g}% interval)"
        return plots.estimates(rows, reference=None, xlabel=label, ax=ax)

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML page."""
        Path(path).write_text(page.to_html(self._page()), encoding="utf-8")

    def to_markdown(self, path: str | Path) -> None:
        """Write the report as Markdown, without pictures."""
        Path(path).write_text(page.to_markdown(self._page()), encoding="utf-8")

    def write_checklists(self, path: str | Path) -> None:
        """Write the reporting checklists as Markdown, or as CSV by the ending of the name.

        Raises
        ------
        InputError
            If the name ends otherwise.
        """
        items, path = self.tables["checklist"], check_checklist_name(path)
        if path.suffix.lower() == ".csv":
            items.to_csv(path, index=False)
        else:
            path.write_text(markdown_of(items), encoding="utf-8")

    def _page(self) -> page.Page:
        from treatsel.validation.report._page import page_of

        return page_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return every number as plain values: the content of the JSON file; NaN becomes None."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "library_version": __version__,
            "headline": self.headline,
            "outcome": self.outcome,
            "event_is_good": self.event_is_good,
            "level": self.level,
            "assignment": self.assignment,
            "effective_n": _plain(self.effective_n),
            "model_id": self.model_id,
            "about": {key: _value(value) for key, value in self.about.items()},
            "gain": {key: _value(value) for key, value in asdict(self.gain).items()},
            "cautions": list(self.cautions),
            "not_estimable": [{"what": what, "why": why} for what, why in self.not_estimable],
            "figures": _rows(self.figures),
            "tables": {name: _rows(table) for name, table in self.tables.items()},
        }

    def to_json(self, path: str | Path) -> None:
        """Write every number to a JSON file; `from_json` reads it, `compare` compares two."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, path: str | Path) -> "ValidationReport":
        """Read a report that `to_json` wrote; it gives the same page.

        Raises
        ------
        InputError
            If the file is no such report, or of a newer schema.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            why = f" ({error})" if isinstance(error, InputError) else ", or it is cut off"
            raise InputError(f"{Path(path).name} is not a JSON file{why}.") from error
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: Any) -> "ValidationReport":
        """Build the report from what `to_dict` gave.

        Raises
        ------
        InputError
            If the content is no such report, or of a newer schema.
        """
        if not isinstance(content, Mapping) or content.get("kind") != KIND:
            raise InputError("This is no validation report of treatsel (its JSON says so under 'kind').")
        if content.get("schema") != SCHEMA:
            raise InputError(
                f"The report has schema {content.get('schema')!r}; this version of treatsel reads {SCHEMA}. "
                "Update treatsel, or validate again."
            )
        try:
            check_content(content)
            return cls(
                figures=_frame(content["figures"])[COLUMNS],
                gain=Gain(**content["gain"] | {key: _number(content["gain"][key]) for key in _FLOATS}),
                tables={name: _frame(rows) for name, rows in content["tables"].items()},
                cautions=tuple(content["cautions"]),
                not_estimable=tuple((entry["what"], entry["why"]) for entry in content["not_estimable"]),
                effective_n=_number(content["effective_n"]),
                **{key: content[key] for key in _AS_THEY_ARE} | {"about": _about(content["about"])},
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            where = f" ({error})" if isinstance(error, InputError) else ""
            raise InputError(f"The report is incomplete or damaged{where}. Validate again.") from error


_AS_THEY_ARE = ("outcome", "event_is_good", "level", "assignment", "model_id", "about")
MAIN = ("base rate", "discrimination", "calibration", "overall", "policy", "gain")
_FLOATS = ("value", "lower", "upper", "se", "p_value")


def _refused(constant: str) -> None:
    raise InputError(f"it holds {constant}, which JSON does not know; what does not exist is null")


def check_checklist_name(path: str | Path) -> Path:
    """Return the path; raise if checklists cannot be written under such a name."""
    path = Path(path)
    if path.suffix.lower() not in (".md", ".csv"):
        raise InputError(f"Checklists are written as .md or .csv; {path.name!r} ends otherwise.")
    return path


def _about(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of model and cohort; a KeyError tells that something is missing."""
    for key in ("n", "n_observed", "n_sites", "arms"):
        content[key]
    return dict(content)


def _plain(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _value(value: Any) -> Any:
    """Return a plain value: no numpy, no NaN."""
    if isinstance(value, float | np.floating):
        return _plain(value)
    if isinstance(value, tuple | list | np.ndarray):
        return [_value(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _rows(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return a table by columns."""
    return {str(name): [_value(value) for value in table[name]] for name in table.columns}


def _frame(columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Return a table from its columns; a column of numbers has NaN for None."""
    return pd.DataFrame({name: _series(values) for name, values in columns.items()})


def _series(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = len(known) == len(values) and all(isinstance(value, int) for value in known)
        return np.array(
            [np.nan if value is None else value for value in values], dtype=int if whole else float
        )
    return pd.Series(values, dtype=object)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
