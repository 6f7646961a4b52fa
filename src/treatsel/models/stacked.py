"""Stacking of the hierarchical model with boosted trees, weighted by cross-fitted predictive performance."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._stats.folds import folds_by_key
from treatsel.additive import AdditiveModel, Encoding, SiteEffects, Trees
from treatsel.errors import InputError
from treatsel.models._boosting import Ensemble, Folds, Target, boost, read
from treatsel.models._joint import FOLDS, MISSED, JointDraws
from treatsel.models._posterior import number_of_draws
from treatsel.models._stack import StackWeights
from treatsel.models.hierarchical import Draws, Hierarchy, Patients, SitedClassifier
from treatsel.models.priors import Priors

LOG = logging.getLogger(__name__)
# Repeated cross-fitting: with few patients, weights depend on how patients are divided into folds. Its cost
# grows with n, while this dependence decreases.
N_PARTITIONS = 3
ONE_PARTITION_FROM = 3000
# With fewer patients, trees gained nothing on average (benchmarks/selection/RESULTS.md: .470 of the oracle
# gain at 1,000 patients with and without them), and take most of the time.
TREES_FROM = 2000
# Number of patients up to which the variance between models equals the mean square of the trees'
# contribution; beyond it, this variance decreases with the root of n. Chosen for coverage in a simulated
# process with thresholds.
FULL_SPREAD_UP_TO = 1000


class StackedClassifier(SitedClassifier):
    """Hierarchical logistic regression stacked with boosted trees: the model of estimator="auto".

    Three parts, all sums on the logit scale: the hierarchical model (see `HierarchicalClassifier`); boosted
    trees of covariates and arm, fitted without an offset (S-learner); and, for each arm, boosted trees
    fitted to the residual of the first two combined. From out-of-fold logits, each part gets one weight for
    prognosis (its mean over arms) and one for effect modification (the deviation from that mean). The prior
    of the weights is centered at the hierarchical model alone, and the weights are averaged, by evidence,
    over models with and without trees: with few patients, the model is the hierarchical model; with many
    patients, trees contribute.

    Parameters
    ----------
    arm : str or None, default="arm"
        Column of X that holds the received arm. None: a single arm.
    groups : str or None, default=None
        Column of X that identifies the site; patients of a site are kept in the same fold where possible.
        See `HierarchicalClassifier`.
    therapists : str or None, default=None
        Column of X that identifies the therapist; see `HierarchicalClassifier`. Without sites, patients of a
        therapist are kept in the same fold.
    n_splits : int, default=5
        Number of folds for cross-fitting. Patients are divided into folds by arm and a pseudo-random key of
        their covariates. With fewer than 3,000 patients, this is done three times, and results are averaged.
    priors : Priors or None, default=None
        What is known from elsewhere, such as published trials; see `HierarchicalClassifier`.
    keep_therapists : bool, default=False
        Whether to keep the effects of therapists in `therapist_effects_`.
    joint : JointDraws or None, default=None
        As in `HierarchicalClassifier`.

    Attributes
    ----------
    arms_ : ndarray of shape (n_arms,)
        Arms, sorted.
    classes_ : ndarray of shape (2,)
        Outcomes; the second is the event.
    weights_ : DataFrame of shape (3, 2)
        Weight of each part for prognosis and for modification; "base" is the deviation of the hierarchical
        model's weight from 1.
    cross_fitted_ : DataFrame of shape (n_patients, n_arms)
        Probabilities for each patient (with a weight above 0) from parts fitted without the patient's fold.
    modification_weight_, modification_, prior_, levels_, priors_, therapist_effects_
        Attributes of the hierarchical model; see `HierarchicalClassifier`.

    Notes
    -----
    Posterior draws reflect the posterior of the hierarchical model, the uncertainty of the weights, and the
    variability of the trees between folds (delete-a-group jackknife; Kott 2001, J Official Statistics 17(4),
    521-526). The larger the contribution of the trees, the more they may also have missed: the mean square of
    their contribution (multiplied by the root of 1,000 / n beyond 1,000 patients) is added to the variance of
    each arm's logit, as a variance between models (Buckland, Burnham & Augustin 1997, Biometrics 53(2),
    603-618, doi:10.2307/2533961).

    Deterministic. Results do not depend on a seed or on arm labels, nor, with up to 2,000 patients, on row
    order; with more, a sample of the rows is used for the projection.

    The whole table, its encoding and its cross-fitted predictions must fit in the memory of one process: 94
    to 194 bytes per patient and column were measured (docs/explanation/scale.md).

    References
    ----------
    van der Laan, Polley & Hubbard (2007), Stat Appl Genet Mol Biol 6(1), 25. doi:10.2202/1544-6115.1309
    Ke et al. (2017), NeurIPS 30, 3146-3154 (LightGBM).

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    >>> model = StackedClassifier().fit(X, [0, 1, 0, 1, 1, 0, 1, 0])
    >>> model.predict_by_arm(X.head(1)).shape
    (1, 2)
    """

    def __init__(
        self,
        *,
        arm: str | None = "arm",
        groups: str | None = None,
        therapists: str | None = None,
        n_splits: int = 5,
        priors: Priors | None = None,
        keep_therapists: bool = False,
        joint: JointDraws | None = None,
    ) -> None:
        self.arm = arm
        self.groups = groups
        self.therapists = therapists
        self.priors = priors
        self.keep_therapists = keep_therapists
        self.n_splits = n_splits
        self.joint = joint

    def _learn(
        self, patients: Patients, encoding: Encoding, index: pd.Index, views: Sequence[Patients] = ()
    ) -> tuple[Hierarchy, AdditiveModel]:
        if not isinstance(self.n_splits, int | np.integer) or self.n_splits < 2:
            raise InputError(f"n_splits is {self.n_splits!r}; it must be a whole number, 2 or more.")
        hierarchy = self._hierarchy(patients, encoding)
        n, n_splits = patients.n, min(self.n_splits, len(patients.y))
        n_partitions = N_PARTITIONS if TREES_FROM <= n < ONE_PARTITION_FROM else 1
        partitions = [
            folds_by_key(
                hierarchy.rank[patients.arms],
                patients.y,
                patients.keys(partition),
                sites=patients.clusters,
                n_splits=n_splits,
            )
            for partition in range(n_partitions)
        ]
        parts = _Parts.learn(hierarchy, patients, encoding, partitions)
        self.weights_ = parts.weights.to_frame()
        self.cross_fitted_, *self._cross_fitted_views = (
            pd.DataFrame(expit(parts.held_out(each, partitions)), index=index, columns=pd.Index(self.arms_))
            for each in (patients, *views)
        )
        return hierarchy, parts.additive(self, patients)


@dataclass(frozen=True, eq=False, repr=False)
class _Parts:
    """The cross-fitted parts: hierarchical terms, tree ensembles by source and arm, and weights.

    `center` is the mean logit; `moved`, in logits, the root mean square over patients and arms of the trees'
    contribution; `without_fold` the hierarchical terms fitted without each fold.
    """

    hierarchy: Hierarchy
    encoding: Encoding
    center: float
    trees: dict[str, dict[int, Ensemble]]
    weights: StackWeights
    folds: list[int]
    moved: float
    without_fold: list[FloatArray]
    n_patients: float

    @classmethod
    def learn(
        cls, hierarchy: Hierarchy, patients: Patients, encoding: Encoding, partitions: Sequence[Folds]
    ) -> "_Parts":
        """Fit each part without each fold, then the weights to the out-of-fold logits."""
        splits, terms = [split for partition in partitions for split in partition], []
        for number, (rest, _) in enumerate(splits):
            LOG.info("Cross-fitting the hierarchical model: fold %d of %d", number + 1, len(splits))
            terms.append(hierarchy.again(patients.subset(rest)).terms)
        base = _base(patients, partitions, terms)
        center = float(np.average(base.mean(axis=1), weights=patients.weights))
        # centered, so that a weight other than 1 stretches the logits around their mean, not around 0
        sources, trees = {"base": base - center}, {}
        weights = _weights(base, sources, patients)
        if patients.n >= TREES_FROM:
            target = Target(patients.y, patients.levels, patients.levels.thresholds(hierarchy.thresholds))
            LOG.info("Boosting trees of covariates and arm")
            matrix = patients.columns(_columns(encoding))
            if joint := _joint_trees(matrix, target, patients, partitions):
                trees["joint"] = joint
                sources["joint"] = _held_out(joint, partitions, matrix, patients.n_arms) - base
                weights = _weights(base, sources, patients)
            offset = base + weights.combine(sources)
            LOG.info("Boosting trees of each arm")
            if own := _trees_by_arm(matrix, offset, target, patients, partitions):
                trees["own"] = own
                sources["own"] = _held_out(own, partitions, matrix, patients.n_arms)
                weights = _weights(base, sources, patients)
        change = weights.combine({**sources, "base": np.zeros_like(base)})
        moved = float(np.sqrt(np.average((change**2).mean(axis=1), weights=patients.weights)))
        folds = [len(partition) for partition in partitions]
        return cls(hierarchy, encoding, center, trees, weights, folds, moved, terms, patients.n)

    def held_out(self, patients: Patients, partitions: Sequence[Folds]) -> FloatArray:
        """Return logits from parts fitted without a patient's fold, shape (n_patients, n_arms)."""
        base = _base(patients, partitions, self.without_fold)
        sources = {"base": base - self.center}
        if self.trees:
            matrix = patients.columns(_columns(self.encoding))
            for source, by_arm in self.trees.items():
                scores = _held_out(by_arm, partitions, matrix, patients.n_arms)
                sources[source] = scores - base if source == "joint" else scores
        return np.asarray(base + self.weights.combine(sources))

    def additive(self, model: StackedClassifier, patients: Patients) -> AdditiveModel:
        """Return all parts as one sum per arm, with draws."""
        arms, n_draws = model.arms_, number_of_draws()
        operators = self.weights.operators(self.weights.mean, len(arms))
        drawn = self.hierarchy.draw(n_draws, model.joint, arms)
        drawn_operators = self.weights.operators(self.weights.draw(n_draws, model.joint), len(arms))
        sites = model._site_effects(self.hierarchy, patients, drawn)
        terms = self._linear(self.hierarchy.terms, operators)
        members = [
            trees
            for by_arm in self.trees.values()
            for ensemble in by_arm.values()
            for trees in (ensemble.full, *chain.from_iterable(ensemble.folds))
        ]
        return AdditiveModel(
            encoding=self.encoding,
            arms_=arms,
            intercept=terms[:, 0],
            coefficients=terms[:, 1:],
            trees=Trees.join(members).renumbered(_columns(self.encoding)) if members else None,
            mixing=self._mixing(operators, np.zeros(sum(self.folds))) if members else None,
            coefficient_draws=self._draws(drawn, drawn_operators, model.joint, arms),
            joint=model.joint is not None,
            sites=sites and self._stacked(sites, drawn, operators, drawn_operators),
        )

    def _stacked(
        self,
        sites: SiteEffects,
        drawn: Draws,
        operators: dict[str, FloatArray],
        drawn_operators: dict[str, FloatArray],
    ) -> SiteEffects:
        """Return the known sites of the stack.

        Trees do not know the sites. Their effects are therefore those of the base with its own weight, also
        where joint trees, which enter as their difference from the base, replace a part of it.
        """
        within = self._linear(np.column_stack([sites.intercept[-1], sites.coefficients]), operators)
        shift = sites.intercept - sites.intercept[-1]
        draws = sites.draws
        if draws is not None:
            effects = draws + drawn.new[:, None]
            moved = np.einsum("dkl,dsl->dsk", drawn_operators["base"], effects)
            draws = (draws + moved).astype(np.float32)
        return replace(
            sites,
            intercept=within[:, 0] + shift + shift @ operators["base"].T,
            coefficients=within[:, 1:],
            draws=draws,
        )

    def _linear(self, terms: FloatArray, operators: dict[str, FloatArray]) -> FloatArray:
        """Return the linear terms of all sources together, shape (..., n_arms, n_terms).

        The joint trees enter as their difference from the base, whose linear terms are subtracted here.
        """
        centered = terms.copy()
        centered[..., 0] -= self.center
        total = terms + operators["base"] @ centered
        return np.asarray(total - operators["joint"] @ terms if "joint" in operators else total)

    def _mixing(self, operators: dict[str, FloatArray], jackknife: FloatArray) -> FloatArray:
        """Return the weights of the ensembles, shape (..., n_arms, n_members): full trees, then by fold."""
        shares = np.concatenate([np.ones((*jackknife.shape[:-1], 1)), jackknife], axis=-1)
        blocks = [
            operators[source][..., :, k, None] * shares[..., None, :]
            for source, by_arm in self.trees.items()
            for k in by_arm
        ]
        return np.concatenate(blocks, axis=-1)

    def _draws(
        self, drawn: Draws, operators: dict[str, FloatArray], joint: JointDraws | None, arms: np.ndarray
    ) -> FloatArray:
        random, (n_draws, n_arms) = np.random.default_rng([4]), drawn.new.shape
        linear = self._linear(drawn.terms, operators)
        share = min(1.0, float(np.sqrt(FULL_SPREAD_UP_TO / self.n_patients)))
        if joint is None:
            white = random.standard_normal((n_draws, n_arms))[:, self.hierarchy.rank]
        else:
            white = joint.normal(MISSED, shape=(n_arms, n_draws))[joint.numbers_of(arms)].T
        linear[:, :, 0] += np.sqrt(share) * self.moved * white
        linear[:, :, 0] += drawn.new
        parts = [linear]
        if self.trees:
            noise = [
                random.standard_normal((n_draws, n))
                if joint is None
                else joint.normal(FOLDS, i, shape=(n_draws, n))
                for i, n in enumerate(self.folds)
            ]
            parts.append(self._mixing(operators, self._jackknife(noise)))
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def _jackknife(self, white: Sequence[FloatArray]) -> FloatArray:
        """Return draws of the weights of each fold's trees: deviations from their partition's mean.

        `white`: standard normal numbers of each partition, shape (n_draws, n_folds).
        Centered and scaled by the root of (n - 1) / n, so that the weighted sum of the folds' scores has the
        variance of the delete-a-group jackknife, averaged over partitions.
        """
        parts = []
        for n, noise in zip(self.folds, white, strict=True):
            noise = noise - noise.mean(axis=1, keepdims=True)
            parts.append(noise * np.sqrt((n - 1) / (n * len(self.folds))))
        return np.concatenate(parts, axis=1)


