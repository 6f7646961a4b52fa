"""`Instrument`: range, bands, cut-offs and reliable change of a questionnaire, each with its source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import pandas as pd
import yaml

from treatsel._checks import check_choice, check_level, check_same_length, check_vector, count_of
from treatsel.errors import InputError

Direction = Literal["lower is better", "higher is better"]
Constant = Literal["case_cutoff", "reliable_change", "remission_maximum"]
TOLERANCE = 1e-9  # points; prorated scores and means of items carry rounding error


@dataclass(frozen=True, kw_only=True)
class Band:
    """A severity band of an instrument.

    Attributes
    ----------
    label : str
        Name in the source, for example "moderate".
    minimum, maximum : float
        Lowest and highest integer score of the band, in points.
    """

    label: str
    minimum: float
    maximum: float


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A questionnaire or rating scale and the published constants of its total score.

    Eleven are included (`Instrument.names`); only constants on which published sources agree are filled in,
    with citations in `sources`. Any other instrument can be constructed.

    Attributes
    ----------
    name, title : str
        Short and full name.
    minimum, maximum : float
        Range of the total score, in points.
    direction : {"lower is better", "higher is better"}
        Direction of improvement.
    items : str
        How the total is computed.
    bands : tuple of Band
        From the lowest score to the highest; empty if sources differ.
    case_cutoff : float or None
        A score at or above it is a case. Only if lower is better.
    reliable_change : float or None
        Smallest reliable change, in points: a change of at least this size counts.
    reliable_change_level : float or None
        Confidence level of `reliable_change`, in (0, 1), if the source states one.
    remission_maximum : float or None
        Highest score that counts as remission. Only if lower is better.
    sources : mapping of str to tuple of str
        Citations for "range" and for each attribute that is filled in.

    Raises
    ------
    InputError
        If the constants contradict each other.

    Examples
    --------
    >>> phq9 = Instrument.get("phq9")
    >>> phq9.name, phq9.case_cutoff, phq9.reliable_change, phq9.remission_maximum
    ('PHQ-9', 10, 6, 4)
    """

    name: str
    title: str
    minimum: float
    maximum: float
    direction: Direction
    items: str = ""
    bands: tuple[Band, ...] = ()
    case_cutoff: float | None = None
    reliable_change: float | None = None
    reliable_change_level: float | None = None
    remission_maximum: float | None = None
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        check_choice("direction", self.direction, ("lower is better", "higher is better"))
        if not self.minimum < self.maximum:
            raise InputError(f"{self.name}: minimum must be below maximum.")
        for attribute in ("case_cutoff", "remission_maximum"):
            value = getattr(self, attribute)
            if value is None:
                continue
            if self.direction != "lower is better":
                raise InputError(f"{self.name}: {attribute} needs an instrument where lower is better.")
            if not self.minimum <= value <= self.maximum:
                raise InputError(f"{self.name}: {attribute} {value:g} lies outside {self._range()}.")
        if self.reliable_change is not None and not 0 < self.reliable_change <= self.maximum - self.minimum:
            raise InputError(
                f"{self.name}: reliable_change must be positive and at most the width of {self._range()}."
            )
        if self.reliable_change_level is not None:
            check_level(self.reliable_change_level)
        self._check_bands()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the included instruments.

        Returns
        -------
        tuple of str
            Names that `Instrument.get` accepts.

        Examples
        --------
        >>> Instrument.names()[:3]
        ('PHQ-9', 'GAD-7', 'QIDS-SR16')
        """
        return tuple(instrument.name for instrument in _catalog().values())

    @classmethod
    def get(cls, name: "str | Instrument") -> "Instrument":
        """Return an included instrument by name, or a given instrument unchanged.

        Parameters
        ----------
        name : str or Instrument
            Case and punctuation do not matter: "PHQ-9", "phq9" and "Phq 9" are the same.

        Returns
        -------
        Instrument

        Raises
        ------
        InputError
            If no included instrument has that name.

        Examples
        --------
        >>> Instrument.get("GAD-7").case_cutoff
        8
        """
        if isinstance(name, Instrument):
            return name
        known, key = _catalog(), _key(name)
        if key in known:
            return known[key]
        close = get_close_matches(key, known, n=1)
        hint = f" Did you mean {known[close[0]].name!r}?" if close else ""
        raise InputError(
            f"Instrument {name!r} is unknown; the included ones are {', '.join(cls.names())}.{hint}"
        )

    def check_scores(self, name: str, scores: Any) -> pd.Series:
        """Return total scores as a float Series, or raise if one lies outside the instrument's range.

        Parameters
        ----------
        name : str
            Name of the scores in error messages.
        scores : array-like of shape (n_patients,)
            Points; NaN = missing. Fractions are allowed, since prorated totals are common.

        Returns
        -------
        Series of shape (n_patients,)
            The scores with their index (and name).

        Raises
        ------
        InputError
            If a value is not a number or is outside the range; the message gives counts, never a score.

        Examples
        --------
        >>> Instrument.get("PHQ-9").check_scores("phq9", [0, 27, None]).tolist()
        [0.0, 27.0, nan]
        """
        vector = check_vector(name, scores, allow_missing=True)
        low, high = self.minimum - TOLERANCE, self.maximum + TOLERANCE
        if n := int(((vector < low) | (vector > high)).sum()):
            raise InputError(
                f"{name} holds {count_of(n, 'score')} outside {self._range()}, the range of {self.name}. "
                "Correct them, or set them to missing."
            )
        if isinstance(scores, pd.Series):
            return pd.Series(vector, index=scores.index, name=scores.name)
        return pd.Series(vector)

    def band(self, scores: Any) -> pd.Series:
        """Return the severity band of each score.

        Parameters
        ----------
        scores : array-like of shape (n_patients,)
            Points; NaN = missing. A fraction belongs to the band of the integer score below it.

        Returns
        -------
        Series of shape (n_patients,)
            Ordered categories, from the lowest band to the highest; missing if the score is missing.

        Raises
        ------
        InputError
            If the instrument has no bands, or a score lies outside its range.

        Examples
        --------
        >>> Instrument.get("PHQ-9").band([4, 5, 20]).tolist()
        ['minimal', 'mild', 'severe']
        """
        checked = self.check_scores("scores", scores)
        if not self.bands:
            raise InputError(self._lacks("bands"))
        edges = [*(band.minimum - TOLERANCE for band in self.bands), float("inf")]
        return pd.cut(checked, edges, right=False, labels=[band.label for band in self.bands])

    def require(self, constant: Constant) -> float:
        """Return a constant, or raise if the instrument has none.

        Parameters
        ----------
        constant : {"case_cutoff", "reliable_change", "remission_maximum"}
            The constant to return.

        Returns
        -------
        float
            Points.

        Raises
        ------
        InputError
            If the instrument has no such constant; the message lists the instruments that have one.

        Examples
        --------
        >>> Instrument.get("HAM-D17").require("remission_maximum")
        7
        """
        check_choice("constant", constant, ("case_cutoff", "reliable_change", "remission_maximum"))
        value: float | None = getattr(self, constant)
        if value is None:
            raise InputError(self._lacks(constant))
        return value

    def _lacks(self, attribute: str) -> str:
        able = [known.name for known in _catalog().values() if getattr(known, attribute)]
        return (
            f"{self.name} has no {attribute}, because published sources differ or none is given. "
            f"Use {', '.join(able)}, or construct an Instrument with your own constant and its source."
        )

    def _range(self) -> str:
        return f"{self.minimum:g} to {self.maximum:g}"

    def _check_bands(self) -> None:
        if not self.bands:
            return
        lower, upper = [band.minimum for band in self.bands], [band.maximum for band in self.bands]
        ordered = all(low <= high for low, high in zip(lower, upper, strict=True))
        joined = all(0 < low - high <= 1 for high, low in zip(upper[:-1], lower[1:], strict=True))
        if not ordered or not joined or (lower[0], upper[-1]) != (self.minimum, self.maximum):
            raise InputError(
                f"{self.name}: bands must ascend without overlap or gap and cover {self._range()}."
            )


def input_name(name: str, values: Any) -> str:
    """Return the name of an input in error messages, with the name of the user's column if it has one.

    Examples
    --------
    >>> input_name("last", pd.Series([4], name="phq9_last"))
    "last (column 'phq9_last')"
    """
    column = values.name if isinstance(values, pd.Series) else None
    return name if column is None else f"{name} (column {column!r})"


def match_patients(**inputs: Any) -> pd.DataFrame:
    """Return one float column per input: Series matched by their index, arrays by position.

    Parameters
    ----------
    **inputs : array-like of shape (n_patients,)
        Numbers; NaN = missing.

    Returns
    -------
    DataFrame of shape (n_patients, n_inputs)
        With the index of the first Series and one column per input.

    Raises
    ------
    InputError
        If an input is not numeric, lengths differ, or two Series hold different patients.

    Examples
    --------
    >>> first, last = pd.Series([20, 15], index=["a", "b"]), pd.Series([4, 9], index=["b", "a"])
    >>> match_patients(first=first, last=last)["last"].to_dict()
    {'a': 9.0, 'b': 4.0}
    """
    vectors = {name: check_vector(input_name(name, v), v, allow_missing=True) for name, v in inputs.items()}
    check_same_length(**vectors)
    series = {name: values for name, values in inputs.items() if isinstance(values, pd.Series)}
    index = next((values.index for values in series.values()), None)
    matched = pd.DataFrame(vectors, index=index)
    for name, values in series.items():
        if values.index.equals(matched.index):
            continue
        unique = values.index.is_unique and matched.index.is_unique
        if not unique or not values.index.isin(matched.index).all():
            raise InputError(f"{input_name(name, values)} holds different patients from the first Series.")
        matched[name] = pd.Series(vectors[name], index=values.index).reindex(matched.index)
    return matched


def match_scores(**inputs: tuple[Any, Instrument | None]) -> pd.DataFrame:
    """Return one float column per input, matched by patient and checked against its instrument.

    Parameters
    ----------
    **inputs : tuple of (array-like of shape (n_patients,), Instrument or None)
        Scores in points, and their instrument; None checks only that they are not negative.

    Returns
    -------
    DataFrame of shape (n_patients, n_inputs)
        As from `match_patients`.

    Raises
    ------
    InputError
        As from `match_patients`, or if a score lies outside its range.

    Examples
    --------
    >>> match_scores(last=([4, None], Instrument.get("PHQ-9")))["last"].tolist()
    [4.0, nan]
    """
    scores = match_patients(**{name: values for name, (values, _) in inputs.items()})
    for name, (values, instrument) in inputs.items():
        if instrument is not None:
            instrument.check_scores(input_name(name, values), scores[name])
        elif n := int((scores[name] < 0).sum()):
            raise InputError(
                f"{input_name(name, values)} holds {count_of(n, 'negative score')}; scores must be 0 or more."
            )
    return scores


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


@cache
def _catalog() -> dict[str, Instrument]:
    """Return the included instruments by normalized name; the file is read once, on first use."""
    text = files("treatsel").joinpath("instruments.yaml").read_text(encoding="utf-8")
    return {_key(entry["name"]): _instrument(entry) for entry in yaml.safe_load(text)}


def _instrument(entry: dict[str, Any]) -> Instrument:
    bands = tuple(Band(**band) for band in entry.pop("bands", ()))
    sources = {attribute: tuple(citations) for attribute, citations in entry.pop("sources").items()}
    return Instrument(**entry, bands=bands, sources=sources)
