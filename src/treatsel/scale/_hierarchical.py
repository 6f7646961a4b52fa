"""The hierarchical model from a Dask DataFrame, fitted by sums over partitions."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray, as_text, count_of, normal_text
from treatsel.additive import Encoding
from treatsel.errors import InputError
from treatsel.models import HierarchicalClassifier, Priors
from treatsel.models.hierarchical import NO_EFFECTS, Curvature, Levels, Patients, boundaries_of, with_score
from treatsel.scale._first_pass import checked_sites, encoding_of, plain, scores_of, summarized, tree

# sums of `Curvature`; a therapist's patients may be in several partitions, so that there are no caseloads
ADDED = ("loglik", "gradient", "hessian", "site_gradient", "site_hessian", "cross")
Boundaries = tuple[FloatArray, FloatArray]  # of the levels of a score without, and with, the event


def fit_hierarchical_dask(
    ddf: Any,
    outcome: str,
    *,
    arm: str = "arm",
    groups: str | None = None,
    score: str | None = None,
    priors: Priors | None = None,
) -> HierarchicalClassifier:
    """Fit `HierarchicalClassifier` to a Dask DataFrame that may exceed the memory of one machine.

    Partitions are encoded once and stay on their workers. Each step of the optimization sends them the terms
    and adds up their log-likelihood, gradient and curvature. The fit equals that of the whole table up to
    rounding (1e-8). The workers hold 8 bytes per patient and term; this process holds the distinct values of
    each covariate and of the score. Needs ``pip install 'treatsel[dask]'``.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
        Outcome, arm, groups and score; all other columns are covariates, numeric or text.
    outcome : str
        Column of the outcome, 0 or 1. Exclude patients without an observed outcome.
    arm : str
        Column of the received arm.
    groups : str, optional
        Column of the site, as in `HierarchicalClassifier`.
    score : str, optional
        Column of the score behind the outcome, as in `HierarchicalClassifier.fit`: higher for patients nearer
        to the event, missing where only the outcome is known.
    priors : Priors, optional
        What is known from elsewhere, as in `HierarchicalClassifier`.

    Returns
    -------
    HierarchicalClassifier
        Fitted.

    Raises
    ------
    InputError
        If a column is missing, the outcome is not 0 or 1, an arm or a site is missing, an arm has only one
        class of outcome, or the score is no finite number or contradicts the outcome.
    """
    import dask

    found = summarized(ddf, outcome, arm, groups, score)
    arms, lengths = found.arms, found.lengths
    sites = checked_sites(found.counts[groups], groups) if groups else None
    encoding = encoding_of(found.counts, found.covariates, knots=True, logs=True)
    outcomes = _Outcomes.of(found.counts[""] if score is None else found.counts[score], score)
    held = dask.persist(
        *(
            dask.delayed(_local)(
                part, encoding, outcome, (arm, arms), (groups, sites), (score, outcomes.boundaries)
            )
            for part, n in zip(found.parts, lengths, strict=True)
            if n
        )
    )
    n_sites = 0 if sites is None else len(sites)
    patients = PatientParts(held, [n for n in lengths if n], outcomes, len(arms), n_sites, encoding)
    model = HierarchicalClassifier(arm=arm, groups=groups, priors=priors)
    return _fitted(model, patients, arms, sites)


@dataclass(frozen=True, repr=False, eq=False)
class _Outcomes:
    """The distinct outcomes and scores over all partitions, with their frequency.

    `score` and `boundaries` are None without a score.
    """

    y: FloatArray
    weights: FloatArray
    levels: Levels
    score: FloatArray | None = None
    boundaries: Boundaries | None = None

    @classmethod
    def of(cls, counts: pd.Series, score: str | None) -> "_Outcomes":
        """Read frequencies by arm and outcome, or by outcome and score."""
        table = counts.reset_index(name="n")
        y, weights = (table[name].to_numpy(dtype=np.float64) for name in ("outcome", "n"))
        if score is None:
            return cls(y, weights, Levels.binary(y))
        values = table["score"].to_numpy(dtype=np.float64)
        if n := int(weights[np.isinf(values)].sum()):
            raise InputError(
                f"Column {score!r} has {count_of(n, 'value')} that are no finite numbers. Correct them, or "
                "leave them empty."
            )
        boundaries = boundaries_of(values, y, weights, weights)
        return cls(y, weights, Levels.between(*boundaries, values, y), values, boundaries)


class PatientParts:
    """The interface of `Patients` for patients in many partitions.

    Parameters
    ----------
    parts : sequence of Delayed
        `Patients` of each partition.
    lengths : sequence of int
        Number of patients in each.
    outcomes : _Outcomes
        Distinct outcomes and scores over all partitions.
    n_arms, n_sites : int
        Numbers of arms and sites over all partitions.
    encoding : Encoding
        Common to all partitions.
    """

    def __init__(
        self,
        parts: Sequence[Any],
        lengths: Sequence[int],
        outcomes: _Outcomes,
        n_arms: int,
        n_sites: int,
        encoding: Encoding,
    ) -> None:
        self._parts, self._ends = parts, np.cumsum(lengths)
        self.population = None
        self.n_arms, self.n_sites, self.n_columns = n_arms, n_sites, len(encoding.features) + 1
        self.n_caseloads = 0
        # of outcomes and scores the classifier needs totals only: one patient for each distinct pair,
        # weighted by its frequency, gives the same
        self.weights, self.y, self.levels = outcomes.weights, outcomes.y, outcomes.levels
        self.n_terms, self.score, self.encoding = (
            self.n_columns + self.levels.n_free,
            outcomes.score,
            encoding,
        )
        self.arms = np.arange(n_arms)  # current code of each arm

    def with_arms(self, arms: npt.NDArray[np.intp]) -> "PatientParts":
        """Return the same patients with renumbered arms."""
        other = copy(self)
        other.arms = arms
        return other

    def _sum(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return the sum of a function over partitions."""
        import dask

        return tree(
            [dask.delayed(function)(part, self.arms, *given) for part in self._parts], _added
        ).compute()

    def totals_by_arm(self) -> list[FloatArray]:
        """As `Patients.totals_by_arm`."""
        return list(self._sum(_totals))

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """As `Patients.moments`."""
        total, squares = self._sum(_power_sums) / self.weights.sum()
        return total, np.maximum(squares - total**2, 0.0)

    def having(self) -> FloatArray:
        """As `Patients.having`."""
        return np.asarray(self._sum(_having))

    def counts_by_site(self) -> FloatArray:
        """As `Patients.counts_by_site`."""
        return np.asarray(self._sum(_by_site))

    def curvature(self, terms: FloatArray, site_effects: FloatArray, _: FloatArray = NO_EFFECTS) -> Curvature:
        """As `Patients.curvature`, without therapists."""
        return Curvature(*self._sum(_curvature, terms, site_effects))

    def left_out_loglik(
        self, terms: FloatArray, site_effects: FloatArray, covariance: FloatArray, _: FloatArray = NO_EFFECTS
    ) -> float:
        """As `Patients.left_out_loglik`."""
        return float(self._sum(_left_out, terms, site_effects, covariance))

    def sample(self, n_rows: int) -> tuple[FloatArray, FloatArray]:
        """As `Patients.sample`, with the same rows."""
        import dask

        n = int(self._ends[-1])
        rows = np.unique(np.linspace(0, n - 1, min(n_rows, n)).round().astype(int))
        own = np.split(rows, np.searchsorted(rows, self._ends[:-1]))
        where = zip(self._parts, own, np.append(0, self._ends[:-1]), strict=True)
        tasks = [dask.delayed(_rows)(part, mine - start) for part, mine, start in where if len(mine)]
        return np.concatenate(dask.compute(*tasks)), np.ones(len(rows))


