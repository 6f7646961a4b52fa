"""`ValidationReport`: results of an external validation, and their output formats."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from treatsel._disclosure import is_disclosive, is_small
from treatsel._files import read_text, write_text
from treatsel._reporting import page
from treatsel._reporting.format import percent, with_interval
from treatsel._reporting.summary import Summary, count_text
from treatsel._version import __version__
from treatsel.errors import InputError
from treatsel.manifest import LONGEST_STATEMENT
from treatsel.metrics import Gain
from treatsel.table import write_table
from treatsel.validation.parts import COLUMNS, OVERALL
from treatsel.validation.report._checklist import check_checklist_name, markdown_of
from treatsel.validation.report._data import ReportData
from treatsel.validation.report._front_table import front_rows
from treatsel.validation.report._page import TITLES, page_of
from treatsel.validation.report._plain import columns_of, frame_of, number_of, plain_number, plain_value
from treatsel.validation.report._schema import check_content

SCHEMA = 1
KIND = "treatsel validation report"
_SMALL = "not shown (small counts)"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValidationReport(ReportData):
    """Results of an external validation, written as HTML, Markdown or JSON and read back from JSON.

    Attributes are those of `ReportData`.
    """

    def _summary(self) -> Summary:
        base, lost = self.figure("base rate"), self.about["n"] - self.about["n_observed"]
        few = is_disclosive(base["n_events"], base["n"])
        hidden = {"Sample size": few, "Missing outcomes": is_small(lost)}
        rows = [
            (
                row.question,
                _SMALL if hidden.get(row.question.partition(":")[0]) else row.estimate,
                row.verdict,
            )
            for row in front_rows(self)
        ]
        cautions = f"Cautions: {len(self.cautions)}, see cautions. " if self.cautions else ""
        return Summary(
            title=f"{TITLES[self.kind]}: {self.outcome_label}",
            headline=self.headline,
            facts=[
                ("patients with the outcome observed", count_text(base["n"])),
                (f"rate of {self.outcome_label}", _SMALL if few else with_interval(base, percent)),
                ("confidence level", f"{100 * self.level:g}%"),
                ("model", self.model_id[:12] if self.model_id else "not from a file"),
            ],
            columns=("Question", "Estimate (interval)", "Verdict"),
            rows=rows,
            note=f"{cautions}to_html(path) writes the whole report; to_frame() returns all estimates.",
        )

    def summary(self) -> dict[str, Any]:
        """Return the main estimates as plain numbers without NaN, for a model file or a registry."""
        rows = self.figures[(self.figures["group"] == OVERALL) & self.figures["section"].isin(MAIN)]
        kept = {
            str(row["measure"]): {key: plain_number(row[key]) for key in ("value", "lower", "upper")}
            for row in rows.to_dict(orient="records")
        }
        return {
            "kind": self.kind,
            "outcome": self.outcome,
            "n": int(self.flow["n_observed"].sum()),
            "level": self.level,
            "headline": self.headline,
            "figures": kept,
        } | self._estimand()

    def _estimand(self) -> dict[str, dict[str, str]]:
        """Return the estimand as the summary holds it; nothing for reports of earlier versions."""
        if "estimand" not in self.tables:
            return {}
        rows = self.tables["estimand"].to_dict(orient="records")
        stated = {str(row["attribute"]): str(row["statement"]) for row in rows}
        plan = self.about.get("plan")
        how = (
            f"{plan['primary']}; plan of {plan['date']}, SHA-256 {plan['sha256']}" if plan else "not planned"
        )
        stated["primary figure"] = how
        return {"estimand": {name: text[:LONGEST_STATEMENT] for name, text in stated.items()}}

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML page."""
        write_text(path, page.to_html(page_of(self)))

    def to_markdown(self, path: str | Path) -> None:
        """Write the report as Markdown, without figures."""
        write_text(path, page.to_markdown(page_of(self)))

    def write_checklists(self, path: str | Path) -> None:
        """Write the reporting checklists as Markdown or CSV, by the suffix of the path.

        Raises
        ------
        InputError
            If the suffix is neither .md nor .csv.
        """
        items, path = self.tables["checklist"], check_checklist_name(path)
        if path.suffix.lower() == ".csv":
            write_table(items, path)
        else:
            write_text(path, markdown_of(items))

    def to_dict(self) -> dict[str, Any]:
        """Return all results as plain values, the content of the JSON file; NaN becomes None."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "library_version": __version__,
            "headline": self.headline,
            "outcome": self.outcome,
            "event_is_good": self.event_is_good,
            "level": self.level,
            "assignment": self.assignment,
            "effective_n": plain_number(self.effective_n),
            "model_id": self.model_id,
            "about": {key: plain_value(value) for key, value in self.about.items()},
            "gain": {key: plain_value(value) for key, value in asdict(self.gain).items()},
            "cautions": list(self.cautions),
            "not_estimable": [{"what": what, "why": why} for what, why in self.not_estimable],
            "figures": columns_of(self.figures),
            "tables": {name: columns_of(table) for name, table in self.tables.items()},
        }

    def to_json(self, path: str | Path) -> None:
        """Write all results to a JSON file; `from_json` reads it, `compare` compares two."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
        write_text(path, text + "\n")

    @classmethod
    def from_json(cls, path: str | Path) -> "ValidationReport":
        """Read a report written by `to_json`; its page is the same.

        Raises
        ------
        InputError
            If the file is not such a report, or has a newer schema.
        """
        try:
            content = json.loads(read_text(path), parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            why = f" ({error})" if isinstance(error, InputError) else ", or it is truncated"
            raise InputError(f"{Path(path).name} is not a JSON file{why}.") from error
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: Any) -> "ValidationReport":
        """Return the report from the output of `to_dict`.

        Raises
        ------
        InputError
            If the content is not such a report, or has a newer schema.
        """
        if not isinstance(content, Mapping) or content.get("kind") != KIND:
            raise InputError(f"This is not a validation report of treatsel: its key 'kind' is not {KIND!r}.")
        if content.get("schema") != SCHEMA:
            raise InputError(
                f"The report has schema {content.get('schema')!r}; this version of treatsel reads {SCHEMA}. "
                "Update treatsel, or validate again."
            )
        try:
            check_content(content)
            return cls(
                figures=frame_of(content["figures"])[COLUMNS],
                gain=Gain(**content["gain"] | {key: number_of(content["gain"][key]) for key in _FLOATS}),
                tables={name: frame_of(rows) for name, rows in content["tables"].items()},
                cautions=tuple(content["cautions"]),
                not_estimable=tuple((entry["what"], entry["why"]) for entry in content["not_estimable"]),
                effective_n=number_of(content["effective_n"]),
                **{key: content[key] for key in _AS_THEY_ARE} | {"about": _about(content["about"])},
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            where = f" ({error})" if isinstance(error, InputError) else ""
            raise InputError(f"The report is incomplete or damaged{where}. Validate again.") from error


_AS_THEY_ARE = ("outcome", "event_is_good", "level", "assignment", "model_id", "about")
MAIN = ("base rate", "discrimination", "calibration", "overall", "policy", "gain", "instability")
_FLOATS = ("value", "lower", "upper", "se", "p_value")


def _refused(constant: str) -> None:
    raise InputError(f"it holds {constant}, which is not JSON; missing values must be null")


def _about(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts on model and cohort; raise KeyError if a required one is missing."""
    for key in ("n", "n_observed", "n_sites", "arms"):
        content[key]
    return dict(content)
