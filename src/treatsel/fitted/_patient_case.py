"""One patient with two arms: the model's answers to questions about them, for `explain_recommendation`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_text
from treatsel._lazy import lazy
from treatsel._stats.ties import best_shares
from treatsel.additive import Encoding, draws_by_source, logistic, quantiles
from treatsel.codebook import Field, as_entered, is_number
from treatsel.explanation import CHANGE_NOTES, Change, nearest_number, variance_shares
from treatsel.fitted import _tables
from treatsel.fitted._data import ModelData
from treatsel.preference import utility

if TYPE_CHECKING:
    import pandas as pd

WIDEST = 1e9  # of a range that is searched: a wider one says that the development cohort had no values


@dataclass(frozen=True, eq=False)
class PatientCase:
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
        for name in self.weights:
            additive = self.model.models[name]
            reference = None if additive is None else self.model.references[name]
            if additive is None or reference is None:
                return None
            sources = draws_by_source(additive, self.clean, reference, self.service)
            if sources is None:
                return None
            rows = self.model.draw_rows[name]
            order = slice(None) if rows is None else rows
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
