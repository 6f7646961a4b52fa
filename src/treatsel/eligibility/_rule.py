"""One rule, and the reading of rules from mappings; all faults are collected."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from treatsel._checks import count_of, did_you_mean, listed, shortened
from treatsel._lazy import lazy
from treatsel._reporting.text import hidden_in
from treatsel.eligibility._grammar import Condition, columns_of, parse
from treatsel.errors import Fault, InputError

EFFECTS = ("exclude", "warn")
MOST_RULES = 1000
MOST_ARMS = 1000
MOST_TEXT = 1000  # characters of a reason or a source
MOST_ID = 60


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A dated rule: for whom which arms are excluded, or come with a warning, and why.

    Parameters
    ----------
    id : str
        Name of the rule, at most 60 characters.
    arms : tuple of str or int
        The arms that the rule concerns.
    when : str
        The condition, in the grammar of the reference page "Eligibility rules".
    effect : {"exclude", "warn"}
        What a true condition does. If the condition is unknown, both warn.
    reason : str
        The reason, for the patient and the clinician.
    source : str
        Where the rule comes from: a guideline with its section, a decision of the service.
    version : str
        Version of the rule.
    date : datetime.date
        Date of this version.

    Raises
    ------
    InputError
        If a part is not of that form; `faults` lists all faults.

    Examples
    --------
    >>> rule = Rule(
    ...     id="long-qt",
    ...     arms=("ssri",),
    ...     when="qt_ms > 460",
    ...     effect="exclude",
    ...     reason="The QT interval is prolonged.",
    ...     source="Example",
    ...     version="1",
    ...     date=date(2026, 11, 1),
    ... )
    >>> rule.columns
    ('qt_ms',)
    """

    id: str
    arms: tuple[Any, ...]
    when: str
    effect: str
    reason: str
    source: str
    version: str
    date: date

    def __post_init__(self) -> None:
        found, faults = read_rule({key: getattr(self, key) for key in KEYS}, {}, "The rule")
        if faults:
            raise InputError(f"The rule has {count_of(len(faults), 'fault')}:", faults)
        for key, value in found.items():
            object.__setattr__(self, key, value)

    @lazy
    def condition(self) -> Condition:
        """The condition as a tree."""
        return parse(self.when)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the condition reads."""
        return columns_of(self.condition)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as an entry of a file."""
        return {**{key: getattr(self, key) for key in KEYS}, "arms": list(self.arms), "date": f"{self.date}"}


KEYS = tuple(each.name for each in fields(Rule))
SHARED = ("source", "version", "date")  # keys that a file may give once, for all of its rules


class _MisfitError(Exception):
    """A value that does not fit: what was found, and what is allowed."""


def read_rule(
    entry: Any, shared: Mapping[str, Any], where: str, parts: Iterable[str] = KEYS
) -> tuple[dict[str, Any], list[Fault]]:
    """Return the sound parts of an entry in their final form, and the faults of the others."""
    if not isinstance(entry, Mapping):
        remedy = f"It must be a mapping with the keys {list(KEYS)}."
        return {}, [Fault(column=None, problem=f"{where}: is {kind_of(entry)}.", remedy=remedy)]
    faults = [
        Fault(
            column=None,
            problem=f"{where}: unknown key {shortened(str(key))!r}.",
            remedy=f"Allowed: {list(KEYS)}.{did_you_mean(key, KEYS)}",
        )
        for key in entry
        if key not in KEYS
    ]
    given = {**shared, **{key: value for key, value in entry.items() if value is not None}}
    found: dict[str, Any] = {}
    for key in parts:
        if given.get(key) is None:
            remedy = "Give it, here or once for the file." if key in SHARED else "Give it."
            faults.append(Fault(column=None, problem=f"{where}: lacks {key}.", remedy=remedy))
            continue
        try:
            found[key] = _READ[key](given[key])
        except _MisfitError as misfit:
            problem, remedy = misfit.args
            faults.append(Fault(column=None, problem=f"{where}, {key}: {problem}.", remedy=remedy))
        except InputError as error:  # of the grammar
            faults.append(Fault(column=None, problem=f"{where}, {key}: {error}", remedy=""))
    return found, faults


