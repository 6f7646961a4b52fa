"""What a selector says of one record, without a table; and what it draws for many."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel.additive import AdditiveModel, pairing, quantiles
from treatsel.models import low_propensity
from treatsel.preference import utility
from treatsel.serving import ServedModel

if TYPE_CHECKING:
    from treatsel.selector import TreatmentSelector

_BLOCK = 512  # patients whose draws are held in memory at once
_PARTS = (
    "codebook_",
    "ranges_",
    "event_is_good_",
    "default_arm_",
    "training_",
    "assignment",
    "assignment_",
    "intended_use_",
    "model_id_",
    "background_",
)


def served(selector: "TreatmentSelector", X: Any) -> ServedModel | None:
    """Return the selector as a model that reads records, made once; None if X is no record.

    None also if a model is no sum of terms: such a selector reads tables only.
    """
    if not isinstance(X, Mapping) or None in selector.additive_.values():
        return None
    parts = [getattr(selector, name) for name in _PARTS] + list(selector.additive_.values())
    made: tuple[ServedModel, list[Any]] | None = selector.__dict__.get("_served")
    if made is None or list(map(id, made[1])) != list(map(id, parts)):
        made = selector.__dict__["_served"] = _serve(selector), parts
    return made[0]


def scored(selector: "TreatmentSelector", outcome: str) -> Any:
    """Return what gives probabilities by arm: the sum of terms, for a record and for a table alike."""
    return selector.additive_[outcome] or selector.models_[outcome]


def _serve(selector: "TreatmentSelector") -> ServedModel:
    return ServedModel(
        models={name: model for name, model in selector.additive_.items() if model is not None},
        codebook=selector.codebook_,
        ranges={str(name): (float(low), float(high)) for name, low, high in selector.ranges_.itertuples()},
        event_is_good=dict(selector.event_is_good_),
        default_arm=selector.default_arm_,
        evidence={name: evidence(selector.training_, [name]) for name in selector.outcomes_},
        assignment=selector.assignment,
        assignment_model=selector.assignment_.model,
        intended_use=selector.intended_use_,
        model_id=selector.model_id_,
        background={str(name): column.to_numpy() for name, column in selector.background_.items()},
    )


def evidence(training: pd.DataFrame, outcomes: Collection[str]) -> dict[Any, bool]:
    """Return whether each arm had enough patients in all of some outcomes."""
    rows = training[training["outcome"].isin(list(outcomes))]
    sufficient = rows["sufficient_events"].astype(bool).groupby(rows["arm"]).all()
    return {arm: bool(value) for arm, value in sufficient.items()}


def warnings_of_models(selector: "TreatmentSelector", clean: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Give rows (patient, code, column) for models without intervals, and for arms hardly ever given."""
    if not all(selector.has_posterior_draws(name) for name in selector.outcomes_):
        rows = {"patient": clean.index.astype(object), "code": "no_interval", "column": None}
        yield pd.DataFrame(rows)
    if selector.assignment != "randomised" and len(rare := low_propensity(selector.assignment_, clean)):
        yield rare


def interval(
    model: AdditiveModel | None, table: pd.DataFrame, clean: pd.DataFrame, level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the bounds of a by-arm table from the model's draws; NaN where it has none."""
    bounds = np.full((2, *table.shape), np.nan)
    if model is not None and model.coefficient_draws is not None:
        for start in range(0, len(clean), _BLOCK):
            draws = model.predict_draws(clean.iloc[start : start + _BLOCK])
            tails = [(1 - level) / 2, (1 + level) / 2]
            bounds[:, start : start + _BLOCK] = quantiles(np.moveaxis(draws, 0, -1), tails)
    lower, upper = (pd.DataFrame(b, index=table.index, columns=table.columns) for b in bounds)
    return lower, upper


def utility_draws(
    models: Mapping[str, AdditiveModel | None],
    clean: pd.DataFrame,
    weights: Mapping[str, float],
    event_is_good: Mapping[str, bool | None],
) -> FloatArray | None:
    """Return draws of the utility, shape (n_draws, n_patients, n_arms); None if a model has none."""
    draws = {}
    for number, name in enumerate(weights):
        model = models[name]
        if model is None or model.coefficient_draws is None:
            return None
        of_outcome = model.predict_draws(clean)
        draws[name] = of_outcome[pairing(number, len(of_outcome))]
    return np.asarray(utility(draws, weights, event_is_good))
