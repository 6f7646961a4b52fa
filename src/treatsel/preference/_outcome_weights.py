"""Patient preferences: weights of outcomes, and the by-arm table of utility that they define."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from treatsel._checks import check_mapping_keys
from treatsel.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Table = TypeVar("Table", "pd.DataFrame", np.ndarray)


def check_preferences(
    preferences: Mapping[str, float] | None,
    outcomes: tuple[str, ...],
    event_is_good: Mapping[str, bool | None],
) -> dict[str, float]:
    """Return weights that sum to 1, in the order of `outcomes`; None: only the first outcome counts.

    An outcome of weight 0 is left out: it needs neither a direction nor enough events.

    Raises
    ------
    InputError
        If an outcome is unknown, a weight is negative or not finite, all are zero, or the direction
        of a weighted outcome is not specified.
    """
    if preferences is None:
        preferences = {outcomes[0]: 1.0}
    if not isinstance(preferences, Mapping):
        raise InputError(
            f"preferences must be a mapping of outcomes to weights, not a {type(preferences).__name__}."
        )
    check_mapping_keys("preferences", preferences, outcomes)
    try:
        weights = {name: float(preferences[name]) for name in outcomes if name in preferences}
    except (TypeError, ValueError, OverflowError):
        raise InputError("preferences must be numbers: one weight of 0 or more per outcome.") from None
    total = sum(weights.values())
    if any(weight < 0 for weight in weights.values()) or not 0 < total < np.inf:
        raise InputError("preferences must be finite weights of 0 or more, and not all 0.")
    weights = {name: weight / total for name, weight in weights.items() if weight}
    for name in weights:
        if event_is_good.get(name) is None:
            raise InputError(
                f"The direction of {name!r} is not specified. Set event_is_good={{{name!r}: False}} (or "
                "True) in TreatmentSelector, or event_is_good in the codebook."
            )
    return weights


def outcome_weights(
    preferences: Any, outcomes: tuple[str, ...], event_is_good: Mapping[str, bool | None]
) -> dict[str, float]:
    """Return weights of outcomes as `check_preferences`, also from `Preferences` that name no other criteria.

    Of `Preferences`, the mean weights.

    Raises
    ------
    InputError
        As `check_preferences`; also if another criterion has a weight.
    """
    given = getattr(preferences, "mean_weights", preferences)
    if given is not preferences:
        if others := [name for name, weight in given.items() if weight and name not in outcomes]:
            raise InputError(
                f"The preferences give a weight to {others}, which the model does not predict. This analysis "
                "takes outcomes of the model alone: give their weights."
            )
        given = {name: weight for name, weight in given.items() if name in outcomes}
    return check_preferences(given, outcomes, event_is_good)


def utility(
    tables: Mapping[str, Table], weights: Mapping[str, float], event_is_good: Mapping[str, bool | None]
) -> Table:
    """Return the weighted sum of the outcomes, each on a 0 to 1 scale where 1 is good.

    Parameters
    ----------
    tables : mapping of outcome to by-arm table or to array of draws
        Probabilities, 0 to 1.
    weights : mapping of outcome to weight
        Weights that sum to 1 (see `check_preferences`).
    event_is_good : mapping of outcome to bool
        Whether the event is the good outcome; otherwise 1 minus its probability is used.

    Returns
    -------
    by-arm table or array of the same shape
        Utility, 0 to 1; higher is better.

    References
    ----------
    Keeney & Raiffa (1993), Decisions with Multiple Objectives. doi:10.1017/CBO9781139174084

    Examples
    --------
    >>> import pandas as pd
    >>> remission = pd.DataFrame({"CBT": [0.5], "SSRI": [0.6]})
    >>> dropout = pd.DataFrame({"CBT": [0.2], "SSRI": [0.4]})
    >>> utility(
    ...     {"remission": remission, "dropout": dropout},
    ...     {"remission": 0.5, "dropout": 0.5},
    ...     {"remission": True, "dropout": False},
    ... )
        CBT  SSRI
    0  0.65   0.6
    """
    parts = [
        weight * (tables[name] if event_is_good[name] else 1 - tables[name])
        for name, weight in weights.items()
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    # the weights may sum to more than 1 by rounding
    return np.minimum(total, 1.0)  # type: ignore[return-value,unused-ignore] # NumPy keeps the kind
