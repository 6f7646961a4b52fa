"""Checks of a manifest and its arrays in format 1, on plain mappings, lists and arrays.

A model that passes can be served: every number that predictions use is finite, within its range, and small
enough that sums cannot overflow.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from treatsel._measures import labels_of
from treatsel.additive import Trees
from treatsel.artifact._json import MAX_TEXT
from treatsel.errors import ArtifactError
from treatsel.manifest import check_intended_use, check_validation_summary

GOLDEN_ROWS = 5
MOST_ROWS = 2000  # of the background
MOST_ARMS = 256
MOST_OUTCOMES = 32
MOST_DRAWS = 10_000
LARGEST = 1e30  # largest factor of a product; inputs are at most 1e100, so that no product overflows
FARTHEST = 1e155  # largest mean, or bound of a range
NARROWEST = 1e-13  # smallest scale
NUMERIC = ("number", "integer", "boolean")  # types of the codebook that are encoded as numbers
OVERLAP = ("effective_n", "propensity_q01", "share_low_propensity", "auc")
METRICS = tuple(labels_of("log_loss", "brier_score", "within_arm_auc"))
MEANS = ("value", "lower", "upper", "se", "n")
COUNTS = ("n", "n_observed", "n_events")
OBSERVATION = ("n", "n_observed", "share", "n_truncated", "effective_n")
MOST_CHECKS = 1000  # data checks
_FIELD = {
    *("name", "type", "role", "title", "description", "unit", "event_is_good"),
    *("trueValues", "falseValues", "constraints"),
}
_CONSTRAINTS = {"minimum", "maximum", "enum", "required", "unique"}
_HASH = re.compile("[0-9a-f]{64}")
Arrays = Mapping[str, np.ndarray]


def require(holds: Any, problem: str) -> None:
    """Raise `ArtifactError` unless the condition holds."""
    if not holds:
        raise ArtifactError(f"Its parts are inconsistent: {problem}.")


def check_manifest(content: Mapping[str, Any]) -> None:
    """Check a manifest that was read as JSON; it can then be shown, and its arrays can be checked.

    Raises
    ------
    ArtifactError
        If a part is invalid; the message names it.
    """
    arms = _labels(_part(content, "arms"), "arms")
    require(0 < len(arms) <= MOST_ARMS, f"it has {len(arms)} arms")
    require(_part(content, "default_arm") in arms, "the default arm is not an arm")
    outcomes = _records(_part(content, "outcomes"), "outcomes")
    n_outcomes = len(outcomes)
    require(n_outcomes <= MOST_OUTCOMES, f"it has {n_outcomes} outcomes; at most {MOST_OUTCOMES} are allowed")
    names = _labels([_part(outcome, "name", "an outcome") for outcome in outcomes], "outcomes")
    require(names, "outcomes are not distinct texts")
    require(_is_label(_part(content, "arm")), "the arm column has no name")
    require(_is_label(_part(content, "library_version")), "the library version is not a text")
    fingerprint = _part(content, "fingerprint")
    require(fingerprint is None or _is_hash(fingerprint), "the fingerprint is not a hash")
    covariates = _checked_covariates(_part(content, "codebook"), content["arm"], outcomes)
    for outcome in outcomes:
        _check_encoding(_part(outcome, "encoding", "an outcome"), covariates)
        good = _part(outcome, "event_is_good", "an outcome")
        require(good is None or isinstance(good, bool), "the direction of an outcome is unknown")
        for key in ("has_posterior_draws", "has_trees"):
            require(isinstance(_part(outcome, key, "an outcome"), bool), f"{key} is neither true nor false")
    _check_arm_means(_part(content, "arm_means"), len(arms))
    _check_training(_part(content, "training"), names, arms)
    _check_ranges(_part(content, "ranges"), {name for name, numeric in covariates.items() if numeric})
    _check_assignment(_part(content, "assignment"), len(arms), covariates)
    _check_observation(_part(content, "observation"), names, len(arms))
    _check_performance(_part(content, "performance"), names)
    _check_data_checks(_part(content, "data_checks"))
    _check_columns(_part(content, "background"), covariates)
    use = check_intended_use(_part(content, "intended_use"))
    require(use == content["intended_use"], "the intended use is not in normalized form")
    check_validation_summary(_part(content, "validation"))


def check_arrays(content: Mapping[str, Any], arrays: Arrays) -> dict[str, Trees]:
    """Check the arrays against a checked manifest; return the trees, by place.

    Raises
    ------
    ArtifactError
        If an array is invalid; the message names it.
    """
    n_arms, trees = len(content["arms"]), {}
    n_rows, wanted = _check_background(content["background"], arrays), set[str]()
    for i, outcome in enumerate(content["outcomes"]):
        place = f"outcome_{i}"
        found, names = _check_outcome(outcome, arrays, place, n_arms)
        wanted |= names
        if found is not None:
            trees[place] = found
        golden = numbers(arrays, f"{place}/golden.npy", (min(n_rows, GOLDEN_ROWS), n_arms))
        require(((golden >= 0) & (golden <= 1)).all(), "a golden prediction is not a probability")
    lengths = {arrays[name].shape[0] for name in wanted if name.endswith("/draws.npy")}
    require(len(lengths) <= 1, "outcomes differ in the number of draws")
    n_features = width(content["assignment"]["encoding"])
    numbers(arrays, "assignment/intercept.npy", (n_arms,))
    numbers(arrays, "assignment/coefficients.npy", (n_arms, n_features))
    wanted |= {f"outcome_{i}/golden.npy" for i in range(len(content["outcomes"]))}
    wanted |= {f"background/column_{j}.npy" for j in range(len(content["background"]))}
    wanted |= {"assignment/intercept.npy", "assignment/coefficients.npy"}
    require(set(arrays) == wanted, "it holds arrays that no part of the model needs")
    return trees


def numbers(arrays: Arrays, name: str, shape: tuple[int | None, ...], kinds: str = "<f8") -> np.ndarray:
    """Return an array, after checking shape, type, and that its numbers are finite and not too large."""
    require(name in arrays, f"{name} is missing")
    array = arrays[name]
    fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    require(fits and array.dtype.str in kinds.split(), f"{name} does not fit")
    require((np.abs(array) <= LARGEST).all(), f"{name} does not fit: a number is not finite, or too large")
    return array


def width(encoding: Mapping[str, Any]) -> int:
    """Return the number of columns of an encoding's matrix."""
    return sum(
        (1 + len(column["knots"]) if column["levels"] is None else len(column["levels"]))
        + column["indicator"]
        for column in encoding["columns"]
    )


