"""Truncated digests of a sample of the development rows: enough to see that a cohort shares patients.

A digest says little about a single patient: one in five patients who were never in the cohort matches by
chance, so that a match is at most five times as likely for a patient who was.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from treatsel._stats.row_hashes import Keys, row_keys

if TYPE_CHECKING:
    import pandas as pd

MOST_SAMPLED = 5000  # rows whose digests are kept: 20 kB in the file, and enough to see a share of 5 to 10 %
# Digests are positions in a table of n (4 + s) places, n rows of which a share s is sampled. A stranger then
# matches with a probability of about s / (4 + s), a patient of the cohort with s more: 5 times as often.
MOST_LIKELY = 5
MOST_SHARED = 0.05  # proportion of shared patients above which a cohort is no external one
# Proportion of coincidences (equal values of different patients) above which rows do not tell who is shared.
COARSE = 0.1
SURE = 2.33  # standard errors by which matches must exceed chance: a false alarm in 1 of 100 cohorts
COINCIDENCES = 0.05  # proportion of rows that equal another one, above which equal rows identify no patient


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RowDigests:
    """Digests of a sample of the development rows.

    Attributes
    ----------
    places : ndarray of int32
        Sorted positions that the sampled rows occupy in a table of `modulus` places.
    modulus : int
        Number of places.
    salt : int
        Number that is mixed into every digest, from the content of the cohort.
    share : float
        Proportion of the development rows that were sampled.
    expected : float
        Proportion of patients like those of the cohort, but not in it, who match: by truncation, and because
        their values equal those of a patient who is.
    n : int
        Number of development rows.
    """

    places: npt.NDArray[np.int32]
    modulus: int
    salt: int
    share: float
    expected: float
    n: int

    @classmethod
    def of(cls, keys: Keys, salt: int) -> "RowDigests":
        """Sample rows, and truncate their digests; the same for any order of the rows."""
        mixed = _mixed(keys, salt)
        n = len(mixed)
        sampled = np.sort(mixed)[:MOST_SAMPLED]  # mixing makes the smallest a random sample
        share = len(sampled) / n
        modulus = max(int(n * (MOST_LIKELY - 1 + share)), 1)
        while True:  # rows that fall into one place leave fewer to be hit by chance: a smaller table makes up
            places = np.unique(sampled % np.uint64(modulus))
            hit = len(places) / modulus
            if share + (1 - share) * hit <= MOST_LIKELY * hit or modulus == 1:
                break
            modulus = max(int(0.98 * modulus), 1)
        # a new patient whose values equal those of a development patient matches if that row was sampled
        coincident = share * _repeated(keys)
        expected = coincident + (1 - coincident) * len(places) / modulus
        places = places.astype(np.int32)
        return cls(places=places, modulus=modulus, salt=salt, share=share, expected=expected, n=n)

    def matches(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return which rows match a sampled one."""
        return np.isin(_mixed(keys, self.salt) % np.uint64(self.modulus), self.places.astype(np.uint64))


def _mixed(keys: Keys, salt: int) -> Keys:
    """Mix a salt into the keys (the finalizer of splitmix64: Steele, Lea & Flood 2014)."""
    z = keys + np.uint64(salt)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Shared:
    """How many patients of a cohort were in the development cohort.

    Attributes
    ----------
    share : float
        Estimated proportion, beyond matches by chance; 0 to 1.
    is_exact : bool
        Whether whole rows were compared, not truncated digests of a sample.
    rows : ndarray of bool, or None
        The patients themselves, where they can be identified.
    too_many : bool
        Whether the cohort is not external: more than 5 % are shared, beyond chance.
    is_known : bool
        False if the covariates are too coarse to tell: too many different patients have equal values.
    """

    share: float
    is_exact: bool
    rows: npt.NDArray[np.bool_] | None
    too_many: bool
    is_known: bool = True


def _same_rows(keys: Keys, own: Keys) -> bool:
    return len(keys) == len(own) and bool((np.sort(keys) == np.sort(own)).all())


def rows_shared(keys: Keys, own: Keys) -> Shared:
    """Return how many rows of a cohort are among those on which a model was fitted or updated."""
    if _same_rows(keys, own):  # the very same table, however coarse
        return Shared(share=1.0, is_exact=True, rows=np.ones(len(own), dtype=bool), too_many=True)
    return _shared(np.isin(own, keys), _repeated(keys), 1.0, len(keys), own, exact=True)


def shared_patients(digests: RowDigests | None, keys: Keys | None, clean: "pd.DataFrame") -> Shared | None:
    """Return how many patients of a clean table were in the development cohort; None if nothing is known.

    Parameters
    ----------
    digests : RowDigests or None
        Of the model.
    keys : ndarray or None
        Of all development rows, in the process that fitted the model.
    clean : DataFrame
        Covariates and received arm.
    """
    own = row_keys(clean)
    if keys is not None:
        return _shared(np.isin(own, keys), _repeated(keys), 1.0, len(keys), own, exact=True)
    if digests is None:
        return None
    return _shared(digests.matches(own), digests.expected, digests.share, digests.n, own, exact=False)


def _shared(
    found: npt.NDArray[np.bool_], chance: float, sampled: float, n: int, own: Keys, *, exact: bool
) -> Shared:
    """Return the share of matches beyond chance: `chance` is that of a stranger, n that of all rows."""
    # how many coincide with one of n rows, judged by how many coincide within this cohort, whose case mix may
    # be narrower than that of the development cohort
    coincident = float(-np.expm1(-_repeated(own) * n / max(len(own) - 1, 1)))
    chance = max(chance, sampled * coincident)
    excess = float(found.mean()) - chance
    share = float(np.clip(excess / (sampled * (1 - chance)), 0.0, 1.0)) if chance < 1 else 0.0
    error = np.sqrt(max(chance * (1 - chance), 1e-12) / len(found))
    coarse = coincident > COARSE or (exact and chance > COARSE)
    beyond = bool(excess > SURE * error) and not coarse
    identified = exact and chance < COINCIDENCES
    return Shared(
        share=share if beyond else 0.0,
        is_exact=exact,
        rows=found if identified else None,
        too_many=beyond and share > MOST_SHARED,
        is_known=not coarse,
    )


def _repeated(keys: Keys) -> float:
    """Return the proportion of rows that equal another one."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return float((counts[inverse] > 1).mean())
