"""Checks of a manifest and its arrays in format 1, on plain mappings, lists and arrays.

A model that passes can be served: every number that predictions use is finite, within its range, and small
enough that sums cannot overflow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from treatsel._checks import normal_text
from treatsel._reporting.text import hidden_in
from treatsel.additive import NARROWEST, Trees, site_label
from treatsel.artifact._development import check_development
from treatsel.artifact._json import MAX_WHOLE
from treatsel.artifact._therapists import check_therapists
from treatsel.artifact._updates import check_updates
from treatsel.artifact._values import (
    LARGEST,
    arms_in,
    check_number,
    check_numbers,
    is_hash,
    is_label,
    is_number,
    labels_in,
    part_of,
    records_of,
    require,
)
from treatsel.codebook import MOST_FIELDS
from treatsel.fitted import MOST_SAMPLED
from treatsel.manifest import check_intended_use, check_validation

GOLDEN_ROWS = 5
MOST_ROWS = 2000  # of the background
MOST_ARMS = 256
MOST_OUTCOMES = 32
MOST_DRAWS = 10_000
MOST_SITES = 1000
MOST_LEVELS = 100  # of a score
SITE_ARRAYS = ("intercept", "coefficients", "draws")
FARTHEST = 1e155  # largest mean, or bound of a range
NUMERIC = ("number", "integer", "boolean")  # types of the codebook that are encoded as numbers
OVERLAP = ("effective_n", "propensity_q01", "share_low_propensity", "auc")
DIGESTS = ("modulus", "salt", "share", "expected", "n")  # of the rows of the development cohort
MOST_PLACES = 2**31 - 1  # of the table of digests: positions are 32-bit integers
_FIELD = {
    *("name", "type", "role", "title", "description", "unit", "event_is_good"),
    *("score", "start", "target", "definition", "flag", "trueValues", "falseValues", "constraints"),
}
_CONSTRAINTS = {"minimum", "maximum", "enum", "required", "unique"}
Arrays = Mapping[str, np.ndarray]


def check_manifest(content: Mapping[str, Any]) -> None:
    """Check a manifest that was read as JSON; it can then be shown, and its arrays can be checked.

    Raises
    ------
    ArtifactError
        If a part is invalid; the message names it.
    """
    arms = arms_in(part_of(content, "arms"), "arms")
    require(0 < len(arms) <= MOST_ARMS, f"it has {len(arms)} arms")
    require(len({normal_text(str(arm)) for arm in arms}) == len(arms), "two arms look the same")
    require(part_of(content, "default_arm") in arms, "the default arm is not an arm")
    outcomes = records_of(part_of(content, "outcomes"), "outcomes")
    n_outcomes = len(outcomes)
    require(n_outcomes <= MOST_OUTCOMES, f"it has {n_outcomes} outcomes; at most {MOST_OUTCOMES} are allowed")
    names = labels_in([part_of(outcome, "name", "an outcome") for outcome in outcomes], "outcomes")
    require(names, "outcomes are not distinct texts")
    require(is_label(part_of(content, "arm")), "the arm column has no name")
    require(
        is_label(part_of(content, "library_version")), "the library version is not a text that can be shown"
    )
    fingerprint = part_of(content, "fingerprint")
    require(fingerprint is None or is_hash(fingerprint), "the fingerprint is not a hash")
    _check_row_digests(part_of(content, "row_digests"))
    covariates = _checked_covariates(part_of(content, "codebook"), content["arm"], outcomes)
    for outcome in outcomes:
        _check_encoding(part_of(outcome, "encoding", "an outcome"), covariates)
        good = part_of(outcome, "event_is_good", "an outcome")
        require(good is None or isinstance(good, bool), "the direction of an outcome is unknown")
        for key in ("has_posterior_draws", "has_trees"):
            require(isinstance(part_of(outcome, key, "an outcome"), bool), f"{key} is neither true nor false")
        require(isinstance(outcome.get("joint", False), bool), "joint is neither true nor false")
        _check_sites(outcome.get("sites"), content["codebook"])
        _check_score_levels(outcome.get("score"))
        check_therapists(outcome.get("therapists"), arms, content["codebook"])
    check_development(content, arms, names)
    check_updates(content.get("updates", []), arms, names)
    _check_ranges(part_of(content, "ranges"), {name for name, numeric in covariates.items() if numeric})
    _check_assignment(part_of(content, "assignment"), len(arms), covariates)
    _check_columns(part_of(content, "background"), covariates)
    use = check_intended_use(part_of(content, "intended_use"))
    require(use == content["intended_use"], "the intended use is not in normalized form")
    check_validation(part_of(content, "validation"))


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
    if content["row_digests"] is not None:
        _check_places(numbers(arrays, "row_digests.npy", (None,), "<i4"), content["row_digests"]["modulus"])
        wanted |= {"row_digests.npy"}
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
    if outcome.get("sites") is not None:
        names |= _check_site_arrays(outcome, arrays, place, (n_arms, n_features))
    return trees, names


def _check_site_arrays(
    outcome: Mapping[str, Any], arrays: Arrays, place: str, shape: tuple[int, int]
) -> set[str]:
    """Return the names of the arrays of known sites; `shape`: numbers of arms and of features."""
    n_sites = len(outcome["sites"]["labels"]) + 1  # the last is the average site
    numbers(arrays, f"{place}/sites/intercept.npy", (n_sites, shape[0]))
    coefficients = numbers(arrays, f"{place}/sites/coefficients.npy", shape)
    native = outcome["encoding"]["native_missing"]
    require(not native or not coefficients.any(), f"{place} has linear terms of missing values")
    parts = [part for part in SITE_ARRAYS if part != "draws" or outcome["has_posterior_draws"]]
    if outcome["has_posterior_draws"]:
        n_draws = len(arrays[f"{place}/draws.npy"])
        numbers(arrays, f"{place}/sites/draws.npy", (n_draws, n_sites, shape[0]), "<f4 <f8")
    golden = numbers(arrays, f"{place}/sites/golden.npy", (n_sites, shape[0]))
    require(((golden >= 0) & (golden <= 1)).all(), "a golden prediction is not a probability")
    return {f"{place}/sites/{part}.npy" for part in (*parts, "golden")}


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
    fields = records_of(part_of(book, "fields", "the codebook"), "fields of the codebook")
    require(len(fields) <= MOST_FIELDS, f"the codebook has {len(fields):,} fields")
    for field in fields:
        require(
            set(field) <= _FIELD and is_label(field.get("name")),
            "a field has no name that can be shown, or unknown keys",
        )
        texts = (field.get(key, "") for key in ("title", "description", "unit", "role"))
        require(all(isinstance(text, str) for text in texts), "the description of a field is not text")
        require(is_label(field.get("type")), "a field has no type")
        words = [field.get(key, []) for key in ("trueValues", "falseValues")]
        require(all(isinstance(part, list) for part in words), "truth values are not lists")
        require(all(isinstance(word, str) for part in words for word in part), "truth values are not texts")
        shown = [word for part in words for word in part] + [field["type"], *_enum_of(field)]
        require(not any(hidden_in(text) for text in shown), "a field has values that are not seen")
        _check_constraints(field.get("constraints", {}))
        _check_score(field)
    roles = {field["name"]: field.get("role") for field in fields}
    directions = {field["name"]: field.get("event_is_good") for field in fields}
    require(roles.get(arm) == "arm", "the codebook has another arm column")
    for outcome in outcomes:
        name = outcome["name"]
        fits = roles.get(name) == "outcome" and directions[name] is part_of(outcome, "event_is_good")
        require(fits, "the codebook has other outcomes, or another direction of one")
    return {
        f["name"]: f["type"] in NUMERIC and (f["type"] == "boolean" or "enum" not in f.get("constraints", {}))
        for f in fields
        if f.get("role") == "covariate"
    }


def _enum_of(field: Mapping[str, Any]) -> list[str]:
    constraints = field.get("constraints", {})
    enum = constraints.get("enum", []) if isinstance(constraints, dict) else []
    return [value for value in enum if isinstance(value, str)] if isinstance(enum, list) else []


def _check_score(field: Mapping[str, Any]) -> None:
    """Check the types of the keys by which an outcome is derived; the codebook checks what they say."""
    definition = field.get("definition", {})
    require(isinstance(definition, dict), "a definition is not a mapping")
    texts = [field[key] for key in ("score", "start", "target", "flag") if key in field]
    texts += [*definition, *(value for value in definition.values() if not is_number(value))]
    require(all(map(is_label, texts)), "the score of an outcome has no name that can be shown")


def _check_constraints(constraints: Any) -> None:
    require(isinstance(constraints, dict) and set(constraints) <= _CONSTRAINTS, "a constraint is unknown")
    enum = constraints.get("enum", [""])
    require(isinstance(enum, list) and enum, "an enum is not a list of values")
    require(all(isinstance(value, str | int | float) for value in enum), "an enum is not a list of values")
    for key in ("minimum", "maximum"):
        require(key not in constraints or is_number(constraints[key]), f"a {key} is not a number")
    for key in ("required", "unique"):
        require(isinstance(constraints.get(key, False), bool), f"{key} is neither true nor false")


def _check_encoding(encoding: Any, covariates: Mapping[str, bool]) -> None:
    columns = records_of(part_of(encoding, "columns", "an encoding"), "columns of an encoding")
    native = part_of(encoding, "native_missing", "an encoding")
    require(isinstance(native, bool), "native_missing is neither true nor false")
    names = [part_of(column, "name", "a column") for column in columns]
    require(columns and names == list(covariates), "encoding and codebook differ")
    for column in columns:
        levels, knots, shares = (part_of(column, key, "a column") for key in ("levels", "knots", "shares"))
        require((levels is None) == covariates[column["name"]], "encoding and codebook differ in types")
        if levels is not None:
            labels_in(levels, "levels", empty=True)
        check_numbers(shares, 0 if levels is None else len(levels), "shares", 0, 1)
        require(not shares or abs(sum(shares) - 1) < 1e-6, "shares of levels do not add up to 1")
        require(isinstance(knots, list) and (not knots or not native), "knots are not a list")
        check_numbers(knots, len(knots), "knots", -LARGEST, LARGEST)
        check_number(part_of(column, "center", "a column"), "a center", -FARTHEST, FARTHEST)
        check_number(part_of(column, "scale", "a column"), "a scale", NARROWEST, FARTHEST)
        if "log_unit" in column:
            check_number(column["log_unit"], "the unit of a logarithm", NARROWEST, FARTHEST)
        require(
            isinstance(part_of(column, "indicator", "a column"), bool), "an indicator is not true or false"
        )


def _check_score_levels(score: Any) -> None:
    if score is None:
        return
    require(isinstance(score, dict) and set(score) == {"thresholds", "means"}, "a score has other keys")
    means = score["means"]
    fits = isinstance(means, list) and 2 <= len(means) <= MOST_LEVELS
    require(fits, "a score has too few or too many levels")
    check_numbers(means, len(means), "means of a score", -LARGEST, LARGEST)
    check_numbers(score["thresholds"], len(means) - 1, "thresholds of a score", -LARGEST, LARGEST)
    require(score["thresholds"] == sorted(score["thresholds"], reverse=True), "thresholds are not in order")


def _check_sites(sites: Any, book: Mapping[str, Any]) -> None:
    if sites is None:
        return
    require(isinstance(sites, dict) and set(sites) == {"column", "labels"}, "sites have other keys")
    require(is_label(sites["column"]), "the site column has no name that can be shown")
    roles = {field["name"]: field.get("role") for field in book["fields"]}
    own = roles.get(sites["column"])
    require(own not in ("covariate", "arm", "outcome", "id"), "the site column has another role")
    labels = labels_in(sites["labels"], "sites")
    require(len(labels) <= MOST_SITES, f"it has {len(labels)} sites")
    require(all(site_label(label) == label for label in labels), "sites are not in normal form")


def _check_row_digests(digests: Any) -> None:
    if digests is None:
        return
    require(isinstance(digests, dict) and set(digests) == set(DIGESTS), "row digests have other keys")
    for key, least, most in (("modulus", 1, MOST_PLACES), ("salt", 0, MAX_WHOLE), ("n", 1, MOST_PLACES)):
        fits = isinstance(digests[key], int) and is_number(digests[key]) and least <= digests[key] <= most
        require(fits, f"row digests: {key}")
    for key in ("share", "expected"):
        check_number(digests[key], f"row digests: {key}", 0, 1)
    require(digests["share"] > 0, "row digests: no row was sampled")


def _check_places(places: np.ndarray, modulus: int) -> None:
    inside = 0 < len(places) <= MOST_SAMPLED and places[0] >= 0 and places[-1] < modulus
    require(inside and (np.diff(places) > 0).all(), "row digests are not sorted places of their table")


def _check_ranges(ranges: Any, numeric: set[str]) -> None:
    require(isinstance(ranges, dict) and set(ranges) == numeric, "ranges are not those of the numbers")
    for bounds in ranges.values():
        check_numbers(bounds, 2, "ranges", -FARTHEST, FARTHEST)
        require(bounds[0] <= bounds[1], "a range is not in order")


def _check_assignment(assignment: Any, n_arms: int, covariates: Mapping[str, bool]) -> None:
    stated = part_of(assignment, "stated", "assignment")
    require(stated in (None, "randomised", "routine"), "assignment is unknown")
    _check_encoding(part_of(assignment, "encoding", "assignment"), covariates)
    require(not assignment["encoding"]["native_missing"], "assignment has linear terms of missing values")
    check_number(part_of(assignment, "propensity_floor", "assignment"), "propensity_floor", 1e-12, 1)
    overlap = part_of(assignment, "overlap", "assignment")
    for key in OVERLAP:
        high = LARGEST if key == "effective_n" else 1
        check_numbers(part_of(overlap, key, "overlap"), n_arms, f"overlap: {key}", 0, high, absent=True)


def _check_columns(columns: Any, covariates: Mapping[str, bool]) -> None:
    entries = records_of(columns, "background")
    names = [part_of(entry, "name", "background") for entry in entries]
    require(names == list(covariates), "background and codebook differ")
    for entry in entries:
        levels = part_of(entry, "levels", "background")
        require((levels is None) == covariates[entry["name"]], "background and codebook differ in types")
        if levels is not None:
            labels_in(levels, "levels of the background", empty=True)
