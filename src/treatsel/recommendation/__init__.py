"""Recommendation of an arm from a by-arm table and its uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import (
    FloatArray,
    check_by_arm,
    check_choice,
    check_level,
    check_number,
    check_unique,
    count_of,
)
from treatsel._lazy import lazy
from treatsel.errors import InputError
from treatsel.recommendation._decision import STATUSES, Decisions, decide, reasons_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RULES",
    "STATUSES",
    "Recommendation",
    "Recommendations",
    "check_rule",
    "recommend",
    "recommend_one",
]

RULES = ("expected", "supported")


@dataclass(frozen=True, kw_only=True, repr=False)
class Recommendations:
    """The recommended arm of each patient, with its certainty.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, 9)
        arm: the arm by the rule; None if the patient is out of scope or no arm is permitted.
        status: one of ``STATUSES``.
        best_set: tuple of arms not clearly worse than the top one.
        advantage, advantage_lower, advantage_upper: utility of the top arm minus that of the runner-up,
        -1 to 1, with its interval.
        p_best: posterior probability that the top arm is the best.
        top: the arm of highest utility. excluded: mapping of arm to reason.
    utility : DataFrame of shape (n_patients, n_arms)
        The compared values: 0 to 1, higher is better.
    rule : str
        "expected" or "supported".
    margin : float
        An arm is excluded from the best set if it is worse than the top arm by more than this.
    level : float
        Confidence level of the best set (simultaneous over arms) and of the interval of the advantage.
    """

    table: "pd.DataFrame"
    utility: "pd.DataFrame"
    rule: str
    margin: float
    level: float

    def __repr__(self) -> str:
        """Count the patients of each status, without showing a patient."""
        counts = self.table["status"].value_counts()
        found = ", ".join(f"{count} {status}" for status, count in counts.items())
        return f"Recommendations({len(self.table)} patients: {found})"

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per patient."""
        return self.table.copy()

    def plot(self, ax: Any = None) -> Any:
        """Plot each patient's advantage with its interval, colored by status; return the Axes."""
        from treatsel._reporting import plots

        return plots.advantages(self.table, ax, level=self.level)


