"""Checked development data from a cohort, or from a table and outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import (
    as_pandas,
    check_binary,
    check_choice,
    check_mapping_keys,
    check_same_length,
    check_unique,
    count_of,
    names_in,
)
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._stats.alignment import check_order_of, check_same_order
from treatsel._stats.clusters import therapist_clusters
from treatsel.codebook import (
    ATTRIBUTE,
    Codebook,
    Field,
    by_id,
    carried,
    direction_of,
    frame_of,
    sources_of,
    stated_for,
)
from treatsel.cohort import Cohort
from treatsel.errors import CodebookError, CohortError, Fault, InputError
from treatsel.selector._groups import normal_groups, say_therapists_are_ignored, site_in, therapists_in


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DevelopmentData:
    """Checked development data.

    Attributes
    ----------
    clean : DataFrame of shape (n_patients, n_covariates + 1)
        Covariates and arm column.
    outcomes : DataFrame of shape (n_patients, n_outcomes)
        0, 1 or NaN (not observed).
    scores : DataFrame
        Signed distance from the definition, of the outcomes that rest on scores.
    units : mapping of str to (float, float)
        Of outcomes that rest on one score: value at distance 0, and change per unit of distance.
    process : DataFrame
        Columns observed after the start, which say whose outcomes were lost: process columns of a cohort, and
        outcomes that were observed in every patient.
    sessions : DataFrame
        Scores of a cohort recorded after treatment began (session_score) on which no outcome rests.
    received : Series of shape (n_patients,)
        Received arm.
    groups, therapists, persons : Series of shape (n_patients,) or None
        Site or service, therapist (NaN: none) and person of each row.
    codebook : Codebook
        Covariates and arm.
    assignment : str or None
        "randomised", "routine", or None: not stated.
    """

    clean: pd.DataFrame
    outcomes: pd.DataFrame
    scores: pd.DataFrame
    units: Mapping[str, tuple[float, float]]
    process: pd.DataFrame
    sessions: pd.DataFrame
    received: pd.Series
    groups: pd.Series | None
    therapists: pd.Series | None
    persons: pd.Series | None
    codebook: Codebook
    assignment: str | None

    @property
    def clusters(self) -> pd.Series | None:
        """Sites, or without sites therapists; patients without a therapist are clusters of their own."""
        if self.groups is not None or self.therapists is None:
            return self.groups
        return therapist_clusters(self.therapists, None)

    @property
    def covariates(self) -> pd.DataFrame:
        """Covariates, without the arm."""
        return self.clean[list(self.codebook.covariates)]


def development_of(selector: Any, X: Any, y: Any, extra: Any = None) -> DevelopmentData:
    """Return checked development data from a cohort, or from a table, outcomes and extra columns."""
    if extra is not None:
        return _of_cohort(selector, _joined(selector, X, y, extra), None)
    if isinstance(X, Cohort) and selector.codebook not in (None, X.codebook):
        raise InputError("A cohort has its own codebook. Leave codebook out of the selector.")
    if isinstance(X, Cohort):
        return _of_cohort(selector, X, y)
    if y is None:
        raise InputError("y is None. Give the outcomes, or a Cohort as X.")
    return _of_table(selector, X, y, selector.codebook, selector.groups)


def _joined(selector: Any, X: Any, y: Any, extra: Any) -> Cohort:
    """Return the cohort of a table, outcomes and extra columns."""
    book, extra = selector.codebook, as_pandas(extra)
    if isinstance(X, Cohort):
        raise InputError("extra is for tables: a Cohort already has all columns. Leave extra out.")
    if book is None:
        raise InputError("extra needs a codebook that gives each of its columns a role: pass codebook=.")
    if not isinstance(extra, pd.DataFrame):
        raise InputError(f"extra must be a DataFrame with the index of X, not a {type(extra).__name__}.")
    frame = frame_of(X)
    check_same_length(X=frame, extra=extra)
    check_same_order(X=frame, extra=extra)
    parts = [frame, extra.set_axis(frame.index)]
    if y is not None:
        check_same_order(X=frame, y=as_pandas(y))
        parts.append(outcome_table(y, frame))
    cohort = Cohort(pd.concat(parts, axis=1), book)
    say_therapists_are_ignored(cohort.codebook, cohort.frame, "X and extra do")
    return cohort


def _of_cohort(selector: Any, cohort: Cohort, y: Any) -> DevelopmentData:
    """Read a cohort by the roles of its columns; outcomes in y replace those of the cohort."""
    if cohort.codebook.arm is None:
        raise InputError("The codebook has no column with the role arm. Give this role to the received arm.")
    if selector.arm != cohort.codebook.arm:
        raise InputError(
            f"The cohort's arm column is {cohort.codebook.arm!r}, but the selector's is {selector.arm!r}. "
            f"Use TreatmentSelector(arm={cohort.codebook.arm!r})."
        )
    person = cohort.codebook.name("person")
    groups = selector.groups or cohort.codebook.name("site")
    if groups is None and person is not None and cohort.frame[person].duplicated().any():
        groups = person  # rows of the same person are dependent; with one row per person, nothing is grouped
    therapist = cohort.codebook.name("therapist")
    frame = cohort.X
    for name in dict.fromkeys((groups, person)):
        if name is not None:
            if name not in cohort.frame:
                raise InputError(f"The cohort has no column {name!r}, which was given as groups.")
            frame[name] = cohort.frame[name]
    if therapist in cohort.frame:
        frame[therapist] = cohort.frame[therapist]
    data = _of_table(selector, frame, cohort.y if y is None else y, cohort.codebook, groups, is_cohort=True)
    # outcomes that were given as y may be of some patients only, or others than the cohort's
    others = [name for name in cohort.codebook.outcomes if name not in data.process]
    process = cohort.process.join(_complete(cohort.frame[others])).join(data.process)
    return replace(
        data,
        scores=cohort.scores.reindex(data.clean.index),
        units=_units(cohort),
        process=process.reindex(data.clean.index),
        sessions=_sessions(cohort).reindex(data.clean.index),
    )


def _of_table(
    selector: Any, X: Any, y: Any, codebook: Any, groups: str | None, *, is_cohort: bool = False
) -> DevelopmentData:
    frame = frame_of(X)
    codebook = Codebook.read(codebook) if isinstance(codebook, str | Path) else codebook
    frame = codebook.with_known_names(frame) if isinstance(codebook, Codebook) else frame
    outcomes = outcome_table(y, frame)
    assignment = check_assignment(selector.assignment)
    groups = groups or site_in(codebook, frame)
    book = development_codebook(codebook, frame, selector.arm, groups)
    check_no_outcome(book, outcomes)
    check_order_of(frame, by_id(frame, book), y=as_pandas(y))
    clean, faults = book.parse(frame, names=[*book.covariates, selector.arm])
    if faults:
        raise CohortError(f"X does not fit the codebook ({count_of(len(faults), 'fault')}):", faults)
    return DevelopmentData(
        clean=clean,
        outcomes=outcomes,
        scores=pd.DataFrame(index=clean.index),
        units={},
        process=_complete(outcomes.set_axis(clean.index)),
        sessions=pd.DataFrame(index=clean.index),
        received=clean[selector.arm],
        groups=normal_groups(frame[groups]) if groups else None,
        therapists=therapists_in(codebook, frame, groups, is_cohort=is_cohort),
        persons=next((frame[name] for name in book.names("person") if name in frame), None),
        codebook=book,
        assignment=assignment,
    )


def _units(cohort: Cohort) -> dict[str, tuple[float, float]]:
    """Return the linear relation of a score to its distance from the threshold, for outcomes of one score."""
    found = {}
    for name, distance in cohort.scores.items():
        score = cohort.codebook[str(name)].score
        if score is None or score not in cohort.frame:
            continue
        known = (distance.notna() & cohort.frame[score].notna()).to_numpy()
        away = distance.to_numpy(dtype=float)[known]
        values = cohort.frame[score].to_numpy(dtype=float, na_value=np.nan)[known]
        if np.ptp(away) > 0:
            low, high = int(away.argmin()), int(away.argmax())
            slope = (values[high] - values[low]) / (away[high] - away[low])
            found[str(name)] = (float(values[low] - slope * away[low]), float(slope))
    return found


def _sessions(cohort: Cohort) -> pd.DataFrame:
    """Return the scores recorded after treatment began, without those on which an outcome rests."""
    ends = {source for field in cohort.codebook.fields for source in sources_of(field).values()}
    names = cohort.codebook.names("session_score")
    return cohort.frame[[name for name in names if name in cohort.frame and name not in ends]]


def _complete(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the outcomes that were observed in every patient, such as dropout."""
    return outcomes.loc[:, outcomes.notna().all()]


