"""From by-arm tables to a recommendation that may honestly say: no clear best."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from treatsel import _plotting
from treatsel._checks import FloatArray, check_by_arm, check_choice, check_level, check_unique
from treatsel.errors import InputError

STATUSES = ("supported", "no_clear_best", "insufficient_evidence", "out_of_scope")
RULES = ("expected", "supported")
_BLOCK = 256  # patients compared at once


@dataclass(frozen=True, kw_only=True, repr=False)
class Recommendations:
    """What the rule gives each patient, and how sure it is.

    Attributes
    ----------
    table : DataFrame of shape (n_patients, 9)
        arm: what the rule gives; None out of scope and where no arm is permitted.
        status: one of ``STATUSES``.
        best_set: tuple of arms not clearly worse than the top one.
        advantage, advantage_lower, advantage_upper: utility of the top arm minus that of the runner-up,
        -1 to 1, with its interval.
        p_best: posterior probability that the top arm is the best.
        top: the arm of highest utility. excluded: mapping of arm to reason.
    utility : DataFrame of shape (n_patients, n_arms)
        What was compared: 0 to 1, higher is better.
    rule : str
        "expected" or "supported".
    margin : float
        An arm leaves the best set when it is worse than the top by more than this.
    level : float
        Confidence of the best set (simultaneous over arms) and of the interval of the advantage.
    """

    table: pd.DataFrame
    utility: pd.DataFrame
    rule: str
    margin: float
    level: float

    def __repr__(self) -> str:
        """Say how many there are of each status, without showing a patient."""
        counts = self.table["status"].value_counts()
        found = ", ".join(f"{count} {status}" for status, count in counts.items())
        return f"Recommendations({len(self.table)} patients: {found})"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per patient."""
        return self.table.copy()

    def plot(self, ax: Any = None) -> Any:
        """Draw each patient's advantage with its interval, coloured by status; return the Axes."""
        return _plotting.advantages(self.table, ax, level=self.level)


