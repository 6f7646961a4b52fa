"""A patient table, checked against its codebook."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import LOST_HEADER, as_pandas, count_of, has_lost_header
from treatsel._disclosure import is_disclosive, suppressed
from treatsel._reporting.format import percent
from treatsel._reporting.summary import Summarized, Summary, count_text
from treatsel.codebook import Codebook, fixed_targets, sources_of
from treatsel.errors import CodebookError, CohortError, DataQualityWarning, Fault, InputError, warn
from treatsel.outcome import derive
from treatsel.table import read_csv, read_parquet, read_table

# Fewest patients with, and without, the outcome for a column that repeats it to be a fault: two if it is also
# coded 0 and 1; ten in another coding, since a binary column of a small table may match by chance.
_MIN_SAME_CODES, _MIN_RECODED = 2, 10


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Cohort(Summarized):
    """Patients, checked against a codebook; all faults are reported at once.

    Nothing is repaired silently: a table that violates its codebook raises an error that lists every column,
    count and remedy. The frame is copied in clean form (numbers as float64, labels as text); the index is the
    patient id if the codebook has one. Outcomes that the codebook derives from scores are computed here; the
    table needs no column for them.

    Parameters
    ----------
    frame : DataFrame of shape (n_patients, n_columns)
        One row per patient. The id may be a column, or the index if it has the same name.
    codebook : Codebook, path or None
        Meaning of the columns; None drafts one (`Codebook.infer`), which a person should then review.

    Raises
    ------
    CohortError
        For unknown or missing columns, wrong types, values out of range or not listed, infinite
        values, duplicate ids, outcomes that are not 0 or 1, covariates without any value, a covariate
        that repeats an outcome (in the same or another coding), an outcome that differs from what its score
        gives, no covariate, or no rows.
    CodebookError
        If the codebook cannot be read.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": ["a", "b"], "age": [31, 44], "arm": ["CBT", "SSRI"], "remission": [1, 0]})
    >>> cohort = Cohort(frame)
    >>> cohort.X
         age   arm
    id
    a   31.0   CBT
    b   44.0  SSRI
    >>> cohort.y.tolist()
    [1.0, 0.0]
    """

    frame: pd.DataFrame
    codebook: Codebook
    _distances: pd.DataFrame = field(init=False)  # of `scores`, one row per row of `frame`

    def __init__(self, frame: pd.DataFrame, codebook: Codebook | str | Path | None = None) -> None:
        frame = as_pandas(frame)
        if not isinstance(frame, pd.DataFrame):
            raise CohortError(f"frame must be a DataFrame; it is a {type(frame).__name__}.")
        if not len(frame):
            raise CohortError("The table has no rows. A cohort needs at least one patient.")
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        _check_names(frame)
        codebook = _codebook(codebook)
        codebook = codebook if codebook is not None else Codebook.infer(frame)
        frame = codebook.with_known_names(frame)
        id_name = codebook.name("id")
        if id_name is not None and id_name not in frame.columns and frame.index.name == id_name:
            frame = frame.reset_index()
        clean, faults = codebook.parse(frame)
        faults = [*codebook.unknown_columns(frame), *faults]
        sound = clean.columns.difference([str(fault.column) for fault in faults])
        fields = fixed_targets(codebook.fields, clean[sound])
        codebook = codebook if fields == codebook.fields else replace(codebook, fields=fields)
        clean, distances, more = _with_derived(clean, codebook, {str(fault.column) for fault in faults})
        faults += more
        faults += _faults_between_columns(clean, codebook, {str(fault.column) for fault in faults})
        if faults:
            raise CohortError(f"The cohort does not fit its codebook; faults: {len(faults)}.", faults)
        if not codebook.covariates:
            raise CohortError("The codebook has no column with the role covariate. It needs at least one.")
        if id_name is not None:
            clean = clean.set_index(id_name)
        elif n := int(clean.index.duplicated().sum()):
            raise CohortError(f"The index holds {count_of(n, 'duplicate')}. Each patient must have one row.")
        object.__setattr__(self, "frame", clean)
        object.__setattr__(self, "_distances", distances.set_axis(clean.index))
        object.__setattr__(self, "codebook", codebook)

    @classmethod
    def read_csv(cls, path: str | Path, codebook: Codebook | str | Path | None = None) -> "Cohort":
        """Read a CSV file in UTF-8; every cell is read as text and parsed by the codebook.

        Parameters
        ----------
        path : path
            File with a header line.
        codebook : Codebook, path or None
            The codebook or its file; None drafts one.

        Raises
        ------
        CohortError
            If the file cannot be read, or violates its codebook.
        CodebookError
            If the codebook cannot be read.
        """
        book = _codebook(codebook)
        return cls(read_csv(path, book), book)

    @classmethod
    def read_parquet(cls, path: str | Path, codebook: Codebook | str | Path | None = None) -> "Cohort":
        """Read a Parquet file; see `read_csv`. Needs pyarrow (``pip install 'treatsel[parquet]'``)."""
        book = _codebook(codebook)
        return cls(read_parquet(path), book)

    @classmethod
    def read(
        cls, path: str | Path, codebook: Codebook | str | Path | None = None, **options: str | None
    ) -> "Cohort":
        """Read a Parquet (``.parquet``), Excel (``.xlsx``) or, with any other extension, CSV file.

        `options` are those of `treatsel.table.read_csv`: separator, decimal, encoding.
        """
        book = _codebook(codebook)
        return cls(read_table(path, book, **options), book)

    def take(self, rows: Any) -> "Cohort":
        """Return the patients at some positions, or for whom a mask is true; they are not checked again."""
        positions = np.asarray(rows)
        positions = np.flatnonzero(positions) if positions.dtype == bool else positions
        cohort = self.with_frame(self.frame.iloc[positions])
        object.__setattr__(cohort, "_distances", self._distances.iloc[positions])  # in the same unit
        return cohort

    def with_frame(self, frame: pd.DataFrame) -> "Cohort":
        """Return a cohort of this codebook over a clean frame, which is not checked again."""
        cohort = object.__new__(Cohort)
        object.__setattr__(cohort, "frame", frame)
        object.__setattr__(cohort, "codebook", self.codebook)
        object.__setattr__(cohort, "_distances", _with_derived(frame, self.codebook, set())[1])
        return cohort

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        """Summarize the cohort without showing a patient."""
        book = self.codebook
        return (
            f"Cohort({len(self)} patients, {len(book.covariates)} covariates, "
            f"arm={book.arm!r}, outcomes={list(book.outcomes)})"
        )

    def _summary(self) -> Summary:
        book = self.codebook
        missing = int(self.frame[list(book.covariates)].isna().any().sum())
        facts = [("covariates", f"{len(book.covariates)}, of which {missing} with missing values")]
        facts += [
            (role, book.label(name))
            for role in ("arm", "site", "therapist", "person")
            if (name := book.name(role))
        ]
        facts += [(f"outcome {book.label(name)}", self._rate(self.frame[name])) for name in book.outcomes]
        rows = []
        if book.arm is not None:
            counts = self.received.value_counts(sort=False).sort_index()
            shown = suppressed(counts.to_numpy())
            rows = [(str(arm), count_text(n)) for arm, n in zip(counts.index, shown, strict=True)]
        return Summary(
            title="Cohort",
            headline=f"{count_of(len(self), 'patient')}, checked against a codebook",
            facts=facts,
            columns=("Arm", "Patients"),
            rows=rows,
            note="The attribute frame holds the rows.",
        )

    @staticmethod
    def _rate(outcome: pd.Series) -> str:
        """Return how many outcomes are observed, and the rate, without small counts."""
        n, events = int(outcome.notna().sum()), int(outcome.sum())
        absent = len(outcome) - n
        if is_disclosive(n, len(outcome)):
            return "rate and number observed not shown (small counts)"
        rate = "rate not shown (small counts)" if is_disclosive(events, n) else f"1 in {percent(events / n)}"
        return f"{rate} of {n:,} patients; {absent:,} not observed"

    @property
    def X(self) -> pd.DataFrame:  # noqa: N802
        """Covariates and the arm column, DataFrame of shape (n_patients, n_covariates + 1)."""
        return self.frame[[*self.codebook.covariates, *self.codebook.names("arm")]].copy()

    @property
    def y(self) -> Any:
        """The outcome, a Series of 0, 1 and NaN (not observed); a DataFrame if there are several outcomes."""
        names = list(self.codebook.outcomes)
        if not names:
            raise CohortError("The codebook has no column with the role outcome.")
        return self.frame[names[0] if len(names) == 1 else names].copy()

    @property
    def scores(self) -> pd.DataFrame:
        """How far each patient is from each outcome that is derived from scores, DataFrame.

        One column per such outcome, in the order of the codebook, with the index of `frame`; no columns if
        there is none. Each value is the distance of the scores to the threshold, in standard deviations of
        the last score over the cohort as it was built (`Outcome.distance`): positive for the event, negative
        for no event, never 0, and NaN where the outcome is NaN. Larger means nearer to, or further beyond,
        the event, whether or not the event is good. An outcome that the table holds, without the scores, has
        no column.

        Examples
        --------
        >>> import pandas as pd
        >>> fields = [
        ...     {"name": "age", "type": "integer", "role": "covariate"},
        ...     {"name": "phq9_end", "type": "integer", "role": "session_score"},
        ...     {"name": "low", "role": "outcome", "score": "phq9_end", "target": "< 10"},
        ... ]
        >>> frame = pd.DataFrame({"age": [31, 44, 50], "phq9_end": [6, 11, None]})
        >>> cohort = Cohort(frame, Codebook.from_dict({"fields": fields}))
        >>> cohort.y.tolist(), cohort.scores["low"].round(2).tolist()
        ([1.0, 0.0, nan], [0.99, -0.42, nan])
        """
        return self._distances.copy()

    @property
    def received(self) -> pd.Series:
        """The arm that each patient received."""
        if self.codebook.arm is None:
            raise CohortError("The codebook has no column with the role arm.")
        return self.frame[self.codebook.arm].copy()

    @property
    def groups(self) -> pd.Series | None:
        """The site of each patient or, without sites, the person of each row; None without either column."""
        name = self.codebook.name("site") or self.codebook.name("person")
        return None if name is None else self.frame[name].copy()

    @property
    def therapists(self) -> pd.Series | None:
        """The therapist of each patient, missing for patients without one; None without such a column."""
        name = self.codebook.name("therapist")
        return None if name not in self.frame else self.frame[name].copy()

    @property
    def audit(self) -> pd.DataFrame:
        """The columns with role audit: used for subgroups only, never as covariates."""
        return self.frame[list(self.codebook.names("audit"))].copy()

    @property
    def process(self) -> pd.DataFrame:
        """The columns with role process (attendance, dropout, reason for ending): never covariates."""
        return self.frame[[name for name in self.codebook.names("process") if name in self.frame]].copy()


def _codebook(codebook: Codebook | str | Path | None) -> Codebook | None:
    if isinstance(codebook, str | Path):
        return Codebook.read(codebook)
    if codebook is not None and not isinstance(codebook, Codebook):
        kind = type(codebook).__name__
        raise CodebookError(f"codebook is a {kind}; give a Codebook (Codebook.from_dict), a path or None.")
    return codebook


def _check_names(frame: pd.DataFrame) -> None:
    names = frame.columns
    if has_lost_header(frame):
        raise CohortError(LOST_HEADER)
    if twice := sorted(set(names[names.duplicated()])):
        raise CohortError(f"Column names occur more than once: {twice}. Rename or drop the duplicates.")


def _with_derived(
    clean: pd.DataFrame, codebook: Codebook, faulty: set[str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[Fault]]:
    """Return the table with the outcomes that are derived from scores, their distances, and faults.

    Outcomes whose columns are at fault, or absent, are left out.
    """
    labels, distances, faults = {}, {}, []
    for outcome in codebook.fields:
        sources = set(sources_of(outcome).values())
        if not sources or not sources <= set(clean.columns) or faulty & {*sources, outcome.name}:
            continue
        try:
            derived = derive(outcome, clean)
        except InputError as error:
            problem = "cannot be derived from its scores"
            faults.append(Fault(column=outcome.name, problem=problem, remedy=str(error)))
            continue
        if outcome.name in clean.columns:
            faults += _differences(clean, outcome.name, derived.label, derived.rule, codebook.name("id"))
        labels[outcome.name], distances[outcome.name] = derived.label, derived.distance
    full = clean.assign(**labels) if labels else clean
    order = [name for name in codebook.names() if name in full.columns]
    return full[order], pd.DataFrame(distances, index=clean.index), faults


def _differences(
    clean: pd.DataFrame, name: str, label: pd.Series, rule: str, id_name: str | None
) -> list[Fault]:
    """Return a fault if the table's own column of a derived outcome has other values; warn of extra ones."""
    given = clean[name]
    if n := int((given.notna() & label.isna()).sum()):
        warn(
            f"outcome_without_score: column {name!r} holds {count_of(n, 'value')} where {rule} gives none, "
            f"since a score is missing or the patient does not count. They are not used. Add the scores, or "
            "remove score and target, or definition, from the codebook.",
            DataQualityWarning,
        )
    other = given.notna() & label.notna() & (given != label)
    if not (n := int(other.sum())):
        return []
    ids = clean.index if id_name is None or id_name not in clean.columns else pd.Index(clean[id_name])
    return [
        Fault(
            column=name,
            problem=f"has another value than {rule} gives in {count_of(n, 'patient')}",
            remedy="Correct this column or the scores, or drop the column: the outcome is derived from them.",
            n_rows=n,
            rows=tuple(ids[other.to_numpy()].tolist()),
        )
    ]


