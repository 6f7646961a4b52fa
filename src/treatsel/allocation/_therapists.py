"""Utilities of therapists from shrunken effects, and the pairs that hard constraints allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import (
    FloatArray,
    as_text,
    check_level,
    check_probability,
    check_unique,
    count_of,
    listed,
)
from treatsel._reporting.summary import Summarized, Summary
from treatsel.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FEWEST_CASES = 15  # of a therapist whose effect is used: with fewer, it is hardly more than the prior
_COLUMNS = ("therapist", "effect", "sd")
_SEPARATOR = "|"


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class TherapistUtilities(Summarized):
    """Probability of a good outcome of each patient with each therapist.

    A therapist whose effect is not used counts as the average one. There is no table of effects: this result
    is made for `match`, not for a comparison of staff.

    Attributes
    ----------
    patients : Index
        Patient ids.
    therapists : tuple
        Therapists.
    utilities : ndarray of shape (n_patients, n_therapists)
        Probabilities of a good outcome.
    average : ndarray of shape (n_patients,)
        The same with the average therapist.
    n_withheld : int
        Therapists whose effect is not used: fewer than 15 cases, or an interval that includes 0.
    level : float
        Level of these intervals.
    """

    patients: "pd.Index[Any]"
    therapists: tuple[Any, ...]
    utilities: FloatArray
    average: FloatArray
    n_withheld: int
    level: float
    _effects: FloatArray  # of the probability of a good outcome in logits, and SD: shape (2, n_therapists)

    @property
    def withheld(self) -> bool:
        """Whether no effect is used, so that the utilities do not distinguish therapists."""
        return self.n_withheld == len(self.therapists)

    @property
    def utility(self) -> "pd.DataFrame":
        """The probabilities as a table of patients by therapists."""
        import pandas as pd

        return pd.DataFrame(self.utilities.copy(), index=self.patients, columns=pd.Index(self.therapists))

    def at(self, effects: FloatArray, chosen: Any) -> FloatArray:
        """Return the probability of each patient with the chosen therapist, given all effects."""
        padded = np.append(effects, 0.0)
        return np.asarray(1 / (1 + np.exp(-(_logit(self.average) + padded[chosen]))))

    def _summary(self) -> Summary:
        n = len(self.therapists)
        return Summary(
            title="TherapistUtilities",
            headline=f"{count_of(len(self.patients), 'patient')}, {count_of(n, 'therapist')}",
            facts=[("effects used", f"{len(self.therapists) - self.n_withheld:,}")],
            note="For match(). Effects of named therapists are not shown.",
        )


def therapist_utilities(
    probability: "pd.Series",
    effects: "pd.DataFrame",
    *,
    therapists: Sequence[Any],
    good: bool,
    level: float = 0.95,
) -> TherapistUtilities:
    """Return the probability of a good outcome with each therapist, from shrunken effects.

    An effect is used only if the therapist had 15 cases or more and the interval of the effect does not
    include 0. All other therapists count as the average one, since the data do not tell whether they differ
    from it.

    Parameters
    ----------
    probability : Series of shape (n_patients,)
        Probability of the outcome with the average therapist, under the arm of the effects.
    effects : DataFrame
        Rows of `TreatmentSelector.therapist_effects` of one site and one arm: columns therapist, effect and
        sd (in logits of the outcome), and n if there is one. Therapists without a row had fewer than 15
        cases.
    therapists : sequence
        Therapists to whom patients can be assigned.
    good : bool
        Whether the outcome is a good one. The utility of a bad outcome is 1 minus its probability.
    level : float
        Level of the intervals.

    Returns
    -------
    TherapistUtilities

    Notes
    -----
    Patients were not assigned to therapists at random, and differences between therapists are small: the gain
    of such a matching is of the order of d = 0.1 where it was tested (Constantino et al. 2021).

    References
    ----------
    Constantino, Boswell, Coyne, Swales & Kraus (2021), JAMA Psychiatry 78(9), 960-969.
    doi:10.1001/jamapsychiatry.2021.1221
    """
    import pandas as pd

    if not isinstance(probability, pd.Series):
        raise InputError("probability must be a Series with one value per patient.")
    check_unique("The patients (index) of probability, compared as text,", map(as_text, probability.index))
    average = check_probability("probability", probability)
    names = list(therapists)
    if not names:
        raise InputError("therapists is empty. Name at least one.")
    check_unique("therapists, compared as text,", [as_text(name) for name in names])
    z = NormalDist().inv_cdf((1 + check_level(level)) / 2)
    mean, sd = _effects(effects, names)
    withheld = ~(np.abs(mean) > z * sd)
    mean, sd = np.where(withheld, 0.0, mean), np.where(withheld, 0.0, sd)
    sign = 1.0 if good else -1.0
    average = average if good else 1 - average
    return TherapistUtilities(
        patients=probability.index,
        therapists=tuple(names),
        utilities=1 / (1 + np.exp(-(_logit(average)[:, None] + sign * mean[None]))),
        average=average,
        n_withheld=int(withheld.sum()),
        level=float(level),
        _effects=np.array([sign * mean, sd]),
    )


def _logit(probability: FloatArray) -> FloatArray:
    """Return log odds; infinite at 0 and 1, where an effect has no influence."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probability) - np.log1p(-probability))


