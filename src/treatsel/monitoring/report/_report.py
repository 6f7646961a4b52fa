"""The result of monitoring: every figure in one table, alarms, and the rate at which they are false."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._reporting import page, plots
from treatsel._version import __version__
from treatsel.monitoring._covariate_drift import MEAN, SHARES
from treatsel.monitoring._sequential_test import RunningTest
from treatsel.monitoring._thresholds import Sizes
from treatsel.monitoring.report._wording import FAMILIES, _places, sentence_of

SCHEMA = 1
KIND = "treatsel monitoring report"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MonitoringReport:
    """What has changed since the development of a model, with alarms whose false-alarm rate is stated.

    Attributes
    ----------
    figures : DataFrame
        One row per figure: section (inputs, warnings, predictions, calibration, running), name (covariate,
        code, arm), measure, value with lower and upper, expected and found, n, p_value, p_adjusted (Holm,
        over its family), matters (large enough for an alarm), alarm, method. Counts below 5 are not told.
    levels : DataFrame
        Share of each category before and now: column, category, before, now.
    running : RunningTest or None
        Evidence against calibration, patient after patient.
    outcome : str
        Outcome whose predictions are judged.
    false_alarm_rate : float
        Chance of any alarm in a report though nothing has changed, at most.
    sizes : Sizes
        What is large enough to matter.
    level : float
        Confidence level of the intervals.
    cautions : tuple of str
        What a reader must not overlook.
    not_estimable : tuple of (str, str)
        What could not be tested, and why.
    model_id : str or None
        Id of the model file, if there is one.
    n, n_outcomes : int
        Patients; those with known outcome and arm.
    compared_with : str
        Whom the covariates are compared with.
    """

    figures: pd.DataFrame
    levels: pd.DataFrame
    running: RunningTest | None
    outcome: str
    false_alarm_rate: float
    sizes: Sizes
    level: float
    cautions: tuple[str, ...]
    not_estimable: tuple[tuple[str, str], ...]
    model_id: str | None
    n: int
    n_outcomes: int
    compared_with: str

    def __repr__(self) -> str:
        """Show the headline."""
        return f"MonitoringReport({self.headline})"

    @property
    def alarms(self) -> pd.DataFrame:
        """The figures that gave an alarm."""
        return self.figures[self.figures["alarm"]].reset_index(drop=True)

    @property
    def n_tests(self) -> int:
        """How many tests were made; each could have given an alarm."""
        return int(self.figures["p_value"].notna().sum())

    @property
    def headline(self) -> str:
        """Whether there is an alarm, and where, in one sentence."""
        if not self.n_tests:
            return f"Nothing could be tested in {self.n:,} patients."
        tested = f"{self.n_tests} tests on {self.n:,} patients"
        if not len(self.alarms):
            return f"No alarm: {tested}."
        return f"Alarm: {', '.join(_places(self.alarms))} ({tested})."

    @property
    def promise(self) -> str:
        """What the false-alarm rate means."""
        share = f"{100 * self.false_alarm_rate / len(FAMILIES):.2g} %"
        return (
            f"If nothing has changed, at most {100 * self.false_alarm_rate:g} % of such reports give any "
            f"alarm: {share} each for {', '.join(FAMILIES[:-1])} (Holm's method, per report) and the "
            f"{FAMILIES[-1]} (Ville's inequality, over all looks together)."
        )

    def to_frame(self) -> pd.DataFrame:
        """Return all figures, one per row."""
        return self.figures.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw how far each covariate has moved, in SD of before; return the Axes."""
        rows = self.figures[self.figures["measure"].isin([MEAN, SHARES]) & self.figures["value"].notna()]
        label = f"Standardised difference, now less before ({100 * self.level:g}% interval)"
        table = rows.set_index("name")[["value", "lower", "upper"]]
        return plots.estimates(table, reference=0.0, xlabel=label, ax=ax)

    def to_dict(self) -> dict[str, Any]:
        """Return every number as plain values: the content of the JSON file; NaN becomes None."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "library_version": __version__,
            "headline": self.headline,
            "outcome": self.outcome,
            "false_alarm_rate": self.false_alarm_rate,
            "promise": self.promise,
            "sizes": asdict(self.sizes),
            "level": self.level,
            "model_id": self.model_id,
            "n": self.n,
            "n_outcomes": self.n_outcomes,
            "compared_with": self.compared_with,
            "alarm": bool(len(self.alarms)),
            "cautions": list(self.cautions),
            "not_estimable": [{"what": what, "why": why} for what, why in self.not_estimable],
            "figures": _records(self.figures),
            "levels": _records(self.levels),
            "running": None if self.running is None else _records(self.running.table),
        }

    def to_json(self, path: str | Path) -> None:
        """Write every number to a JSON file."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML page."""
        Path(path).write_text(page.to_html(self._page()), encoding="utf-8")

    def to_markdown(self, path: str | Path) -> None:
        """Write the report as Markdown, without pictures."""
        Path(path).write_text(page.to_markdown(self._page()), encoding="utf-8")

    def _page(self) -> page.Page:
        from treatsel.monitoring.report._page import page_of

        return page_of(self)

    def summary(self) -> str:
        """Return headline, alarms, cautions and the false-alarm rate as a few lines of Markdown."""
        lines = [f"**{self.headline}**", ""]
        lines += [f"- {sentence_of(row)}" for row in self.alarms.to_dict(orient="records")]
        lines += [""] if len(self.alarms) else []
        if not self.n_outcomes:
            lines += ["Calibration was not judged: no outcomes.", ""]
        lines += [line for caution in self.cautions for line in (f"> {caution}", "")]
        if self.not_estimable:
            lines += [f"Not tested: {'; '.join(f'{what} ({why})' for what, why in self.not_estimable)}.", ""]
        return "\n".join([*lines, self.promise])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in table.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