ASSIGNMENTS = ("randomised", "routine")


def check_assignment(assignment: Any) -> str | None:
    """Return how arms were assigned: "randomised", "routine", or None if not stated."""
    return None if assignment is None else check_choice("assignment", assignment, ASSIGNMENTS)


def outcome_table(y: Any, X: pd.DataFrame) -> pd.DataFrame:
    """Return outcomes as a table of 0, 1 and NaN, with the index of X."""
    y = as_pandas(y)
    if isinstance(y, pd.DataFrame):
        table = y
    elif np.ndim(y) != 1:
        raise InputError(
            f"y has {np.ndim(y)} dimensions; it must be one vector, or a DataFrame with a column per outcome."
        )
    else:
        name = y.name if isinstance(y, pd.Series) and y.name is not None else "outcome"
        table = pd.DataFrame({str(name): y if isinstance(y, pd.Series) else np.asarray(y)})
    check_same_length(X=X, y=table)
    check_same_order(X=X, y=y)
    if not len(table.columns):
        raise InputError("y has no columns. Give one column per outcome.")
    check_unique("The columns of y", table.columns)
    checked = pd.DataFrame(
        {str(name): check_binary(f"Outcome {name!r}", table[name], allow_missing=True) for name in table},
        index=X.index,
    )
    if isinstance(y, pd.Series) and (good := carried(y)) is not None:
        checked.attrs[ATTRIBUTE] = {checked.columns[0]: good}
    return checked


