"""The rule in use: which recommendations a service follows, and what they are for these patients."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import as_pandas, by_text, check_by_arm, check_choice, check_known_arms, count_of
from treatsel._disclosure import SMALLEST_GROUP, is_small
from treatsel._stats.alignment import aligned
from treatsel._stats.by_arm_tables import SUM_TOLERANCE, recommended_shares
from treatsel.errors import InputError
from treatsel.model_selection import WITHOUT_DRAWS
from treatsel.preference import outcome_weights, read_preferences
from treatsel.recommendation import (
    DEFAULT_MARGIN,
    DEFAULT_P_SWITCH,
    DEFAULT_RULE,
    RULES,
    Recommendations,
    recommend,
)
from treatsel.validation._predicted import with_site
from treatsel.validation._task import ValidationTask

GIVEN = "given recommendations"
SEVERAL = (
    "A cross-validation fits the model of the validated outcome alone, so that a rule by other outcomes "
    "cannot be computed. Validate in other patients than those of the development cohort, or give "
    "recommendations= that were made without each patient's own outcome."
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RuleInUse:
    """What a service does: the options of `recommend` that it uses, or the recommendations themselves.

    Attributes
    ----------
    recommendations : Recommendations, DataFrame, Series or None
        Recommendations as they were given, by patient id.
    options : mapping
        The options rule, p_switch and margin of `recommend`, as far as they were stated.
    preferences : mapping
        The options preferences, criteria, measurements and side_effects of `recommend`, as far as stated.
    eligibility : str or None
        Digest of the rules of eligibility.
    """

    recommendations: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    preferences: Mapping[str, Any] = field(default_factory=dict)
    eligibility: str | None = None

    @classmethod
    def of(
        cls, recommendations: Any, preferences: Any, eligibility: str | None, **options: Any
    ) -> "RuleInUse":
        """Check how the options go together; None: an option was not stated.

        Raises
        ------
        InputError
            If a rule is stated beside recommendations, or p_switch without the rule that uses it.
        """
        stated = {name: value for name, value in options.items() if value is not None}
        if recommendations is not None and stated:
            raise InputError(
                f"recommendations are given, so that no rule is computed; leave out {sorted(stated)}."
            )
        check_choice("rule", stated.get("rule", DEFAULT_RULE), RULES)
        if "p_switch" in stated and stated.get("rule") != "switch":
            raise InputError("p_switch is given, which rule 'switch' alone uses. Add rule='switch'.")
        if isinstance(preferences, str | Path):
            wanted = {name: value for name, value in read_preferences(preferences).items() if value}
        else:
            wanted = {} if preferences is None else {"preferences": preferences}
        return cls(
            recommendations=recommendations, options=stated, preferences=wanted, eligibility=eligibility
        )

    @property
    def is_default(self) -> bool:
        """Whether nothing was stated: the arm with the most favorable probability of the outcome."""
        return self.recommendations is None and not self.options and not self.preferences

    @property
    def is_computed(self) -> bool:
        """Whether recommendations are computed by stated options."""
        return self.recommendations is None and not self.is_default

    def of_folds(self, outcome: str, main: str) -> dict[str, Any] | None:
        """Return the options for the selector of each fold of a cross-validation; None: no rule is computed.

        Raises
        ------
        InputError
            If the rule needs other outcomes than the one that is validated.
        """
        if not self.is_computed:
            return None
        if len(self.preferences) > 1:
            raise InputError(SEVERAL)
        if not self.preferences and outcome != main:
            raise InputError(SEVERAL)
        if self.preferences:
            wanted = self.preferences["preferences"]
            names = tuple(getattr(wanted, "mean_weights", wanted))
            if list(outcome_weights(wanted, names, dict.fromkeys(names, True))) != [outcome]:
                raise InputError(SEVERAL)
        return dict(self.options)

    def in_use(
        self,
        task: ValidationTask,
        model: Any,
        *,
        of_folds: pd.DataFrame | None = None,
        allowed: pd.DataFrame | None = None,
    ) -> ValidationTask:
        """Return the task with what is recommended to its patients.

        `of_folds`: in a cross-validation, the shares by the selectors of the folds. `allowed`: the arms that
        the rules of eligibility permit; None: all.

        Raises
        ------
        InputError
            If recommendations lack patients or name unknown arms, or the model cannot follow the rule.
        """
        stated, shares = {"rule": DEFAULT_RULE, "margin": DEFAULT_MARGIN} | dict(self.options), None
        weights: Mapping[str, float] | None = {task.outcome: 1.0}
        if self.recommendations is not None:
            shares, weights = given_shares(self.recommendations, task), None
        elif of_folds is not None:
            shares = of_folds.rename(columns=by_text(task.by_arm.columns)).loc[task.by_arm.index]
        elif self.is_default:
            shares = None if allowed is None else _best_permitted(task, allowed)
        elif hasattr(model, "model_"):
            found = self._recommended(task, model, allowed)
            weights, shares = found.preferences, found.shares()
        else:
            shares = self._of_table(task, allowed)
        if shares is not None:
            arms = list(task.by_arm.columns)
            shares = shares.rename(columns=by_text(arms)).reindex(columns=arms, fill_value=0.0)
            shares = shares.set_axis(task.by_arm.index)
        task = replace(task, given=shares, allowed=allowed)
        return replace(task, policy=self._facts(task, stated, weights))

    def _recommended(self, task: ValidationTask, model: Any, allowed: Any) -> Recommendations:
        """Return what the selector recommends: the call of a service."""
        found: Recommendations = model.recommend(
            with_site(model, task.cohort),
            on_invalid="flag",
            allowed=allowed,
            **self.options,
            **self.preferences,
        )
        weighted = [name for name, weight in (found.preferences or {}).items() if weight]
        mine = [name for name in weighted if name in model.outcomes_]
        if found.rule == "switch" and model.model_.without_interval(mine):
            raise InputError(WITHOUT_DRAWS)
        return found

    def _of_table(self, task: ValidationTask, allowed: Any) -> pd.DataFrame:
        """Return what `recommend` gives by a by-arm table of one outcome."""
        remedy = "Give a TreatmentSelector, or its recommendations (recommendations=)."
        if self.options.get("rule") == "switch":
            raise InputError(f"Rule 'switch' needs posterior draws, which a by-arm table has not. {remedy}")
        if self.preferences:
            wanted = self.preferences.get("preferences")
            names = tuple(getattr(wanted, "mean_weights", wanted) or ())
            if len(self.preferences) > 1 or set(names) != {task.outcome}:
                raise InputError(f"A by-arm table predicts {task.outcome!r} alone. {remedy}")
        if self.options.get("rule") == "default" and task.comparator is None:
            raise InputError("Rule 'default' needs the best single arm of a by-arm table. Give comparator=.")
        table = task.by_arm if task.good else 1 - task.by_arm
        found = recommend(table, default_arm=task.comparator, allowed=allowed, **self.options)
        return found.shares()

    def _facts(
        self, task: ValidationTask, stated: Mapping[str, Any], weights: Mapping[str, float] | None
    ) -> dict[str, Any]:
        """Return the rule that is evaluated as plain values; small counts are None."""
        given = weights is None
        ties = "default arm of each fold" if isinstance(task.tie_arm, pd.Series) else task.tie_arm
        n_kept = 0 if task.given is None else int((task.given.sum(axis=1) == 0).sum())
        p_switch = stated.get("p_switch", DEFAULT_P_SWITCH) if stated["rule"] == "switch" else None
        beyond = task.n_out_of_scope
        return {
            "rule": GIVEN if given else stated["rule"],
            "p_switch": p_switch,
            "margin": None if given else float(stated["margin"]),
            "preferences": None if weights is None else {k: float(v) for k, v in weights.items()},
            "eligibility": self.eligibility,
            "ties_to": None if given or ties is None else str(ties),
            "n_out_of_scope": None if task.given is not None and is_small(beyond or 0) else beyond,
            "n_without_arm": None if is_small(n_kept) else n_kept,
        }


def given_shares(recommendations: Any, task: ValidationTask) -> pd.DataFrame:
    """Return the share of each arm in given recommendations, all 0 for a patient without one.

    Parameters
    ----------
    recommendations : Recommendations, Series, or DataFrame
        Arm labels by patient id (of a DataFrame: its column "arm"), or a by-arm table of shares.
    task : ValidationTask
        Its patients and arms.

    Raises
    ------
    InputError
        If a patient has no row, an arm is unknown, or shares do not add up to 1 (or 0: no arm).
    """
    name, arms = "recommendations", task.by_arm.columns
    table = recommendations
    table = table.shares() if isinstance(table, Recommendations) else as_pandas(table)
    if isinstance(table, pd.DataFrame) and "arm" in table.columns:
        table = table["arm"]
    if not isinstance(table, pd.DataFrame | pd.Series):
        raise InputError(
            f"recommendations must be Recommendations, a Series of arms or a DataFrame with the column 'arm' "
            f"or a column for each arm, by patient id; they are a {type(table).__name__}."
        )
    table = aligned(name, table, task.by_arm.index)
    if isinstance(table, pd.Series):
        none = table.isna() | (table.astype(str).str.strip() == "")
        known = check_known_arms(table[~none].rename(name), arms, fewest_named=SMALLEST_GROUP)
        shares = pd.DataFrame(0.0, index=table.index, columns=arms)
        shares.loc[~none] = np.eye(len(arms))[pd.Index(list(arms), dtype=object).get_indexer(pd.Index(known))]
        return shares
    shares = check_by_arm(name, table.rename(columns=by_text(arms)).fillna(0.0))
    if unknown := [str(arm) for arm in shares.columns if arm not in arms and shares[arm].any()]:
        raise InputError(
            f"recommendations have the arms {unknown}, unknown to this model. Its arms are "
            f"{[*map(str, arms)]}. Rename the columns, or give these patients no arm."
        )
    total = shares.sum(axis=1).to_numpy()
    if n := int(((np.abs(total - 1) > SUM_TOLERANCE) & (total != 0)).sum()):
        raise InputError(
            f"recommendations hold {count_of(n, 'row')} of shares whose sum is neither 1 nor 0 (no arm)."
        )
    return shares


def _best_permitted(task: ValidationTask, allowed: pd.DataFrame) -> pd.DataFrame:
    """Return the shares of the most favorable of the arms that a patient may receive."""
    table = (task.by_arm if task.good else 1 - task.by_arm).where(allowed, -np.inf)
    none = ~allowed.any(axis=1)
    table.loc[none] = 0.0
    shares = recommended_shares(table, task.tie_arm)
    shares.loc[none] = 0.0
    return shares
