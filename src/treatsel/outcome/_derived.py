"""Outcomes that a codebook derives from scores: label and signed distance of every patient."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from treatsel.codebook import Field, Target, sources_of
from treatsel.errors import CodebookError, InputError
from treatsel.instrument import match_patients
from treatsel.outcome._named import Outcome
from treatsel.outcome._thresholds import are_whole, at_least, at_most, distances, spread_of


@dataclass(frozen=True, kw_only=True)
class DerivedOutcome:
    """An outcome derived from scores.

    Attributes
    ----------
    label : Series of shape (n_patients,)
        1, 0 or NaN (a score is missing, or the outcome is not defined for the patient).
    distance : Series of shape (n_patients,)
        Signed distance in standard deviations: positive where the label is 1, negative where it is 0, never
        0, and NaN where it is NaN.
    rule : str
        How it was derived, in words.
    """

    label: pd.Series
    distance: pd.Series
    rule: str


def derive(field: Field, frame: pd.DataFrame) -> DerivedOutcome:
    """Return an outcome of a codebook, derived from the columns of scores of a clean table.

    Parameters
    ----------
    field : Field
        An outcome with the key `score` (and `target`) or `definition`.
    frame : DataFrame of shape (n_patients, n_columns)
        Holds the scores as numbers.

    Returns
    -------
    DerivedOutcome

    Raises
    ------
    CodebookError
        If an option of the definition is not known.
    InputError
        If a score is not possible on its instrument.

    Examples
    --------
    >>> import pandas as pd
    >>> from treatsel.codebook import Field
    >>> from treatsel.outcome import derive
    >>> field = Field(name="low", type="integer", role="outcome", score="phq9_end", target="< 10")
    >>> derived = derive(field, pd.DataFrame({"phq9_end": [9, 10, None]}))
    >>> derived.rule, derived.label.tolist(), derived.distance.round(2).tolist()
    ('phq9_end < 10', [1.0, 0.0, nan], [0.71, -0.71, nan])
    """
    if field.definition is None:
        score = frame[field.score]
        distance = target_distance(score, target=str(field.target)).rename(field.name)
        rule = f"{field.score} {field.target}"
        label = (distance > 0).astype(float).where(distance.notna())
        return DerivedOutcome(label=label, distance=distance, rule=rule)
    columns = sources_of(field)
    options = {key: value for key, value in field.definition.items() if key not in ("name", *columns)}
    outcome = _outcome(field, options)
    label, distance = outcome.label(frame, **columns), outcome.distance(frame, **columns)
    rule = f"the definition {outcome.name!r} of {', '.join(columns.values())}"
    return DerivedOutcome(label=label.rename(field.name), distance=distance.rename(field.name), rule=rule)


def target_distance(score: Any, *, target: str) -> pd.Series:
    """Return the distance of a score to its target, in SDs of the score: positive where it is met.

    The target "< 10" is met by what is not at least 10; each comparison allows for rounding errors. Between
    whole numbers the threshold lies halfway, at 9.5.
    """
    goal = Target.parse(target)
    if goal.is_median:
        raise InputError("The score has no known value, and thus no median. Give the target as a number.")
    scores = match_patients(score=score)
    compared = at_least if goal.sign in (">=", "<") else at_most
    found = compared(
        scores["score"],
        goal.cutoff,
        whole=are_whole(scores["score"]),
        spread=spread_of(scores["score"]),
    )
    return distances("target", -found if goal.sign in ("<", ">") else found, known=scores)


def _outcome(field: Field, options: dict[str, Any]) -> Outcome:
    """Return the outcome that a definition names; options are checked by it."""
    name = str((field.definition or {})["name"])
    try:
        return Outcome.get(name, **options)
    except InputError as error:
        raise CodebookError(f"Codebook field {field.name!r}: definition {name!r}: {error}") from None
