"""Direction of the outcome of a study, which is stated, never guessed."""

from typing import Any

from treatsel.codebook import SHIPPED, carried, direction_of, stated_for

NOT_STATED = "the direction of the outcome is not stated: event_is_good"


def direction_of_study(model: Any, y: Any, given: bool | None) -> bool | None:
    """Return whether 1 is the good outcome: as given, as a selector states, or as the outcome carries it.

    None if it is stated nowhere: measures that need it are then not estimable, and the others are.

    Raises
    ------
    InputError
        If statements contradict each other.
    """
    name = str(getattr(y, "name", None) or "y")
    sources = (
        ("event_is_good", given),
        ("the model", stated_for(name, getattr(model, "event_is_good", None))),
        ("the outcome that labelled y", carried(y)),
    )
    if name not in SHIPPED and all(good is None for _, good in sources):
        return None
    return direction_of(name, *sources)
