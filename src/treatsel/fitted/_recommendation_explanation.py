"""`explain_recommendation`: why this arm, why not clearer, and what would change it, for one patient."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_text, check_arm, check_unique, count_of, listed
from treatsel._lazy import lazy
from treatsel._stats.ties import best_shares
from treatsel.additive import Encoding, draws_by_source, logistic, pairing, quantiles
from treatsel.codebook import Field, as_entered, is_number
from treatsel.errors import InputError
from treatsel.explanation import (
    CHANGE_NOTES,
    Change,
    Explanation,
    RecommendationExplanation,
    nearest_number,
    variance_shares,
)
from treatsel.fitted import _tables
from treatsel.fitted._data import ModelData
from treatsel.preference import check_preferences, utility

if TYPE_CHECKING:
    import pandas as pd

WIDEST = 1e9  # of a range that is searched: a wider one says that the development cohort had no values


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
        preferences, allowed, excluded
            As in `recommend`.
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
        weights = check_preferences(preferences, self.outcomes, self.event_is_good)
        held = _check_fixed(fixed, self.codebook.covariates)
        whole: Any = self  # recommend and explain are those of the whole model
        options: dict[str, Any] = {"preferences": preferences, "allowed": allowed, "excluded": excluded}
        found = whole.recommend(X, level=level, date=date, service=service, **options)
        if len(found.patients) != 1:
            raise InputError(f"X has {count_of(len(found.patients), 'patient')}; give one.")
        permitted = np.array([arm not in found.columns["excluded"][0] for arm in self.arms])
        pair = _pair(self, found, permitted, comparator)
        clean = _tables.read_with_sites(self, X, "raise", service)[0]
        case = _Case(self, clean, weights, permitted, pair, service)
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


@dataclass(frozen=True, eq=False)
class _Case:
    """One patient with two arms, and the model's answers to questions about them."""

    model: ModelData
    clean: "pd.DataFrame"
    weights: Mapping[str, float]
    permitted: np.ndarray
    pair: tuple[Any, Any]
    service: str

    @property
    def positions(self) -> list[int]:
        return [self.model.arms.index(arm) for arm in self.pair]

    def utilities(self, name: str | None = None, values: Any = (0,)) -> FloatArray:
        """Return utilities if a covariate has these values (None: as it is), shape (n_values, n_arms)."""
        tables = {outcome: self._probability(outcome, name, values) for outcome in self.weights}
        return np.asarray(utility(tables, self.weights, self.model.event_is_good))

    @lazy
    def encoded(self) -> dict[str, FloatArray]:
        """Encoded covariates, shape (1, n_features), by outcome whose model is a sum of terms."""
        models = {outcome: self.model.models[outcome] for outcome in self.weights}
        return {key: each.encoding.encode(self.clean) for key, each in models.items() if each is not None}

    def _probability(self, outcome: str, name: str | None, values: Any) -> FloatArray:
        """Return probabilities by arm; of a sum of terms, only the changed covariate is encoded again."""
        import pandas as pd

        additive, rows = self.model.models[outcome], np.zeros(len(values), dtype=int)
        given = {} if name is None else {name: pd.Series(list(values), dtype=self.clean[name].dtype)}
        if additive is None:
            table = self.clean.iloc[rows].reset_index(drop=True).assign(**given)
            return np.asarray(_tables._probability(self.model, table, outcome, self.service))
        matrix, encoding = self.encoded[outcome][rows], additive.encoding
        if name is not None:
            place = encoding.names.index(name)
            column, start = encoding.columns[place], encoding.starts[place]
            only = Encoding((column,), encoding.native_missing).encode(pd.DataFrame(given))
            matrix[:, start : start + column.width] = only
        sites = additive.sites_of(self.clean, self.service)
        return logistic(additive.logit(matrix, None if sites is None else sites[rows]))

    def matters(self, name: str) -> bool:
        """Whether the model may use a covariate: false if all its coefficients are 0, and without trees."""
        for additive in map(self.model.models.get, self.weights):
            if additive is None or additive.trees is not None:
                return True
            place = additive.encoding.names.index(name)
            if additive.coefficients[:, additive.encoding.sources == place].any():
                return True
        return False

    def difference(self) -> float:
        first, second = self.utilities()[0, self.positions]
        return float(first - second)

    def uncertainty(self, level: float) -> dict[str, Any]:
        """Return the interval of the difference, P(better), and the shares of the sources."""
        found = self.draws_by_source()
        if found is None:
            return {"lower": np.nan, "upper": np.nan, "p_better": np.nan, "shares": {}}
        difference, contributions = found
        lower, upper = quantiles(difference, [(1 - level) / 2, (1 + level) / 2])
        return {
            "lower": float(lower),
            "upper": float(upper),
            "p_better": float((difference > 0).mean()),
            "shares": variance_shares(difference, contributions),
        }

    def draws_by_source(self) -> tuple[FloatArray, dict[str, FloatArray]] | None:
        """Return draws of the difference, and what each source contributes to their logits; None: no draws.

        Contributions have two columns per outcome: the two arms, or their mean and half their difference.
        """
        probabilities, parts = {}, []
        for number, name in enumerate(self.weights):
            additive = self.model.models[name]
            reference = None if additive is None else self.model.references[name]
            if additive is None or reference is None:
                return None
            sources = draws_by_source(additive, self.clean, reference, self.service)
            if sources is None:
                return None
            order = pairing(number, len(sources["service"]))
            of_pair = {source: draws[order][:, self.positions] for source, draws in sources.items()}
            probabilities[name] = logistic(sum(of_pair.values(), np.zeros(1)))
            first, second = of_pair.pop("covariates").T
            prognosis, modifiers = (first + second)[:, None] / 2, (first - second)[:, None] / 2
            averages = {"arm_averages": of_pair.pop("arm_averages")}
            parts.append(averages | {"prognosis": prognosis, "modifiers": modifiers} | of_pair)
        of_utility = np.asarray(utility(probabilities, self.weights, self.model.event_is_good))
        contributions = {source: np.column_stack([part[source] for part in parts]) for source in parts[0]}
        return of_utility[:, 0] - of_utility[:, 1], contributions

    def values(self) -> dict[str, Any]:
        """Return the patient's values as they are entered, None if missing; and the site if it is used."""
        found = {str(name): self.clean[name].iloc[0] for name in self.clean}
        fields = {name: self.model.codebook[name] for name in self.model.codebook.covariates}
        known = {name: value for name, value in found.items() if value is not None and value == value}
        entered = {
            name: as_entered(fields[name], value) if name in fields else as_text(value)
            for name, value in known.items()
        }
        return dict.fromkeys(found) | entered

    def arms_on_top(self, name: str, values: Any) -> np.ndarray:
        """Return which arms are on top if a covariate has these values, shape (n_values, n_arms), as bool.

        The same rule as in `recommend`: the default arm takes a tie.
        """
        available = np.where(self.permitted, self.utilities(name, values), -np.inf)
        default = self.model.default_arm
        position = self.model.arms.index(default) if default in self.model.arms else None
        return np.asarray(best_shares(available, position) > 0)

    def differs(self, name: str, values: Any) -> np.ndarray:
        """Return for which values of a covariate the top arm is no longer on top."""
        return ~self.arms_on_top(name, values)[:, self.positions[0]]

    def changes(self, name: str, fixed: bool) -> list[Change]:
        """Return the smallest change of a covariate that changes the top arm; of categories, all changes."""
        now, field = self.clean[name].iloc[0], self.model.codebook[name]
        if fixed or now is None or now != now:
            return [Change(name, None, (), CHANGE_NOTES["fixed" if fixed else "missing"])]
        values: list[Any] = []
        if not self.matters(name):
            pass
        elif is_number(field):
            low, high, whole = _range(field, float(now), self.model.development.ranges.get(name))
            value = nearest_number(
                float(now), low, high, lambda values: self.differs(name, values), whole=whole
            )
            values = [] if value is None else [value]
        else:
            known = [level for level in _levels(self.model, field) if level != now]
            hits = self.differs(name, known) if known else np.empty(0)
            values = [level for level, hit in zip(known, hits, strict=True) if hit]
        if not values:
            return [Change(name, None, (), CHANGE_NOTES["none"])]
        tops = self.arms_on_top(name, values)
        return [
            Change(
                name,
                as_entered(field, value),
                tuple(arm for arm, on_top in zip(self.model.arms, row, strict=True) if on_top),
                "",
            )
            for value, row in zip(values, tops, strict=True)
        ]


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


def _range(field: Field, now: float, expected: tuple[float, float] | None) -> tuple[float, float, bool]:
    """Return the range in which a number may change, and whether it is a whole number.

    The expected range of the development cohort is its central 98%, widened by half the distance at both
    ends (see `Development.ranges`).
    """
    whole = field.type in ("integer", "boolean")
    if field.type == "boolean":
        return 0.0, 1.0, whole
    if expected is None or not expected[1] - expected[0] < WIDEST:
        return now, now, whole
    low, high = (0.75 * expected[i] + 0.25 * expected[1 - i] for i in (0, 1))
    if whole:
        low, high = float(np.round(low)), float(np.round(high))
    low = low if field.minimum is None else max(low, field.minimum)
    high = high if field.maximum is None else min(high, field.maximum)
    return min(low, now), max(high, now), whole


def _levels(model: ModelData, field: Field) -> list[str]:
    """Return the categories of a covariate that the codebook allows and the model knows, as clean texts."""
    known = model.known_levels.get(field.name, frozenset())
    if field.enum is None:
        return sorted(known)
    return [text for text in map(as_text, field.enum) if text in known]