def _check_outcome(
    outcome: Mapping[str, Any], arrays: Arrays, place: str, n_arms: int
) -> tuple[Trees | None, set[str]]:
    """Return the trees, and the names of the arrays that this outcome needs."""
    n_features, trees, native = width(outcome["encoding"]), None, outcome["encoding"]["native_missing"]
    names = {f"{place}/intercept.npy", f"{place}/coefficients.npy"}
    numbers(arrays, f"{place}/intercept.npy", (n_arms,))
    coefficients = numbers(arrays, f"{place}/coefficients.npy", (n_arms, n_features))
    require(not native or not coefficients.any(), f"{place} has linear terms of missing values")
    if outcome["has_trees"]:
        trees = _checked_trees(arrays, f"{place}/trees", n_features)
        names |= {f"{place}/trees/{part}.npy" for part in Trees.ARRAYS} | {f"{place}/mixing.npy"}
        numbers(arrays, f"{place}/mixing.npy", (n_arms, trees.n_members))
    if outcome["has_posterior_draws"]:
        require(not native, f"{place} has draws of linear terms of missing values")
        n_terms = 1 + n_features + (0 if trees is None else trees.n_members)
        draws = numbers(arrays, f"{place}/draws.npy", (None, n_arms, n_terms), "<f4 <f8")
        require(2 <= len(draws) <= MOST_DRAWS, f"{place} has {len(draws)} draws")
        names |= {f"{place}/draws.npy"}
    return trees, names


def _checked_trees(arrays: Arrays, place: str, n_features: int) -> Trees:
    kinds, parts = {"threshold": "<f8", "value": "<f8", "missing_left": "|b1"}, {}
    for part in Trees.ARRAYS:
        name = f"{place}/{part}.npy"
        require(name in arrays, f"{name} is missing")
        parts[part] = arrays[name]
        fits = parts[part].ndim == 1 and parts[part].dtype.str == kinds.get(part, "<i4")
        require(fits, f"{place}/{part} is not a vector of its type")
    trees = Trees(**parts)
    problem = trees.problem(n_features)
    require(problem is None, f"{place}: {problem}")
    require((np.abs(trees.value) <= LARGEST).all(), f"{place}: a leaf value is too large")
    return trees


def _check_background(columns: list[Mapping[str, Any]], arrays: Arrays) -> int:
    """Return the number of rows."""
    n = None
    for j, column in enumerate(columns):
        name, levels = f"background/column_{j}.npy", column["levels"]
        require(name in arrays and arrays[name].ndim == 1, f"{name} is not a vector")
        values = arrays[name]
        n = len(values) if n is None else n
        require(
            len(values) == n and 0 < n <= MOST_ROWS,
            "background columns are empty, too long, or differ in length",
        )
        require(values.dtype.str == ("<f8" if levels is None else "<i4"), f"{name} is of the wrong type")
        if levels is None:
            sound = (np.abs(values) <= FARTHEST) | np.isnan(values)
        else:
            sound = (values >= -1) & (values < len(levels))
        require(sound.all(), "a background number is infinite, or a background text unknown")
    return n or 0


