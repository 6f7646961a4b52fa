"""Known sites of a fitted model: their logits, and draws of their effects.

A patient may sit in a site (service) that was in the development cohort, and whose effects are therefore
known to some extent; at the average site; or at a new site, of which only the variance of sites is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from treatsel._checks import FloatArray, as_text, check_choice, normal_text
from treatsel._lazy import lazy

if TYPE_CHECKING:
    import pandas as pd

SERVICES = ("known", "average", "new")
NEW = -1  # number of a site that is not known

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SiteEffects:
    """Logits of the known sites, and of the average site, which comes last in every array.

    Attributes
    ----------
    column : str
        Column that holds the site.
    labels : tuple of str
        The S known sites.
    intercept : ndarray of shape (S + 1, n_arms)
        Logit of a patient whose row of the matrix is zero.
    coefficients : ndarray of shape (n_arms, n_features)
        Linear terms within a site. Those for a new site are smaller, since its probabilities are means over
        sites.
    draws : ndarray of shape (n_draws, S + 1, n_arms) or None
        What is added to the draws of the intercept for a new site.
    """

    column: str
    labels: tuple[str, ...]
    intercept: FloatArray
    coefficients: FloatArray
    draws: np.ndarray | None

    def only(self, labels: Sequence[str]) -> "SiteEffects":
        """Return some of the known sites, in this order."""
        rows = [*map(self.labels.index, labels), len(self.labels)]
        return replace(
            self,
            labels=tuple(labels),
            intercept=self.intercept[rows],
            draws=None if self.draws is None else np.ascontiguousarray(self.draws[:, rows]),
        )

    def shown(self, sites: Numbers) -> dict[str, list[str | None]]:
        """Return the sites of patients by their column, for an explanation; empty if all are new."""
        if (sites == NEW).all():
            return {}
        labels = [*self.labels, "average", None]  # the last is that of number NEW, -1
        return {self.column: [labels[number] for number in sites]}

    @lazy
    def _numbers(self) -> dict[str, int]:
        return {label: number for number, label in enumerate(self.labels)}

    def number_of(self, site: Any, service: str) -> int:
        """Return the number of one patient's site, see `numbers_of`."""
        if service == "average":
            return len(self.labels)
        label = None if service == "new" else site_label(site)
        return NEW if label is None else self._numbers.get(label, NEW)

    def numbers_of(self, X: "pd.DataFrame", service: str) -> Numbers:
        """Return the number of each patient's site: that of the average one, or `NEW` if it is not known.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Holds the site in `column`; without this column, no site is known.
        service : {"known", "average", "new"}
            "known": the site of the patient where it is known, otherwise a new one. "average", "new": the
            same for all patients.
        """
        check_choice("service", service, SERVICES)
        if service != "known" or self.column not in X:
            return np.full(len(X), self.number_of(None, service))
        found = X[self.column].astype("object")
        by_site = {site: self.number_of(site, service) for site in found.dropna().unique()}
        return np.array([by_site.get(site, NEW) for site in found], dtype=np.intp)


def site_label(site: Any) -> str | None:
    """Return the text by which a site is known, the same for 3, 3.0 and "3"; None for a missing value.

    Values of other classes than text and numbers are missing: none of their code is run.
    """
    if not isinstance(site, str | int | float | np.integer | np.floating | np.bool_) or site != site:
        return None
    return normal_text(as_text(site))
