"""`Valuation`: how predicted outcomes, and what else is known of the arms, become a utility."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from treatsel._checks import FloatArray, check_number, listed
from treatsel._lazy import lazy
from treatsel.errors import InputError
from treatsel.preference._criterion import Criterion
from treatsel.preference._outcome_weights import check_preferences, utility

if TYPE_CHECKING:
    import pandas as pd

    from treatsel.preference._acceptability import Acceptability
    from treatsel.preference._flips import Flips
    from treatsel.preference._partial_values import PartialValues
    from treatsel.preference._preferences import Preferences
    from treatsel.preference._side_effects import SideEffects

Draw = Callable[[str], FloatArray | None]  # of an outcome: draws of shape (n_draws, n_arms)
Table = TypeVar("Table", "pd.DataFrame", np.ndarray)


@dataclass(frozen=True, kw_only=True, eq=False)
class Valuation:
    """The criteria of one patient with their weights, for the arms of a model.

    Attributes
    ----------
    given : mapping of str to float
        Weights as they were given; of `Preferences`, their mean.
    weights : mapping of str to float
        Weights of the outcomes of the model that count.
    event_is_good : mapping of str to bool or None
        Direction of each outcome of the model.
    arms : tuple
        Arms of the model.
    preferences : Preferences or None
        What is known about the weights; None: a mapping of outcomes to weights was given.
    criteria : mapping of str to Criterion
        With `preferences`: the criterion of everything that counts.
    measured : mapping of str to ndarray of shape (n_arms,), or Rates
        With `preferences`: values by arm of criteria that the model does not predict.
    """

    given: Mapping[str, float]
    weights: Mapping[str, float]
    event_is_good: Mapping[str, bool | None]
    arms: tuple[Any, ...]
    preferences: "Preferences | None" = None
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        preferences: "Mapping[str, float] | Preferences | None",
        *,
        criteria: Sequence[Criterion] = (),
        measurements: Mapping[str, Any] | None = None,
        side_effects: "SideEffects | None" = None,
        outcomes: tuple[str, ...],
        event_is_good: Mapping[str, bool | None],
        arms: tuple[Any, ...],
    ) -> "Valuation":
        """Check what `recommend` was given.

        Raises
        ------
        InputError
            If a criterion is unknown, has no direction or no values, or no outcome of the model counts.
        """
        common: dict[str, Any] = {"event_is_good": event_is_good, "arms": arms}
        if preferences is None or isinstance(preferences, Mapping):
            if criteria or measurements or side_effects:
                raise InputError(
                    "criteria, measurements and side_effects need treatsel.Preferences, such as "
                    'preferences=ts.Preferences.swing({"remission": 100, "wait": 40}).'
                )
            weights = check_preferences(preferences, outcomes, event_is_good)
            given = {outcomes[0]: 1.0} if preferences is None else preferences
            shown = {name: float(given[name]) for name in outcomes if name in given}
            return cls(given=shown, weights=weights, **common)
        from treatsel.preference._preferences import Preferences

        if not isinstance(preferences, Preferences):
            raise InputError(
                "preferences must be a mapping of outcomes to weights, or treatsel.Preferences, not a "
                f"{type(preferences).__name__}."
            )
        measured, rates = _measured(measurements or {}, arms), _rates(side_effects, arms)
        named = [*outcomes, *measured, *rates]
        if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
            raise InputError(
                f"{listed(twice)} occur twice among outcomes, measurements and side effects. Rename them."
            )
        if not all(isinstance(one, Criterion) for one in criteria):
            raise InputError("criteria must be a list of treatsel.preference.Criterion.")
        stated = [one.name for one in criteria]
        if unused := [name for name in (*measured, *stated) if name not in preferences.criteria]:
            raise InputError(
                f"The preferences do not name {listed(unused)}. Name them, with the weight 0 if they do not "
                "count, or leave them out."
            )
        measured |= rates
        mean = {name: weight for name, weight in preferences.mean_weights.items() if weight > 0}
        weights = {name: mean[name] for name in outcomes if name in mean}
        if not weights:
            raise InputError(
                f"The preferences give no weight to an outcome of the model ({listed(outcomes)}), so that "
                "nothing is predicted that counts. Name at least one."
            )
        found = _criteria(list(mean), criteria, outcomes, event_is_good, measured)
        return cls(
            given=preferences.mean_weights,
            weights=weights,
            preferences=preferences,
            criteria=found,
            measured={name: measured[name] for name in found if name not in weights},
            **common,
        )

    def at(self, weights: Mapping[str, float]) -> "Valuation":
        """Return the same criteria with other weights."""
        if self.preferences is None:
            return self.of(
                weights,
                outcomes=tuple(self.event_is_good),
                event_is_good=self.event_is_good,
                arms=self.arms,
            )
        from treatsel.preference._preferences import Preferences

        other = Preferences(weights)
        if unknown := [name for name in other.criteria if name not in self.criteria]:
            raise InputError(f"The criteria {listed(unknown)} are not among {listed(self.criteria)}.")
        mean = other.mean_weights
        counted = {name: mean[name] for name in self.event_is_good if mean.get(name)}
        if not counted:
            raise InputError("The weights give no weight to an outcome of the model. Name at least one.")
        return replace(self, given=mean, weights=counted, preferences=other)

    def of_values(self, tables: Mapping[str, Table]) -> Table:
        """Return the utility of by-arm tables of the outcomes that count, arms last."""
        if self.preferences is None:
            return utility(tables, self.weights, self.event_is_good)
        total: Any = 0.0
        for name, weight in self.preferences.mean_weights.items():
            if weight:
                measured = tables[name] if name in self.weights else self._value(name)
                total = total + weight * self.criteria[name].value(measured)
        return total  # type: ignore[no-any-return]

    def of_draws(self, draws: Mapping[str, FloatArray]) -> FloatArray:
        """Return draws of the utility from joint draws of the outcomes, shape (..., n_arms, n_draws)."""
        if self.preferences is None:
            return np.asarray(utility(draws, self.weights, self.event_is_good))
        n_draws = next(iter(draws.values())).shape[-1]
        total: Any = 0.0
        for name, weights in self._weight_draws(n_draws).items():
            measured = draws[name] if name in self.weights else self._drawn(name, n_draws)
            total = total + weights * self.criteria[name].value(measured)
        return np.asarray(total)

    def others(self) -> list["Other"]:
        """Return the criteria that the model does not predict."""
        return [
            Other(
                criterion=self.criteria[name],
                values=self._value(name),
                rates=each if isinstance(each, Rates) else None,
            )
            for name, each in self.measured.items()
        ]

    def acceptability(self, draw: Draw, allowed: Collection[Any], **options: Any) -> "Acceptability":
        """Return how often each allowed arm has each rank; see `smaa`."""
        from treatsel.preference._smaa import smaa

        return smaa(self._partial_values(draw, allowed), self._wanted, **options)

    def flips(self, draw: Draw, allowed: Collection[Any]) -> "Flips":
        """Return how much the weights must change until another allowed arm leads; see `flips`."""
        from treatsel.preference._flips import flips

        return flips(self._partial_values(draw, allowed), self._wanted)

    @property
    def _wanted(self) -> "Preferences":
        """What is known about the weights of the criteria that count."""
        from treatsel.preference._preferences import Preferences

        if self.preferences is None:
            return Preferences(self.weights)
        if self.preferences.are_known:
            return Preferences({name: self.given[name] for name in self.criteria})
        return self.preferences

    def _partial_values(self, draw: Draw, allowed: Collection[Any]) -> "PartialValues":
        """Return what counts on scales of 0 to 1, for the allowed arms; `draw` gives draws of an outcome."""
        from treatsel.preference._partial_values import PartialValues

        own = {
            name: Criterion.of_event(name, good=bool(self.event_is_good[name])) for name in self.weights
        } | dict(self.criteria)
        drawn = {name: draw(name) for name in self.weights}
        if missing := [name for name, table in drawn.items() if table is None]:
            raise InputError(f"The model gives no draws of {listed(missing)}, so that ranks are not known.")
        tables = {name: np.asarray(table).T for name, table in drawn.items()}
        n_draws = next(iter(tables.values())).shape[1]
        rows = [k for k, arm in enumerate(self.arms) if arm in allowed]
        block = [
            np.broadcast_to(
                one.value(tables[name] if name in tables else self._drawn(name, n_draws))[rows],
                (len(rows), n_draws),
            )
            for name, one in own.items()
        ]
        return PartialValues(
            arms=tuple(self.arms[k] for k in rows), criteria=tuple(own.values()), block=np.array(block)
        )

    def _weight_draws(self, n_draws: int) -> dict[str, Any]:
        """Return the weights of what counts: one number, or a draw for every draw of the model."""
        assert self.preferences is not None
        if self.preferences.are_known:
            return {name: weight for name, weight in self.given.items() if weight}
        drawn = self.preferences.weight_set.sample(n_draws, 0).T
        return {
            name: row
            for name, row in zip(self.preferences.criteria, drawn, strict=True)
            if name in self.criteria
        }

    def _value(self, name: str) -> FloatArray:
        """Return values of a criterion that the model does not predict, shape (n_arms,)."""
        measured = self.measured[name]
        return np.asarray(measured.probability if isinstance(measured, Rates) else measured)

    def _drawn(self, name: str, n_draws: int) -> FloatArray:
        """Return draws of a criterion that the model does not predict, shape (n_arms, n_draws or 1)."""
        measured = self.measured[name]
        if isinstance(measured, Rates):
            return measured.draws(n_draws)
        return np.asarray(measured)[:, None]

    @lazy
    def sha256(self) -> str | None:
        """Digest of preferences, criteria and values; None if only weights of outcomes were given."""
        if self.preferences is None:
            return None
        content = {
            "preferences": self.preferences.to_dict(),
            "criteria": {name: [one.worst, one.best] for name, one in self.criteria.items()},
            "measured": {name: self._value(name).tolist() for name in self.measured},
            "side_effects": [one.table.to_dict() for one in self.measured.values() if isinstance(one, Rates)],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Other:
    """A criterion that the model does not predict: values by arm, and published rates if it has any."""

    criterion: Criterion
    values: FloatArray
    rates: "Rates | None"


@dataclass(frozen=True, eq=False)
class Rates:
    """Published rates of one side effect under the arms of a model."""

    table: "SideEffects"
    effect: str
    arms: tuple[Any, ...]

    def draws(self, n_draws: int) -> FloatArray:
        """Return draws, shape (n_arms, n_draws)."""
        return np.asarray(self.table.draws(self.arms, n_draws)[self.effect].T)

    @property
    def source(self) -> str:
        """Sources of the rates with their dates."""
        own = [rate for rate in self.table.rates if rate.effect == self.effect]
        return "; ".join(dict.fromkeys(f"{rate.source} ({rate.date.isoformat()})" for rate in own))

    @property
    def probability(self) -> FloatArray:
        """The published probabilities, shape (n_arms,)."""
        return np.asarray(self.table.probabilities(self.arms)[self.effect])


def _rates(side_effects: Any, arms: tuple[Any, ...]) -> dict[str, Rates]:
    """Return the rates of each side effect, checked to hold every arm."""
    if side_effects is None:
        return {}
    from treatsel.preference._side_effects import SideEffects

    if not isinstance(side_effects, SideEffects):
        raise InputError(
            "side_effects must be treatsel.preference.SideEffects, such as SideEffects.read(path), not a "
            f"{type(side_effects).__name__}."
        )
    side_effects.probabilities(arms)
    return {effect: Rates(side_effects, effect, arms) for effect in side_effects.effects}


def _criteria(
    names: Sequence[str],
    stated: Sequence[Criterion],
    outcomes: Sequence[str],
    event_is_good: Mapping[str, bool | None],
    measured: Mapping[str, Any],
) -> dict[str, Criterion]:
    """Return the criterion of everything that counts: as stated, or an outcome from 0 to 1."""
    by_name = {one.name: one for one in stated}
    if len(by_name) < len(stated):
        raise InputError(f"Criteria must have different names; found {listed(one.name for one in stated)}.")
    found = {}
    for name in names:
        if name not in outcomes and name not in measured:
            raise InputError(
                f"The criterion {name!r} is neither an outcome of the model ({listed(outcomes)}) nor among "
                "the measurements or side effects. Give its values by arm: measurements={"
                + repr(name)
                + ": {arm: value}}."
            )
        if name in by_name:
            found[name] = by_name[name]
            good = event_is_good.get(name)
            if good is not None and good != (found[name].best > found[name].worst):
                raise InputError(
                    f"The criterion {name!r} is best at {found[name].best:g}, but the model states "
                    f"that this outcome is {'good' if good else 'bad'}. Exchange worst and best."
                )
        elif isinstance(rates := measured.get(name), Rates):
            found[name] = Criterion.of_event(name, good=rates.table.event_is_good[name])
        elif name in outcomes:
            check_preferences({name: 1.0}, tuple(outcomes), event_is_good)
            found[name] = Criterion.of_event(name, good=bool(event_is_good[name]))
        else:
            raise InputError(
                f"The criterion {name!r} has no range. Add Criterion({name!r}, worst=, best=) to criteria: "
                "the range gives its direction, and weights have no meaning without it."
            )
    return found


def _measured(measurements: Mapping[str, Any], arms: Sequence[Any]) -> dict[str, Any]:
    """Return values by arm in the order of the arms; what has draws of its own is kept."""
    if not isinstance(measurements, Mapping):
        raise InputError(
            f"measurements must map criteria to values by arm; it is a {type(measurements).__name__}."
        )
    found: dict[str, Any] = {}
    for name, values in measurements.items():
        if not hasattr(values, "items"):
            raise InputError(f"The measurements of {name!r} must map arms to values, such as {{'cbt': 14}}.")
        by_arm = {str(arm): value for arm, value in values.items()}
        if missing := [arm for arm in arms if str(arm) not in by_arm]:
            raise InputError(
                f"The measurements of {name!r} lack the arms {listed(missing)}. Give a value for every arm "
                "of the model, also for those that are excluded."
            )
        numbers = [float(check_number(f"{name!r} of {arm!r}", by_arm[str(arm)])) for arm in arms]
        if not np.isfinite(numbers).all():
            raise InputError(f"The measurements of {name!r} must be finite.")
        found[name] = np.array(numbers)
    return found