def _checked_covariates(book: Any, arm: str, outcomes: list[dict[str, Any]]) -> dict[str, bool]:
    """Return the covariates of the codebook, in order, with whether each is a number."""
    fields = _records(_part(book, "fields", "the codebook"), "fields of the codebook")
    for field in fields:
        require(set(field) <= _FIELD and _is_label(field.get("name")), "a field has no name or unknown keys")
        texts = (field.get(key, "") for key in ("title", "description", "unit", "role"))
        require(all(isinstance(text, str) for text in texts), "the description of a field is not text")
        require(_is_label(field.get("type")), "a field has no type")
        words = [field.get(key, []) for key in ("trueValues", "falseValues")]
        require(all(isinstance(part, list) for part in words), "truth values are not lists")
        require(all(isinstance(word, str) for part in words for word in part), "truth values are not texts")
        _check_constraints(field.get("constraints", {}))
    roles = {field["name"]: field.get("role") for field in fields}
    directions = {field["name"]: field.get("event_is_good") for field in fields}
    require(roles.get(arm) == "arm", "the codebook has another arm column")
    for outcome in outcomes:
        name = outcome["name"]
        fits = roles.get(name) == "outcome" and directions[name] is _part(outcome, "event_is_good")
        require(fits, "the codebook has other outcomes, or another direction of one")
    return {
        f["name"]: f["type"] in NUMERIC and (f["type"] == "boolean" or "enum" not in f.get("constraints", {}))
        for f in fields
        if f.get("role") == "covariate"
    }


def _check_constraints(constraints: Any) -> None:
    require(isinstance(constraints, dict) and set(constraints) <= _CONSTRAINTS, "a constraint is unknown")
    enum = constraints.get("enum", [""])
    require(isinstance(enum, list) and enum, "an enum is not a list of values")
    require(all(isinstance(value, str | int | float) for value in enum), "an enum is not a list of values")
    for key in ("minimum", "maximum"):
        require(key not in constraints or _is_number(constraints[key]), f"a {key} is not a number")
    for key in ("required", "unique"):
        require(isinstance(constraints.get(key, False), bool), f"{key} is neither true nor false")


def _check_encoding(encoding: Any, covariates: Mapping[str, bool]) -> None:
    columns = _records(_part(encoding, "columns", "an encoding"), "columns of an encoding")
    native = _part(encoding, "native_missing", "an encoding")
    require(isinstance(native, bool), "native_missing is neither true nor false")
    names = [_part(column, "name", "a column") for column in columns]
    require(columns and names == list(covariates), "encoding and codebook differ")
    for column in columns:
        levels, knots, shares = (_part(column, key, "a column") for key in ("levels", "knots", "shares"))
        require((levels is None) == covariates[column["name"]], "encoding and codebook differ in types")
        if levels is not None:
            _labels(levels, "levels", empty=True)
        _check_numbers(shares, 0 if levels is None else len(levels), "shares", 0, 1)
        require(not shares or abs(sum(shares) - 1) < 1e-6, "shares of levels do not add up to 1")
        require(isinstance(knots, list) and (not knots or not native), "knots are not a list")
        _check_numbers(knots, len(knots), "knots", -LARGEST, LARGEST)
        _check_number(_part(column, "center", "a column"), "a center", -FARTHEST, FARTHEST)
        _check_number(_part(column, "scale", "a column"), "a scale", NARROWEST, FARTHEST)
        require(isinstance(_part(column, "indicator", "a column"), bool), "an indicator is not true or false")


def _check_arm_means(means: Any, n_arms: int) -> None:
    for key in MEANS:
        low = 0.0 if key in ("se", "n") else -LARGEST
        absent = key in ("lower", "upper", "se")
        _check_numbers(
            _part(means, key, "arm_means"), n_arms, f"arm_means: {key}", low, LARGEST, absent=absent
        )
    for lower, value, upper in zip(means["lower"], means["value"], means["upper"], strict=True):
        require((lower is None) == (upper is None), "arm_means have half an interval")
        require(lower is None or lower <= value <= upper, "arm_means are not in order")


def _check_training(rows: Any, outcomes: list[str], arms: list[str]) -> None:
    cells = []
    for row in _records(rows, "training"):
        cells.append((str(_part(row, "outcome", "training")), str(_part(row, "arm", "training"))))
        counts = [_part(row, key, "training") for key in ("n", "n_observed", "n_events")]
        known = [count for count in counts if count is not None]
        require(all(_is_count(count) for count in known), "a count of training is not a count")
        require(known == sorted(known, reverse=True), "counts of training are not in order")
        sufficient = _part(row, "sufficient_events", "training")
        require(isinstance(sufficient, bool), "sufficient_events is neither true nor false")
    pairs = {(outcome, arm) for outcome in outcomes for arm in arms}
    complete = len(cells) == len(pairs) and set(cells) == pairs
    require(complete, "training does not have each outcome and arm once")


