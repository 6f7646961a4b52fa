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
from treatsel._disclosure import arm_named
from treatsel.additive import Encoding
from treatsel.errors import InputError
from treatsel.models import HierarchicalClassifier
from treatsel.models.hierarchical import NO_EFFECTS, Curvature, Levels, Patients

FAN_IN = 16  # sums added by one task: limits both memory and the depth of the tree
# sums of `Curvature`; a therapist's patients may be in several partitions, so that there are no caseloads
ADDED = ("loglik", "gradient", "hessian", "site_gradient", "site_hessian", "cross")
Counts = dict[str, pd.Series]  # frequency of each value of a column


def fit_hierarchical_dask(
    ddf: Any, outcome: str, *, arm: str = "arm", groups: str | None = None
) -> HierarchicalClassifier:
    """Fit `HierarchicalClassifier` to a Dask DataFrame that may exceed the memory of one machine.

    Partitions are encoded once and stay on their workers. Each step of the optimization sends them the terms
    and adds up their log-likelihood, gradient and curvature. The fit equals that of the whole table up to
    rounding (1e-8). The workers hold 8 bytes per patient and term; this process holds the distinct values of
    each covariate. Needs ``pip install 'treatsel[dask]'``.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
        Outcome, arm and groups; all other columns are covariates, numeric or text.
    outcome : str
        Column of the outcome, 0 or 1. Exclude patients without an observed outcome.
    arm : str
        Column of the received arm.
    groups : str, optional
        Column of the site, as in `HierarchicalClassifier`.

    Returns
    -------
    HierarchicalClassifier
        Fitted.

    Raises
    ------
    InputError
        If a column is missing, the outcome is not 0 or 1, an arm or a site is missing, or an arm has only one
        class of outcome.
    """
    import dask

    found = summarized(ddf, outcome, arm, groups)
    arms, lengths = found.arms, found.lengths
    sites = _checked_sites(found.counts[groups], groups) if groups else None
    encoding = encoding_of(found.counts, found.covariates, knots=True, logs=True)
    held = dask.persist(
        *(
            dask.delayed(_local)(part, encoding, outcome, (arm, arms), (groups, sites))
            for part, n in zip(found.parts, lengths, strict=True)
            if n
        )
    )
    n_sites = 0 if sites is None else len(sites)
    patients = PatientParts(held, [n for n in lengths if n], found.n_events, len(arms), n_sites, encoding)
    return _fitted(patients, encoding, arms, arm, (groups, sites))


@dataclass(frozen=True, repr=False)
class Summary:
    """Result of a first pass over the partitions: their lengths and the frequency of each value."""

    parts: list[Any]
    lengths: list[int]
    covariates: list[str]
    counts: Counts
    arms: np.ndarray
    n_events: float


def summarized(ddf: Any, outcome: str, arm: str, groups: str | None = None) -> Summary:
    """Check the columns, outcome and arms of a frame, and count its values."""
    import dask

    named = [outcome, arm, *([groups] if groups else [])]
    if lost := [name for name in named if name not in ddf.columns]:
        raise InputError(f"The frame lacks the columns {lost}. It has {list(map(str, ddf.columns))}.")
    covariates = [name for name in ddf.columns if name not in named]
    if not covariates:
        raise InputError(f"The frame has no columns other than {named}. It needs at least one covariate.")
    parts = ddf.to_delayed()
    lengths, counts = dask.compute(
        [dask.delayed(len)(part) for part in parts],
        _tree([dask.delayed(_counted)(part, outcome, arm) for part in parts], _merged),
    )
    arms, n_events = _checked_arms(counts.pop(""), outcome, arm)
    return Summary(parts, lengths, covariates, counts, arms, n_events)


