"""Therapists: random effects nested in sites, integrated out of the quadratic approximation.

The patients of a therapist under one arm are a caseload. Each caseload has an effect of its own, which adds
to the patients' logits: most therapists give one arm, and the effects of one who gives several are
independent. Patients without a therapist have no such effect.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from treatsel._checks import FloatArray
from treatsel.models.hierarchical._curvature import Curvature


@dataclass(frozen=True, eq=False, repr=False)
class Residuals:
    """Gradient and curvature with respect to caseloads and to sites, if neither had an effect.

    `caseloads`: linear part and curvature, shape (2, C); `cells`: site and arm of each caseload, as in
    `CaseloadSums`; `sites`: linear part and curvature, shape (2, S, K), with one site if there are none.
    """

    caseloads: FloatArray
    cells: npt.NDArray[np.intp]
    sites: FloatArray

    @classmethod
    def at(cls, curvature: Curvature, site_effects: FloatArray, therapist_effects: FloatArray) -> "Residuals":
        """Return them at a state."""
        own = curvature.caseloads
        gradient, curve = curvature.site_gradient, curvature.site_hessian
        if not len(curve):  # without sites, sums over all patients: the first term is the intercept
            gradient, curve = curvature.gradient[None, :, 0], curvature.hessian[None, :, 0, 0]
            site_effects = np.zeros_like(curve)
        linear = gradient + curve * site_effects
        if own is None:
            return cls(np.zeros((2, 0)), np.zeros(0, dtype=np.intp), np.stack([linear, curve]))
        moved = own.hessian * therapist_effects
        linear = linear + np.bincount(own.cells, moved, minlength=linear.size).reshape(linear.shape)
        of_caseloads = own.gradient + moved + own.hessian * site_effects.ravel()[own.cells]
        return cls(np.stack([of_caseloads, own.hessian]), own.cells, np.stack([linear, curve]))

    def without_therapists(self, sd: float) -> tuple[FloatArray, float]:
        """Return linear part and curvature of the sites, and the log-likelihood of the caseloads."""
        (linear, curve), n = self.caseloads, self.sites[0].size
        kept = 1 / (1 + sd**2 * curve)
        lost = sd**2 * curve * kept * np.stack([linear, curve])
        moved = [np.bincount(self.cells, each, minlength=n).reshape(self.sites[0].shape) for each in lost]
        value = 0.5 * float((sd**2 * kept) @ linear**2 + np.log(kept).sum())
        return self.sites - np.stack(moved), value


def without_therapists(curvature: Curvature, effects: FloatArray, sd: float) -> tuple[Curvature, float]:
    """Integrate out the therapists: return the sums of terms and sites, and the log determinant.

    `effects`: of the caseloads, at the state of the sums; `sd`: their prior SD.
    """
    own = curvature.caseloads
    if own is None:
        return curvature, 0.0
    n_arms, shape = len(curvature.gradient), curvature.site_hessian.shape
    kept = 1 / (1 + sd**2 * own.hessian)
    pull, center = sd**2 * kept, (sd**2 * own.gradient - effects) * kept
    gradient, hessian = curvature.gradient.copy(), curvature.hessian.copy()
    for k in range(n_arms):
        mine = own.cells % n_arms == k
        cross = own.cross[mine]
        gradient[k] -= center[mine] @ cross
        hessian[k] -= (cross * pull[mine, None]).T @ cross
    found = replace(curvature, gradient=gradient, hessian=hessian, caseloads=None)
    if len(curvature.site_hessian):
        n = curvature.site_hessian.size
        lost = np.bincount(own.cells, own.hessian * center, minlength=n)
        curve = np.bincount(own.cells, pull * own.hessian**2, minlength=n)
        where = (own.cells, np.arange(len(own.cells)))
        in_cell = csr_array((pull * own.hessian, where), shape=(n, len(pull)))
        found = replace(
            found,
            site_gradient=curvature.site_gradient - lost.reshape(shape),
            site_hessian=curvature.site_hessian - curve.reshape(shape),
            cross=curvature.cross - (in_cell @ own.cross).reshape(curvature.cross.shape),
        )
    return found, -float(np.log(kept).sum())


def therapist_step(
    curvature: Curvature, effects: FloatArray, sd: float, terms: FloatArray, sites: FloatArray
) -> FloatArray:
    """Return the optimal effects of caseloads after terms (K, q) and effects of sites (S, K) have moved."""
    own = curvature.caseloads
    if own is None:
        return effects
    moved = np.einsum("cq,cq->c", own.cross, terms[own.cells % len(terms)])
    if len(sites):
        moved += own.hessian * sites.ravel()[own.cells]
    return np.asarray(sd**2 * (own.hessian * effects + own.gradient - moved) / (1 + sd**2 * own.hessian))