def _check_ranges(ranges: Any, numeric: set[str]) -> None:
    require(isinstance(ranges, dict) and set(ranges) == numeric, "ranges are not those of the numbers")
    for bounds in ranges.values():
        _check_numbers(bounds, 2, "ranges", -FARTHEST, FARTHEST)
        require(bounds[0] <= bounds[1], "a range is not in order")


def _check_assignment(assignment: Any, n_arms: int, covariates: Mapping[str, bool]) -> None:
    stated = _part(assignment, "stated", "assignment")
    require(stated in (None, "randomised", "routine"), "assignment is unknown")
    _check_encoding(_part(assignment, "encoding", "assignment"), covariates)
    require(not assignment["encoding"]["native_missing"], "assignment has linear terms of missing values")
    _check_number(_part(assignment, "propensity_floor", "assignment"), "propensity_floor", 1e-12, 1)
    overlap = _part(assignment, "overlap", "assignment")
    for key in OVERLAP:
        high = LARGEST if key == "effective_n" else 1
        _check_numbers(_part(overlap, key, "overlap"), n_arms, f"overlap: {key}", 0, high, absent=True)


def _check_observation(observation: Any, outcomes: list[str], n_arms: int) -> None:
    require(
        isinstance(observation, dict) and set(observation) <= set(outcomes),
        "observation has other outcomes",
    )
    for table in observation.values():
        for key in OBSERVATION:
            high = 1 if key == "share" else LARGEST
            _check_numbers(
                _part(table, key, "observation"), n_arms, f"observation: {key}", 0, high, absent=True
            )


def _check_data_checks(checks: Any) -> None:
    found = _records(checks, "data_checks") if checks else []
    require(isinstance(checks, list) and len(found) <= MOST_CHECKS, "data_checks are not a list, or too many")
    for check in found:
        code, message = _part(check, "code", "a data check"), _part(check, "message", "a data check")
        fits = _is_label(code) and isinstance(message, str) and len(message) <= MAX_TEXT
        require(fits and set(check) == {"code", "message"}, "a data check is not a code and a message")


def _check_performance(performance: Any, outcomes: list[str]) -> None:
    fits = isinstance(performance, dict) and set(performance) == set(outcomes)
    require(fits, "performance has other outcomes")
    for rows in performance.values():
        for row in _records(rows, "performance"):
            found = [_part(row, key, "performance") for key in ("predictor", "metric", "n")]
            require(found[0] in ("model", "baseline"), "performance has an unknown predictor")
            require(found[1] in METRICS, "performance has an unknown metric")
            fits = found[2] is None or _is_count(found[2])
            require(fits, "a number of patients in performance is not a count")
            for key in ("value", "lower", "upper"):
                _check_number(_part(row, key, "performance"), "performance", -LARGEST, LARGEST, absent=True)


def _check_columns(columns: Any, covariates: Mapping[str, bool]) -> None:
    entries = _records(columns, "background")
    names = [_part(entry, "name", "background") for entry in entries]
    require(names == list(covariates), "background and codebook differ")
    for entry in entries:
        levels = _part(entry, "levels", "background")
        require((levels is None) == covariates[entry["name"]], "background and codebook differ in types")
        if levels is not None:
            _labels(levels, "levels of the background", empty=True)


def _part(content: Any, key: str, where: str = "the manifest") -> Any:
    require(isinstance(content, dict) and key in content, f"{where} has no {key}")
    return content[key]


def _records(value: Any, what: str) -> list[dict[str, Any]]:
    fits = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
    require(fits, f"{what} are not a list of mappings")
    return list(value)


def _labels(value: Any, what: str, *, empty: bool = False) -> list[str]:
    fits = isinstance(value, list) and all(isinstance(text, str) and (text or empty) for text in value)
    require(fits and len(set(value)) == len(value), f"{what} are not distinct texts")
    return list(value)


def _check_numbers(value: Any, n: int, what: str, low: float, high: float, *, absent: bool = False) -> None:
    require(isinstance(value, list) and len(value) == n, f"{what}: not a list of {n} numbers")
    for number in value:
        _check_number(number, what, low, high, absent=absent)


def _check_number(value: Any, what: str, low: float, high: float, *, absent: bool = False) -> None:
    fits = absent if value is None else _is_number(value) and low <= value <= high
    require(fits, f"{what}: a number is absent or outside {low:g} to {high:g}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))