def development_codebook(
    codebook: Codebook | str | Path | None, X: pd.DataFrame, arm: str, groups: str | None
) -> Codebook:
    """Return the codebook of the covariates and the arm: the one given, or one drafted from X."""
    for role, name in (("arm", arm), ("groups", groups)):
        if name is not None and name not in X.columns:
            raise InputError(f"X has no column {name!r}, which was given as {role}. It has {names_in(X)}.")
    if groups == arm:
        raise InputError(f"arm and groups are the same column, {arm!r}. They must be different columns.")
    covariates = X.drop(columns=[groups] if groups else [])
    if codebook is None:
        book = Codebook.infer(covariates, arm=arm, outcomes=[], ranges=False)
        _refuse_strangers(book, arm)
        # categories are listed after the fit, without those of fewer than 5 patients
        fields = (
            replace(f, enum=None) if f.role == "covariate" and f.type == "string" else f for f in book.fields
        )
        return Codebook(tuple(fields), book.missing_values)
    if not isinstance(codebook, Codebook | str | Path):
        raise InputError(f"codebook must be a Codebook or a path, not a {type(codebook).__name__}.")
    book = codebook if isinstance(codebook, Codebook) else Codebook.read(codebook)
    book.check_decided()
    if book.arm is None:
        book = Codebook((*book.fields, Field(name=arm, role="arm")), book.missing_values)
    elif book.arm != arm:
        raise CodebookError(f"The codebook's arm column is {book.arm!r}, but the selector's is {arm!r}.")
    if groups in book.covariates:
        raise CodebookError(
            f"groups is {groups!r}, which is a covariate in the codebook. A column cannot be both."
        )
    if not book.covariates:
        raise CodebookError("The codebook has no column with the role covariate. Give it to at least one.")
    if unknown := book.unknown_columns(covariates):
        raise CohortError("X does not fit the codebook:", unknown)
    return book


