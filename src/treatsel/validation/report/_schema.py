"""Checks of the JSON of a report, so that a damaged or edited file is refused with a reason.

A JSON Schema would cover types and keys only: equal column lengths, unique rows and the tables of a page need
code in any case, and a validator would be a dependency for these few lines.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from treatsel._checks import check_level, count_of
from treatsel.errors import InputError
from treatsel.validation.parts import COLUMNS

WORDS = ("section", "measure", "group", "method")
NUMBERS = ("value", "lower", "upper", "n_events")
GAIN_NUMBERS = ("value", "lower", "upper", "se", "p_value")
NEEDED = {  # tables that every page shows
    "flow": ("arm", "n", "n_observed", "n_events", "n_recommended"),
    "calibration curve": ("predicted", "observed", "lower", "upper"),
    "calibration curve by arm": ("predicted", "observed", "lower", "upper"),
    "checklist": ("list", "source", "item", "topic", "asks", "answer"),
}


def check_content(content: Mapping[str, Any]) -> None:
    """Raise if a key is missing or a value has the wrong type.

    Raises
    ------
    InputError
        If a value has the wrong type, columns are missing or differ in length, or rows are duplicates.
    KeyError, TypeError, AttributeError
        If a key is missing altogether.
    """
    _check("outcome", content["outcome"], str)
    _check("event_is_good", content["event_is_good"], bool)
    check_level(content["level"])
    for name in ("cautions", "not_estimable"):
        _check(name, content[name], list)
    _check_all("cautions", content["cautions"], (str,))
    _check_number("effective_n", content["effective_n"], empty=True)
    for name in GAIN_NUMBERS:
        _check_number(f"gain.{name}", content["gain"][name], empty=True)
    _check_number("gain.n", content["gain"]["n"])
    _check_number("gain.n_discordant", content["gain"]["n_discordant"], empty=True)
    for name in ("n", "n_observed", "n_sites"):
        _check_number(f"about.{name}", content["about"][name])
    _check_figures(content["figures"])
    _check_tables(content["tables"])


def _check_figures(figures: Mapping[str, list[Any]]) -> None:
    _check_table("figures", figures, COLUMNS)
    for name in WORDS:
        _check_all(f"figures.{name}", figures[name], (str,))
    for name in NUMBERS:
        _check_all(f"figures.{name}", figures[name], (Real, type(None)))
    _check_all("figures.n", figures["n"], (Real,))
    if "base rate" not in figures["measure"]:
        raise InputError("figures has no base rate")
    keys = list(zip(figures["section"], figures["measure"], figures["group"], strict=True))
    if n := len(keys) - len(set(keys)):
        raise InputError(f"figures holds {count_of(n, 'duplicate row')}")


def _check_tables(tables: Mapping[str, Mapping[str, list[Any]]]) -> None:
    for name, columns in NEEDED.items():
        _check_table(f"table {name!r}", tables[name], columns)
    for name, table in tables.items():
        _check_table(f"table {name!r}", table, ())


def _check_table(name: str, table: Mapping[str, list[Any]], columns: tuple[str, ...] | list[str]) -> None:
    _check(name, table, dict)
    if lacking := [column for column in columns if column not in table]:
        raise InputError(f"{name} lacks the columns {lacking}")
    for column, values in table.items():
        _check(f"{name}, column {column!r},", values, list)
    if len({len(values) for values in table.values()}) > 1:
        raise InputError(f"the columns of {name} differ in length")


def _check_all(name: str, values: list[Any], kinds: tuple[type, ...]) -> None:
    if n := sum(not isinstance(value, kinds) or isinstance(value, bool) for value in values):
        raise InputError(f"{name} holds {count_of(n, 'value')} of the wrong type")


def _check_number(name: str, value: Any, *, empty: bool = False) -> None:
    if not (empty and value is None):
        _check_all(name, [value], (Real,))


def _check(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise InputError(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