# --- run on the workers


def _local(
    part: pd.DataFrame,
    encoding: Encoding,
    outcome: str,
    arms: tuple[str, np.ndarray],
    sites: tuple[str | None, np.ndarray | None],
    scores: tuple[str | None, Boundaries | None],
) -> Patients:
    (arm, known), (groups, names), (score, boundaries) = arms, sites, scores
    y, codes, levels = part[outcome].to_numpy(dtype=np.float64), None, None
    if score is not None and boundaries is not None:
        levels = Levels.between(*boundaries, scores_of(part[score]).to_numpy(dtype=np.float64), y)
    if groups is not None and names is not None:
        codes = pd.Index(names).get_indexer(
            part[groups].astype("object").map(lambda site: normal_text(as_text(site)))
        )
    patients = Patients(
        pd.DataFrame({name: plain(part[name]) for name in encoding.names}),
        encoding,
        arms=pd.Index(known).get_indexer(part[arm].astype("object")),
        y=y,
        weights=np.ones(len(part)),
        n_arms=len(known),
        sites=codes,
        levels=levels,
    )
    patients.n_sites = 0 if names is None else len(names)  # other partitions may have more
    return patients


def _totals(part: Patients, arms: npt.NDArray[np.intp]) -> FloatArray:
    return np.array(part.with_arms(arms[part.arms]).totals_by_arm())


def _having(part: Patients, arms: npt.NDArray[np.intp]) -> FloatArray:
    return part.with_arms(arms[part.arms]).having()


def _by_site(part: Patients, arms: npt.NDArray[np.intp]) -> FloatArray:
    return part.with_arms(arms[part.arms]).counts_by_site()


def _power_sums(part: Patients, _: Any) -> FloatArray:
    sums = np.zeros((2, part.n_columns))
    for design, _rows_of in part.blocks():
        sums += [design.sum(axis=0), (design**2).sum(axis=0)]
    return sums


def _curvature(
    part: Patients, arms: npt.NDArray[np.intp], terms: FloatArray, site_effects: FloatArray
) -> tuple[Any, ...]:
    found = part.with_arms(arms[part.arms]).curvature(terms, site_effects)
    return tuple(getattr(found, name) for name in ADDED)


def _left_out(part: Patients, arms: npt.NDArray[np.intp], *at: FloatArray) -> float:
    return part.with_arms(arms[part.arms]).left_out_loglik(*at)


def _rows(part: Patients, rows: npt.NDArray[np.intp]) -> FloatArray:
    return np.concatenate([design for design, _ in part.subset(rows).blocks()])


def _added(sums: Sequence[Any]) -> Any:
    """Add up arrays, or tuples of them."""
    if isinstance(sums[0], tuple):
        return tuple(sum(some) for some in zip(*sums, strict=True))
    return sum(sums)


def _fitted(
    model: HierarchicalClassifier, patients: PatientParts, arms: np.ndarray, sites: np.ndarray | None
) -> HierarchicalClassifier:
    encoding = patients.encoding
    model._sites = np.array([], dtype=object) if sites is None else sites
    model.classes_, model.arms_ = np.array([0, 1]), arms
    model.feature_names_in_ = np.asarray(encoding.names, dtype=object)
    model.n_features_in_ = len(encoding.names)
    with threadpool_limits(limits=1, user_api="blas"):
        hierarchy, additive = model._learn(cast(Patients, patients), encoding, pd.Index([]))
    if patients.score is not None:
        additive = with_score(additive, hierarchy, patients.levels, patients.score, patients.weights)
    model._additive = additive
    model.encoding_ = encoding
    model._keep(hierarchy, cast(Patients, patients), encoding.features)
    return model