def _faults_between_columns(clean: pd.DataFrame, codebook: Codebook, faulty: set[str]) -> list[Fault]:
    faults = []
    for name in codebook.covariates:
        if name not in clean.columns or name in faulty:
            continue
        column = clean[name]
        if column.isna().all():
            remedy = "A covariate needs at least one value; drop the column or give it no role."
            faults.append(Fault(column=name, problem="has no values", remedy=remedy))
            continue
        for outcome in codebook.outcomes:
            if outcome in clean.columns and _same(column, clean[outcome]):
                remedy = "A covariate must be known before treatment; give it the role outcome or none."
                problem = f"repeats the outcome {outcome!r} for every patient"
                faults.append(Fault(column=name, problem=problem, remedy=remedy))
    return faults


def _same(column: pd.Series, outcome: pd.Series) -> bool:
    """Return whether a column repeats the outcome, possibly reversed or in another coding."""
    both = column.notna() & outcome.notna()
    values, outcomes = column[both], outcome[both]
    if outcomes.nunique() < 2 or values.nunique() != 2:
        return False
    fewest = _MIN_SAME_CODES if values.isin([0, 1]).all() else _MIN_RECODED
    if outcomes.value_counts().min() < fewest:
        return False
    return bool((pd.factorize(values)[0] == pd.factorize(outcomes)[0]).all())
