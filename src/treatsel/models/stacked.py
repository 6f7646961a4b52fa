"""The stack: the hierarchical model, and trees for what it missed, as far as the data ask for them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from treatsel._checks import FloatArray
from treatsel._stats.folds import folds_by_key
from treatsel.additive import AdditiveModel, Encoding, Trees
from treatsel.errors import InputError
from treatsel.models._boosting import Ensemble, Folds, boost, read
from treatsel.models._posterior import N_DRAWS
from treatsel.models._stack import StackWeights
from treatsel.models.hierarchical import Hierarchy, Patients, SitedClassifier

LOG = logging.getLogger(__name__)
DEALS = 3  # of patients to folds, whose results are averaged, where patients are few
MANY = 3000  # patients from which on one deal is enough
MISSED_ALL = 1000  # patients up to which trees are taken to miss as much as they find


class StackedClassifier(SitedClassifier):
    """Hierarchical logistic regression stacked with boosted trees; what "auto" means.

    Three parts, all sums on the logit scale: the hierarchical model (see `HierarchicalClassifier`); boosted
    trees over covariates and arm together, fitted from nothing (S-learner); and, for each arm, boosted
    trees for what is left once the first two are combined. Out of fold, each part has one weight for
    prognosis (its mean over arms) and one for effect modification (the deviation from it). The weights
    have a prior that says "the hierarchical model alone", and are averaged by evidence over whether
    trees are used at all: few patients give the hierarchical model, many let trees in.

    Parameters
    ----------
    arm : str or None, default="arm"
        Column of X that holds the received arm. None: a single arm.
    groups : str or None, default=None
        Column of X that names the site; sites stay together in folds. See `HierarchicalClassifier`.
    n_splits : int, default=5
        Folds of the cross-fitting. Patients are dealt to them by arm and a key scrambled from their
        covariates; three times, and averaged, below 3,000 patients.

    Attributes
    ----------
    arms_ : ndarray of shape (n_arms,)
        Arms, sorted.
    classes_ : ndarray of shape (2,)
        Outcomes; the second is the event.
    weights_ : DataFrame of shape (3, 2)
        Weight of each part for prognosis and for modification; "base" is what the hierarchical model
        counts beyond 1.
    cross_fitted_ : DataFrame of shape (n_patients, n_arms)
        Probabilities for each patient (with a weight above 0) by parts fitted without the patient's fold.
    p_modification_, modification_, prior_
        Of the hierarchical model.

    Notes
    -----
    Draws vary with the posterior of the hierarchical model, with the weights of the parts, and with the trees
    as they change from fold to fold (delete-a-group jackknife; Kott 2001, J Official Statistics 17(4),
    521-526). Where trees move the logits far from the hierarchical model, they will have missed something
    too: the variance of what they move is added to each arm, times the root of 1,000 / n beyond 1,000
    patients, in the spirit of Buckland, Burnham & Augustin (1997), Biometrics 53(2), 603-618,
    doi:10.2307/2533961.

    Deterministic: nothing hangs on a seed or on the names of the arms; on the order of the patients not up
    to 2,000 of them, and little beyond, where a sample of the rows serves the projection.

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
        n_splits: int = 5,
    ) -> None:
        self.arm = arm
        self.groups = groups
        self.n_splits = n_splits

    def _learn(
        self, patients: Patients, encoding: Encoding, index: pd.Index
    ) -> tuple[Hierarchy, AdditiveModel]:
        if not isinstance(self.n_splits, int | np.integer) or self.n_splits < 2:
            raise InputError(f"n_splits is {self.n_splits!r}; it must be a whole number of at least 2.")
        hierarchy = Hierarchy.learn(patients, encoding)
        n_splits = min(self.n_splits, len(patients.y))
        deals = [
            folds_by_key(
                hierarchy.rank[patients.arms],
                patients.y,
                patients.keys(deal),
                sites=patients.sites if patients.n_sites else None,
                n_splits=n_splits,
            )
            for deal in range(DEALS if len(patients.y) < MANY else 1)
        ]
        parts = _Parts.learn(hierarchy, patients, encoding, deals)
        self.weights_ = parts.weights.to_frame()
        by_arm = expit(parts.cross_fitted)
        self.cross_fitted_ = pd.DataFrame(by_arm, index=index, columns=pd.Index(self.arms_))
        return hierarchy, parts.additive(self.arms_)