def _effects(effects: Any, names: Sequence[Any]) -> tuple[FloatArray, FloatArray]:
    """Return mean and SD of the effect of each therapist; 0 and infinite where there is none to use."""
    if lost := [name for name in _COLUMNS if name not in getattr(effects, "columns", ())]:
        raise InputError(f"effects has no column {lost[0]!r}. It needs {list(_COLUMNS)}.")
    for name in ("site", "arm"):
        if name in effects.columns and (n := effects[name].nunique(dropna=False)) > 1:
            raise InputError(
                f"effects holds {n:,} values of {name!r}. Effects are differences from the average "
                "therapist of "
                f"one site and arm: select the rows of one {name}."
            )
    labels = [as_text(name) for name in effects["therapist"]]
    check_unique("The therapists of effects", labels)
    mean, sd = np.zeros(len(names)), np.full(len(names), np.inf)
    place = {as_text(name): position for position, name in enumerate(names)}
    rows = effects[["effect", "sd"]].to_numpy(dtype=np.float64)
    if n := int((~np.isfinite(rows) | (rows < [-np.inf, 0])).any(axis=1).sum()):
        raise InputError(
            f"effects holds {count_of(n, 'row')} with an effect or SD that is missing, infinite or "
            "negative (SD). "
            "Leave such therapists out: they then count as the average one."
        )
    cases = (
        effects["n"].fillna(FEWEST_CASES).tolist() if "n" in effects.columns else [FEWEST_CASES] * len(rows)
    )
    for label, n_cases, (effect, spread) in zip(labels, cases, rows, strict=True):
        if label in place and n_cases >= FEWEST_CASES:
            mean[place[label]], sd[place[label]] = effect, spread
    return mean, sd


def allowed_pairs(
    patients: "pd.DataFrame", therapists: "pd.DataFrame", needs: Mapping[str, str]
) -> "pd.DataFrame":
    """Return which therapist meets the hard constraints of which patient.

    Parameters
    ----------
    patients : DataFrame
        One row per patient. A cell is what the patient needs, such as a language; a missing one needs nothing
        in particular. Several values are separated by "|", and all of them are needed.
    therapists : DataFrame
        One row per therapist. A cell lists what the therapist offers, separated by "|".
    needs : mapping of str to str
        Column of `patients` to the column of `therapists` that must hold its values, for example
        ``{"language": "languages", "problem": "problems", "format": "formats", "day": "days"}``.

    Returns
    -------
    DataFrame of bool of shape (n_patients, n_therapists)
        For `allowed` of `match`.

    Examples
    --------
    >>> import pandas as pd
    >>> patients = pd.DataFrame({"language": ["fr", None]}, index=["ann", "bob"])
    >>> therapists = pd.DataFrame({"languages": ["de|fr", "de"]}, index=["t1", "t2"])
    >>> allowed_pairs(patients, therapists, {"language": "languages"})
           t1     t2
    ann  True  False
    bob  True   True
    """
    import pandas as pd

    check_unique("The therapists (index) of therapists", therapists.index)
    found = np.ones((len(patients), len(therapists)), dtype=bool)
    for need, offer in needs.items():
        for name, table, column in (("patients", patients, need), ("therapists", therapists, offer)):
            if column not in table.columns:
                raise InputError(f"{name} has no column {column!r}. It has {listed(table.columns)}.")
        if n := int(therapists[offer].isna().sum()):
            raise InputError(
                f"Column {offer!r} of therapists is missing for {count_of(n, 'therapist')}. State what "
                "each one "
                "offers; an empty text is nothing."
            )
        offers = [_values(cell) for cell in therapists[offer]]
        wanted = [frozenset() if missing else _values(cell) for cell, missing in _cells(patients[need])]
        met = {values: [values <= offered for offered in offers] for values in set(wanted)}
        found &= np.array([met[values] for values in wanted], dtype=bool).reshape(found.shape)
    return pd.DataFrame(found, index=patients.index, columns=therapists.index)


def _cells(column: "pd.Series") -> list[tuple[Any, bool]]:
    return list(zip(column.tolist(), column.isna().tolist(), strict=True))


def _values(cell: Any) -> frozenset[str]:
    return frozenset(part.strip() for part in as_text(cell).split(_SEPARATOR) if part.strip())
