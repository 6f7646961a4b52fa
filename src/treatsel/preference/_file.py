"""Reading of preferences, criteria and values by arm from a YAML or JSON file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from treatsel._checks import check_mapping_keys, listed
from treatsel._content import content_of
from treatsel.errors import InputError
from treatsel.preference._criterion import Criterion
from treatsel.preference._preferences import Preferences
from treatsel.preference._side_effects import SideEffects

MAX_BYTES = 256 * 2**10
WAYS: dict[str, Callable[[Any], Preferences]] = {  # exactly one states the weights
    "weights": Preferences,
    "swing": Preferences.swing,
    "ranked": Preferences.ranked,
    "equal": Preferences.equal,
    "between": Preferences.between,
}
KEYS = (*WAYS, "at_least", "criteria", "measurements", "side_effects")


def read_preferences(path: str | Path) -> dict[str, Any]:
    """Read the preferences of a patient from a YAML file, or a JSON file if its name ends in ``.json``.

    The file states the weights in one way, by the key weights, swing, ranked, equal or between (which may be
    joined by at_least), as `Preferences` does. The optional list ``criteria`` has entries with name, worst,
    best and, if wanted, label and unit; ``measurements`` gives by criterion the value of each arm;
    ``side_effects`` has the content of `SideEffects.from_dict`.

    Parameters
    ----------
    path : path
        The file, of at most 256 KiB.

    Returns
    -------
    dict
        The options preferences, criteria, measurements and side_effects of `FittedModel.recommend`.

    Raises
    ------
    InputError
        If the file cannot be read, or states the weights in no way or in several.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "preferences.yaml"
    ...     text = "swing: {remission: 100, wait: 100}" + chr(10)
    ...     text += "criteria: [{name: wait, worst: 20, best: 0, unit: weeks}]" + chr(10)
    ...     with open(path, mode="w") as file:
    ...         _ = file.write(text + "measurements: {wait: {cbt: 14, medication: 3}}")
    ...     found = read_preferences(path)
    >>> found["preferences"].mean_weights
    {'remission': 0.5, 'wait': 0.5}
    >>> found["criteria"][0].describe()
    'wait: from 20 weeks (worst) to 0 weeks (best)'
    """
    content = content_of(Path(path), "preferences", most=MAX_BYTES)
    if not isinstance(content, Mapping):
        raise InputError(f"The preferences {path} must be a mapping with some of the keys {listed(KEYS)}.")
    check_mapping_keys(f"The preferences {path}", content, KEYS)
    given = [way for way in WAYS if way in content]
    if len(given) != 1:
        raise InputError(
            f"The preferences {path} must state the weights by one of the keys {listed(WAYS)}; they have "
            f"{listed(given) if given else 'none'}."
        )
    if "at_least" in content and given != ["between"]:
        raise InputError(f"The preferences {path} have at_least without between, which it is part of.")
    (way,) = given
    if way == "between":
        ratios = content.get("at_least") or []
        if not isinstance(ratios, list) or not all(isinstance(each, list) for each in ratios):
            raise InputError(f"The preferences {path} need lists as at_least: [[more, less, ratio]].")
        found = Preferences.between(content["between"] or {}, at_least=[tuple(each) for each in ratios])
    else:
        if way in ("ranked", "equal") and not isinstance(content[way], list):
            raise InputError(f"The preferences {path} need a list of criteria as {way}.")
        found = WAYS[way](content[way])
    criteria = content.get("criteria") or []
    if not isinstance(criteria, list):
        raise InputError(f"The preferences {path} need a list as criteria, with name, worst and best.")
    effects = content.get("side_effects")
    return {
        "preferences": found,
        "criteria": [_criterion(entry) for entry in criteria],
        "measurements": content.get("measurements"),
        "side_effects": None if effects is None else SideEffects.from_dict(effects),
    }


def _criterion(entry: Any) -> Criterion:
    if not isinstance(entry, Mapping) or "name" not in entry:
        raise InputError("An entry of criteria must be a mapping with name, worst and best.")
    keys = ("name", "worst", "best", "label", "unit")
    check_mapping_keys(f"The criterion {entry['name']!r}", entry, keys)
    return Criterion(
        entry["name"], **{"worst": None, "best": None} | {k: entry[k] for k in keys[1:] if k in entry}
    )
