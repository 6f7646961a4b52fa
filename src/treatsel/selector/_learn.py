"""Fit a selector to development data: outcomes, assignment, arm means, summaries and data checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from treatsel._checks import check_arm
from treatsel._reporting.text import check_names
from treatsel._stats.clusters import therapist_clusters
from treatsel._stats.row_hashes import Keys, row_keys
from treatsel.errors import InputError
from treatsel.fitted import DataCheck, Development, FittedModel, Published, RowDigests, TherapistEffects
from treatsel.metrics import FEWEST_CLUSTERS, enough_clusters
from treatsel.models import AdditiveModel, Assignment, Observation, Priors
from treatsel.predictions import fingerprint
from treatsel.selector._background import counts_by_arm, ranges_of, summarize
from treatsel.selector._default_arm import (
    doubly_robust_arm_means,
    learn_assignment,
    probability_of_best,
)
from treatsel.selector._fit import priors_by_outcome
from treatsel.selector._input import DevelopmentData, completed_codebook, directions
from treatsel.selector._joint import joint_draws
from treatsel.selector._lost import Missing
from treatsel.selector._outcome import FittedOutcome, learn_outcome
from treatsel.selector.data_checks import (
    check_auc,
    check_extreme,
    check_loss,
    check_observation,
    check_overlap,
    check_priors,
    check_process,
    check_proportional,
    check_shift,
    run_checks,
    warn_of,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """The fitted model, and the values by patient, which are not saved to a file."""

    model: FittedModel
    assignment: Assignment
    observation: dict[str, Observation]
    keys: Keys


def learn(
    selector: Any,
    data: DevelopmentData,
    *,
    keep_therapists: bool = False,
    eligible: tuple[np.ndarray | None, list[DataCheck]] = (None, []),
) -> Learned:
    """Fit all models with the parameters of `selector`; `eligible`: what `may_receive_all` returns."""
    if keep_therapists:
        _check_therapists(data)
    outcomes, received = data.outcomes, data.received
    names, arms = list(outcomes.columns), sorted(received.unique(), key=str)
    check_names(f"Arms in column {selector.arm!r}", arms, InputError)
    good = directions(selector.event_is_good, outcomes, data.codebook)
    options = {key: getattr(selector, key) for key in ("arm", "estimator", "random_state", "n_jobs")}
    priors, missing = priors_by_outcome(selector.priors, names), Missing.of(selector.missing, names)
    joint = joint_draws(data, selector.estimator)
    fitted = {
        name: _learned_outcome(
            data,
            name,
            missing,
            good=bool(good[name]),
            priors=priors.get(name),
            keep_therapists=keep_therapists,
            joint=joint.get(name),
            **options,
        )
        for name in names
    }
    assignment = learn_assignment(
        data.clean, selector.arm, groups=data.clusters, random_state=selector.random_state
    )
    main, randomized, (among, noted) = names[0], data.assignment == "randomised", eligible
    means = _arm_means(
        data, fitted[main], main, assignment, randomized=randomized, good=bool(good[main]), among=among
    )
    checks = run_checks(data.covariates, received, outcomes, groups=data.groups, persons=data.persons)
    checks += noted + ([] if randomized else check_overlap(assignment))
    for name, part in fitted.items():
        checks += _check_model(part, name, missing)
    keys = row_keys(data.clean)
    development = _development(data, fitted, assignment, means, arms, checks, keys, priors)
    enough = [arm for arm, is_enough in development.has_evidence(main).items() if is_enough]
    model = FittedModel(
        models={name: _finished(part.additive, data, name) for name, part in fitted.items()},
        estimators={name: part.model for name, part in fitted.items()},
        codebook=completed_codebook(data.codebook, data.clean, good),
        event_is_good=good,
        arms=tuple(arms),
        default_arm=check_arm("default_arm", means.loc[enough or arms, "value"].idxmax(), arms),
        assignment=data.assignment,
        assignment_model=assignment.model,
        development=development,
    )
    warn_of(checks)
    observation = {name: part.observation for name, part in fitted.items() if part.observation is not None}
    return Learned(model=model, assignment=assignment, observation=observation, keys=keys)


def _learned_outcome(data: DevelopmentData, name: str, missing: Missing, **options: Any) -> FittedOutcome:
    """Fit the model of one outcome of the development data."""
    return learn_outcome(
        data.clean,
        data.outcomes[name],
        data.scores.get(name),
        data.process.drop(columns=name, errors="ignore"),
        data.sessions,
        missing=missing,
        unit=data.units[name][1] if name in data.units else None,
        arms=sorted(data.received.unique(), key=str),
        groups=data.groups,
        therapists=data.therapists,
        clusters=data.clusters,
        **options,
    )


def _arm_means(
    data: DevelopmentData,
    fitted: FittedOutcome,
    name: str,
    assignment: Assignment,
    *,
    randomized: bool,
    good: bool,
    among: np.ndarray | None,
) -> pd.DataFrame:
    """Return doubly robust means by arm with the probability that each is the best, among some patients."""
    means = doubly_robust_arm_means(
        fitted,
        data.outcomes[name],
        data.received,
        assignment,
        randomized=randomized,
        good=good,
        clusters=_clusters_of_means(data),
        among=among,
    )
    population = data.covariates if among is None else data.covariates[among]
    return means.assign(p_best=probability_of_best(fitted.additive, population, good=good))


def _check_therapists(data: DevelopmentData) -> None:
    """Raise if there are no therapists whose effects could be kept."""
    if data.therapists is None:
        raise InputError(
            "keep_therapists=True needs the therapists: give their column the role therapist in the codebook."
        )
    if data.persons is not None and data.groups is not None and data.persons.name == data.groups.name:
        raise InputError(
            "keep_therapists=True needs sites, or patients with one row each: here persons take the place of "
            "sites, and the effect of a therapist would be one on a single person."
        )


def _clusters_of_means(data: DevelopmentData) -> Any:
    """Return the clusters of intervals of means: sites, of fewer than 5 the therapists, or None."""
    sites, therapists = data.groups, data.therapists
    if enough_clusters(sites, fewest=FEWEST_CLUSTERS) is not None or therapists is None:
        return enough_clusters(sites, fewest=FEWEST_CLUSTERS)
    return enough_clusters(therapist_clusters(therapists, sites))


def _finished(model: AdditiveModel | None, data: DevelopmentData, outcome: str) -> AdditiveModel | None:
    """Return a model with the score in its own unit, and without persons.

    Persons are grouped like sites, if they have several rows, but are never known.
    """
    if model is None:
        return None
    persons, groups = data.persons, data.groups
    if persons is not None and groups is not None and persons.name == groups.name:
        model = replace(model, sites=None)
    if model.score is None or outcome not in data.units:  # of several scores, distances have no unit
        return replace(model, score=None)
    origin, unit = data.units[outcome]
    return replace(model, score=replace(model.score, means=origin + unit * model.score.means))


def _check_model(part: FittedOutcome, name: str, missing: Missing) -> list[DataCheck]:
    """Run the checks of one outcome's fitted model."""
    # the baseline sees a leak as well, also where the model itself fails because of it
    auc = max(part.figure("within_arm_auc"), part.figure("within_arm_auc", "baseline"))
    return [
        *check_auc(auc, name),
        *check_loss(part.excess, name),
        *check_extreme(logit(part.cross_fitted.to_numpy()), name),
        *check_observation(part.observation, name),
        *check_process(part.loss, name, used=missing.method is None),
        *check_shift(part.shifted_by, name, missing.assumption(name)),
        *check_proportional(part.slopes, name),
        *check_priors(getattr(part.model, "prior_conflict_", None), name),
    ]