def read_shared(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Return what a file gives for all of its rules, and its faults."""
    found, faults = {}, list[Fault]()
    for key in (key for key in SHARED if content.get(key) is not None):
        try:
            _READ[key](content[key])
            found[key] = content[key]
        except _MisfitError as misfit:
            problem, remedy = misfit.args
            faults.append(Fault(column=None, problem=f"The file, {key}: {problem}.", remedy=remedy))
            found[key] = {"source": "-", "version": "-", "date": "2000-01-01"}[key]  # no second fault a rule
    return found, faults


def read_text(value: Any, most: int = MOST_TEXT) -> str:
    """Return a text in one line.

    Raises
    ------
    InputError
        If the value is no text, is empty or too long, or has characters that are not seen.
    """
    try:
        return _text(value, most)
    except _MisfitError as misfit:
        raise InputError(". ".join(misfit.args)) from None


def kind_of(value: Any) -> str:
    """Return the type of a value in the words of a file."""
    if value is None:
        return "empty"
    kinds = {dict: "a mapping", list: "a list", str: "a text", bool: "yes or no", int: "a number"}
    return kinds.get(type(value), "a number" if isinstance(value, float) else f"a {type(value).__name__}")


def _text(value: Any, most: int = MOST_TEXT) -> str:
    if not isinstance(value, str):
        raise _MisfitError(
            f"is {kind_of(value)}", "It must be a text, in quotes if it is yes, no or a number."
        )
    text = " ".join(value.split())
    if not text or len(text) > most:
        raise _MisfitError(f"has {len(text):,} characters", f"It must have 1 to {most:,}.")
    if codes := hidden_in(text):
        raise _MisfitError(f"has characters that are not seen ({', '.join(codes[:10])})", "Remove them.")
    return text


def _id(value: Any) -> str:
    return _text(value, MOST_ID)


def _when(value: Any) -> str:
    if not isinstance(value, str):
        raise _MisfitError(f"is {kind_of(value)}", "It must be a condition in quotes, such as 'age >= 65'.")
    parse(value)
    return value


def _effect(value: Any) -> str:
    if value not in EFFECTS:
        if not isinstance(value, str):
            raise _MisfitError(f"is {kind_of(value)}", f"Allowed: {list(EFFECTS)}.")
        hint = did_you_mean(shortened(value), EFFECTS)
        raise _MisfitError(f"is {shortened(value)!r}", f"Allowed: {list(EFFECTS)}.{hint}")
    return str(value)


def _arms(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_ARMS:
        kind = f"has {len(value):,} entries" if isinstance(value, list | tuple) else f"is {kind_of(value)}"
        raise _MisfitError(kind, f"It must be a list of 1 to {MOST_ARMS:,} arms.")
    if wrong := sum(isinstance(arm, bool) or not isinstance(arm, str | int) for arm in value):
        raise _MisfitError(
            f"has {count_of(wrong, 'entry', 'entries')} that cannot be an arm",
            "Give texts, in quotes if they are yes or no.",
        )
    arms = tuple(_text(arm) if isinstance(arm, str) else arm for arm in value)
    if twice := sorted({str(arm) for arm in arms if arms.count(arm) > 1}):
        raise _MisfitError(f"names {listed(twice)} more than once", "Give each arm once.")
    return arms


def _version(value: Any) -> str:
    # a decimal number would lose digits: 1.10 is read as 1.1
    return _text(str(value) if isinstance(value, int) and not isinstance(value, bool) else value, MOST_ID)


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) and len(value) == 10 else "")
    except ValueError:
        raise _MisfitError("is not a date", "Give year-month-day, such as 2026-11-01.") from None


_READ: dict[str, Any] = {
    "id": _id,
    "arms": _arms,
    "when": _when,
    "effect": _effect,
    "reason": _text,
    "source": _text,
    "version": _version,
    "date": _date,
}