def check_no_outcome(book: Codebook, outcomes: pd.DataFrame) -> None:
    """Raise if an outcome is also a covariate or the arm (leakage)."""
    if leaks := [name for name in outcomes.columns if name in book.covariates or name == book.arm]:
        remedy = "A covariate must be known before treatment: leave the column out of X."
        faults = [Fault(column=name, problem="is an outcome in y", remedy=remedy) for name in leaks]
        raise CohortError("X contains an outcome:", faults)


def _refuse_strangers(book: Codebook, arm: str) -> None:
    """Raise if columns do not look like covariates, instead of dropping them silently."""
    reasons = {
        "session_score": "looks as if it was measured after treatment began",
        "process": "looks as if it was recorded after treatment began",
        "date": "holds dates",
        "id": "looks like a patient id",
        "site": "looks like a site",
        "therapist": "looks like a therapist",
        "outcome": "looks like an outcome",
        "undecided": "may not be a covariate",
        None: "holds too many different texts to be a category",
    }
    remedy = "Leave it out of X, pass it as groups, or pass a codebook in which it has the role covariate."
    faults = [
        Fault(column=field.name, problem=reasons[field.role], remedy=f"{field.note} {remedy}".strip())
        for field in book.fields
        if field.role in reasons
    ]
    if faults:
        raise CohortError("X holds columns that may not be covariates:", faults)
    if not book.covariates:
        raise InputError(f"X has no covariates besides the arm column {arm!r}.")


def directions(given: Any, outcomes: pd.DataFrame, book: Codebook) -> dict[str, bool]:
    """Return whether 1 is good for each outcome, as stated by an argument, the codebook or its definition.

    Raises
    ------
    InputError
        If the direction of an outcome is stated nowhere, or statements contradict each other.
    """
    if isinstance(given, Mapping):
        check_mapping_keys("event_is_good", given, outcomes.columns)
    labels = outcomes.attrs.get(ATTRIBUTE, {})
    return {
        name: direction_of(
            name,
            ("event_is_good", stated_for(name, given)),
            ("the codebook", book[name].event_is_good if name in book else None),
            ("the outcome that labelled y", labels.get(name)),
        )
        for name in outcomes.columns
    }


def frequent_levels(column: pd.Series) -> tuple[str, ...]:
    """Return the texts that at least 5 patients have, sorted."""
    counts = column.value_counts()
    return tuple(sorted(counts.index[counts >= SMALLEST_GROUP]))


def completed_codebook(
    book: Codebook, clean: pd.DataFrame, directions: Mapping[str, bool | None]
) -> Codebook:
    """Return the codebook with the categories found in the data and an entry for each outcome.

    The categories of a column are listed if at least 5 patients have each of them: a rarer one could identify
    a patient, and a list without it would refuse the development cohort itself. Without a list, a value that
    the model has not learned is flagged (unseen_category), but not refused.
    """
    fields = []
    for field in book.fields:
        if field.role == "covariate" and field.type == "string" and field.enum is None:
            found = frequent_levels(clean[field.name])
            rarer = not clean[field.name].dropna().isin(found).all()
            fields.append(replace(field, enum=None if rarer else found or None))
        elif field.role == "therapist":  # a list of names would be in the model file
            fields.append(replace(field, enum=None))
        elif field.name not in directions:
            fields.append(field)
    for name, good in directions.items():
        known = book[name] if name in book and book[name].role == "outcome" else None
        fields.append(
            Field(name=name, type="integer", role="outcome", event_is_good=good)
            if known is None
            else replace(known, event_is_good=good)
        )
    return Codebook(tuple(fields), book.missing_values)