class PatientParts:
    """The interface of `Patients` for patients in many partitions.

    Parameters
    ----------
    parts : sequence of Delayed
        `Patients` of each partition.
    lengths : sequence of int
        Number of patients in each.
    n_events : float
        Number of patients with outcome 1.
    n_arms, n_sites : int
        Numbers of arms and sites over all partitions.
    encoding : Encoding
        Common to all partitions.
    """

    def __init__(
        self,
        parts: Sequence[Any],
        lengths: Sequence[int],
        n_events: float,
        n_arms: int,
        n_sites: int,
        encoding: Encoding,
    ) -> None:
        self._parts, self._ends = parts, np.cumsum(lengths)
        self.population = None
        self.n_arms, self.n_sites, self.n_columns = n_arms, n_sites, len(encoding.features) + 1
        self.n_caseloads = 0
        self.n_terms, self.levels = self.n_columns, Levels.binary(np.empty(0))
        n = float(self._ends[-1])
        # the classifier needs only totals of weights and outcomes: one patient of weight n gives the same
        self.weights, self.y = np.array([n]), np.array([n_events / n])
        self.arms = np.arange(n_arms)  # current code of each arm

    def with_arms(self, arms: npt.NDArray[np.intp]) -> "PatientParts":
        """Return the same patients with renumbered arms."""
        other = copy(self)
        other.arms = arms
        return other

    def _sum(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return the sum of a function over partitions."""
        import dask

        return _tree(
            [dask.delayed(function)(part, self.arms, *given) for part in self._parts], _added
        ).compute()

    def totals_by_arm(self) -> list[FloatArray]:
        """As `Patients.totals_by_arm`."""
        return list(self._sum(_totals))

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """As `Patients.moments`."""
        total, squares = self._sum(_power_sums) / self.weights[0]
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


def _counted(part: pd.DataFrame, outcome: str, arm: str) -> Counts:
    """Count the values of each column and, under "", those of arm and outcome jointly."""
    counts: Counts = {name: plain(part[name]).value_counts(dropna=False) for name in part.columns}
    # what is no number becomes NaN, which is refused: the error of a conversion would show a patient's value
    observed = pd.to_numeric(part[outcome], errors="coerce").astype("float64")
    both = pd.DataFrame({"arm": part[arm].astype("object"), "outcome": observed})
    counts[""] = both.groupby(["arm", "outcome"], dropna=False).size()
    return counts


def plain(column: pd.Series) -> pd.Series:
    """Return numbers as float64, declared categories as texts, and everything else as objects."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype("object").map(as_text, na_action="ignore")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
    return column.astype("object")


def _local(
    part: pd.DataFrame,
    encoding: Encoding,
    outcome: str,
    arms: tuple[str, np.ndarray],
    sites: tuple[str | None, np.ndarray | None],
) -> Patients:
    (arm, known), (groups, names) = arms, sites
    codes = None
    if groups is not None and names is not None:
        codes = pd.Index(names).get_indexer(
            part[groups].astype("object").map(lambda site: normal_text(as_text(site)))
        )
    patients = Patients(
        pd.DataFrame({name: plain(part[name]) for name in encoding.names}),
        encoding,
        arms=pd.Index(known).get_indexer(part[arm].astype("object")),
        y=part[outcome].to_numpy(dtype=np.float64),
        weights=np.ones(len(part)),
        n_arms=len(known),
        sites=codes,
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
    sums = np.zeros((2, part.n_terms))
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


def _merged(counts: Sequence[Counts]) -> Counts:
    merged = {}
    for name, first in counts[0].items():
        joined = pd.concat([one[name] for one in counts])
        levels = list(range(first.index.nlevels))
        merged[name] = joined.groupby(level=levels, dropna=False).sum()
    return merged


def _tree(tasks: list[Any], combine: Callable[[Sequence[Any]], Any]) -> Any:
    """Combine results in a tree whose shape depends on their number alone, for reproducible sums."""
    import dask

    while len(tasks) > 1:
        tasks = [dask.delayed(combine)(tasks[i : i + FAN_IN]) for i in range(0, len(tasks), FAN_IN)]
    return tasks[0]


# --- run in this process


def _checked_arms(counts: pd.Series, outcome: str, arm: str) -> tuple[np.ndarray, float]:
    """Return the arms, sorted, and the number of events."""
    table = counts.reset_index(name="n")
    if n := int(table.loc[table["arm"].isna(), "n"].sum()):
        raise InputError(
            f"Column {arm!r} has {count_of(n, 'missing value')}. Exclude patients without a received arm."
        )
    if n := int(table.loc[~table["outcome"].isin([0, 1]), "n"].sum()):
        raise InputError(
            f"Column {outcome!r} has {count_of(n, 'value')} other than 0 and 1. Recode or exclude them."
        )
    for name, rows in table.groupby("arm"):
        if len(rows) < 2:
            raise InputError(
                f"{arm_named(name, int(rows['n'].sum()))}, all with the same outcome. "
                "A model needs both outcomes in every arm: merge this arm with another, or exclude it."
            )
    arms = np.array(sorted(table["arm"].unique(), key=str), dtype=object)
    return arms, float(table.loc[table["outcome"] == 1, "n"].sum())


def _checked_sites(counts: pd.Series, groups: str) -> np.ndarray | None:
    """Return the sites; None if there are fewer than two, so that site effects cannot be estimated."""
    missing = counts.index.isna()
    if n := int(counts[missing].sum()):
        raise InputError(
            f"Column {groups!r} has {count_of(n, 'missing value')}. Complete it, or exclude these patients."
        )
    labels = sorted({normal_text(as_text(site)) for site in counts.index})
    return np.array(labels, dtype=object) if len(labels) > 1 else None


def encoding_of(counts: Counts, names: Sequence[str], **options: bool) -> Encoding:
    """Learn the encoding of each column from its distinct values, weighted by their frequency."""
    columns: list[Any] = []
    for name in names:
        values, n = pd.DataFrame({name: counts[name].index}), counts[name].to_numpy(dtype=np.float64)
        columns += Encoding.of_cohort(values, n, patients=n, **{"native_missing": False, **options}).columns
    return Encoding(tuple(columns), options.get("native_missing", False))


def _fitted(
    patients: PatientParts,
    encoding: Encoding,
    arms: np.ndarray,
    arm: str,
    sites: tuple[str | None, np.ndarray | None],
) -> HierarchicalClassifier:
    model = HierarchicalClassifier(arm=arm, groups=sites[0])
    model._sites = np.array([], dtype=object) if sites[1] is None else sites[1]
    model.classes_, model.arms_ = np.array([0, 1]), arms
    model.feature_names_in_ = np.asarray(encoding.names, dtype=object)
    model.n_features_in_ = len(encoding.names)
    with threadpool_limits(limits=1, user_api="blas"):
        hierarchy, model._additive = model._learn(cast(Patients, patients), encoding, pd.Index([]))
    model.encoding_ = encoding
    model._keep(hierarchy, cast(Patients, patients), encoding.features)
    return model
