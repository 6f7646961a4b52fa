"""`explain_recommendation`: why this arm, why not clearer, and what would change it, for one patient."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import check_arm, check_unique, count_of, listed
from treatsel.errors import InputError
from treatsel.explanation import Explanation, RecommendationExplanation
from treatsel.fitted import _tables
from treatsel.fitted._data import ModelData
from treatsel.fitted._patient_case import PatientCase
from treatsel.preference import outcome_weights

if TYPE_CHECKING:
    import pandas as pd


class RecommendationExplanations(ModelData):
    """Adds the explanation of a recommendation to a fitted model."""

    def explain_recommendation(
        self,
        X: Any,
        *,
        comparator: Any = None,
        preferences: Mapping[str, float] | None = None,
        allowed: "pd.DataFrame | None" = None,
        excluded: Mapping[Any, str] | None = None,
        eligibility: Any = None,
        fixed: Iterable[str] = (),
        level: float = 0.95,
        date: datetime.date | str | None = None,
        service: str = "known",
    ) -> RecommendationExplanation:
        """Explain one patient's recommendation: why this arm, why not clearer, and what would change it.

        The top arm (that of the highest expected utility) is compared with another arm. *Why this arm*: what
        each covariate contributes to the difference between the two, by Aumann-Shapley on the scale of
        probabilities, see `treatsel.explain`. *Why not clearer*: the share of each source in the posterior
        variance of the difference. *What would change it*: for each covariate, the smallest change within
        its range that puts another arm on top. It takes a fraction of a second, and is not part of
        `recommend`.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame with one row
            Covariates of the patient by name; None for an unknown value.
        comparator : label, optional
            Arm with which the top arm is compared. None: the model's default arm; or, if this is the top arm
            or not permitted, the permitted arm with the next highest utility.
        preferences, allowed, excluded, eligibility
            As in `recommend`; preferences of outcomes of the model alone. Rules are not applied again when a
            covariate is changed.
        fixed : iterable of str
            Covariates that are not changed, because they cannot be or a change would say nothing: the age,
            for example.
        level : float
            Level of the interval of the difference.
        date : date or str, optional
            As in `predict`.
        service : {"known", "average", "new"}
            As in `predict`.

        Returns
        -------
        RecommendationExplanation

        Raises
        ------
        InputError
            If there is more than one patient, no top arm (the patient is out of scope, no arm is permitted,
            or several are tied), or no other permitted arm; or if an option is invalid.
        CohortError
            If a covariate is missing or a value violates the codebook.

        Notes
        -----
        With several outcomes, attributions are sums over the outcomes, by weight, of contributions to the
        probability of the good outcome. The background is that of the model.

        Sources of uncertainty are parts of the posterior draws behind the interval, which sum to the draws:
        logits at the mean of the background and the average service ("arm_averages"); coefficients times the
        patient's distance from this mean, divided into what the two arms have in common ("prognosis") and
        their difference ("modifiers"); what the patient's service, or a new one, adds to the average
        ("service"); and missing values, drawn from their distribution in the development cohort. Shares are
        Shapley effects (Owen 2014, doi:10.1137/130936233).

        The range of a number is the central 98% of the development cohort (to rounding) and the patient's own
        value, within the limits of the codebook; whole numbers stay whole, and categories are those that the
        model knows. The range is searched by 400 steps in each direction. Only one covariate changes at a
        time: a total score is not adapted to a changed item.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from treatsel import TreatmentSelector
        >>> rng = np.random.default_rng(0)
        >>> X = pd.DataFrame({"severity": rng.integers(0, 28, 700), "arm": ["CBT", "SSRI"] * 350})
        >>> chance = np.where(X["arm"] == "CBT", 0.4, 0.1 + 0.02 * X["severity"])
        >>> y = pd.Series((rng.random(700) < chance).astype(int), name="remission")
        >>> selector = TreatmentSelector(estimator="hierarchical", event_is_good=True, random_state=0)
        >>> found = selector.fit(X, y).explain_recommendation({"severity": 8})
        >>> found.arm, found.comparator
        ('CBT', 'SSRI')
        >>> list(found.shares)
        ['arm_averages', 'prognosis', 'modifiers', 'service', 'missing_answers']
        >>> found.changes[0].arms  # with a higher severity, `found.changes[0].value`
        ('SSRI',)
        """
        weights = outcome_weights(preferences, self.outcomes, self.event_is_good)
        held = _check_fixed(fixed, self.codebook.covariates)
        whole: Any = self  # recommend and explain are those of the whole model
        options: dict[str, Any] = {"preferences": preferences, "allowed": allowed, "excluded": excluded}
        options |= {"comparator": comparator, "eligibility": eligibility}
        found = whole.recommend(X, level=level, date=date, service=service, **options)
        if len(found.patients) != 1:
            raise InputError(f"X has {count_of(len(found.patients), 'patient')}; give one.")
        permitted = np.array([arm not in found.columns["excluded"][0] for arm in self.arms])
        pair = _pair(self, found, permitted, comparator)
        clean = _tables.read_with_sites(self, X, "raise", service)[0]
        case = PatientCase(self, clean, weights, permitted, pair, service)
        parts = [
            whole.explain(X, contrast=pair, outcome=name, scale="probability", service=service)
            for name in weights
        ]
        attributions, base = _attributions(parts, weights, self.event_is_good)
        changes = [
            case.changes(name, name in held) for name in attributions if name in self.codebook.covariates
        ]
        return RecommendationExplanation(
            patient=found.patients[0],
            arm=pair[0],
            comparator=pair[1],
            status=str(found.columns["status"][0]),
            weights=weights,
            target=_target(self, weights),
            difference=case.difference(),
            level=float(level),
            **case.uncertainty(level),
            base_value=base,
            attributions=attributions,
            values=case.values(),
            changes=tuple(each for of_covariate in changes for each in of_covariate),
            titles=self.codebook.titles,
            units={field.name: field.unit for field in self.codebook.fields if field.unit},
            method=parts[0].method,
            flags=found.flags,
            audit=found.audit,
        )


def _check_fixed(fixed: Iterable[str], covariates: Sequence[str]) -> list[str]:
    names = [fixed] if isinstance(fixed, str) else list(fixed)
    check_unique("The columns of fixed", names)
    if unknown := [name for name in names if name not in covariates]:
        raise InputError(
            f"fixed names {count_of(len(unknown), 'column')} that the model does not use: {listed(unknown)}. "
            f"Its covariates are {listed(covariates)}."
        )
    return names


def _pair(model: ModelData, found: Any, permitted: np.ndarray, comparator: Any) -> tuple[Any, Any]:
    """Return the top arm and the arm with which it is compared."""
    top, status = found.columns["top"][0], found.columns["status"][0]
    if top is None or status == "out_of_scope":
        raise InputError(
            f"There is no top arm to explain: the status is {status!r}. Explain the difference between two "
            "arms with explain(contrast=...), which needs no top arm."
        )
    others = [arm for arm, may in zip(model.arms, permitted, strict=True) if may and arm != top]
    if comparator is not None:
        comparator = check_arm("comparator", comparator, model.arms)
        if comparator == top:
            raise InputError(
                f"comparator is {comparator!r}, which is the top arm of this patient. Name another arm, or "
                "leave it out."
            )
        return top, comparator
    if not others:
        raise InputError("One arm is permitted, so that there is nothing to compare. Name a comparator.")
    if model.default_arm in others:
        return top, model.default_arm
    utilities = dict(zip(model.arms, found.utilities[0], strict=True))
    return top, max(others, key=lambda arm: utilities[arm])


def _attributions(
    parts: Sequence[Explanation], weights: Mapping[str, float], good: Mapping[str, bool | None]
) -> tuple[dict[str, float], float]:
    """Return attributions to the difference in utility, the largest first, and its base value."""
    amounts: dict[str, float] = {}
    base = 0.0
    for part, (outcome, weight) in zip(parts, weights.items(), strict=True):
        factor = weight if good[outcome] else -weight
        base += factor * part.base_value
        for name, amount in zip(part.covariates, part.attributions[0].tolist(), strict=True):
            amounts[name] = amounts.get(name, 0.0) + factor * amount
    return {name: amounts[name] for name in sorted(amounts, key=lambda name: -abs(amounts[name]))}, base


def _target(model: ModelData, weights: Mapping[str, float]) -> str:
    if len(weights) > 1:
        return "utility"
    name = next(iter(weights))
    label = model.codebook.label(name)
    return f"probability of {label if model.event_is_good[name] else f'no {label}'}"
