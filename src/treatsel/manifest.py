"""The manifest of a model file: intended use, development cohort, covariates, validation."""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from treatsel._checks import check_mapping_keys
from treatsel._reporting.summary import Summarized, Summary, some_of
from treatsel.errors import InputError

INTENDED_USE_KEYS = (
    "purpose",
    "population",
    "setting",
    "outcome",
    "horizon",
    "exclusions",
    "not_for",
    "review_date",
)

MOST_STATEMENTS = 20  # of an estimand, which has seven attributes and the primary figure
LONGEST_STATEMENT = 500  # characters
KINDS = ("external", "cross-validated")  # of validations that are stored with a model


@dataclass(frozen=True, repr=False)
class Manifest(Summarized):
    """The manifest of a model file.

    Attributes
    ----------
    content : mapping
        The whole manifest, as plain lists and mappings.
    signed_by : str or None
        Fingerprint of the key that signed the file according to the file itself: SHA-256 of the public key
        in DER form. ``read_manifest(path, require_signature=key)`` and ``load_model`` verify it.
    """

    content: Mapping[str, Any]
    signed_by: str | None = None

    def __repr__(self) -> str:
        """Show the id and the purpose."""
        return f"Manifest({self.model_id[:12]}: {self.intended_use['purpose']})"

    def _summary(self) -> Summary:
        content = self.content
        return Summary(
            title="Manifest",
            headline=self.intended_use["purpose"],
            facts=[
                ("model", self.model_id[:12]),
                ("outcomes", some_of([outcome["name"] for outcome in content["outcomes"]])),
                ("arms", some_of(content["arms"])),
                ("best single arm", str(content["default_arm"])),
                *[("updated from", str(update["parent_id"])[:12]) for update in self.updates[-1:]],
                ("review by", str(self.intended_use.get("review_date", "not stated"))),
                ("signed by", (self.signed_by or "not signed")[:16]),
            ],
            note="treatsel.report.write_html(manifest, path) writes the model card.",
        )

    @property
    def model_id(self) -> str:
        """SHA-256 of the manifest and the hashes of all arrays, without the validation summary."""
        return str(self.content["model_id"])

    @property
    def intended_use(self) -> Mapping[str, str]:
        """Purpose, population, setting, outcome, horizon, exclusions, not_for, review_date."""
        return dict(self.content["intended_use"])

    @property
    def validations(self) -> list[dict[str, Any]]:
        """Summaries of the stored validations, one for each outcome and kind of validation."""
        stored = self.content["validation"]
        found = [] if stored is None else [stored] if isinstance(stored, Mapping) else stored
        return [dict(summary) for summary in found]

    @property
    def updates(self) -> list[dict[str, Any]]:
        """Records of the updates since the model was developed, the last one last."""
        return [dict(update) for update in self.content.get("updates", [])]

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest without the list of members."""
        return {key: value for key, value in self.content.items() if key != "members"}


def check_intended_use(intended_use: str | Mapping[str, Any]) -> dict[str, str]:
    """Return the intended use as a mapping with a purpose.

    Raises
    ------
    InputError
        If there is no purpose, a key is unknown, or the review date is not a date.
    """
    if not isinstance(intended_use, str | Mapping):
        raise InputError("intended_use must be a sentence, or a mapping with a purpose.")
    given = {"purpose": intended_use} if isinstance(intended_use, str) else dict(intended_use)
    check_mapping_keys("intended_use", given, INTENDED_USE_KEYS)
    block = {}
    for key, value in given.items():
        if value is not None and not isinstance(value, str | datetime.date):
            raise InputError(f"{key} in intended_use must be text; it is a {type(value).__name__}.")
        if value is not None and str(value).strip():
            block[key] = str(value).strip()
    if not block.get("purpose"):
        raise InputError("intended_use needs a purpose: one sentence on what the model is for, and for whom.")
    if "review_date" in block:
        date_of("review_date in intended_use", block["review_date"])
    return block


def date_of(name: str, value: Any) -> datetime.date:
    """Return a date (of a datetime: its day) or an ISO 8601 text as a date.

    Raises
    ------
    InputError
        If it is something else, or not a day of the calendar.
    """
    try:
        if isinstance(value, datetime.datetime):
            return datetime.date(value.year, value.month, value.day)
        if isinstance(value, datetime.date):
            return value
        if isinstance(value, str):
            return datetime.date.fromisoformat(value.strip())
    except (TypeError, ValueError):  # no such day, or a missing time such as pandas.NaT
        pass
    raise InputError(f"{name} must be a date such as 2027-01-31.")


def is_expired(intended_use: Mapping[str, Any] | None, date: datetime.date | None) -> bool:
    """Return whether the review date of a model had passed on a date; False if either is not stated."""
    review = None if intended_use is None else intended_use.get("review_date")
    if date is None or review is None:
        return False
    return date > date_of("review_date in intended_use", review)


def check_validation(validation: Any) -> dict[str, Any] | list[dict[str, Any]] | None:
    """Return a summary of a validation report (``report.summary()``), a list of them, or None.

    Raises
    ------
    InputError
        If it is not of that form, two summaries are of the same outcome and kind, or one is of apparent
        performance, which is no validation.
    """
    if validation is None or isinstance(validation, Mapping):
        return check_validation_summary(validation)
    if not isinstance(validation, list | tuple) or not validation:
        raise InputError("validation must be the summary of a report, or a list of them: report.summary().")
    found = [check_validation_summary(summary) or {} for summary in validation]
    if len({(one["outcome"], kind_of(one)) for one in found}) < len(found):
        raise InputError("validation holds two summaries of the same outcome and kind of validation.")
    return found


def check_validation_summary(summary: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the summary of a validation report (``report.summary()``), or None.

    Raises
    ------
    InputError
        If it is not of that form, or of apparent performance, which is no validation.
    """
    if summary is None:
        return None
    fits = isinstance(summary, Mapping) and {"outcome", "n", "level", "headline", "figures"} == (
        set(summary) - {"kind", "estimand"}
    )
    fits = fits and _is_estimand(summary.get("estimand", {}))
    fits = fits and isinstance(summary["n"], int) and not isinstance(summary["n"], bool)
    fits = fits and summary["n"] >= 0 and isinstance(summary["level"], float) and 0 < summary["level"] < 1
    fits = fits and all(isinstance(summary[key], str) for key in ("outcome", "headline"))
    fits = fits and kind_of(summary) in (*KINDS, "apparent")
    fits = fits and isinstance(summary["figures"], Mapping)
    for row in summary["figures"].values() if fits else ():
        fits = fits and isinstance(row, Mapping) and set(row) == {"value", "lower", "upper"}
        fits = fits and all(value is None or _is_finite(value) for value in row.values())
    if not fits:
        raise InputError("validation must be the summary of a report: pass report.summary().")
    if kind_of(summary) == "apparent":
        raise InputError(
            "This is apparent performance: patients of the development cohort are among those evaluated. It "
            "is not stored as a validation. Cross-validate, or validate in other patients."
        )
    return dict(summary)


def _is_estimand(stated: Any) -> bool:
    """Whether attributes and statements are texts of a reasonable number and length."""
    if not isinstance(stated, Mapping) or len(stated) > MOST_STATEMENTS:
        return False
    texts = [*stated, *stated.values()]
    return all(isinstance(text, str) and len(text) <= LONGEST_STATEMENT for text in texts)


def kind_of(summary: Mapping[str, Any]) -> str:
    """Return the kind of a validation; summaries without one are of external validations."""
    return str(summary.get("kind", "external"))


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
