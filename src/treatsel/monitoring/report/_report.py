"""`MonitoringReport`: the data of a report, and writers for HTML, Markdown and JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._files import write_text
from treatsel._reporting import page
from treatsel._version import __version__
from treatsel.monitoring.report._data import ReportData
from treatsel.monitoring.report._page import page_of
from treatsel.monitoring.report._wording import sentence_of

SCHEMA = 1
KIND = "treatsel monitoring report"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MonitoringReport(ReportData):
    """A monitoring report that can be written as HTML, Markdown and JSON.

    Attributes are those of `ReportData`.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values, the content of the JSON file; NaN becomes None."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "library_version": __version__,
            "headline": self.headline,
            "outcome": self.outcome,
            "false_alarm_rate": self.false_alarm_rate,
            "false_alarm_guarantee": self.false_alarm_guarantee,
            "thresholds": asdict(self.thresholds),
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
            "sequential_test": None if self.sequential_test is None else _records(self.sequential_test.table),
        }

    def to_json(self, path: str | Path) -> None:
        """Write all numbers to a JSON file."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
        write_text(path, text + "\n")

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML page."""
        write_text(path, page.to_html(page_of(self)))

    def to_markdown(self, path: str | Path) -> None:
        """Write the report as Markdown, without figures."""
        write_text(path, page.to_markdown(page_of(self)))

    def summary(self) -> str:
        """Return headline, alarms, cautions and the false-alarm rate as a few lines of Markdown."""
        lines = [f"**{self.headline}**", ""]
        lines += [f"- {sentence_of(row)}" for row in self.alarms.to_dict(orient="records")]
        lines += [""] if len(self.alarms) else []
        if not self.n_outcomes:
            lines += ["Calibration was not assessed: no outcome is known.", ""]
        lines += [line for caution in self.cautions for line in (f"> {caution}", "")]
        if self.not_estimable:
            lines += [f"Not tested: {'; '.join(f'{what} ({why})' for what, why in self.not_estimable)}.", ""]
        return "\n".join([*lines, self.false_alarm_guarantee])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in table.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