def _development(
    data: DevelopmentData,
    fitted: Mapping[str, FittedOutcome],
    assignment: Assignment,
    means: pd.DataFrame,
    arms: list[Any],
    checks: Sequence[DataCheck],
    keys: Keys,
    priors: Mapping[str, Priors],
) -> Development:
    whole = fingerprint(data.clean)
    ranges, background = ranges_of(data.covariates), summarize(data.covariates)
    return Development(
        training=columns_of(counts_by_arm(data.outcomes, data.received)),
        arm_means=columns_of(means.loc[arms]),
        ranges={str(name): (float(low), float(high)) for name, low, high in ranges.itertuples()},
        background={str(name): column.to_numpy() for name, column in background.items()},
        overlap=columns_of(assignment.table.loc[arms]),
        propensity_floor=assignment.propensity_floor,
        observation={
            name: columns_of(part.observation.table.loc[arms])
            for name, part in fitted.items()
            if part.observation is not None
        },
        performance={name: columns_of(part.performance) for name, part in fitted.items()},
        priors={
            name: Published(each.source, columns_of(fitted[name].model.priors_))
            for name, each in priors.items()
        },
        data_checks=tuple(checks),
        fingerprint=whole,
        row_digests=RowDigests.of(keys, int(whole[:13], 16)),
        therapists=_therapists(data, fitted),
    )


def _therapists(data: DevelopmentData, fitted: Mapping[str, FittedOutcome]) -> dict[str, TherapistEffects]:
    """Return the effects of therapists of each outcome whose model keeps them."""
    kept = {name: getattr(part.model, "therapist_effects_", None) for name, part in fitted.items()}
    site = None if data.groups is None else str(data.groups.name)
    return {
        name: TherapistEffects.of(columns_of(table), site, str(data.therapists.name))
        for name, table in kept.items()
        if table is not None and data.therapists is not None
    }


def columns_of(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of a table as lists, without its index."""
    return {str(name): table[name].tolist() for name in table.columns}


def by_arm(columns: Mapping[str, Sequence[Any]], arms: Sequence[Any]) -> pd.DataFrame:
    """Return a table by arm from its columns."""
    return pd.DataFrame(dict(columns), index=pd.Index(arms, name="arm"))
