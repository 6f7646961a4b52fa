"""A fitted selector as a manifest and arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._disclosure import is_small
from treatsel.additive import Trees, logistic
from treatsel.artifact._counts import disclosable
from treatsel.artifact._development import MEANS, OBSERVATION
from treatsel.artifact._json import MAX_TEXT
from treatsel.artifact._models import GOLDEN_TOLERANCE, golden_at_sites
from treatsel.artifact._structure import DIGESTS, GOLDEN_ROWS, SITE_ARRAYS
from treatsel.artifact._therapists import pack_therapists
from treatsel.errors import UnsupportedModelError
from treatsel.selector import TreatmentSelector

Arrays = dict[str, np.ndarray]


def pack(
    selector: TreatmentSelector, therapist_key: str | Path | bytes | None
) -> tuple[dict[str, Any], Arrays]:
    """Return the contents of a fitted selector: plain lists and mappings, and arrays by member name.

    `therapist_key`: for the labels of therapists; None: without therapists.
    """
    arrays: Arrays = {}
    outcomes = [_pack_outcome(selector, name, i, arrays) for i, name in enumerate(selector.outcomes_)]
    means, disclosed = selector.arm_means_, disclosable(selector)
    if therapist_key is not None:
        pack_therapists(selector.model_.development, outcomes, disclosed.training, therapist_key)
    contents = {
        "arm": selector.codebook_.arm,
        "arms": list(selector.arms_),
        "default_arm": selector.default_arm_,
        "arm_means": {
            column: [None if v != v else float(v) for v in means[column].loc[selector.arms_]]
            for column in (*MEANS, "p_best")
        },
        "priors": {
            name: {
                "source": _shortened(source),
                "rows": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
            }
            for name, (source, columns) in selector.model_.development.priors.items()
        },
        "outcomes": outcomes,
        "codebook": selector.codebook_.to_dict(),
        "training": disclosed.training,
        "ranges": {name: [float(v) for v in row] for name, row in selector.ranges_.T.items()},
        "fingerprint": selector.fingerprint_,
        "row_digests": _pack_row_digests(selector, arrays),
        "background": _pack_background(selector.background_, arrays),
        "assignment": _pack_assignment(selector, disclosed.overlap, arrays),
        "observation": _pack_observation(selector, disclosed.training),
        "performance": disclosed.performance,
        "data_checks": [
            {"code": code, "message": _shortened(disclosed or message)}
            for code, message, disclosed in selector.data_checks_
        ],
    }
    if updates := selector.model_.updates:
        contents["updates"] = [dict(update) for update in updates]
    return contents, arrays


def _pack_outcome(selector: TreatmentSelector, name: str, number: int, arrays: Arrays) -> dict[str, Any]:
    model, place = selector.additive_[name], f"outcome_{number}"
    if model is None:
        raise UnsupportedModelError(
            f"The model of {name!r} cannot be saved: it is not a sum of linear terms and trees. "
            "Use logistic regression or LightGBM in a model of treatsel.models."
        )
    arrays[f"{place}/intercept.npy"] = model.intercept
    arrays[f"{place}/coefficients.npy"] = model.coefficients
    if model.coefficient_draws is not None:
        arrays[f"{place}/draws.npy"] = model.coefficient_draws
    if model.sites is not None:
        for part in SITE_ARRAYS:
            if (values := getattr(model.sites, part)) is not None:
                arrays[f"{place}/sites/{part}.npy"] = values
    if model.trees is not None and model.mixing is not None:
        arrays[f"{place}/mixing.npy"] = model.mixing
        arrays |= {f"{place}/trees/{part}.npy": getattr(model.trees, part) for part in Trees.ARRAYS}
    rows = selector.background_.head(GOLDEN_ROWS)
    golden = model.predict_by_arm(rows).to_numpy()
    own = selector.models_[name].predict_by_arm(rows)[selector.arms_].to_numpy()
    if (np.abs(own - golden) > GOLDEN_TOLERANCE).any():
        raise UnsupportedModelError(
            f"The model of {name!r} cannot be saved: its predictions differ from those of its sum of terms."
        )
    arrays[f"{place}/golden.npy"] = golden
    if model.sites is not None:
        logits = golden_at_sites(model, model.encoding.encode(rows.head(1)))
        arrays[f"{place}/sites/golden.npy"] = logistic(logits)
    return {
        "name": name,
        "event_is_good": selector.event_is_good_[name],
        "encoding": model.encoding.to_dict(),
        "has_posterior_draws": model.coefficient_draws is not None,
        "has_trees": model.trees is not None,
        "joint": model.joint,
        "score": model.score
        and {"thresholds": model.score.thresholds.tolist(), "means": model.score.means.tolist()},
        "sites": model.sites and {"column": model.sites.column, "labels": list(model.sites.labels)},
    }


def _pack_assignment(selector: TreatmentSelector, overlap: Any, arrays: Arrays) -> dict[str, Any]:
    model = selector.assignment_.model
    arrays["assignment/intercept.npy"] = model.intercept
    arrays["assignment/coefficients.npy"] = model.coefficients
    return {
        "stated": selector.model_.assignment,
        "encoding": model.encoding.to_dict(),
        "overlap": overlap,
        "propensity_floor": selector.assignment_.propensity_floor,
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


def _pack_row_digests(selector: TreatmentSelector, arrays: Arrays) -> dict[str, float] | None:
    digests = selector.model_.development.row_digests
    if digests is None:
        return None
    arrays["row_digests.npy"] = digests.places
    return {key: getattr(digests, key) for key in DIGESTS}


def _pack_observation(
    selector: TreatmentSelector, training: list[dict[str, Any]]
) -> dict[str, dict[str, list[float | None]]]:
    """Return the tables of the observation model by arm, without extreme weights (of single patients).

    Nothing is stored for an arm in which the number of patients, or of observed outcomes, is suppressed.
    """
    known = {(row["outcome"], row["arm"]): None not in (row["n"], row["n_observed"]) for row in training}
    found = {}
    for name, observation in selector.observation_.items():
        table = observation.table.loc[selector.arms_, list(OBSERVATION)].astype("float64")
        table.loc[[arm for arm in selector.arms_ if not known[name, arm]]] = np.nan
        truncated = table["n_truncated"]
        table["n_truncated"] = truncated.mask(is_small(truncated))
        found[name] = {key: [None if np.isnan(v) else float(v) for v in table[key]] for key in OBSERVATION}
    return found


def _shortened(message: str) -> str:
    """Return a message, truncated if it is too long for a file (as with hundreds of columns)."""
    return message if len(message) <= MAX_TEXT else f"{message[: MAX_TEXT - 4]} ..."
