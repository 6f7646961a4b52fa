"""Matching of patients with therapists: the same programme, with caseloads as capacities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, count_of
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._reporting.format import number
from treatsel._reporting.summary import Summarized, Summary
from treatsel.allocation._optimum import Optimum, optimum, total_of
from treatsel.allocation._problem import BoolArray, Positions, Problem, check_problem
from treatsel.allocation._result import received
from treatsel.allocation._therapists import TherapistUtilities
from treatsel.predictions import plain

if TYPE_CHECKING:
    import pandas as pd

_DRAWS = 4000  # of the effects of therapists, for the interval of the gain
_SEED = 0


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Matching(Summarized):
    """A proposal which therapist sees which patient.

    Tables and dictionaries hold no effect, price or mean by therapist, and no ranking of named staff.

    Attributes
    ----------
    patients : Index
        Patient ids.
    therapists : tuple
        Therapists.
    position : ndarray of int of shape (n_patients,)
        Position of each patient's therapist; the number of therapists for a patient who waits.
    utility, lower, upper : ndarray of shape (n_patients,)
        Utility of each patient with the proposed therapist, and its interval, which shows the uncertainty of
        the effect of the therapist alone; NaN without effects, and where the effect is withheld.
    tied : ndarray of bool of shape (n_patients,)
        Whether the patient has another therapist in another matching with the same total: a draw by the
        patient's id decided.
    margin : float
        What the best different matching loses; 0: several are optimal; infinite: there is no other.
    gain, gain_lower, gain_upper : float
        Total utility minus that with the average therapist, with its interval; NaN without effects, or
        if all are withheld.
    level : float
        Level of the intervals.
    withheld : bool
        Whether no effect of a therapist is used, because no interval excludes 0. The matching then follows
        the constraints alone, and utilities do not differ between therapists.
    prices : Series
        Gain of the total by one more place of each therapist, in the order of the names. It depends on who
        waits and on the constraints, and is no measure of merit.
    """

    patients: "pd.Index[Any]"
    therapists: tuple[Any, ...]
    position: Positions
    utility: FloatArray
    lower: FloatArray
    upper: FloatArray
    tied: BoolArray
    margin: float
    gain: float
    gain_lower: float
    gain_upper: float
    level: float
    withheld: bool
    prices: "pd.Series"

    @property
    def value(self) -> float:
        """Total utility."""
        return total_of(self.utility[:, None], np.zeros(len(self.utility), dtype=np.int64))

    @property
    def several_optima(self) -> bool:
        """Whether another matching has the same total."""
        return self.margin == 0

    @property
    def therapist(self) -> "pd.Series":
        """The proposed therapist of each patient; None for a patient who waits."""
        import pandas as pd

        labels = np.empty(len(self.therapists) + 1, dtype=object)
        labels[:-1] = self.therapists
        return pd.Series(labels[self.position], index=self.patients, name="therapist", dtype="object")

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per patient: therapist, utility, lower, upper, tied."""
        import pandas as pd

        columns = {name: getattr(self, name) for name in ("utility", "lower", "upper", "tied")}
        return pd.DataFrame({"therapist": self.therapist, **columns}, index=self.patients)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings; a number that does not exist is None."""
        frame = self.to_frame()
        rows = zip(frame.index, frame.itertuples(index=False, name=None), strict=True)
        names = ["patient", *frame.columns]
        return {
            "proposal": True,
            "value": self.value,
            "margin": plain(self.margin),
            "several_optima": self.several_optima,
            "gain": {
                "value": plain(self.gain),
                "lower": plain(self.gain_lower),
                "upper": plain(self.gain_upper),
            },
            "level": self.level,
            "withheld": self.withheld,
            "matching": [dict(zip(names, map(plain, (patient, *row)), strict=True)) for patient, row in rows],
        }

    def _summary(self) -> Summary:
        n = len(self.patients)
        enough = n >= SMALLEST_GROUP  # a total of few patients would tell the utility of single ones
        facts = [("total utility", number(self.value, 3))] if enough else []
        if enough and self.gain == self.gain:
            ends = f"{number(self.gain_lower, 3)} to {number(self.gain_upper, 3)}"
            facts.append(
                (
                    "gain over the average therapist",
                    f"{number(self.gain, 3)} ({100 * self.level:g}% interval {ends})",
                )
            )
        if self.withheld:
            facts.append(("effects of therapists", "not used: no interval excludes 0"))
        if self.several_optima:
            facts.append(("several optimal matchings", "a draw by patient id decided"))
        return Summary(
            title="Matching",
            headline=f"{count_of(n, 'patient')}, {count_of(len(self.therapists), 'therapist')}",
            facts=facts,
            note="A proposal, to be checked by those who know patients and staff. to_frame() shows each "
            "patient.",
        )


def match(
    utility: "pd.DataFrame | TherapistUtilities",
    caseload: Mapping[Any, int],
    *,
    allowed: "pd.DataFrame | None" = None,
    defer: bool = False,
) -> Matching:
    """Propose a therapist for each patient under caseloads and hard constraints.

    The same programme as `allocate`: the matching has the highest total utility, and does not depend on the
    order of patients or therapists.

    Parameters
    ----------
    utility : DataFrame of shape (n_patients, n_therapists), or TherapistUtilities
        Utility of each patient with each therapist; `therapist_utilities` makes it from shrunken effects.
    caseload : mapping of therapist to int
        Free places. A therapist who is not named has no limit.
    allowed : DataFrame of bool of shape (n_patients, n_therapists), optional
        Hard constraints such as language, problem, format or availability; see `allowed_pairs`.
    defer : bool
        Whether patients may be left without a therapist.

    Returns
    -------
    Matching

    Raises
    ------
    InputError
        If not every patient can get a therapist (with the number of places missing), or an argument is not
        valid.

    Examples
    --------
    >>> import pandas as pd
    >>> utility = pd.DataFrame({"t1": [0.6, 0.5], "t2": [0.5, 0.45]}, index=["ann", "bob"])
    >>> found = match(utility, {"t1": 1, "t2": 1})
    >>> found.therapist.to_dict(), round(found.margin, 3)
    ({'ann': 't1', 'bob': 't2'}, 0.05)
    """
    effects = utility if isinstance(utility, TherapistUtilities) else None
    table = effects.utility if effects is not None else utility
    problem = check_problem(
        table, caseload, allowed=allowed, minimum=None, groups=None, defer=defer, column="therapist"
    )
    found = optimum(problem)
    return _matching(problem, found, effects)


def _matching(problem: Problem, found: Optimum, effects: TherapistUtilities | None) -> Matching:
    import pandas as pd

    n = len(problem.patients)
    order = sorted(range(len(problem.arms)), key=lambda place: str(problem.arms[place]))
    gains = np.where(problem.limited, found.gain_of_one_more, 0.0)
    prices = pd.Series(
        gains[order], index=pd.Index([problem.arms[place] for place in order]), name="gain_of_one_more"
    )
    lower, upper = np.full((2, n), np.nan)
    gain = np.full(3, np.nan)
    if effects is not None and not effects.withheld:
        lower, upper, gain = _intervals(effects, found.position)
    return Matching(
        patients=problem.patients,
        therapists=problem.arms,
        position=found.position,
        utility=received(problem.utility, found.position),
        lower=lower,
        upper=upper,
        tied=found.tied,
        margin=found.margin,
        gain=float(gain[0]),
        gain_lower=float(gain[1]),
        gain_upper=float(gain[2]),
        level=0.95 if effects is None else effects.level,
        withheld=effects is not None and effects.withheld,
        prices=prices,
    )


def _intervals(effects: TherapistUtilities, position: Positions) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the interval of each patient's utility, and the gain over the average therapist.

    Effects are independent and normal, and those that are withheld are exactly 0.
    """
    from statistics import NormalDist

    mean, sd = effects._effects
    z = NormalDist().inv_cdf((1 + effects.level) / 2)
    placed = position < len(mean)
    known = np.append(sd > 0, False)[position]  # the uncertainty of a withheld effect is not known to be 0
    lower, upper = (np.where(known, effects.at(mean + side * sd, position), np.nan) for side in (-z, z))
    base = effects.average[placed].sum()
    chosen = np.where(placed, position, len(mean))
    own = effects.at(mean, chosen)[placed].sum() - base
    random = np.random.default_rng(_SEED)
    drawn = np.array(
        [
            effects.at(mean + sd * noise, chosen)[placed].sum() - base
            for noise in random.standard_normal((_DRAWS, len(mean)))
        ]
    )
    ends = np.quantile(drawn, [(1 - effects.level) / 2, (1 + effects.level) / 2])
    return lower, upper, np.array([own, *ends])