@dataclass(frozen=True, eq=False)
class _Parts:
    """The cross-fitted parts: hierarchical terms, tree ensembles by source and arm, and weights.

    `center` is the mean logit; `moved`, in logits, how far trees move a logit from the hierarchical model
    (root mean square over patients and arms); `cross_fitted` are logits of each patient under each arm by
    parts that have not seen the patient.
    """

    hierarchy: Hierarchy
    encoding: Encoding
    center: float
    trees: dict[str, dict[int, Ensemble]]
    weights: StackWeights
    folds: list[int]
    moved: float
    cross_fitted: FloatArray

    @classmethod
    def learn(
        cls, hierarchy: Hierarchy, patients: Patients, encoding: Encoding, deals: Sequence[Folds]
    ) -> "_Parts":
        """Fit each part without each fold, then its weights on what the folds show."""
        base = np.zeros((len(patients.y), patients.n_arms))
        splits = [split for deal in deals for split in deal]
        for number, (rest, fold) in enumerate(splits):
            LOG.info("Cross-fitting the hierarchical model: fold %d of %d", number + 1, len(splits))
            terms = hierarchy.again(patients.subset(rest)).terms
            base[fold] += patients.subset(fold).logits(terms) / len(deals)
        center = float(np.average(base.mean(axis=1), weights=patients.weights))
        sources, trees = {"base": base - center}, {}
        LOG.info("Boosting trees of covariates and arm")
        matrix = patients.columns(_columns(encoding))
        if joint := _joint_trees(matrix, patients, deals):
            trees["joint"] = joint
            sources["joint"] = _held_out(joint, deals, matrix, patients.n_arms) - base
        weights = StackWeights.learn(
            base, sources, arms=patients.arms, y=patients.y, weights=patients.weights
        )
        offset = base + weights.combine(sources)
        LOG.info("Boosting trees of each arm")
        if own := _trees_by_arm(matrix, offset, patients, deals):
            trees["own"] = own
            sources["own"] = _held_out(own, deals, matrix, patients.n_arms)
            weights = StackWeights.learn(
                base, sources, arms=patients.arms, y=patients.y, weights=patients.weights
            )
        change = weights.combine({**sources, "base": np.zeros_like(base)})
        moved = float(np.sqrt(np.average((change**2).mean(axis=1), weights=patients.weights)))
        cross_fitted = base + weights.combine(sources)
        folds = [len(deal) for deal in deals]
        return cls(hierarchy, encoding, center, trees, weights, folds, moved, cross_fitted)

    def additive(self, arms: np.ndarray) -> AdditiveModel:
        """Return all parts as one sum per arm, with draws."""
        operators = self.weights.operators(self.weights.mean, len(arms))
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
            coefficient_draws=self._draws(len(arms)),
        )

    def _linear(self, terms: FloatArray, operators: dict[str, FloatArray]) -> FloatArray:
        """Return the linear terms, shape (..., n_arms, n_terms), that the sources leave."""
        centered = terms.copy()
        centered[..., 0] -= self.center
        total = terms + operators["base"] @ centered
        return np.asarray(total - operators["joint"] @ terms if "joint" in operators else total)

    def _mixing(self, operators: dict[str, FloatArray], jackknife: FloatArray) -> FloatArray:
        """Return what each member counts, shape (..., n_arms, n_members): full trees, then each fold's."""
        shares = np.concatenate([np.ones((*jackknife.shape[:-1], 1)), jackknife], axis=-1)
        blocks = [
            operators[source][..., :, k, None] * shares[..., None, :]
            for source, by_arm in self.trees.items()
            for k in by_arm
        ]
        return np.concatenate(blocks, axis=-1)

    def _draws(self, n_arms: int) -> FloatArray:
        random = np.random.default_rng([4])
        operators = self.weights.operators(self.weights.draw(N_DRAWS), n_arms)
        linear = self._linear(self.hierarchy.draw(N_DRAWS), operators)
        share = min(1.0, float(np.sqrt(MISSED_ALL / len(self.cross_fitted))))
        missed = np.sqrt(share) * self.moved * random.standard_normal((N_DRAWS, n_arms))
        linear[:, :, 0] += missed[:, self.hierarchy.rank]
        linear[:, :, 0] += self.hierarchy.draw_sites(N_DRAWS)
        parts = [linear]
        if self.trees:
            parts.append(self._mixing(operators, self._jackknife(random)))
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def _jackknife(self, random: np.random.Generator) -> FloatArray:
        """Return draws of what each fold's trees count on top: deviations from their deal's mean."""
        parts = []
        for n in self.folds:
            noise = random.standard_normal((N_DRAWS, n))
            noise -= noise.mean(axis=1, keepdims=True)
            parts.append(noise * np.sqrt((n - 1) / (n * len(self.folds))))
        return np.concatenate(parts, axis=1)


def _columns(encoding: Encoding) -> npt.NDArray[np.intp]:
    """Return the columns of the matrix that trees look at: they need no bends."""
    return np.flatnonzero(encoding.kinds != "bend")


def _joint_trees(matrix: FloatArray, patients: Patients, deals: Sequence[Folds]) -> dict[int, Ensemble]:
    """Boost one model of covariates and arm from nothing; return it as it stands for each arm."""
    n_arms, n_columns = patients.n_arms, matrix.shape[1]
    arms = np.eye(n_arms)[patients.arms]
    boosters = boost(np.column_stack([matrix, arms]), patients.y, patients.weights, None, deals)
    if boosters is None:
        return {}
    fixed = [{n_columns + j: float(j == k) for j in range(n_arms)} for k in range(n_arms)]
    return {k: read(boosters, deals, fixed[k]) for k in range(n_arms)}


def _trees_by_arm(
    matrix: FloatArray, offset: FloatArray, patients: Patients, deals: Sequence[Folds]
) -> dict[int, Ensemble]:
    """Boost what the offset, shape (n_patients, n_arms), leaves, in each arm that has enough patients."""
    found = {}
    for k in range(patients.n_arms):
        rows = np.flatnonzero(patients.arms == k)
        position = np.full(len(patients.y), -1)
        position[rows] = np.arange(len(rows))
        mine = patients.arms == k
        inside = [
            [(position[rest[mine[rest]]], position[fold[mine[fold]]]) for rest, fold in deal]
            for deal in deals
        ]
        boosters = boost(matrix[rows], patients.y[rows], patients.weights[rows], offset[rows, k], inside)
        if boosters is not None:
            found[k] = read(boosters, inside)
    return found


def _held_out(
    by_arm: dict[int, Ensemble], deals: Sequence[Folds], matrix: FloatArray, n_arms: int
) -> FloatArray:
    """Return out-of-fold scores, shape (n_patients, n_arms); 0 for an arm without trees."""
    scores = np.zeros((len(matrix), n_arms))
    for k, ensemble in by_arm.items():
        scores[:, k] = ensemble.held_out(deals, matrix)
    return scores