class Recommendation(Recommendations):
    """What the rule gives one patient: plain values, of which tables are made only when they are asked for.

    Attributes
    ----------
    patient : label
        The id in the record, or 0.
    row : mapping
        arm, status, best_set, advantage, advantage_lower, advantage_upper, p_best, top, excluded: what
        they mean in `Recommendations.table`.
    arms : tuple
        Arms, in the order of `values`.
    values : ndarray of shape (n_arms,)
        The utility of each arm.
    flags : tuple of (code, column)
        Warnings, as in `Prediction`.
    audit : mapping or None
        Model, versions, input and options, as in `Prediction`; None where no model is known.

    All of `Recommendations` holds here, too.
    """

    patient: Any
    row: Mapping[str, Any]
    arms: tuple[Any, ...]
    values: FloatArray
    flags: tuple[tuple[str, Any], ...] = ()
    audit: Mapping[str, Any] | None = None

    def __init__(
        self,
        *,
        patient: Any,
        row: Mapping[str, Any],
        arms: tuple[Any, ...],
        values: FloatArray,
        **options: Any,
    ) -> None:
        self.__dict__.update(patient=patient, row=row, arms=arms, values=values, **options)

    def __repr__(self) -> str:
        """Say what is in it, without showing the patient."""
        return f"Recommendation(1 patient: {self.row['status']})"

    @lazy
    def table(self) -> "pd.DataFrame":
        """One row: the patient."""
        import pandas as pd

        labels = ("arm", "best_set", "top", "excluded")
        columns = {
            name: pd.Series([value], index=[self.patient], dtype="object" if name in labels else None)
            for name, value in self.row.items()
        }
        return pd.DataFrame(columns, index=pd.Index([self.patient]))

    @lazy
    def utility(self) -> "pd.DataFrame":
        """What was compared."""
        import pandas as pd

        return pd.DataFrame(self.values[None], index=pd.Index([self.patient]), columns=pd.Index(self.arms))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a number that does not exist is None, never NaN."""
        plain = {name: None if value != value else value for name, value in self.row.items()}
        plain["best_set"] = list(self.row["best_set"])
        plain["excluded"] = {str(arm): reason for arm, reason in self.row["excluded"].items()}
        utility = {str(arm): value for arm, value in zip(self.arms, self.values.tolist(), strict=True)}
        plain |= {"utility": utility, "rule": self.rule, "margin": self.margin, "level": self.level}
        plain["warnings"] = [{"code": code, "column": column} for code, column in self.flags]
        return plain | {"audit": None if self.audit is None else dict(self.audit)}


def recommend(
    by_arm: "pd.DataFrame",
    *,
    draws: FloatArray | None = None,
    default_arm: Any = None,
    allowed: "pd.DataFrame | None" = None,
    excluded: Mapping[Any, str] | None = None,
    evidence: Mapping[Any, bool] | None = None,
    in_scope: "pd.Series | None" = None,
    rule: str = "expected",
    margin: float = 0.0,
    level: float = 0.95,
) -> Recommendations:
    """Recommend an arm to each patient, from a by-arm table and its posterior draws.

    The top arm has the highest value among the permitted arms. An arm is clearly worse if the lower bound of
    (top minus arm) is above `margin`; the others form the best set. Bounds are those of two-sided intervals
    at `level`, simultaneous over arms; with two arms, of the interval of the advantage. One arm in the best
    set: ``supported``. Several: ``no_clear_best``. Without a comparison (no draws, one permitted arm), or if
    it depends on an arm without sufficient `evidence`, which is never excluded: ``insufficient_evidence``.

    Parameters
    ----------
    by_arm : DataFrame of shape (n_patients, n_arms)
        Probability of the good outcome, or utility, under each arm; 0 to 1.
    draws : array of shape (n_draws, n_patients, n_arms), optional
        Posterior draws of the same table, arms in the same order.
    default_arm : label, optional
        The best single arm; it wins ties, and rule "supported", which needs it, falls back on it.
    allowed : DataFrame of bool of shape (n_patients, n_arms), optional
        Permissions: False excludes an arm for a patient.
    excluded : mapping of arm to reason, optional
        Arms that are not available to any patient, each with a reason.
    evidence : mapping of arm to bool, optional
        Whether an arm had enough patients to be called better or worse; True for arms not named.
    in_scope : Series of bool of shape (n_patients,), optional
        Patients for whom the model may be used.
    rule : {"expected", "supported"}
        Recommend the top arm always, or only if it is supported, and else the default arm (if permitted).
    margin : float
        Smallest difference that matters, 0 to 1.
    level : float
        Confidence level.

    Returns
    -------
    Recommendations

    Raises
    ------
    InputError
        With fewer than two arms, tables that do not match, or an unknown option.

    References
    ----------
    Hsu (1996), Multiple Comparisons: Theory and Methods, ch. 4 (comparison with the best).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> by_arm = pd.DataFrame({"CBT": [0.60, 0.41], "SSRI": [0.40, 0.40]})
    >>> draws = by_arm.to_numpy() + np.random.default_rng(0).normal(0, 0.02, (500, 2, 2))
    >>> recommend(by_arm, draws=draws).to_frame()[["arm", "status", "best_set"]]
       arm         status     best_set
    0  CBT      supported       (CBT,)
    1  CBT  no_clear_best  (CBT, SSRI)
    """
    by_arm = check_by_arm("by_arm", by_arm)
    if len(by_arm.columns) < 2:
        raise InputError(
            f"The table has one arm, {by_arm.columns[0]!r}. Ranking needs at least two arms; a single arm "
            "can only be predicted."
        )
    check_unique("The patients (index) of by_arm", by_arm.index)
    arms = list(by_arm.columns)
    check_rule(rule, margin, level, default_arm, arms)
    reasons = reasons_of(excluded, arms)
    permitted = _permitted(allowed, by_arm) & ~by_arm.columns.isin(list(reasons))
    decisions = decide(
        by_arm.to_numpy(),
        _check_draws(draws, by_arm),
        permitted=permitted,
        default=None if default_arm is None else arms.index(default_arm),
        enough=np.array([bool((evidence or {}).get(arm, True)) for arm in by_arm.columns]),
        in_scope=_scope(in_scope, by_arm.index),
        rule=rule,
        margin=margin,
        level=level,
    )
    return Recommendations(
        table=_table(decisions, by_arm.index, arms, _excluded(permitted, reasons, arms)),
        utility=by_arm,
        rule=rule,
        margin=margin,
        level=level,
    )


def recommend_one(
    values: FloatArray,
    arms: tuple[Any, ...],
    *,
    patient: Any,
    draws: FloatArray | None,
    default_arm: Any,
    excluded: Mapping[Any, str] | None,
    evidence: Mapping[Any, bool],
    in_scope: bool,
    rule: str,
    margin: float,
    level: float,
) -> Recommendation:
    """Recommend an arm to one patient; `values` has shape (n_arms,), `draws` (n_draws, n_arms)."""
    check_rule(rule, margin, level, default_arm, arms)
    reasons = reasons_of(excluded, arms)
    permitted = np.array([[arm not in reasons for arm in arms]])
    decisions = decide(
        values[None],
        None if draws is None else draws[:, None, :],
        permitted=permitted,
        default=arms.index(default_arm),
        enough=np.array([bool(evidence.get(arm, True)) for arm in arms]),
        in_scope=np.array([in_scope]),
        rule=rule,
        margin=margin,
        level=level,
    )
    row = {
        "arm": _arm_at(arms, decisions.arm),
        "status": str(decisions.status[0]),
        "best_set": tuple(arm for arm, kept in zip(arms, decisions.best_set[0], strict=True) if kept),
        "advantage": float(decisions.advantage[0]),
        "advantage_lower": float(decisions.lower[0]),
        "advantage_upper": float(decisions.upper[0]),
        "p_best": float(decisions.p_best[0]),
        "top": _arm_at(arms, decisions.top),
        "excluded": reasons,
    }
    return Recommendation(
        patient=patient, row=row, arms=arms, values=values, rule=rule, margin=margin, level=level
    )


def _arm_at(arms: tuple[Any, ...], position: np.ndarray) -> Any:
    return None if position[0] < 0 else arms[position[0]]


def check_rule(rule: str, margin: float, level: float, default_arm: Any, arms: Sequence[Any]) -> None:
    """Raise if an option of the decision is invalid."""
    check_choice("rule", rule, RULES)
    check_level(level)
    if not 0 <= check_number("margin", margin) < 1:
        raise InputError(f"margin is {margin}; it must be 0 or more and below 1 (a difference).")
    if default_arm is not None:
        check_choice("default_arm", default_arm, arms)
    elif rule == "supported":
        raise InputError("Rule 'supported' falls back on default_arm. Name one, or use rule='expected'.")


def _permitted(allowed: Any, by_arm: "pd.DataFrame") -> np.ndarray:
    """Return the permissions, shape (n_patients, n_arms)."""
    import pandas as pd

    if allowed is None:
        return np.ones(by_arm.shape, dtype=bool)
    if not isinstance(allowed, pd.DataFrame):
        raise InputError(f"allowed must be a DataFrame of True and False, not a {type(allowed).__name__}.")
    check_unique("The patients (index) of allowed", allowed.index)
    check_unique("The columns of allowed", allowed.columns)
    missing = [str(arm) for arm in by_arm.columns if arm not in allowed.columns]
    if missing or not by_arm.index.isin(allowed.index).all():
        raise InputError(
            f"allowed must have every patient and every arm of by_arm; it lacks the arms {missing} and "
            f"{count_of(int((~by_arm.index.isin(allowed.index)).sum()), 'patient')}."
        )
    table = allowed.loc[by_arm.index, list(by_arm.columns)]
    if table.isna().any(axis=None) or not all(pd.api.types.is_bool_dtype(kind) for kind in table.dtypes):
        raise InputError("allowed must hold True and False only.")
    return table.to_numpy(dtype=bool)


def _scope(in_scope: "pd.Series | None", patients: "pd.Index[Any]") -> np.ndarray:
    import pandas as pd

    if in_scope is None:
        return np.ones(len(patients), dtype=bool)
    if not isinstance(in_scope, pd.Series) or not pd.api.types.is_bool_dtype(in_scope.dtype):
        raise InputError("in_scope must be a Series of True and False.")
    if n := int((~patients.isin(in_scope.index[in_scope.notna()])).sum()):
        raise InputError(f"in_scope lacks {count_of(n, 'patient')} of by_arm. Give True or False for each.")
    check_unique("The patients (index) of in_scope", in_scope.index)
    return in_scope.loc[patients].to_numpy(dtype=bool)


def _check_draws(draws: Any, by_arm: "pd.DataFrame") -> FloatArray | None:
    if draws is None:
        return None
    try:
        draws = np.asarray(draws, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("draws must be an array of numbers.") from None
    if draws.ndim != 3 or draws.shape[1:] != by_arm.shape or not len(draws) or not np.isfinite(draws).all():
        raise InputError(
            f"draws must be finite with shape (n_draws, {len(by_arm)}, {len(by_arm.columns)}); "
            f"they have shape {draws.shape}."
        )
    return np.asarray(draws)


def _excluded(permitted: np.ndarray, reasons: Mapping[Any, str], arms: Sequence[Any]) -> list[dict[Any, str]]:
    words = {arm: reasons.get(arm, "not permitted for this patient") for arm in arms}
    return [{arm: words[arm] for arm, may in zip(arms, row, strict=True) if not may} for row in permitted]


def _table(
    decisions: Decisions, patients: "pd.Index[Any]", arms: Sequence[Any], why: Sequence[Mapping[Any, str]]
) -> "pd.DataFrame":
    import pandas as pd

    labels_of = np.array([*arms, None], dtype=object)  # position -1: no arm
    labels = {
        "best_set": [tuple(labels_of[:-1][row]) for row in decisions.best_set],
        "top": labels_of[decisions.top],
        "arm": labels_of[decisions.arm],
        "excluded": why,
    }
    columns = {name: pd.Series(column, index=patients, dtype="object") for name, column in labels.items()}
    return pd.DataFrame(
        {
            "arm": columns["arm"],
            "status": decisions.status,
            "best_set": columns["best_set"],
            "advantage": decisions.advantage,
            "advantage_lower": decisions.lower,
            "advantage_upper": decisions.upper,
            "p_best": decisions.p_best,
            "top": columns["top"],
            "excluded": columns["excluded"],
        },
        index=patients,
    )
