"""The fitted model in a file, from a checked manifest and its arrays; without pandas."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treatsel.artifact._development import COUNTS, MEANS, OBSERVATION, PUBLISHED
from treatsel.artifact._models import background_columns, unpack_assignment_model, unpack_models
from treatsel.artifact._structure import OVERLAP
from treatsel.artifact._therapists import unpack_therapists
from treatsel.codebook import Codebook
from treatsel.fitted import DataCheck, Development, FittedModel, Published, RowDigests

Arrays = Mapping[str, np.ndarray]
NAN = float("nan")


def unpack(contents: Mapping[str, Any], arrays: Arrays, **options: Any) -> FittedModel:
    """Return the model that `pack` wrote, from a checked manifest and arrays that are checked here.

    `options` are further fields of `FittedModel`.
    """
    outcomes, assignment = contents["outcomes"], contents["assignment"]
    return FittedModel(
        models=unpack_models(contents, arrays),
        codebook=Codebook.from_dict(contents["codebook"]),
        event_is_good={outcome["name"]: outcome["event_is_good"] for outcome in outcomes},
        arms=tuple(contents["arms"]),
        default_arm=contents["default_arm"],
        assignment=assignment["stated"],
        assignment_model=unpack_assignment_model(contents, arrays),
        development=_unpack_development(contents, arrays),
        updates=tuple(contents.get("updates", ())),
        **options,
    )


def _unpack_development(contents: Mapping[str, Any], arrays: Arrays) -> Development:
    columns = [field["name"] for field in contents["codebook"]["fields"]]
    ranges = {name: contents["ranges"][name] for name in columns if name in contents["ranges"]}
    return Development(
        training=_by_column(contents["training"], ("outcome", "arm", *COUNTS, "sufficient_events")),
        arm_means={
            key: _numbers(contents["arm_means"].get(key, [None] * len(contents["arms"])))
            for key in (*MEANS, "p_best")
        },
        priors={name: _published(found) for name, found in contents.get("priors", {}).items()},
        ranges={name: (float(low), float(high)) for name, (low, high) in ranges.items()},
        background=background_columns(contents["background"], arrays),
        overlap={key: _numbers(contents["assignment"]["overlap"][key]) for key in OVERLAP},
        propensity_floor=float(contents["assignment"]["propensity_floor"]),
        observation={
            name: {key: _numbers(table[key]) for key in OBSERVATION}
            for name, table in contents["observation"].items()
        },
        performance={
            outcome["name"]: _by_column(
                contents["performance"][outcome["name"]],
                ("predictor", "metric", "value", "lower", "upper", "n"),
            )
            for outcome in contents["outcomes"]
        },
        data_checks=tuple(DataCheck(check["code"], check["message"]) for check in contents["data_checks"]),
        fingerprint=contents["fingerprint"],
        row_digests=None
        if contents["row_digests"] is None
        else RowDigests(places=arrays["row_digests.npy"], **contents["row_digests"]),
        therapists=unpack_therapists(contents["outcomes"]),
    )


def _published(found: Mapping[str, Any]) -> Published:
    columns = {key: [row[key] for row in found["rows"]] for key in ("what", *PUBLISHED)}
    return Published(found["source"], columns)


def _by_column(rows: list[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Return rows as columns; numbers are floats if any is missing, as in a table with NaN."""
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in names}
    return {name: _numbers(values) if None in values else values for name, values in columns.items()}


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [NAN if value is None else float(value) for value in values]
