"""`Outcome`: named 0/1 definitions of remission, reliable change and dropout; scores in, 0/1 out.

Holds for every function here. Inputs: Series are matched by index, arrays by position; prorated scores stay
fractions. Returns: a float Series of shape (n_patients,), named by the outcome, with the patients' index:
1 = it happened, 0 = it did not, NaN = not known. A patient who lacks any needed input gets NaN, also where
the rest would already decide. Raises: `InputError`, with counts and never a patient's value, if an input is
not numeric or out of range, lengths or patients differ, or an option is wrong.

References
----------
NHS England (from 2018), NHS Talking Therapies for anxiety and depression Manual: reliable_*, nhs_*.
Gyani et al. (2013), Behav Res Ther 51(9), 597-606. doi:10.1016/j.brat.2013.06.004: the same.
Frank et al. (1991), Arch Gen Psychiatry 48(9), 851-855. doi:10.1001/archpsyc.1991.01810330075011: remission.
Swift & Greenberg (2012), J Consult Clin Psychol 80(4), 547-559. doi:10.1037/a0028226: dropout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import check_binary, check_choice, check_mapping_keys
from treatsel.errors import InputError
from treatsel.instrument import Instrument, input_name, match_patients, match_scores

Measure = Instrument | str
_TOLERANCE = 1e-9  # points; prorated scores carry rounding error
_NHS = {"phq": "PHQ-9", "gad": "GAD-7"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A named 0/1 definition that labels a table of scores.

    Attributes
    ----------
    name : str
        Name of the outcome and of the column it makes.
    title : str
        The definition in words.
    event_is_good : bool
        Whether 1 is what the patient hopes for.
    definition : callable
        Function whose positional parameters are the inputs and whose keyword-only parameters are the
        options; returns 0, 1 or NaN per patient.
    options : mapping
        Values of the options.

    Examples
    --------
    >>> frame = pd.DataFrame({"phq9_last": [4, 5, None]}, index=["a", "b", "c"])
    >>> Outcome.get("remission", instrument="PHQ-9").label(frame, last="phq9_last").to_dict()
    {'a': 1.0, 'b': 0.0, 'c': nan}
    """

    name: str
    title: str
    event_is_good: bool
    definition: Callable[..., pd.Series]
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that `label` needs a column for."""
        return tuple(_parameters(self.definition, keyword_only=False))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names that `Outcome.get` knows.

        >>> Outcome.names()[:3]
        ('remission', 'response', 'caseness')
        """
        return tuple(_SHIPPED)

    @classmethod
    def get(cls, name: str, **options: Any) -> "Outcome":
        """Return a shipped outcome by name.

        Parameters
        ----------
        name : str
            One of `Outcome.names()`; the function of that name in this module says what it means.
        **options
            The keyword-only arguments of that function, such as `instrument="PHQ-9"` or `k=4`.

        Raises
        ------
        InputError
            If name or option is unknown, an option is absent, or the instrument lacks the constant.

        Examples
        --------
        >>> Outcome.get("below_dose", k=4).title
        'Fewer than 4 sessions attended'
        """
        check_choice("The outcome", name, cls.names())
        title, good, definition = _SHIPPED[name]
        defaults = _parameters(definition, keyword_only=True)
        check_mapping_keys(f"Outcome {name!r}", options, defaults)
        chosen = {key: options.get(key, default) for key, default in defaults.items()}
        if needed := [key for key, value in chosen.items() if value is Parameter.empty]:
            raise InputError(f"Outcome {name!r} needs the option {needed[0]!r}; nothing is assumed.")
        if chosen.get("instrument") is not None:
            chosen["instrument"] = Instrument.get(chosen["instrument"])
        shown = {key: getattr(value, "name", value) for key, value in chosen.items()}
        title = title.format(**shown)
        outcome = cls(name=name, title=title, event_is_good=good, definition=definition, options=chosen)
        definition(*(pd.Series(dtype=float) for _ in outcome.inputs), **chosen)  # bad options raise now
        return outcome

    def label(self, frame: pd.DataFrame, /, **columns: str) -> pd.Series:
        """Return the outcome of every patient.

        Parameters
        ----------
        frame : DataFrame of shape (n_patients, n_columns)
            Holds the inputs.
        **columns : str
            The column of each input, for example `last="phq9_last"`; `inputs` lists them.

        Returns
        -------
        Series of shape (n_patients,)
            1, 0 or NaN; named by the outcome, with the index of `frame`.

        Raises
        ------
        InputError
            If an input has no column, a column is not there, or its values do not fit.
        """
        check_mapping_keys(f"Outcome {self.name!r}", columns, self.inputs)
        if missing := [key for key in self.inputs if key not in columns]:
            raise InputError(f"Outcome {self.name!r} needs a column for: {', '.join(missing)}. Name it.")
        for key, column in columns.items():
            check_choice(f"The column for {key}", column, frame.columns)
        labels = self.definition(*(frame[columns[key]] for key in self.inputs), **self.options)
        checked = check_binary(self.name, labels, allow_missing=True)
        return pd.Series(checked, index=frame.index, name=self.name)


