"""The synthetic cohorts included in treatsel, and their reproduction."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import check_choice
from treatsel.cohort import Cohort
from treatsel.datasets._generator import SyntheticCohort, make_cohort
from treatsel.datasets._mechanism import ARMS
from treatsel.errors import InputError
from treatsel.table import write_table

FILES = (
    "development.csv",
    "external.csv",
    "codebook.yaml",
    "truth_development.csv",
    "truth_external.csv",
    "README.md",
)
SHIPPED: Mapping[str, Mapping[str, Any]] = {
    "development": {"n": 4000, "sites": 9, "missing": 0.05, "random_state": 20250},
    "external": {
        "n": 2000,
        "sites": ["S21", "S22", "S23", "S24", "S25", "S26"],
        "missing": 0.05,
        "shift": 1.0,
        "random_state": 20251,
    },
}


def load_synthetic(which: str = "development") -> SyntheticCohort:
    """Load one of the two synthetic cohorts included in treatsel.

    Both are randomized over six arms with realistic heterogeneity, so that for most patients no arm is
    clearly best; 5 % of the cells are missing in eight covariates, and recovery is missing for most patients
    who dropped out. No row comes from a real person.

    Parameters
    ----------
    which : {"development", "external"}
        4,000 patients from 9 services; or 2,000 from 6 other services, older and more severely ill.

    Returns
    -------
    SyntheticCohort
        The truth is rounded to six digits.

    Raises
    ------
    InputError
        If there is no such cohort, or its files are not found.

    References
    ----------
    See `make_cohort`, which simulated them.

    Examples
    --------
    >>> development = load_synthetic()
    >>> len(development), development.cohort.groups.nunique()
    (4000, 9)
    >>> round(float(development.truth["recovery"]["cbt"].mean()), 2)
    0.32
    """
    check_choice("which", which, SHIPPED)
    cohort = Cohort.read_csv(synthetic_path(f"{which}.csv"), synthetic_path("codebook.yaml"))
    table = pd.read_csv(
        synthetic_path(f"truth_{which}.csv"), index_col="patient_id", dtype={"patient_id": str}
    )
    table.index = table.index.astype(cohort.frame.index.dtype)
    truth = {outcome: _of_outcome(table, outcome) for outcome in cohort.codebook.outcomes}
    propensity = pd.DataFrame(1 / len(ARMS), index=table.index, columns=list(ARMS))
    return SyntheticCohort(cohort, truth, propensity)


def synthetic_path(name: str) -> Path:
    """Return the path of a synthetic file, in the installed package or in a checkout.

    Parameters
    ----------
    name : str
        One of ``development.csv``, ``external.csv``, ``codebook.yaml``, ``truth_development.csv``,
        ``truth_external.csv``, ``README.md``.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    InputError
        If there is no such file.

    Examples
    --------
    >>> synthetic_path("codebook.yaml").name
    'codebook.yaml'
    """
    check_choice("name", name, FILES)
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_synthetic", package.parents[1] / "data" / "synthetic"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"The synthetic file {name!r} is neither in the installed package nor in a checkout. Reinstall "
        "treatsel, or write the files with `python -m treatsel.datasets FOLDER` and read them there."
    )


def write_synthetic(folder: str | Path) -> list[Path]:
    """Reproduce the synthetic cohorts included in treatsel, byte for byte.

    Parameters
    ----------
    folder : path
        Where to write ``development.csv``, ``external.csv``, ``codebook.yaml`` and the true probabilities,
        ``truth_development.csv`` and ``truth_external.csv``; created if necessary.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If the folder cannot be written to.

    References
    ----------
    See `make_cohort`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in write_synthetic(folder)][:2]
    ['development.csv', 'truth_development.csv']
    """
    folder, written = Path(folder), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot create the folder {folder}: {error.strerror}.") from error
    for which, options in SHIPPED.items():
        simulated = make_cohort(**options)
        written += write_cohort(simulated, folder / f"{which}.csv", truth=folder / f"truth_{which}.csv")
    simulated.cohort.codebook.write(folder / "codebook.yaml")
    return [*written, folder / "codebook.yaml"]


def write_cohort(
    simulated: SyntheticCohort, path: str | Path, *, truth: str | Path | None = None
) -> list[Path]:
    """Write the patients of a simulated cohort as CSV or Parquet and, optionally, their true probabilities.

    Parameters
    ----------
    simulated : SyntheticCohort
        From `make_cohort`.
    path : path
        CSV or Parquet file for the patients.
    truth : path or None
        CSV or Parquet file for the true probabilities: one column per outcome and arm, named ``outcome.arm``.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If the folder cannot be written to.

    References
    ----------
    See `make_cohort`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = write_cohort(make_cohort(50, random_state=0), Path(folder) / "patients.csv")
    >>> [file.name for file in files]
    ['patients.csv']
    """
    frame, types = simulated.cohort.frame.copy(), {f.name: f.type for f in simulated.cohort.codebook.fields}
    for column in frame.columns:
        if types[column] in ("integer", "boolean"):
            frame[column] = frame[column].astype("Int64")
    tables = {f"{outcome}.{arm}": table[arm] for outcome, table in simulated.truth.items() for arm in table}
    written = [_write(frame, path)]
    if truth is not None:
        written.append(_write(pd.DataFrame(tables), truth, float_format="%.6f"))
    return written


def _write(table: pd.DataFrame, path: str | Path, **options: str) -> Path:
    path = Path(path)
    try:
        write_table(table.reset_index(), path, **options)
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {error.strerror}. Name a file in a folder that exists."
        ) from error
    return path


def _of_outcome(table: pd.DataFrame, outcome: str) -> pd.DataFrame:
    return pd.DataFrame({arm: table[f"{outcome}.{arm}"] for arm in ARMS})
