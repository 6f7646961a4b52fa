"""The models in a file, from a checked manifest and its arrays; without pandas."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive import (
    NEW,
    AdditiveModel,
    AssignmentModel,
    Encoding,
    ScoreLevels,
    SiteEffects,
    Trees,
    logistic,
)
from treatsel.artifact._structure import GOLDEN_ROWS, SITE_ARRAYS, check_arrays
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
        _replay(model, contents["background"], arrays, place)
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
        score=_unpack_score(outcome.get("score")),
        sites=_unpack_sites(outcome.get("sites"), arrays, f"{place}/sites"),
        joint=outcome.get("joint", False),  # draws of earlier versions are not joint
    )


def _unpack_score(score: Any) -> ScoreLevels | None:
    """Return the levels of the score; None in a file without them, or of a version that did not keep them."""
    if score is None:
        return None
    return ScoreLevels(thresholds=np.array(score["thresholds"]), means=np.array(score["means"]))


def _unpack_sites(sites: Any, arrays: Arrays, place: str) -> SiteEffects | None:
    """Return the known sites; None in a file without them, or of a version that did not keep them."""
    if sites is None:
        return None
    parts: dict[str, Any] = {part: arrays.get(f"{place}/{part}.npy") for part in SITE_ARRAYS}
    return SiteEffects(column=sites["column"], labels=tuple(sites["labels"]), **parts)


def golden_at_sites(model: AdditiveModel, matrix: FloatArray) -> FloatArray:
    """Return the logits of one encoded patient at each known site and the average one."""
    assert model.sites is not None
    numbers = np.arange(len(model.sites.labels) + 1)
    return model.logit(np.repeat(matrix, len(numbers), axis=0), numbers)


def _replay(model: AdditiveModel, columns: list[Any], arrays: Arrays, place: str) -> None:
    """Predict the stored rows again and compare: the loaded model must equal the saved one."""
    golden = arrays[f"{place}/golden.npy"]
    for number, row in enumerate(_rows(background_columns(columns, arrays))):
        matrix = model.encoding.encode_one(row)
        logit = model.logit(matrix)
        _compare(logit[0], golden[number])
        _check_draws(model, matrix, logit[0])
        if model.sites is not None and number == 0:
            for site, own in enumerate(golden_at_sites(model, matrix)):
                _compare(own, arrays[f"{place}/sites/golden.npy"][site])
                _check_draws(model, matrix, own, site)


def _compare(logit: FloatArray, stored: FloatArray) -> None:
    off = np.abs(logistic(logit) - stored)
    require((off <= GOLDEN_TOLERANCE).all(), "golden predictions are not reproduced")


def _check_draws(model: AdditiveModel, matrix: FloatArray, logit: FloatArray, site: int = NEW) -> None:
    """Require draws of a row on both sides of its logit: else an interval excludes its own estimate."""
    draws = model.draws_of(matrix)
    if draws is None:
        return
    if site != NEW and model.sites is not None and model.sites.draws is not None:
        draws = draws + model.sites.draws[:, site]
    room = DRAWS_TOLERANCE * (1 + np.abs(logit))  # draws are stored in single precision
    holds = (draws.min(axis=0) <= logit + room) & (draws.max(axis=0) >= logit - room)
    require(holds.all(), "posterior draws do not surround their estimate")


def _rows(columns: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    lists = {name: values[:GOLDEN_ROWS].tolist() for name, values in columns.items()}
    for i in range(len(next(iter(lists.values())))):
        yield {name: values[i] for name, values in lists.items()}
