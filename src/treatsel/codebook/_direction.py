"""Direction of an outcome: whether 1 is good. It is stated somewhere, or the outcome is refused."""

from collections.abc import Mapping
from typing import Any

from treatsel.errors import CodebookError, InputError

# The outcomes that the library itself defines (`treatsel.outcome`), by name: their definition states it.
SHIPPED = {
    "remission": True,
    "response": True,
    "caseness": False,
    "nhs_recovery": True,
    "reliable_improvement": True,
    "reliable_recovery": True,
    "reliable_deterioration": False,
    "non_start": False,
    "one_session": False,
    "unplanned_end": False,
    "below_dose": False,
}
UNSTATED = "State event_is_good: true if 1 is good, false if it is bad."  # the note of a draft
ATTRIBUTE = "event_is_good"  # entry of `attrs` with which a labelled outcome carries its direction


def direction_of(name: str, *sources: tuple[str, bool | None]) -> bool:
    """Return whether 1 is the good outcome, as stated.

    Parameters
    ----------
    name : str
        Name of the outcome. The name of an outcome defined in `treatsel.outcome` states its direction.
    *sources : tuple of (str, bool or None)
        Where else it may be stated, in words, and what is stated there.

    Raises
    ------
    InputError
        If nothing is stated, something other than true or false is, or statements contradict each other.
    """
    by_definition = ("the definition of the outcome of that name in treatsel.outcome", SHIPPED.get(name))
    stated = [(where, good) for where, good in (*sources, by_definition) if good is not None]
    for where, good in stated:
        if good not in (True, False):
            raise InputError(f"The direction of {name!r} ({where}) must be True or False.")
    if not stated:
        raise InputError(
            f"The direction of {name!r} is not specified. State whether 1 is the good outcome: "
            f"event_is_good={{{name!r}: True}}, or False if 1 is bad, or event_is_good in the codebook."
        )
    (first, direction), *others = stated
    for where, good in others:
        if bool(good) != bool(direction):
            raise InputError(
                f"The direction of {name!r} is contradictory: 1 is {_word(direction)} by {first}, but "
                f"{_word(good)} by {where}. Correct one of them, or rename the outcome."
            )
    return bool(direction)


def direction_by(name: str, stated: bool | None, definition: str) -> bool:
    """Return whether 1 is the good outcome, for a codebook's outcome that is derived by a definition.

    Raises
    ------
    CodebookError
        If another direction is stated for it, or by its name.
    """
    by_definition = (f"the definition {definition!r} in treatsel.outcome", SHIPPED[definition])
    try:
        return direction_of(name, ("event_is_good in the codebook", stated), by_definition)
    except InputError as error:
        raise CodebookError(f"Codebook field {name!r}: {error}") from None


def stated_for(name: str, given: bool | Mapping[str, bool] | None) -> bool | None:
    """Return what an argument ``event_is_good`` states for one outcome; None: nothing."""
    return given.get(name) if isinstance(given, Mapping) else given


def carried(column: Any) -> bool | None:
    """Return the direction that a labelled outcome carries in its `attrs`; None: none."""
    good = getattr(column, "attrs", {}).get(ATTRIBUTE)
    return good if isinstance(good, bool) else None


def _word(good: bool | None) -> str:
    return "good" if good else "bad"