def remission(last: Any, *, instrument: Measure) -> pd.Series:
    """Score at the end at or below the instrument's remission cut-off (PHQ-9: below 5).

    Parameters
    ----------
    last : array-like of shape (n_patients,)
        Score at the end, in points.
    instrument : Instrument or str
        Gives range and cut-off.

    Examples
    --------
    >>> remission([4, 5], instrument="PHQ-9").tolist()
    [1.0, 0.0]
    """
    instrument = Instrument.get(instrument)
    cutoff = instrument.require("remission_maximum")
    scores = match_scores(last=(last, instrument))
    return _labels("remission", scores["last"] <= cutoff, known=scores)


def response(first: Any, last: Any, *, fall: float = 0.5, instrument: Measure | None = None) -> pd.Series:
    """Score fell by at least `fall` of the first score; NaN where the first score is zero.

    Parameters
    ----------
    first, last : array-like of shape (n_patients,)
        Scores in points, from 0 up; lower is better.
    fall : float
        Smallest share of the first score that counts, in (0, 1].
    instrument : Instrument or str, optional
        Gives the range to be checked.

    Examples
    --------
    >>> response([20, 20, 0], [10, 11, 0]).tolist()
    [1.0, 0.0, nan]
    """
    if not 0 < fall <= 1:
        raise InputError(f"fall is {fall}; it must lie above 0 and at most 1, for example 0.5.")
    known = None if instrument is None else Instrument.get(instrument)
    if known and (known.minimum != 0 or known.direction != "lower is better"):
        raise InputError(f"{known.name} must start at 0, with lower as better, for a fall in percent.")
    scores = match_scores(first=(first, known), last=(last, known))
    fell = scores["first"] - scores["last"] >= fall * scores["first"] - _TOLERANCE
    return _labels("response", fell, known=scores, among=scores["first"] > 0)


def caseness(score: Any, *, instrument: Measure) -> pd.Series:
    """Score at or above the instrument's case cut-off (PHQ-9: 10; GAD-7: 8).

    Parameters
    ----------
    score : array-like of shape (n_patients,)
        In points.
    instrument : Instrument or str
        Gives range and cut-off.

    Examples
    --------
    >>> caseness([9, 10], instrument="PHQ-9").tolist()
    [0.0, 1.0]
    """
    instrument = Instrument.get(instrument)
    cutoff = instrument.require("case_cutoff")
    scores = match_scores(score=(score, instrument))
    return _labels("caseness", scores["score"] >= cutoff, known=scores)


