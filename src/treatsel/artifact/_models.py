"""The models in a file, from a checked manifest and its arrays; without pandas."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel, AssignmentModel, Encoding, Trees, logistic
from treatsel.artifact._structure import GOLDEN_ROWS, check_arrays
from treatsel.artifact._values import require

GOLDEN_TOLERANCE = 1e-9
DRAWS_TOLERANCE = 1e-3
Arrays = Mapping[str, np.ndarray]


def unpack_models(contents: Mapping[str, Any], arrays: Arrays) -> dict[str, AdditiveModel]:
    """Return the model of each outcome, after checking all arrays and reproducing the golden predictions."""
    trees, models = check_arrays(contents, arrays), {}
    for i, outcome in enumerate(contents["outcomes"]):
        place = f"outcome_{i}"
        model = _unpack_model(outcome, contents["arms"], arrays, place, trees.get(place))
        _replay(model, contents["background"], arrays, arrays[f"{place}/golden.npy"])
        models[outcome["name"]] = model
    return models


def unpack_assignment_model(contents: Mapping[str, Any], arrays: Arrays) -> AssignmentModel:
    """Return the model of assignment to arms."""
    return AssignmentModel(
        encoding=Encoding.from_dict(contents["assignment"]["encoding"]),
        arms_=np.array(contents["arms"], dtype=object),
        intercept=arrays["assignment/intercept.npy"],
        coefficients=arrays["assignment/coefficients.npy"],
    )


def background_columns(columns: list[Mapping[str, Any]], arrays: Arrays) -> dict[str, np.ndarray]:
    """Return the background by covariate: floats, or texts; NaN if missing."""
    found = {}
    for j, column in enumerate(columns):
        values, levels = arrays[f"background/column_{j}.npy"], column["levels"]
        texts = None if levels is None else np.array([*levels, np.nan], dtype=object)
        found[column["name"]] = values if texts is None else texts[values]
    return found


def _unpack_model(
    outcome: Mapping[str, Any], arms: list[str], arrays: Arrays, place: str, trees: Trees | None
) -> AdditiveModel:
    return AdditiveModel(
        encoding=Encoding.from_dict(outcome["encoding"]),
        arms_=np.array(arms, dtype=object),
        intercept=arrays[f"{place}/intercept.npy"],
        coefficients=arrays[f"{place}/coefficients.npy"],
        trees=trees,
        mixing=arrays[f"{place}/mixing.npy"] if outcome["has_trees"] else None,
        coefficient_draws=arrays[f"{place}/draws.npy"] if outcome["has_posterior_draws"] else None,
    )


def _replay(model: AdditiveModel, columns: list[Any], arrays: Arrays, golden: np.ndarray) -> None:
    """Predict the stored rows again and compare: the loaded model must equal the saved one."""
    for row, stored in zip(_rows(background_columns(columns, arrays)), golden, strict=True):
        matrix = model.encoding.encode_one(row)
        logit = model.logit(matrix)
        off = np.abs(logistic(logit)[0] - stored)
        require((off <= GOLDEN_TOLERANCE).all(), "golden predictions are not reproduced")
        _check_draws(model, matrix, logit[0])


def _check_draws(model: AdditiveModel, matrix: FloatArray, logit: FloatArray) -> None:
    """Require draws of a row on both sides of its logit: else an interval excludes its own estimate."""
    draws = model.draws_of(matrix)
    if draws is None:
        return
    room = DRAWS_TOLERANCE * (1 + np.abs(logit))  # draws are stored in single precision
    holds = (draws.min(axis=0) <= logit + room) & (draws.max(axis=0) >= logit - room)
    require(holds.all(), "posterior draws do not surround their estimate")


def _rows(columns: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    lists = {name: values[:GOLDEN_ROWS].tolist() for name, values in columns.items()}
    for i in range(len(next(iter(lists.values())))):
        yield {name: values[i] for name, values in lists.items()}
