"""Known sites: joint draws of their effects and the terms, and their logits.

The effects of a site with few patients would tell their outcomes. A site is known from 10 patients on. Where
fewer than 5 of them received an arm, the site's deviation under this arm is that of a new site. The effect
under all arms, less those under the other arms, would give it: the same therefore holds for further arms,
until such arms have 10 patients together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._reporting.text import hidden_in
from treatsel.additive import SiteEffects
from treatsel.models._projection import normal_mean
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import Mode, Prior, System

FEWEST_PATIENTS = 10  # of a known site, as of the groups in a validation report
MOST_SITES = 500  # the largest ones: bounds the size of a model file, 6 MB for 500 sites and 3 arms
LONGEST_NAME = 256  # characters of the name of a site
ROWS = 2000  # patients over whom the probabilities of a site are averaged: bounds the time
MAX_STEPS = 50  # never reached in practice: Newton's method converges quadratically


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """Joint draws from the posterior.

    `terms`: of each arm's terms at the average site, (n_draws, K, q); `sites`: of the effects of known sites,
    (n_draws, S, K); `new`: of the effects of a new site, (n_draws, K).
    """

    terms: FloatArray
    sites: FloatArray
    new: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Moments:
    """Means and covariances of terms and of effects of known sites, at one posterior mode.

    `terms`: (K, q); `of_terms`: their covariance within each arm, (K, q, q); `mean`, `variance`: of the
    effects of sites, (S, K); `with_terms`: covariance of an effect with the terms of its arm, (S, K, q);
    `therapist`: prior SD of a therapist.
    """

    terms: FloatArray
    of_terms: FloatArray
    mean: FloatArray
    variance: FloatArray
    with_terms: FloatArray
    therapist: float


@dataclass(frozen=True, eq=False, repr=False)
class KnownSites:
    """Which sites are kept, as numbers among those of the patients, and which arms were rare there.

    `numbers`: shape (S,); `is_rare`: whether the site's deviation under an arm is not kept, shape (S, K).
    """

    numbers: npt.NDArray[np.intp]
    is_rare: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, patients: Patients) -> "KnownSites":
        """Choose the sites."""
        counts = patients.counts_by_site()
        sizes = counts.sum(axis=1)
        largest = np.argsort(-sizes, kind="stable")[:MOST_SITES]
        numbers = np.sort(largest[sizes[largest] >= FEWEST_PATIENTS])
        is_rare = np.zeros((len(numbers), counts.shape[1]), dtype=bool)
        for s, own in enumerate(counts[numbers]):
            is_rare[s] = _hidden(own)
        return cls(numbers, is_rare)

    def moments(self, mode: Mode, prior: Prior) -> Moments:
        """Return means and covariances of terms and effects."""
        joint = mode.system.joint(prior.terms.shape)
        cov, cross = mode.system.site_cov[self.numbers], mode.system.cross[self.numbers]
        mean = mode.state.sites[self.numbers]
        # given the terms, the effects are linear in cross @ terms
        pulled = np.einsum("kplq,slq->skpl", joint, cross, optimize=True)
        with_terms = -np.einsum("skpl,slm->skpm", pulled, cov)
        inner = np.einsum("skp,skpl->skl", cross, pulled)
        whole = cov + cov @ inner @ cov
        # where an arm is rare, its effect is drawn from that of the site under all arms
        common, own = prior.site**2, prior.site_by_arm**2
        share = common / max(own + cov.shape[1] * common, 1e-300)
        rest = share * own + own
        arms = np.arange(cov.shape[1])
        return Moments(
            terms=mode.state.by_arm,
            of_terms=joint[arms, :, arms, :],
            mean=np.where(self.is_rare, share * mean.sum(axis=1, keepdims=True), mean),
            variance=np.where(
                self.is_rare,
                share**2 * whole.sum(axis=(1, 2))[:, None] + rest,
                np.diagonal(whole, axis1=1, axis2=2),
            ),
            with_terms=np.where(
                self.is_rare[..., None],
                share * with_terms.sum(axis=3),
                with_terms[:, arms, :, arms].transpose(1, 0, 2),
            ),
            therapist=prior.therapist,
        )

    def draw(
        self, mode: Mode, system: System, terms: FloatArray, white: FloatArray, *, symmetric: bool
    ) -> FloatArray:
        """Return draws of the effects of sites given draws of the terms, which come in antithetic pairs.

        `white`: standard normal numbers, shape (n_pairs, S, K). `symmetric`: whether they are multiplied by
        the symmetric root of the covariance, which is alike for outcomes with similar covariances.
        """
        cov, cross = system.site_cov[self.numbers], system.cross[self.numbers]
        moved = np.einsum("skq,dkq->dsk", cross, terms - mode.state.by_arm, optimize=True)
        mean = np.einsum("skl,dsl->dsk", cov, system.site_linear[self.numbers] - moved)
        values, vectors = np.linalg.eigh(cov)  # singular if a site SD is 0
        root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        if symmetric:
            root = root @ vectors.transpose(0, 2, 1)
        half = np.einsum("skl,dsl->dsk", root, white)
        return np.asarray(mean + np.concatenate([half, -half]))

    def disclosable(self, effects: FloatArray, sd: FloatArray, random: np.random.Generator) -> FloatArray:
        """Return draws with the effect of a site under a rare arm drawn from its effect under all arms.

        `sd`: SDs of sites, of sites by arm and of therapists, shape (n_draws, 3).
        """
        common, own, _ = (np.square(each)[:, None, None] for each in sd.T)
        total = np.maximum(own + effects.shape[2] * common, 1e-300)
        level = effects.sum(axis=2, keepdims=True) * (common / total)
        level = level + np.sqrt(common * own / total) * random.standard_normal(level.shape)
        return np.where(self.is_rare, level + np.sqrt(own) * random.standard_normal(effects.shape), effects)


def _hidden(counts: FloatArray) -> npt.NDArray[np.bool_]:
    """Return the arms of a site whose own effect is not kept, by their numbers of patients.

    Those of 1 to 4 patients, and the next smallest until two arms and 10 patients are hidden: what the kept
    effects leave of the effect under all arms is then that of a group. Arms without patients tell nothing.
    """
    hidden, some = counts < SMALLEST_GROUP, counts > 0
    if not (hidden & some).any():
        return np.asarray(hidden)
    for arm in np.argsort(np.where(hidden, np.inf, counts), kind="stable"):
        told = hidden & some
        if told.sum() >= 2 and counts[told].sum() >= FEWEST_PATIENTS:
            break
        hidden = hidden | (np.arange(len(counts)) == arm)
    return np.asarray(hidden)


def shifts(patients: Patients, within: FloatArray, moments: Sequence[tuple[float, Moments]]) -> FloatArray:
    """Return what a site adds to the logits within the average site, shape (S, K).

    With it, the mean probability over the patients is the mean over the posterior of terms and site.
    `moments`: of each model that is averaged, with its weight.
    """
    design, weights = patients.sample(ROWS)
    weights = weights / weights.sum()
    n = design.shape[1]
    found = np.zeros(moments[0][1].mean.shape)
    for k in range(len(within)):
        target, start = np.zeros(len(found)), np.zeros(len(found))
        for share, each in moments:
            logits = (design @ each.terms[k, :n])[:, None] + each.mean[:, k]
            own = np.einsum("np,np->n", design @ each.of_terms[k, :n, :n], design)
            variance = own[:, None] + each.variance[:, k] + each.therapist**2
            variance += 2 * design @ each.with_terms[:, k, :n].T
            target += share * (weights @ normal_mean(logits, np.maximum(variance, 0.0)))
            start += share * each.mean[:, k]
        found[:, k] = shift_to(design @ within[k], weights, target, start)
    return found


def shift_to(offset: FloatArray, weights: FloatArray, target: FloatArray, start: FloatArray) -> FloatArray:
    """Return for each target the number that, added to the offsets, gives it as mean probability."""
    shift = start
    for _ in range(MAX_STEPS):
        p = expit(offset[:, None] + shift)
        step = np.clip((target - weights @ p) / (weights @ (p * (1 - p))), -1.0, 1.0)
        shift = shift + step
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return shift


def site_effects(
    column: str,
    names: Sequence[Any],
    *,
    within: FloatArray,
    shift: FloatArray,
    drawn: Draws,
) -> SiteEffects:
    """Return the logits of known sites, and of the average one.

    `within`: terms at the average site, (K, n_terms); `shift`: what the sites add to its logits, (S, K).
    """
    shown = [number for number, name in enumerate(names) if _can_be_shown(name)]
    average = np.zeros((1, len(within)))
    every = SiteEffects(
        column=column,
        labels=tuple(map(str, names)),
        intercept=within[:, 0] + np.concatenate([shift, average]),
        coefficients=within[:, 1:],
        draws=(np.pad(drawn.sites, ((0, 0), (0, 1), (0, 0))) - drawn.new[:, None, :]).astype(np.float32),
    )
    return every.only([every.labels[number] for number in shown])


def _can_be_shown(name: str) -> bool:
    """Whether the name of a site can be shown, as in a model file."""
    return bool(name) and len(name) <= LONGEST_NAME and not hidden_in(name)