def recommend(
    by_arm: pd.DataFrame,
    *,
    draws: FloatArray | None = None,
    default_arm: Any = None,
    allowed: pd.DataFrame | None = None,
    excluded: Mapping[Any, str] | None = None,
    evidence: Mapping[Any, bool] | None = None,
    in_scope: pd.Series | None = None,
    rule: str = "expected",
    margin: float = 0.0,
    level: float = 0.95,
) -> Recommendations:
    """Recommend an arm to each patient, from a by-arm table and what is not known about it.

    The top arm has the highest value among the permitted arms. An arm is clearly worse when the lower
    bound of (top minus arm) lies above `margin`; the others form the best set. The bounds are those of
    two-sided intervals at `level`, simultaneous over arms: with two arms the very interval of the
    advantage, so that no recommendation is supported whose advantage may be zero.
    One arm in the best set: ``supported``. More: ``no_clear_best``. Where there is nothing to compare
    (no draws, one permitted arm), or where the answer hangs on an arm without enough `evidence`, which
    never leaves the best set: ``insufficient_evidence``.

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
        Arms that nobody can get, each with a text that says why.
    evidence : mapping of arm to bool, optional
        Whether an arm had enough patients to be called better or worse; arms not named had.
    in_scope : Series of bool of shape (n_patients,), optional
        Patients that the model may be used for.
    rule : {"expected", "supported"}
        Give the top arm always, or only where it is supported, else the default arm (if permitted).
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
        With fewer than two arms, tables that do not fit each other, or an unknown option.

    References
    ----------
    Hsu (1996), Multiple Comparisons: Theory and Methods, ch. 4 (comparison with the best).

    Examples
    --------
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
            f"The table has one arm, {by_arm.columns[0]!r}. Ranking needs at least two arms; one arm can "
            "be predicted, not recommended."
        )
    check_unique("The patients (index) of by_arm", by_arm.index)
    check_choice("rule", rule, RULES)
    check_level(level)
    if not 0 <= margin < 1:
        raise InputError(
            f"margin is {margin}; it must be 0 or more and below 1 (a difference of proportions)."
        )
    if default_arm is not None:
        check_choice("default_arm", default_arm, by_arm.columns)
    elif rule == "supported":
        raise InputError("Rule 'supported' falls back on default_arm. Name one, or use rule='expected'.")
    reasons = _reasons(excluded, by_arm.columns)
    permitted = _permitted(allowed, by_arm) & ~by_arm.columns.isin(list(reasons))
    rows = _compare(by_arm, _check_draws(draws, by_arm), permitted, default_arm, margin, level)
    enough = np.array([bool((evidence or {}).get(arm, True)) for arm in by_arm.columns])
    table = _table(rows, by_arm, permitted, enough, _scope(in_scope, by_arm.index))
    why = _excluded(permitted, reasons, by_arm.columns)
    table["excluded"] = pd.Series(why, index=by_arm.index, dtype="object")
    table["arm"] = table["top"]
    if rule == "supported":
        fallback = permitted[:, by_arm.columns.get_loc(default_arm)] & (table["status"] != "supported")
        table["arm"] = table["top"].mask(fallback, default_arm)
    table["arm"] = table["arm"].mask(table["status"] == "out_of_scope", None)
    order = ["arm", "status", "best_set", "advantage", "advantage_lower", "advantage_upper", "p_best"]
    return Recommendations(
        table=table[[*order, "top", "excluded"]], utility=by_arm, rule=rule, margin=margin, level=level
    )


def _reasons(excluded: Any, arms: pd.Index) -> dict[Any, str]:
    """Return the arms that nobody can get, with reasons."""
    if excluded is None:
        return {}
    if not isinstance(excluded, Mapping):
        raise InputError(f"excluded must map arms to reasons, not be a {type(excluded).__name__}.")
    for arm, reason in excluded.items():
        check_choice("An arm to exclude", arm, arms)
        if not isinstance(reason, str) or not reason.strip():
            raise InputError(f"excluded names {arm!r} without a reason. Say why, in a text.")
    return dict(excluded)


def _permitted(allowed: Any, by_arm: pd.DataFrame) -> np.ndarray:
    """Return what is permitted, shape (n_patients, n_arms)."""
    if allowed is None:
        return np.ones(by_arm.shape, dtype=bool)
    if not isinstance(allowed, pd.DataFrame):
        raise InputError(f"allowed must be a DataFrame of True and False, not a {type(allowed).__name__}.")
    check_unique("The patients (index) of allowed", allowed.index)
    check_unique("The columns of allowed", allowed.columns)
    missing = [str(arm) for arm in by_arm.columns if arm not in allowed.columns]
    if missing or not by_arm.index.isin(allowed.index).all():
        raise InputError(
            f"allowed must have every patient and every arm of by_arm; it lacks arms {missing} and "
            f"{int((~by_arm.index.isin(allowed.index)).sum())} patients."
        )
    table = allowed.loc[by_arm.index, list(by_arm.columns)]
    if table.isna().any(axis=None) or not all(pd.api.types.is_bool_dtype(kind) for kind in table.dtypes):
        raise InputError("allowed must hold True and False only.")
    return table.to_numpy(dtype=bool)


def _scope(in_scope: pd.Series | None, patients: pd.Index) -> np.ndarray:
    if in_scope is None:
        return np.ones(len(patients), dtype=bool)
    if not isinstance(in_scope, pd.Series) or not pd.api.types.is_bool_dtype(in_scope.dtype):
        raise InputError("in_scope must be a Series of True and False.")
    if n := int((~patients.isin(in_scope.index[in_scope.notna()])).sum()):
        raise InputError(f"in_scope lacks {n} patients of by_arm. Give True or False for each.")
    check_unique("The patients (index) of in_scope", in_scope.index)
    return in_scope.loc[patients].to_numpy(dtype=bool)


def _check_draws(draws: Any, by_arm: pd.DataFrame) -> FloatArray | None:
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


def _excluded(permitted: np.ndarray, reasons: Mapping[Any, str], arms: pd.Index) -> list[dict[Any, str]]:
    words = {arm: reasons.get(arm, "not permitted for this patient") for arm in arms}
    return [{arm: words[arm] for arm, may in zip(arms, row, strict=True) if not may} for row in permitted]


@dataclass(frozen=True)
class _Comparison:
    """Per patient: top and runner-up (positions; -1: none), best set, advantage, P(best)."""

    top: np.ndarray
    runner_up: np.ndarray
    best_set: np.ndarray
    advantage: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_best: np.ndarray


def _compare(
    by_arm: pd.DataFrame,
    draws: FloatArray | None,
    permitted: np.ndarray,
    default_arm: Any,
    margin: float,
    level: float,
) -> _Comparison:
    values = np.where(permitted, by_arm.to_numpy(), -np.inf)
    if default_arm is not None:  # the default arm wins ties
        values[:, by_arm.columns.get_loc(default_arm)] += 1e-12
    order = np.argsort(-values, axis=1, kind="stable")
    rows = np.arange(len(values))
    n_permitted = permitted.sum(axis=1)
    top = np.where(n_permitted > 0, order[:, 0], -1)
    runner_up = np.where(n_permitted > 1, order[:, 1], -1)
    table = by_arm.to_numpy()
    advantage = np.where(runner_up >= 0, table[rows, top] - table[rows, runner_up], np.nan)
    unknown = np.full(len(values), np.nan)
    if draws is None:
        return _Comparison(top, runner_up, permitted.copy(), advantage, unknown, unknown, unknown)
    lower, upper, p_best, best_set = unknown.copy(), unknown.copy(), unknown.copy(), permitted.copy()
    tails = [(1 - level) / 2, (1 + level) / 2]
    comparable = np.flatnonzero(runner_up >= 0)
    for start in range(0, len(comparable), _BLOCK):
        i = comparable[start : start + _BLOCK]
        each = np.arange(len(i))
        lead = draws[:, i, top[i]][:, :, None] - draws[:, i]
        lower[i], upper[i] = np.quantile(lead[:, each, runner_up[i]], tails, axis=0)
        p_best[i] = np.mean((lead >= 0).all(axis=2, where=permitted[i]), axis=0)
        others = permitted[i].copy()
        others[each, top[i]] = False
        best_set[i] &= ~others | (_simultaneous_lower(lead, others, (1 + level) / 2) <= margin)
    return _Comparison(top, runner_up, best_set, advantage, lower, upper, p_best)


def _simultaneous_lower(lead: FloatArray, others: np.ndarray, level: float) -> FloatArray:
    """Lower bounds of (top - arm), shape (n_patients, n_arms), by the largest standardised deviation.

    They hold for all `others` of a patient at once.
    """
    center, spread = lead.mean(axis=0), lead.std(axis=0)
    deviation = (center - lead) / np.where(spread > 0, spread, np.inf)
    largest = deviation.max(axis=2, where=others, initial=-np.inf)
    return np.asarray(center - np.quantile(largest, level, axis=0)[:, None] * spread)


def _table(
    rows: _Comparison,
    by_arm: pd.DataFrame,
    permitted: np.ndarray,
    enough: np.ndarray,
    in_scope: np.ndarray,
) -> pd.DataFrame:
    arms = np.array([*by_arm.columns, None], dtype=object)  # position -1: no arm
    known = np.array([*enough, False])
    best_set = rows.best_set | (permitted & ~enough)
    comparable = ~np.isnan(rows.p_best) & known[rows.top] & known[rows.runner_up]
    undecided = (best_set & enough).sum(axis=1) > 1
    status = np.where(undecided, "no_clear_best", "insufficient_evidence").astype(object)
    status[best_set.sum(axis=1) == 1] = "supported"
    status[~comparable] = "insufficient_evidence"
    status[~in_scope | (rows.top < 0)] = "out_of_scope"
    sets = [tuple(arms[:-1][row]) for row in best_set]
    return pd.DataFrame(
        {
            "status": status,
            "best_set": pd.Series(sets, index=by_arm.index, dtype="object"),
            "advantage": rows.advantage,
            "advantage_lower": rows.lower,
            "advantage_upper": rows.upper,
            "p_best": rows.p_best,
            "top": pd.Series(arms[rows.top], index=by_arm.index, dtype="object"),
        },
        index=by_arm.index,
    )
