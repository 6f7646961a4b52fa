"""Warnings of predictions: their codes, and which of them put a patient out of scope."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel.codebook import SAFETY_CODES
from treatsel.predictions._plain import plain

if TYPE_CHECKING:
    import pandas as pd

# All codes of `Predictions.warnings` and their meaning.
WARNING_CODES = {
    "safety_item": "the answer to a safety item is one that the codebook flags: attend to it first",
    "safety_item_invalid": "the answer to a safety item violates the codebook: ask again",
    "safety_item_missing": "a safety item of the codebook was not answered, or is not in the input",
    "wrong_type": "the value is not of the column's type and was treated as missing",
    "infinite": "the value is infinite, or too large to compute with, and was treated as missing",
    "out_of_range": "the value is outside the range in the codebook and was used unchanged",
    "not_integer": "the value is not a whole number and was used unchanged",
    "unseen_category": "the category is unknown to the model and was treated as none of the known ones",
    "missing_required": "the value is missing although the codebook requires it",
    "missing_covariate": "the value is missing",
    "outside_training_range": "the value is well outside the range in the development cohort",
    "no_interval": "this type of model has no interval",
    "normalized_text": "the text, or the column name, was read in its normal form (composed signs, blanks)",
    "unknown_key": "the key of the record is unknown to the model and was ignored",
    "many_missing": "more than half of the covariates are missing",
    "far_from_development": "the combination of values is far from the development cohort, by its moments",
    "low_propensity": "similar patients rarely received this arm; its prediction is extrapolated",
    "model_expired": "the review date of the model had passed on the date that the caller gave",
}
IN_SCOPE_CODES = frozenset(
    {
        *("missing_covariate", "no_interval", "low_propensity", "unknown_key", "normalized_text"),
        *("many_missing", "far_from_development", "model_expired", *SAFETY_CODES),
    }
)
# Values that are treated as missing.
UNREADABLE_CODES = ("wrong_type", "infinite")
OUT_OF_SCOPE_CODES = frozenset(WARNING_CODES) - IN_SCOPE_CODES

FLAG_COLUMNS = ("patient", "code", "column")


def table_of_flags(flags: Mapping[str, Any] | None) -> "pd.DataFrame":
    """Return warnings as a table with the columns patient, code and column; None: no warnings."""
    import pandas as pd

    columns = {name: () if flags is None else flags[name] for name in FLAG_COLUMNS}
    return pd.DataFrame(columns, dtype="object")


def safety_flags(
    flags: Mapping[str, Any] | None, codes: Collection[str] = SAFETY_CODES
) -> dict[str, list[Any]]:
    """Return the warnings about safety items alone, as columns."""
    rows = () if flags is None else zip(*(flags[name] for name in FLAG_COLUMNS), strict=True)
    kept = [row for row in rows if row[1] in codes]
    return {name: [row[k] for row in kept] for k, name in enumerate(FLAG_COLUMNS)}


def safety_column(patients: Any, flags: Mapping[str, Any] | None) -> np.ndarray:
    """Return per patient what there is to say of safety items, such as "safety_item: phq9_item9", or ""."""
    import pandas as pd

    found = safety_flags(flags)
    positions, labels = pd.Index(patients, dtype="object").factorize(use_na_sentinel=False)
    own: list[list[str]] = [[] for _ in labels]
    rows = zip(labels.get_indexer(found["patient"]), found["code"], found["column"], strict=True)
    for at, code, column in rows:
        own[at].append(f"{code}: {column}")
    return np.array([" | ".join(own[at]) for at in positions], dtype=object)


def warnings_of(flags: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return warnings as a list of plain mappings; None: no warnings."""
    rows = () if flags is None else zip(*(flags[name] for name in FLAG_COLUMNS), strict=True)
    return [dict(zip(FLAG_COLUMNS, map(plain, flag), strict=True)) for flag in rows]


def flags_of(patient: Any, flags: Sequence[tuple[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return one patient's (code, column) pairs as the columns of `Predictions.flags`."""
    codes = tuple(code for code, _ in flags)
    return {"patient": (patient,) * len(flags), "code": codes, "column": tuple(column for _, column in flags)}


def scope_of(patients: Any, flags: Mapping[str, Any]) -> np.ndarray:
    """Return per patient whether a warning has a code of ``OUT_OF_SCOPE_CODES``."""
    pairs = zip(flags["patient"], flags["code"], strict=True)
    outside = [patient for patient, code in pairs if code in OUT_OF_SCOPE_CODES]
    if not outside:
        return np.zeros(len(patients), dtype=bool)
    if hasattr(patients, "isin"):  # a pandas index, which also finds missing ids (NaN)
        return np.asarray(patients.isin(outside), dtype=bool)
    return np.array([any(patient is each or patient == each for each in outside) for patient in patients])


def scope_reasons(patients: Any, flags: Mapping[str, Any]) -> list[list[tuple[str, Any]]]:
    """Return per patient the (code, column) pairs of ``OUT_OF_SCOPE_CODES``; none for a patient in scope."""
    triples = zip(*(flags[name] for name in FLAG_COLUMNS), strict=True)
    outside = [(patient, (code, column)) for patient, code, column in triples if code in OUT_OF_SCOPE_CODES]
    if len(patients) == 1:
        return [[pair for _, pair in outside]]
    found: list[list[tuple[str, Any]]] = [[] for _ in range(len(patients))]
    if not outside:
        return found
    import pandas as pd

    # labels as objects, so that an id that is missing (NaN) is found too
    positions, labels = pd.Index(patients, dtype="object").factorize(use_na_sentinel=False)
    own: list[list[tuple[str, Any]]] = [[] for _ in labels]
    for at, (_, pair) in zip(labels.get_indexer([patient for patient, _ in outside]), outside, strict=True):
        own[at].append(pair)
    return [list(own[at]) for at in positions]


def scope_columns(patients: Any, flags: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return in_scope, reason and reason_column of each patient; the latter empty for a patient in scope."""
    found = scope_reasons(patients, flags)
    texts = [(" | ".join(code for code, _ in of), " | ".join(str(name) for _, name in of)) for of in found]
    reason, column = zip(*texts, strict=True) if texts else ((), ())
    return {
        "in_scope": np.array([not of for of in found], dtype=bool),
        "reason": np.array(reason, dtype=object),
        "reason_column": np.array(column, dtype=object),
    }


def scope_dicts(patients: Any, flags: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return each patient's scope for JSON; in_scope is None without flags, when no model was asked."""
    if flags is None:
        return [{"in_scope": None, "scope_reasons": []} for _ in patients]
    return [scope_dict(reasons) for reasons in scope_reasons(patients, flags)]


def scope_dict(reasons: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return one patient's scope for JSON: in_scope, and the reasons as mappings of code and column."""
    pairs = [{"code": code, "column": plain(column)} for code, column in reasons]
    return {"in_scope": not pairs, "scope_reasons": pairs}
