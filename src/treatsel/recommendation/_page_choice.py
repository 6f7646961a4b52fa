"""The decision for one patient as the page shows it, with arms as positions."""

from typing import Any

import numpy as np

from treatsel.page import Choice


def choice_of(found: Any) -> Choice:
    """Return the decision for the only patient, with arms as positions."""
    column = {name: values[0] for name, values in found.columns.items()}
    total = sum((found.preferences or {}).values())
    position = {arm: k for k, arm in enumerate(found.arms)}
    return Choice(
        weights={name: weight / total for name, weight in (found.preferences or {}).items()},
        status=str(column["status"]),
        arm=position.get(column["arm"]),
        top=position.get(column["top"]),
        best_set=[position[arm] for arm in column["best_set"]],
        utilities=found.utilities[0],
        comparisons={name: np.asarray(table[0]) for name, table in found.comparisons.items()},
        reasons=column["status_reasons"],
    )


def excluded_of(found: Any) -> dict[int, str]:
    """Return the arms that the only patient may not have, with reasons."""
    return {found.arms.index(arm): str(why) for arm, why in found.columns["excluded"][0].items()}


def position_of(found: Any, column: str) -> int | None:
    """Return the arm of a column for the only patient; None if there is none."""
    return {arm: k for k, arm in enumerate(found.arms)}.get(found.columns[column][0])
