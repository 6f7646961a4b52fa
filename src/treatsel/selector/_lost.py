"""Outcomes that were not observed: how they are treated, and observation weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import logit

from treatsel._checks import FloatArray, check_choice, check_mapping_keys, check_number, listed
from treatsel._disclosure import SMALLEST_GROUP, is_small
from treatsel._stats.folds import balanced_folds
from treatsel.errors import InputError, warn
from treatsel.models import LossTest, Observation, loss_test, observation_weights, shift_to

# Patients whose outcome was observed that are needed, with and without dropout, to model its association.
FEWEST_KNOWN = 20
# Logits that lost patients may differ by: with 5, a probability of 50 % becomes one below 1 %.
LARGEST_SHIFT = 5.0
FEWEST_BEYOND = 20  # patients on each side of a threshold of a score that is estimated
TIED = 1e-9  # distances that differ by less are equal, up to rounding
METHODS, UNITS = (None, "covariates"), ("logits", "points")


@dataclass(frozen=True, kw_only=True)
class Missing:
    """How lost outcomes are treated: the parameter `missing` of a selector.

    Attributes
    ----------
    method : {"covariates"} or None
        What accounts for the loss: covariates and arm alone, or process columns as well.
    shifts : Mapping of str to float
        By how much the patients with a lost outcome fare worse, by outcome; without those of 0.
    in_points : bool
        Whether the shifts are in points of the score, not in logits.
    interim : tuple of tuple of str
        Columns of interim scores from which lost outcomes are imputed: one series per instrument, in the
        order of time.
    """

    method: str | None
    shifts: Mapping[str, float]
    in_points: bool
    interim: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, given: Any, outcomes: Sequence[str]) -> Self:
        """Read the parameter.

        Raises
        ------
        InputError
            If a key, a method, a unit or an outcome is unknown, a shift is not a number within its range, or
            interim scores are not lists of columns.
        """
        entries: Mapping[str, Any] = given if isinstance(given, Mapping) else {"method": given}
        check_mapping_keys("missing", entries, ["method", "shift", "unit", "interim"])
        where = "method in missing" if entries is given else "missing"
        check_choice(where, entries.get("method"), METHODS)
        check_choice("unit in missing", entries.get("unit", "logits"), UNITS)
        shift, in_points = entries.get("shift", 0.0), entries.get("unit") == "points"
        if isinstance(shift, Mapping):
            check_mapping_keys("shift in missing", shift, outcomes)
        shifts = dict(shift) if isinstance(shift, Mapping) else dict.fromkeys(outcomes, shift)
        for value in shifts.values():
            size = abs(check_number("shift in missing", value))
            if not np.isfinite(size) or (size > LARGEST_SHIFT and not in_points):
                allowed = "finite" if in_points else f"from {-LARGEST_SHIFT:g} to {LARGEST_SHIFT:g} logits"
                raise InputError(
                    f"shift in missing is {value}; it must be {allowed}: by how much patients with a lost "
                    "outcome fare worse than others with the same covariates and arm."
                )
        kept = {name: float(value) for name, value in shifts.items() if value}
        interim = _series_of(entries.get("interim", ()))
        if interim and entries.get("method") is not None:
            raise InputError(
                'missing has interim scores and method "covariates", which uses covariates and arm alone. '
                "Leave one of them out."
            )
        return cls(method=entries.get("method"), shifts=kept, in_points=in_points, interim=interim)

    def used(self, process: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
        """Return the columns observed after the start that are used; `sessions`: as in `last_scores`."""
        found = process if self.method is None else process.iloc[:, :0]
        return found.join(self.last_scores(sessions)) if self.interim else found

    def last_scores(self, sessions: pd.DataFrame) -> pd.DataFrame:
        """Return the last interim score of each series, and its number in the series (0: none observed).

        `sessions`: the scores that a cohort has, one column each.
        """
        unknown = sorted({name for series in self.interim for name in series} - set(sessions.columns))
        if unknown:
            raise InputError(
                f"interim in missing names {listed(unknown)}. It must name columns of a Cohort (or of extra) "
                "with the role session_score, on which no outcome rests; those are "
                f"{listed(sessions.columns) or 'none'}."
            )
        found = {}
        for series in self.interim:
            values, ends = sessions[list(series)].astype(float), f"{series[0]} to {series[-1]}"
            found[f"last of {ends}"] = values.ffill(axis=1).iloc[:, -1]
            found[f"number of the last of {ends}"] = (values.notna() * np.arange(1, len(series) + 1)).max(
                axis=1
            )
        return pd.DataFrame(found, index=sessions.index).astype(float)

    def assumption(self, name: str) -> str:
        """Return the shift of an outcome in words, such as "worse by 1 logit"."""
        size, unit = self.shifts.get(name, 0.0), "point" if self.in_points else "logit"
        return f"{'worse' if size > 0 else 'better'} by {abs(size):g} {unit}{'s' * (abs(size) != 1)}"

    def logits_of(
        self, name: str, *, good: bool, score: FloatArray | None, unit: float | None, p: FloatArray
    ) -> float:
        """Return what is added to the logit of an outcome of patients in whom it was lost.

        Parameters
        ----------
        name : str
            The outcome; `good`: whether 1 is good.
        score : ndarray of shape (n_observed,) or None
            Signed distances, above 0 for patients with the outcome; `unit`: points of the score in a distance
            of 1; both are None without a score.
        p : ndarray of shape (n_observed,)
            Predicted probabilities under the received arm.
        """
        shift = -self.shifts[name] if good else self.shifts[name]
        if not self.in_points:
            return shift
        if score is None or unit is None:
            raise InputError(
                f"Outcome {name!r} does not rest on one score of the cohort, so that a shift cannot be given "
                'in points. State it in logits: missing={"shift": ..., "unit": "logits"}.'
            )
        known = ~np.isnan(score)
        # the outcome of a patient whose score changes by d is that of one whose score is beyond -d
        reached = score[known] > -shift / abs(unit) + TIED
        if min(reached.sum(), (~reached).sum()) < FEWEST_BEYOND:
            raise InputError(
                f"A shift of {self.shifts[name]:g} points of the score behind {name!r} leaves fewer than "
                f"{FEWEST_BEYOND} patients on one side of the threshold. Choose a smaller one."
            )
        offset, equal = logit(p[known]), np.full(int(known.sum()), 1 / known.sum())
        targets = np.array([reached.mean(), (score[known] > 0).mean()])
        found = shift_to(offset, equal, targets, np.zeros(2))
        return float(found[0] - found[1])


def _series_of(given: Any) -> tuple[tuple[str, ...], ...]:
    """Return the series of columns in a list, or in a list of lists."""
    entries: list[Any] = list(given) if isinstance(given, list | tuple) else [None]
    if entries and all(isinstance(entry, str) for entry in entries):
        entries = [entries]
    if not all(isinstance(entry, list | tuple) and entry for entry in entries):
        entries = [[None]]
    names = [name for entry in entries for name in entry]
    if not all(isinstance(name, str) for name in names):
        raise InputError(
            "interim in missing must list the columns of interim scores in the order of time; of several "
            "instruments, one such list each."
        )
    if len(set(names)) < len(names):
        raise InputError("interim in missing names a column twice. Name each once.")
    return tuple(map(tuple, entries))


def dropout_column(process: pd.DataFrame, y: pd.Series, received: pd.Series) -> str | None:
    """Return the 0/1 process column over which predictions are averaged, if there is one.

    Of several, the one most strongly associated with observation. The outcome must have been observed in
    enough patients with and without it, and every arm must have both.
    """
    seen = y.notna()
    if seen.all():
        return None
    found = {}
    for name in process:
        column = process[name]
        if column.isna().any() or not column.isin([0, 1]).all():
            continue
        value = column.astype(float)
        known = pd.crosstab(value, seen).reindex(index=[0.0, 1.0], columns=[False, True], fill_value=0)
        by_arm = pd.crosstab(received, value).reindex(columns=[0.0, 1.0], fill_value=0)
        if known[True].min() < FEWEST_KNOWN or by_arm.to_numpy().min() < 2:
            continue
        found[str(name)] = abs(np.corrcoef(value, seen)[0, 1])
    return max(found, key=lambda name: found[name]) if found else None


def observation_of(
    X: pd.DataFrame,
    y: pd.Series,
    process: pd.DataFrame,
    treated: str,
    *,
    arm: str,
    groups: pd.Series | None,
    seed: int | None,
) -> Observation | None:
    """Return observation weights from covariates and process columns; None if every outcome was observed.

    `treated`: what the model does with lost outcomes, as the end of a sentence.
    """
    seen = y.notna().to_numpy()
    if seen.all():
        return None
    n = int((~seen).sum())
    if is_small(n):
        lost = f"fewer than {SMALLEST_GROUP} of {len(y):,} patients"
    else:
        lost = f"{n:,} of {len(y):,} patients ({n / len(y):.0%})"
    names = [repr(name) for name in process]
    given = f"arm, covariates and {', '.join(names)}" if names else "arm and covariates"
    warn(
        f"Outcome {y.name!r} was not observed in {lost}. The model learns from the other patients{treated}; "
        "means of arms weight them to represent all. This is unbiased only if observation depends on "
        f"{given} alone. See observation_.",
    )
    folds = balanced_folds(X[arm], seen.astype(float), groups=groups, random_state=seed)
    covariates = X.drop(columns=arm)
    usable = process.loc[:, [process[name].notna().any() for name in process]]
    return observation_weights(covariates.join(usable), X[arm], seen, folds)


def test_of_loss(
    X: pd.DataFrame,
    y: pd.Series,
    process: pd.DataFrame,
    *,
    arm: str,
    groups: pd.Series | None,
    seed: int | None,
) -> LossTest | None:
    """Test whether loss depends on process columns; None with hardly any loss or without such columns."""
    seen = y.notna().to_numpy()
    columns = process.loc[:, [len(process[name].drop_duplicates()) > 1 for name in process]]
    if seen.all() or is_small(int((~seen).sum())) or not columns.shape[1]:
        return None
    folds = balanced_folds(X[arm], seen.astype(float), groups=groups, random_state=seed)
    return loss_test(X.drop(columns=arm), X[arm], seen, columns, folds)