def nhs_recovery(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Recovery in NHS Talking Therapies: a case on PHQ-9 or GAD-7 at first, below both cut-offs at last.

    NaN for who was not a case at first, since the rate is taken among cases. Where a service uses a
    disorder-specific measure in place of the GAD-7, this is not its definition.

    Parameters
    ----------
    phq_first, phq_last, gad_first, gad_last : array-like of shape (n_patients,)
        First and last PHQ-9 (0 to 27) and GAD-7 (0 to 21), in points.

    Examples
    --------
    >>> nhs_recovery([10, 10, 9], [9, 9, 2], [0, 0, 7], [7, 8, 2]).tolist()
    [1.0, 0.0, nan]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return _labels("nhs_recovery", ~_case(scores, "last"), known=scores, among=_case(scores, "first"))


def reliable_improvement(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Reliable fall on PHQ-9 (6 points) or GAD-7 (4 points) and no reliable rise on the other.

    Parameters are those of `nhs_recovery`.

    Examples
    --------
    >>> reliable_improvement([16, 16, 16], [10, 11, 10], [8, 8, 8], [8, 8, 12]).tolist()
    [1.0, 0.0, 0.0]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return _labels("reliable_improvement", _reliable(scores, sign=1), known=scores)


def reliable_recovery(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Both `nhs_recovery` and `reliable_improvement`; NaN for who was not a case at first.

    Parameters are those of `nhs_recovery`.

    Examples
    --------
    >>> reliable_recovery([15, 10, 9], [9, 9, 2], [0, 0, 7], [0, 0, 2]).tolist()
    [1.0, 0.0, nan]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    both = ~_case(scores, "last") & _reliable(scores, sign=1)
    return _labels("reliable_recovery", both, known=scores, among=_case(scores, "first"))


def reliable_deterioration(phq_first: Any, phq_last: Any, gad_first: Any, gad_last: Any) -> pd.Series:
    """Reliable rise on PHQ-9 (6 points) or GAD-7 (4 points) and no reliable fall on the other.

    Parameters are those of `nhs_recovery`.

    Examples
    --------
    >>> reliable_deterioration([10, 10, 10], [16, 15, 16], [8, 8, 8], [8, 8, 4]).tolist()
    [1.0, 0.0, 0.0]
    """
    scores = _nhs_scores(phq_first, phq_last, gad_first, gad_last)
    return _labels("reliable_deterioration", _reliable(scores, sign=-1), known=scores)


def non_start(sessions: Any) -> pd.Series:
    """No treatment session attended.

    Parameters
    ----------
    sessions : array-like of shape (n_patients,)
        Treatment sessions attended, a whole number.

    Examples
    --------
    >>> non_start([0, 1]).tolist()
    [1.0, 0.0]
    """
    counts = _counts(sessions)
    return _labels("non_start", counts["sessions"] == 0, known=counts)


def one_session(sessions: Any) -> pd.Series:
    """Exactly one treatment session attended.

    Parameters
    ----------
    sessions : array-like of shape (n_patients,)
        Treatment sessions attended, a whole number.

    Examples
    --------
    >>> one_session([0, 1, 2]).tolist()
    [0.0, 1.0, 0.0]
    """
    counts = _counts(sessions)
    return _labels("one_session", counts["sessions"] == 1, known=counts)


def unplanned_end(planned_end: Any) -> pd.Series:
    """Treatment ended without planned completion.

    Parameters
    ----------
    planned_end : array-like of shape (n_patients,)
        1 = the end was planned, 0 = it was not (also who never started), NaN = still in treatment.

    Examples
    --------
    >>> unplanned_end([1, 0, None]).tolist()
    [0.0, 1.0, nan]
    """
    planned = match_patients(planned_end=planned_end)
    check_binary(input_name("planned_end", planned_end), planned["planned_end"], allow_missing=True)
    return _labels("unplanned_end", planned["planned_end"] == 0, known=planned)


def below_dose(sessions: Any, *, k: int) -> pd.Series:
    """Fewer than `k` treatment sessions attended (0 included).

    Parameters
    ----------
    sessions : array-like of shape (n_patients,)
        Treatment sessions attended, a whole number.
    k : int
        At least 1.

    Examples
    --------
    >>> below_dose([3, 4], k=4).tolist()
    [1.0, 0.0]
    """
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise InputError(f"k is {k}; it must be a whole number of sessions, at least 1.")
    counts = _counts(sessions)
    return _labels("below_dose", counts["sessions"] < k, known=counts)


_SHIPPED: dict[str, tuple[str, bool, Callable[..., pd.Series]]] = {
    "remission": ("Remission on {instrument} at the end", True, remission),
    "response": ("Fall of at least {fall:.0%} from the first score", True, response),
    "caseness": ("A case on {instrument}", False, caseness),
    "nhs_recovery": ("Recovery (NHS Talking Therapies), among cases at first", True, nhs_recovery),
    "reliable_improvement": ("Reliable improvement on PHQ-9 or GAD-7", True, reliable_improvement),
    "reliable_recovery": ("Reliable recovery (NHS), among cases at first", True, reliable_recovery),
    "reliable_deterioration": ("Reliable deterioration on PHQ-9 or GAD-7", False, reliable_deterioration),
    "non_start": ("No session attended", False, non_start),
    "one_session": ("Exactly one session attended", False, one_session),
    "unplanned_end": ("Ended without planned completion", False, unplanned_end),
    "below_dose": ("Fewer than {k} sessions attended", False, below_dose),
}


def _parameters(definition: Callable[..., pd.Series], *, keyword_only: bool) -> dict[str, Any]:
    found = signature(definition).parameters.items()
    return {name: p.default for name, p in found if (p.kind is Parameter.KEYWORD_ONLY) == keyword_only}


def _counts(sessions: Any) -> pd.DataFrame:
    counts = match_patients(sessions=sessions)
    known = counts["sessions"].dropna()
    if n := int(((known < 0) | (known % 1 != 0)).sum()):
        raise InputError(
            f"{input_name('sessions', sessions)} holds {n} values that are not counts (0, 1, ...)."
        )
    return counts


def _nhs_scores(*values: Any) -> pd.DataFrame:
    names = ("phq_first", "phq_last", "gad_first", "gad_last")
    return match_scores(**{n: (v, Instrument.get(_NHS[n[:3]])) for n, v in zip(names, values, strict=True)})


def _case(scores: pd.DataFrame, time: str) -> pd.Series:
    cutoffs = {f"{key}_{time}": Instrument.get(name).require("case_cutoff") for key, name in _NHS.items()}
    return scores[list(cutoffs)].ge(pd.Series(cutoffs)).any(axis=1)


def _reliable(scores: pd.DataFrame, *, sign: int) -> pd.Series:
    """Return who fell reliably on either instrument and rose on neither (with sign -1: the reverse)."""
    fell = pd.DataFrame({key: sign * (scores[f"{key}_first"] - scores[f"{key}_last"]) for key in _NHS})
    change = pd.Series({key: Instrument.get(name).require("reliable_change") for key, name in _NHS.items()})
    return fell.ge(change - _TOLERANCE).any(axis=1) & ~fell.le(_TOLERANCE - change).any(axis=1)


def _labels(name: str, event: pd.Series, *, known: pd.DataFrame, among: pd.Series | None = None) -> pd.Series:
    """Return 1 and 0 where all inputs are known (and the patient is in the denominator), else NaN."""
    defined = known.notna().all(axis=1)
    return event.astype(float).where(defined if among is None else defined & among).rename(name)