def _base(patients: Patients, partitions: Sequence[Folds], terms: Sequence[FloatArray]) -> FloatArray:
    """Return out-of-fold logits of the hierarchical model, mean over partitions."""
    base = np.zeros((len(patients.y), patients.n_arms))
    splits = [split for partition in partitions for split in partition]
    for (_, fold), fitted in zip(splits, terms, strict=True):
        base[fold] += patients.subset(fold).logits(fitted) / len(partitions)
    return base


def _weights(base: FloatArray, sources: dict[str, FloatArray], patients: Patients) -> StackWeights:
    return StackWeights.learn(base, sources, arms=patients.arms, y=patients.y, weights=patients.weights)


def _columns(encoding: Encoding) -> npt.NDArray[np.intp]:
    """Return the columns of the matrix that trees use: all but the hinges."""
    return np.flatnonzero(encoding.kinds != "hinge")


def _joint_trees(
    matrix: FloatArray, target: Target, patients: Patients, partitions: Sequence[Folds]
) -> dict[int, Ensemble]:
    """Boost one model of covariates and arm without an offset; return its trees for each arm."""
    n_arms, n_columns = patients.n_arms, matrix.shape[1]
    arms = np.eye(n_arms)[patients.arms]
    boosters = boost(np.column_stack([matrix, arms]), target, patients.weights, None, partitions)
    if boosters is None:
        return {}
    fixed = [{n_columns + j: float(j == k) for j in range(n_arms)} for k in range(n_arms)]
    return {k: read(boosters, partitions, fixed[k]) for k in range(n_arms)}


def _trees_by_arm(
    matrix: FloatArray, offset: FloatArray, target: Target, patients: Patients, partitions: Sequence[Folds]
) -> dict[int, Ensemble]:
    """Boost trees from an offset, shape (n_patients, n_arms), in each arm that has enough patients."""
    found = {}
    for k in range(patients.n_arms):
        rows = np.flatnonzero(patients.arms == k)
        position = np.full(len(patients.y), -1)
        position[rows] = np.arange(len(rows))
        mine = patients.arms == k
        inside = [
            [(position[rest[mine[rest]]], position[fold[mine[fold]]]) for rest, fold in partition]
            for partition in partitions
        ]
        boosters = boost(matrix[rows], target.among(rows), patients.weights[rows], offset[rows, k], inside)
        if boosters is not None:
            found[k] = read(boosters, inside)
    return found


def _held_out(
    by_arm: dict[int, Ensemble], partitions: Sequence[Folds], matrix: FloatArray, n_arms: int
) -> FloatArray:
    """Return out-of-fold scores, shape (n_patients, n_arms); 0 for an arm without trees."""
    scores = np.zeros((len(matrix), n_arms))
    for k, ensemble in by_arm.items():
        scores[:, k] = ensemble.held_out(partitions, matrix)
    return scores
