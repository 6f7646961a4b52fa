"""Simulated processes: patients, probabilities under every arm, and assignment to arms."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

FEWEST = 3  # events and non-events in every arm of a drawn sample
TRIES = 50


@dataclass(frozen=True, kw_only=True)
class Patients:
    """Patients before treatment, with the truth about them.

    Attributes
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Covariates given to a method; with a column ``site`` if the process has sites.
    truth : ndarray of shape (n_patients, n_arms)
        Probability of the good outcome under each arm.
    expected : ndarray of shape (n_patients, n_arms) or None
        Its expectation given the covariates, for the oracle; None if this equals the truth.
    shares : ndarray of shape (n_arms,) or (n_patients, n_arms)
        Probability of being given each arm.
    """

    covariates: pd.DataFrame
    truth: np.ndarray
    shares: np.ndarray
    expected: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Treated patients: X with the column ``arm``, y, the true by-arm table and the oracle's choice."""

    X: pd.DataFrame
    y: pd.Series
    truth: pd.DataFrame
    oracle: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Process:
    """A data-generating process for patients, treatments and outcomes; outcome 1 is the good one.

    Attributes
    ----------
    name, about : str
        For tables.
    arms : tuple of str
        Columns of the truth.
    make : callable
        (number of patients, random generator) to `Patients`.
    modified : bool
        Whether arms differ between patients; False for the null.
    site : str or None
        Column of X that holds the site, if any.
    """

    name: str
    about: str
    arms: tuple[str, ...]
    make: Callable[[int, np.random.Generator], Patients]
    modified: bool = True
    site: str | None = None

    def draw(self, n: int, seed: int, *, part: str = "train") -> Sample:
        """Draw `n` patients; the parts "train" and "test" of one seed are independent.

        A sample in which an arm has fewer than `FEWEST` events or non-events is drawn again.
        """
        stream = [zlib.crc32(self.name.encode()), zlib.crc32(part.encode()), n, seed]
        for attempt in range(TRIES):
            sample = self._draw(n, np.random.default_rng([*stream, attempt]))
            counts = pd.crosstab(sample.X["arm"], sample.y)
            if counts.shape == (len(self.arms), 2) and counts.to_numpy().min() >= FEWEST:
                return sample
        raise RuntimeError(f"{self.name}: no sample of {n} has {FEWEST} events in every arm.")

    def _draw(self, n: int, rng: np.random.Generator) -> Sample:
        patients = self.make(n, rng)
        shares = np.broadcast_to(patients.shares, patients.truth.shape)
        codes = (rng.random((n, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=len(self.arms) - 1)
        y = rng.random(n) < patients.truth[np.arange(n), codes]
        index = pd.Index([f"p{i}" for i in range(n)], name="patient")
        X = patients.covariates.set_axis(index)
        X["arm"] = pd.Series(np.array(self.arms, dtype=object)[codes], index=index)
        known = patients.truth if patients.expected is None else patients.expected
        return Sample(
            X=X,
            y=pd.Series(y.astype(float), index=index, name="remission"),
            truth=pd.DataFrame(patients.truth, index=index, columns=list(self.arms)),
            oracle=known.argmax(axis=1),
        )
