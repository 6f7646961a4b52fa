"""How well a model applies to a patient, in plain sentences, from the codes of warnings."""

from collections.abc import Mapping
from typing import Any

from treatsel.predictions._flags import FLAG_COLUMNS, OUT_OF_SCOPE_CODES

OUT_OF_SCOPE = "The model was not developed for such a patient: do not use its probabilities."
# One sentence per warning, in this order. {about}: title of the column, or the arm.
SENTENCES = {
    "wrong_type": "The value of {about} could not be read, and was treated as not known.",
    "infinite": "The value of {about} is too large to compute with, and was treated as not known.",
    "out_of_range": "The value of {about} is outside the range that is possible for it.",
    "not_integer": "The value of {about} should be a whole number.",
    "unseen_category": "The category of {about} is one that the model has not learned.",
    "missing_required": "{about} is not known, although it is required.",
    "outside_training_range": "The value of {about} is well outside the range of the patients from whom the "
    "model was learned.",
    "far_from_development": "This combination of values was hardly ever seen among the patients from whom "
    "the model was learned.",
    "many_missing": "More than half of what the model asks for is not known: what it says is close to what "
    "it says of an average patient.",
    "low_propensity": "Patients like this one hardly ever received {about}: what the model says of it is "
    "extrapolated.",
    "no_interval": "The model gives no interval, so it cannot be said how sure it is.",
    "model_expired": "The date until which the model was to be used has passed.",
}
NOT_KNOWN = "Not known: {about}."


def applicability_of(flags: Mapping[str, Any] | None, titles: Mapping[str, str]) -> list[tuple[Any, str]]:
    """Return pairs of patient and sentence: what limits the use of the model for this patient.

    Parameters
    ----------
    flags : mapping of str to sequence, or None
        Warnings as in `Predictions.flags`.
    titles : mapping of str to str
        Titles of columns, which replace their names.

    Returns
    -------
    list of (patient, sentence)
        Patients in the order of their first warning. For a patient out of scope, the first sentence says so.
        No sentence holds a value, nor is there one about safety items, spelling or unknown keys.

    Examples
    --------
    >>> codes = ["low_propensity", "missing_covariate"]
    >>> flags = {"patient": ["a", "a"], "code": codes, "column": ["IPT", "age"]}
    >>> for patient, sentence in applicability_of(flags, {"age": "Age"}):
    ...     print(patient, sentence)
    a Patients like this one hardly ever received IPT: what the model says of it is extrapolated.
    a Not known: Age.
    """
    by_patient: dict[Any, list[tuple[str, Any]]] = {}
    for patient, code, about in () if flags is None else zip(*(flags[k] for k in FLAG_COLUMNS), strict=True):
        by_patient.setdefault(patient, []).append((code, about))
    return [
        (patient, sentence)
        for patient, warnings in by_patient.items()
        for sentence in _sentences(warnings, titles)
    ]


def _sentences(warnings: list[tuple[str, Any]], titles: Mapping[str, str]) -> list[str]:
    found = [OUT_OF_SCOPE] if any(code in OUT_OF_SCOPE_CODES for code, _ in warnings) else []
    for code, sentence in SENTENCES.items():
        shown = {} if code == "low_propensity" else titles  # an arm may have the name of a column
        about = [shown.get(column, column) for name, column in warnings if name == code]
        found += dict.fromkeys(sentence.format(about=each) for each in about)
    missing = [str(titles.get(column, column)) for code, column in warnings if code == "missing_covariate"]
    return found + ([NOT_KNOWN.format(about=", ".join(missing))] if missing else [])
