"""`ValidationReport`: the figures of an external validation, and the forms in which they are written."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from treatsel._reporting import page
from treatsel._version import __version__
from treatsel.errors import InputError
from treatsel.metrics import Gain
from treatsel.validation.parts import COLUMNS, OVERALL
from treatsel.validation.report._checklist import check_checklist_name, markdown_of
from treatsel.validation.report._data import ReportData
from treatsel.validation.report._page import page_of
from treatsel.validation.report._plain import columns_of, frame_of, number_of, plain_number, plain_value
from treatsel.validation.report._schema import check_content

SCHEMA = 1
KIND = "treatsel validation report"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValidationReport(ReportData):
    """A `ReportData` that can be written as a page, as Markdown, and as JSON, and read back.

    Attributes are those of `ReportData`.
    """

    def summary(self) -> dict[str, Any]:
        """Return the main figures as plain numbers, for a model file or a registry; no NaN."""
        rows = self.figures[(self.figures["group"] == OVERALL) & self.figures["section"].isin(MAIN)]
        kept = {
            str(row["measure"]): {key: plain_number(row[key]) for key in ("value", "lower", "upper")}
            for row in rows.to_dict(orient="records")
        }
        return {
            "outcome": self.outcome,
            "n": int(self.flow["n_observed"].sum()),
            "level": self.level,
            "headline": self.headline,
            "figures": kept,
        }

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML page."""
        Path(path).write_text(page.to_html(page_of(self)), encoding="utf-8")

    def to_markdown(self, path: str | Path) -> None:
        """Write the report as Markdown, without pictures."""
        Path(path).write_text(page.to_markdown(page_of(self)), encoding="utf-8")

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
MAIN = ("base rate", "discrimination", "calibration", "overall", "policy", "gain")
_FLOATS = ("value", "lower", "upper", "se", "p_value")


def _refused(constant: str) -> None:
    raise InputError(f"it holds {constant}, which JSON does not know; what does not exist is null")


def _about(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of model and cohort; a KeyError tells that something is missing."""
    for key in ("n", "n_observed", "n_sites", "arms"):
        content[key]
    return dict(content)
