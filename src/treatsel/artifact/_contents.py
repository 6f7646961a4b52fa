"""What a selector is made of, as a manifest and arrays, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from treatsel.codebook import Codebook
from treatsel.errors import ArtifactError, UnsupportedModelError
from treatsel.models import AdditiveModel, Assignment, AssignmentModel, Encoding, Trees
from treatsel.selector import TreatmentSelector

SMALL_CELL = 5  # counts below this are not stored
GOLDEN_ROWS = 5
MOST_ROWS = 2000  # of the background
GOLDEN_TOLERANCE = 1e-9
_OVERLAP = ("effective_n", "lowest", "hardly_given", "auc")
_METRICS = ("log_loss", "brier_score", "within_arm_auc")
_MEANS = ("value", "lower", "upper", "se", "n")
Arrays = dict[str, np.ndarray]


def pack(selector: TreatmentSelector) -> tuple[dict[str, Any], Arrays]:
    """Return the contents of a fitted selector: plain lists and mappings, and arrays by member name."""
    arrays: Arrays = {}
    outcomes = [_pack_outcome(selector, name, i, arrays) for i, name in enumerate(selector.outcomes_)]
    means = selector.arm_means_
    contents = {
        "arm": selector.arm,
        "arms": list(selector.arms_),
        "default_arm": selector.default_arm_,
        "arm_means": {column: [float(v) for v in means[column].loc[selector.arms_]] for column in _MEANS},
        "outcomes": outcomes,
        "codebook": selector.codebook_.to_dict(),
        "training": [_without_small_cells(row) for row in selector.training_.to_dict(orient="records")],
        "ranges": {name: [float(v) for v in row] for name, row in selector.ranges_.T.items()},
        "fingerprint": selector.fingerprint_,
        "background": _pack_background(selector.background_, arrays),
        "assignment": _pack_assignment(selector, arrays),
        "performance": {
            name: table.to_dict(orient="records") for name, table in selector.performance_.items()
        },
    }
    return contents, arrays


def _pack_outcome(selector: TreatmentSelector, name: str, number: int, arrays: Arrays) -> dict[str, Any]:
    model, place = selector.additive_[name], f"outcome_{number}"
    if model is None:
        raise UnsupportedModelError(
            f"The model of {name!r} cannot be saved: it is no sum of linear terms and trees. "
            "Logistic regression and LightGBM inside the models of treatsel can."
        )
    arrays[f"{place}/intercept.npy"] = model.intercept
    arrays[f"{place}/coefficients.npy"] = model.coefficients
    if model.draws is not None:
        arrays[f"{place}/draws.npy"] = model.draws
    if model.trees is not None and model.mixing is not None:
        arrays[f"{place}/mixing.npy"] = model.mixing
        arrays |= {f"{place}/trees/{part}.npy": getattr(model.trees, part) for part in Trees.ARRAYS}
    rows = selector.background_.head(GOLDEN_ROWS)
    golden = selector.models_[name].predict_by_arm(rows)[selector.arms_].to_numpy()
    if (np.abs(model.predict_by_arm(rows).to_numpy() - golden) > GOLDEN_TOLERANCE).any():
        raise UnsupportedModelError(f"The model of {name!r} cannot be saved: it is not its sum of terms.")
    arrays[f"{place}/golden.npy"] = golden
    return {
        "name": name,
        "event_is_good": selector.event_is_good_[name],
        "encoding": model.encoding.to_dict(),
        "has_draws": model.draws is not None,
        "has_trees": model.trees is not None,
    }


def _pack_assignment(selector: TreatmentSelector, arrays: Arrays) -> dict[str, Any]:
    """Return the assignment model and the overlap by arm; no counts."""
    model, table = selector.assignment_.model, selector.assignment_.table.loc[selector.arms_]
    arrays["assignment/intercept.npy"] = model.intercept
    arrays["assignment/coefficients.npy"] = model.coefficients
    return {
        "stated": selector.assignment,
        "encoding": model.encoding.to_dict(),
        "overlap": {name: [None if np.isnan(v) else float(v) for v in table[name]] for name in _OVERLAP},
        "floor": selector.assignment_.floor,
    }


def _pack_background(background: pd.DataFrame, arrays: Arrays) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = []
    for j, name in enumerate(background.columns):
        column = background[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            arrays[f"background/column_{j}.npy"] = column.to_numpy(dtype=np.float64)
            columns.append({"name": name, "levels": None})
        else:
            codes, levels = pd.factorize(column, sort=True)
            arrays[f"background/column_{j}.npy"] = codes.astype(np.int32)
            columns.append({"name": name, "levels": [str(level) for level in levels]})
    return columns


def _without_small_cells(row: Mapping[Any, Any]) -> dict[str, Any]:
    counts = {key: int(row[key]) for key in ("n", "n_observed", "n_events")}
    lost, missed = counts["n"] - counts["n_observed"], counts["n_observed"] - counts["n_events"]
    kept: dict[str, Any] = {"outcome": row["outcome"], "arm": row["arm"], **counts}
    kept["enough"] = bool(row["enough"])
    if 0 < lost < SMALL_CELL or counts["n_observed"] < SMALL_CELL:
        kept["n"] = kept["n_observed"] = None
    if counts["n_events"] < SMALL_CELL or missed < SMALL_CELL:
        kept["n_events"] = None
    return kept


def unpack(contents: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TreatmentSelector:
    """Return the selector that `pack` saw, after checking that the parts fit each other."""
    arms = contents["arms"]
    _require(_are_texts(arms) and len(set(arms)) == len(arms) > 0, "arms are not distinct texts")
    names = [outcome["name"] for outcome in contents["outcomes"]]
    _require(_are_texts(names) and len(set(names)) == len(names) > 0, "outcomes are not distinct texts")
    _require(contents["default_arm"] in arms, "the default arm is no arm")
    codebook = Codebook.from_dict(contents["codebook"])
    arm_means = pd.DataFrame(contents["arm_means"], index=pd.Index(arms, name="arm"), dtype="float64")
    ranges = pd.DataFrame.from_dict(contents["ranges"], orient="index", columns=["lower", "upper"])
    ranges = ranges.loc[[name for name in codebook.covariates if name in ranges.index]]
    background = _unpack_background(contents["background"], arrays)
    stated = contents["assignment"]["stated"]
    _require(stated in (None, "randomised", "routine"), "assignment is unknown")
    selector = TreatmentSelector(arm=contents["arm"], assignment=stated)
    _require(list(background.columns) == list(codebook.covariates), "background and codebook differ")
    models = {}
    for i, outcome in enumerate(contents["outcomes"]):
        model = _unpack_outcome(outcome, arms, arrays, f"outcome_{i}")
        _require(model.encoding.names == list(codebook.covariates), "encoding and codebook differ")
        _replay(model, background, arrays[f"outcome_{i}/golden.npy"])
        models[outcome["name"]] = model
    directions = {outcome["name"]: outcome["event_is_good"] for outcome in contents["outcomes"]}
    _require(all(good in (None, True, False) for good in directions.values()), "a direction is unknown")
    selector.arms_, selector.outcomes_, selector.event_is_good_ = list(arms), names, directions
    selector.codebook_, selector.training_ = codebook, _training(contents["training"], names, arms)
    selector.models_, selector.additive_ = dict(models), dict(models)
    _require(isinstance(contents["fingerprint"], str | None), "the fingerprint is no text")
    selector.fingerprint_ = contents["fingerprint"]
    selector.arm_means_, selector.default_arm_ = arm_means, contents["default_arm"]
    selector.ranges_, selector.background_ = ranges.astype("float64"), background
    selector.assignment_ = _unpack_assignment(contents["assignment"], arms, arrays, background)
    selector.performance_ = {name: _performance(contents["performance"][name]) for name in names}
    return selector


def _unpack_assignment(
    content: Mapping[str, Any], arms: list[str], arrays: Mapping[str, np.ndarray], background: pd.DataFrame
) -> Assignment:
    encoding = _unpack_encoding(content["encoding"])
    _require(set(encoding.names) <= set(background.columns), "assignment and codebook differ")
    shape = (len(arms), len(encoding.features))
    model = AssignmentModel(
        encoding=encoding,
        arms_=np.array(arms, dtype=object),
        intercept=_numbers(arrays, "assignment/intercept.npy", shape[:1]),
        coefficients=_numbers(arrays, "assignment/coefficients.npy", shape),
    )
    overlap = {key: [np.nan if v is None else float(v) for v in content["overlap"][key]] for key in _OVERLAP}
    table = pd.DataFrame(overlap, index=pd.Index(arms, name="arm"), dtype="float64")
    return Assignment(probabilities=None, raw=None, table=table, model=model, floor=float(content["floor"]))


def _performance(rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["predictor", "metric", "value", "lower", "upper", "n"])
    _require(table["predictor"].isin(["model", "baseline"]).all(), "performance is of no known predictor")
    _require(table["metric"].isin(_METRICS).all(), "performance is in no known metric")
    numbers = {"value": "float64", "lower": "float64", "upper": "float64", "n": "int64"}
    return table.astype(numbers)


def _unpack_encoding(content: Mapping[str, Any]) -> Encoding:
    encoding = Encoding.from_dict(content)
    numbers = [v for c in encoding.columns for v in (c.center, c.scale, *c.knots, *c.shares)]
    _require(bool(np.isfinite(numbers).all()), "a number of an encoding is not finite")
    _require(all(c.scale for c in encoding.columns), "a scale is 0")
    fits = all(len(c.shares) == len(c.levels) for c in encoding.columns if c.levels is not None)
    _require(fits, "levels and their shares differ in number")
    return encoding


def _unpack_outcome(
    outcome: Mapping[str, Any], arms: list[str], arrays: Mapping[str, np.ndarray], place: str
) -> AdditiveModel:
    encoding = _unpack_encoding(outcome["encoding"])
    n_arms, n_features = len(arms), len(encoding.features)
    intercept = _numbers(arrays, f"{place}/intercept.npy", (n_arms,))
    coefficients = _numbers(arrays, f"{place}/coefficients.npy", (n_arms, n_features))
    trees, mixing, draws = None, None, None
    if outcome["has_trees"]:
        trees = _unpack_trees(arrays, f"{place}/trees", n_features)
        mixing = _numbers(arrays, f"{place}/mixing.npy", (n_arms, trees.n_members))
    if outcome["has_draws"]:
        n_terms = 1 + n_features + (0 if trees is None else trees.n_members)
        draws = _numbers(arrays, f"{place}/draws.npy", (None, n_arms, n_terms))
    return AdditiveModel(
        encoding=encoding,
        arms_=np.array(arms, dtype=object),
        intercept=intercept,
        coefficients=coefficients,
        trees=trees,
        mixing=mixing,
        draws=draws,
    )


def _unpack_trees(arrays: Mapping[str, np.ndarray], place: str, n_features: int) -> Trees:
    parts = {part: arrays[f"{place}/{part}.npy"] for part in Trees.ARRAYS}
    kinds = {"threshold": "<f8", "value": "<f8", "missing_left": "|b1"}
    for part, array in parts.items():
        _require(
            array.ndim == 1 and array.dtype.str == kinds.get(part, "<i4"), f"{place}/{part} is no vector"
        )
    trees = Trees(**parts)
    problem = trees.problem(n_features)
    _require(problem is None, f"{place}: {problem}")
    return trees


def _unpack_background(columns: list[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    background, n = {}, None
    for j, column in enumerate(columns):
        values, levels = arrays[f"background/column_{j}.npy"], column["levels"]
        n = len(values) if n is None else n
        fits = values.ndim == 1 and len(values) == n
        _require(fits and 0 < n <= MOST_ROWS, "background columns differ in length, or are too long")
        if levels is None:
            _require(
                values.dtype.kind == "f" and not np.isinf(values).any(), "a background number is infinite"
            )
            background[column["name"]] = values
        else:
            _require(values.dtype.kind == "i" and _are_texts(levels), "a background text has no levels")
            _require(((values >= -1) & (values < len(levels))).all(), "a background text is unknown")
            background[column["name"]] = np.array([*levels, np.nan], dtype=object)[values]
    return pd.DataFrame(background)


def _training(rows: list[Mapping[str, Any]], outcomes: list[str], arms: list[str]) -> pd.DataFrame:
    table = pd.DataFrame([{key: row[key] for key in ("outcome", "arm")} for row in rows])
    for key in ("n", "n_observed", "n_events"):
        table[key] = [float("nan") if row[key] is None else float(row[key]) for row in rows]
    table["enough"] = [row["enough"] is True for row in rows]
    _require(table["outcome"].isin(outcomes).all() and table["arm"].isin(arms).all(), "training is foreign")
    return table


def _replay(model: AdditiveModel, background: pd.DataFrame, golden: np.ndarray) -> None:
    """Predict the stored rows again: what is served must be what was saved."""
    rows = background.head(GOLDEN_ROWS)
    _require(golden.shape == (len(rows), len(model.arms_)), "golden predictions have another shape")
    off = np.abs(model.predict_by_arm(rows).to_numpy() - golden)
    _require(bool((off <= GOLDEN_TOLERANCE).all()), "golden predictions are not reproduced")


def _numbers(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    array = arrays[name]
    fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    _require(fits and array.dtype.kind == "f" and bool(np.isfinite(array).all()), f"{name} does not fit")
    return array


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _require(holds: Any, problem: str) -> None:
    if not holds:
        raise ArtifactError(f"Its parts do not fit each other: {problem}.")
