"""What a selector is made of, as a manifest and arrays, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from treatsel.additive import Trees
from treatsel.artifact._counts import COUNTS, disclosable
from treatsel.artifact._models import (
    GOLDEN_TOLERANCE,
    background_columns,
    unpack_assignment_model,
    unpack_models,
)
from treatsel.artifact._structure import GOLDEN_ROWS, MEANS, OVERLAP
from treatsel.codebook import Codebook
from treatsel.errors import UnsupportedModelError
from treatsel.models import Assignment
from treatsel.selector import TreatmentSelector

Arrays = dict[str, np.ndarray]


def pack(selector: TreatmentSelector) -> tuple[dict[str, Any], Arrays]:
    """Return the contents of a fitted selector: plain lists and mappings, and arrays by member name."""
    arrays: Arrays = {}
    outcomes = [_pack_outcome(selector, name, i, arrays) for i, name in enumerate(selector.outcomes_)]
    means, told = selector.arm_means_, disclosable(selector)
    contents = {
        "arm": selector.arm,
        "arms": list(selector.arms_),
        "default_arm": selector.default_arm_,
        "arm_means": {column: [float(v) for v in means[column].loc[selector.arms_]] for column in MEANS},
        "outcomes": outcomes,
        "codebook": selector.codebook_.to_dict(),
        "training": told.training,
        "ranges": {name: [float(v) for v in row] for name, row in selector.ranges_.T.items()},
        "fingerprint": selector.fingerprint_,
        "background": _pack_background(selector.background_, arrays),
        "assignment": _pack_assignment(selector, told.overlap, arrays),
        "performance": told.performance,
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
    golden = model.predict_by_arm(rows).to_numpy()
    own = selector.models_[name].predict_by_arm(rows)[selector.arms_].to_numpy()
    if (np.abs(own - golden) > GOLDEN_TOLERANCE).any():
        raise UnsupportedModelError(f"The model of {name!r} cannot be saved: it is not its sum of terms.")
    arrays[f"{place}/golden.npy"] = golden
    return {
        "name": name,
        "event_is_good": selector.event_is_good_[name],
        "encoding": model.encoding.to_dict(),
        "has_posterior_draws": model.draws is not None,
        "has_trees": model.trees is not None,
    }


def _pack_assignment(selector: TreatmentSelector, overlap: Any, arrays: Arrays) -> dict[str, Any]:
    model = selector.assignment_.model
    arrays["assignment/intercept.npy"] = model.intercept
    arrays["assignment/coefficients.npy"] = model.coefficients
    return {
        "stated": selector.assignment,
        "encoding": model.encoding.to_dict(),
        "overlap": overlap,
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


def unpack(contents: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TreatmentSelector:
    """Return the selector that `pack` saw, from a checked manifest and arrays that are checked here."""
    arms, outcomes = contents["arms"], contents["outcomes"]
    names = [outcome["name"] for outcome in outcomes]
    codebook, models = Codebook.from_dict(contents["codebook"]), unpack_models(contents, arrays)
    selector = TreatmentSelector(arm=contents["arm"], assignment=contents["assignment"]["stated"])
    selector.arms_, selector.outcomes_ = list(arms), names
    selector.event_is_good_ = {outcome["name"]: outcome["event_is_good"] for outcome in outcomes}
    selector.codebook_, selector.training_ = codebook, _training(contents["training"])
    selector.models_, selector.additive_ = dict(models), dict(models)
    selector.fingerprint_, selector.default_arm_ = contents["fingerprint"], contents["default_arm"]
    index = pd.Index(arms, name="arm")
    selector.arm_means_ = pd.DataFrame(contents["arm_means"], index=index, dtype="float64")
    ranges = pd.DataFrame.from_dict(contents["ranges"], orient="index", columns=["lower", "upper"])
    ranges = ranges.loc[[name for name in codebook.covariates if name in ranges.index]]
    selector.ranges_ = ranges.astype("float64")
    selector.background_ = pd.DataFrame(background_columns(contents["background"], arrays))
    selector.assignment_ = _unpack_assignment(contents, arrays)
    selector.performance_ = {name: _performance(contents["performance"][name]) for name in names}
    return selector


def _unpack_assignment(contents: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Assignment:
    content, index = contents["assignment"], pd.Index(contents["arms"], name="arm")
    overlap = {key: [np.nan if v is None else float(v) for v in content["overlap"][key]] for key in OVERLAP}
    table = pd.DataFrame(overlap, index=index, dtype="float64")
    model, floor = unpack_assignment_model(contents, arrays), float(content["floor"])
    return Assignment(probabilities=None, raw=None, table=table, model=model, floor=floor)


def _performance(rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["predictor", "metric", "value", "lower", "upper", "n"])
    n = "float64" if table["n"].isna().any() else "int64"
    return table.astype({"value": "float64", "lower": "float64", "upper": "float64", "n": n})


def _training(rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame([{key: row[key] for key in ("outcome", "arm")} for row in rows])
    for key in COUNTS:
        table[key] = [float("nan") if row[key] is None else float(row[key]) for row in rows]
    table["enough"] = [row["enough"] for row in rows]
    return table
