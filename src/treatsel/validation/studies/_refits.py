"""One set of bootstrap refits of a modeling procedure, with the predictions of each for all patients."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray, count_of
from treatsel._jobs import run_jobs
from treatsel._reporting.summary import Summarized, Summary, count_text
from treatsel._stats.resampling import Resamples
from treatsel.errors import InputError, TreatselError, TreatselWarning
from treatsel.models import few_draws, fit_resample

LOG = logging.getLogger(__name__)
# Proportion of resamples that must be fitted: failures are not random (an arm without events), so that the
# spread of the others is too small.
MIN_SUCCESS = 0.9
BAR = 20  # characters of the progress bar
Progress = Callable[[int, int], None]


class Procedure(Protocol):
    """A modeling procedure and its patients: `fit` to a resample, `predict` for all patients."""

    def fit(self, counts: FloatArray) -> Any:
        """Return the model fitted to the patients, each as often as it was drawn."""

    def predict(self, model: Any) -> pd.DataFrame:
        """Return the by-arm table of all patients."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ModelProcedure:
    """The procedure of a model of `treatsel.models`; y holds NaN where the outcome was lost."""

    model: Any
    X: pd.DataFrame
    y: FloatArray

    def fit(self, counts: FloatArray) -> Any:
        """Return the model fitted to the patients whose outcome was observed."""
        rows = np.flatnonzero((counts > 0) & ~np.isnan(self.y))
        return fit_resample(clone(self.model), self.X.iloc[rows], self.y[rows], counts[rows])

    def predict(self, model: Any) -> pd.DataFrame:
        """Return the by-arm table of all patients."""
        table: pd.DataFrame = model.predict_by_arm(self.X)
        return table


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BootstrapRefits(Summarized):
    """Predictions by models that the same procedure fitted to bootstrap resamples.

    Attributes
    ----------
    original : DataFrame of shape (n_patients, n_arms)
        Predicted probabilities of the model fitted to all patients.
    by_arm : ndarray of shape (n_fitted, n_patients, n_arms)
        The same of each refit, in single precision; for all patients, drawn or not.
    counts : ndarray of int of shape (n_fitted, n_patients)
        How often each patient was drawn.
    n_resamples : int
        Number of resamples, also of those in which the model could not be fitted.
    failures : tuple of str
        Type of error of each failed fit.
    """

    original: pd.DataFrame
    by_arm: npt.NDArray[np.float32]
    counts: npt.NDArray[np.uint16]
    n_resamples: int
    failures: tuple[str, ...]

    def _summary(self) -> Summary:
        facts = [
            ("patients", count_text(len(self.original))),
            ("failed", f"{len(self.failures):,}"),
        ]
        return Summary(title="BootstrapRefits", headline=f"{self.n_resamples:,} refits", facts=facts)

    def __len__(self) -> int:
        """Return the number of refits."""
        return len(self.by_arm)

    def among(self, rows: npt.ArrayLike) -> "BootstrapRefits":
        """Return the predictions for some of the patients, given by a mask or by positions.

        Each refit keeps all patients that it was fitted to; this selects in whom it is evaluated.
        """
        chosen = np.asarray(rows)
        return replace(
            self,
            original=self.original.iloc[np.flatnonzero(chosen) if chosen.dtype == bool else chosen],
            by_arm=self.by_arm[:, chosen],
            counts=self.counts[:, chosen],
        )


def original_predictions(procedure: Procedure, n: int) -> pd.DataFrame:
    """Return the by-arm table of the model fitted to all `n` patients of a procedure, once each."""
    return procedure.predict(_fitted(procedure, np.ones(n)))


def bootstrap_refits(
    procedure: Procedure,
    original: pd.DataFrame,
    *,
    n_boot: int,
    clusters: npt.ArrayLike | None,
    random_state: int,
    n_jobs: int | None,
    progress: Progress | None,
) -> BootstrapRefits:
    """Refit a procedure to resamples of its patients, or of whole clusters.

    `original`: what `original_predictions` returns.

    Raises
    ------
    InputError
        If fewer than nine in ten refits can be made.
    """
    n = len(original)
    drawn = Resamples.of(np.ones(n), clusters=clusters, n_resamples=n_boot, seed=random_state)
    arms, found = list(original.columns), {}
    shown = _logged(time.monotonic()) if progress is None else progress

    def calls() -> Iterator[tuple[Any, ...]]:
        for counts in drawn:
            yield procedure, counts, arms

    for number, result in run_jobs(_refit, calls, n_jobs=n_jobs):
        found[number] = result
        shown(len(found), n_boot)
    failures = tuple(found[k] for k in range(n_boot) if isinstance(found[k], str))
    fitted = [k for k in range(n_boot) if not isinstance(found[k], str)]
    if len(fitted) < MIN_SUCCESS * n_boot:
        raise InputError(
            f"The model could be fitted in {len(fitted)} of {count_of(n_boot, 'resample')} only "
            f"({', '.join(sorted(set(failures)))}): the spread of these would be too small. Merge rare arms "
            "with others, or choose a simpler model."
        )
    counts = np.array([row for k, row in enumerate(drawn) if k in set(fitted)])
    return BootstrapRefits(
        original=original,
        by_arm=np.stack([found[k] for k in fitted]),
        counts=np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16),
        n_resamples=n_boot,
        failures=failures,
    )


def _fitted(procedure: Procedure, counts: FloatArray) -> Any:
    """Fit a procedure without the warnings that `fit` of the model gives."""
    # one BLAS thread: the matrices are small, and threads compete with each other on a busy machine
    with warnings.catch_warnings(), few_draws(), threadpool_limits(limits=1, user_api="blas"):
        for category in (TreatselWarning, ConvergenceWarning):
            warnings.simplefilter("ignore", category)
        return procedure.fit(counts)


def _refit(procedure: Procedure, counts: FloatArray, arms: list[Any]) -> npt.NDArray[np.float32] | str:
    """Return the predictions of one refit for all patients; if it fails, the kind of error."""
    try:
        table = procedure.predict(_fitted(procedure, counts))
    except (TreatselError, ValueError, np.linalg.LinAlgError) as error:
        return type(error).__name__
    if set(table.columns) != set(arms):
        return "an arm without patients"
    return table[arms].to_numpy(dtype=np.float32)


def _logged(start: float) -> Progress:
    """Return a function that writes the progress to the log, with the time that is left."""

    def say(done: int, total: int) -> None:
        left = round((time.monotonic() - start) * (total - done) / done)
        bar = "#" * (BAR * done // total)
        LOG.info("Refits [%-*s] %d of %d, %d:%02d left", BAR, bar, done, total, left // 60, left % 60)

    return say
