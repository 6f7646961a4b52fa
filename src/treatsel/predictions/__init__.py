"""Predictions of a model: probabilities with intervals, warnings, and an audit record."""

from treatsel.predictions._applicability import applicability_of
from treatsel.predictions._digests import digest, digest_one, fingerprint
from treatsel.predictions._flags import (
    FLAG_COLUMNS,
    IN_SCOPE_CODES,
    OUT_OF_SCOPE_CODES,
    UNREADABLE_CODES,
    WARNING_CODES,
    flags_of,
    safety_column,
    safety_flags,
    scope_columns,
    scope_dicts,
    scope_of,
    scope_reasons,
    table_of_flags,
    warnings_of,
)
from treatsel.predictions._plain import SCHEMA, header, plain
from treatsel.predictions._predictions import Predictions

__all__ = [
    "FLAG_COLUMNS",
    "IN_SCOPE_CODES",
    "OUT_OF_SCOPE_CODES",
    "SCHEMA",
    "UNREADABLE_CODES",
    "WARNING_CODES",
    "Predictions",
    "applicability_of",
    "digest",
    "digest_one",
    "fingerprint",
    "flags_of",
    "header",
    "plain",
    "safety_column",
    "safety_flags",
    "scope_columns",
    "scope_dicts",
    "scope_of",
    "scope_reasons",
    "table_of_flags",
    "warnings_of",
]
