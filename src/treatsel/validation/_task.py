"""The validation task: predictions, cohort and outcome, checked once and read by every part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray, by_text, check_choice, check_known_arms
from treatsel._disclosure import SMALLEST_GROUP, is_small, is_telling
from treatsel._stats.by_arm_tables import cells_of, recommended_shares
from treatsel._stats.clusters import therapist_clusters
from treatsel.codebook import check_same_definition, direction_of
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.fitted import FittedModel
from treatsel.metrics import FEWEST_CLUSTERS, MIN_CLUSTERS, enough_clusters
from treatsel.models import LossTest, Observation
from treatsel.validation._lost import dependence_on_process, observation_of, process_of
from treatsel.validation._predicted import is_served, out_of_scope, predicted

# Ten events and ten non-events, the usual rule of thumb for one logistic coefficient (Peduzzi et al. 1996,
# doi:10.1016/S0895-4356(96)00236-3): with fewer, intervals of slopes and AUCs are too wide to inform.
MIN_EVENTS = 10


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ValidationTask:
    """A by-arm table of predictions, a validation cohort and an outcome.

    Attributes
    ----------
    cohort : Cohort
        Validation cohort.
    outcome : str
        Outcome validated.
    good : bool
        Whether outcome 1 is the good outcome.
    by_arm : DataFrame of shape (n_patients, n_arms)
        Predicted probability of the outcome.
    received : Series of shape (n_patients,)
        Received arm.
    y : Series of shape (n_patients,)
        Outcome: 0, 1, or NaN if it was not observed.
    comparator : label or None
        Best single arm, if named in advance.
    level : float
        Confidence level.
    random_state : int or None
        Seed of folds and resamples.
    fold_comparator : Series or None
        For a cross-validation without a named comparator: the best single arm by the other folds.
    tie_arm : label, Series of labels by patient, or None
        The arm that takes ties in the recommendations: the default arm of the model, as in `recommend`, which
        in a cross-validation is that of the patient's fold; without a selector, the comparator.
    n_out_of_scope : int or None
        Patients to whom `recommend` gives no arm; None if the model is not a selector.
    left_out : tuple of str
        Arms of so few patients that a report would tell of them; these patients are left out.
    given : DataFrame of shape (n_patients, n_arms), or None
        Share of each arm in what the rule in use recommends, all 0 for a patient who keeps the arm that is
        given now. None: the default of `recommend`, the arm with the most favorable probability.
    allowed : DataFrame of bool of shape (n_patients, n_arms), or None
        Arms that the rules of eligibility permit; None: every patient may receive every arm.
    policy : mapping
        The rule in use as plain values; see `treatsel.validation._rule`.
    """

    cohort: Cohort
    outcome: str
    good: bool
    by_arm: pd.DataFrame
    received: pd.Series
    y: pd.Series
    comparator: Any
    level: float
    random_state: int | None
    fold_comparator: pd.Series | None = None
    tie_arm: Any = None
    n_out_of_scope: int | None = None
    left_out: tuple[str, ...] = ()
    given: pd.DataFrame | None = None
    allowed: pd.DataFrame | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: Any,
        cohort: Cohort,
        *,
        outcome: str | None,
        comparator: Any,
        event_is_good: bool | None,
        level: float,
        random_state: int | None,
        fold_comparator: pd.Series | None = None,
    ) -> "ValidationTask":
        """Check that the model and the cohort match.

        Raises
        ------
        InputError
            If the model is not a selector, a model or a table, the table lacks patients or arms, an arm is
            unknown, or no outcome was observed.
        """
        if isinstance(model, FittedModel):
            raise InputError(
                "model is a FittedModel. Give a selector instead, for example from treatsel.load_model(path)."
            )
        name = _outcome(model, cohort, outcome)
        by_arm = predicted(model, cohort, name)
        good = _direction(model, cohort, name, event_is_good)
        received = check_known_arms(cohort.received, by_arm.columns, fewest_named=SMALLEST_GROUP)
        y = cohort.frame[name]
        if not y.notna().any():
            raise InputError(f"Outcome {name!r} was not observed in any patient of this cohort.")
        left_out = rare_arms(y, received)
        if left_out:
            keep = (~received.isin(left_out)).to_numpy()
            if not y[keep].notna().any():
                raise InputError(
                    f"Every arm has fewer than {SMALLEST_GROUP} patients with {name!r} observed (or few, all "
                    "with the same outcome): a report would tell of single patients. Add patients."
                )
            cohort, by_arm, received, y = cohort.take(keep), by_arm[keep], received[keep], y[keep]
            fold_comparator = None if fold_comparator is None else fold_comparator[keep]
        best = comparator
        if best is None and name == getattr(model, "outcomes_", [None])[0]:
            best = model.default_arm_ if good == bool(model.event_is_good_[name]) else None
        named = by_text(by_arm.columns)
        if best is not None:
            best = check_choice("comparator", named(best), list(by_arm.columns))
        fold_comparator = None if fold_comparator is None else fold_comparator.map(named)
        ties = best if fold_comparator is None else fold_comparator
        if is_served(model, name, good):
            ties = named(model.default_arm_)
        return cls(
            cohort=cohort,
            outcome=name,
            good=good,
            by_arm=by_arm,
            received=received,
            y=y,
            comparator=best,
            fold_comparator=None if best is not None else fold_comparator,
            left_out=tuple(str(arm) for arm in left_out),
            level=level,
            random_state=random_state,
            tie_arm=ties,
            n_out_of_scope=out_of_scope(model, cohort),
        )

    @cached_property
    def seen(self) -> np.ndarray:
        """Patients whose outcome was observed."""
        return self.y.notna().to_numpy()

    @cached_property
    def own(self) -> FloatArray:
        """Predicted probability under the received arm, for patients with the outcome observed."""
        return cells_of("received", self.arms, self.by_arm[self.seen])

    @cached_property
    def observed(self) -> FloatArray:
        """Outcomes observed, 0 or 1."""
        return self.y[self.seen].to_numpy(dtype=float)

    @cached_property
    def arms(self) -> np.ndarray:
        """Received arms of patients with the outcome observed."""
        return self.received[self.seen].to_numpy(dtype=object)

    @cached_property
    def process(self) -> pd.DataFrame:
        """Columns observed after the start, which say whose outcomes were lost."""
        return process_of(self.cohort, self.outcome)

    @cached_property
    def observation(self) -> Observation | None:
        """Probability that each outcome was observed; None if no outcome was lost, or a handful."""
        return observation_of(self.cohort, self.received, self.process, self.seen, self.seed)

    @cached_property
    def loss_test(self) -> LossTest | None:
        """Test of whether observation depends on process columns, given arm and covariates."""
        return dependence_on_process(self.cohort, self.received, self.process, self.seen, self.seed)

    @cached_property
    def weight(self) -> FloatArray | None:
        """Weight of each patient with the outcome observed, to represent those whose outcome was lost.

        By the inverse of the probability of observation; None if there is no such probability.
        """
        if (found := self.observation) is None:
            return None
        assert found.weights is not None
        share = self.received[self.seen].map(found.table["share"]).to_numpy(dtype=float)
        # weights have mean 1 in each arm; those of arms in which more was lost count more
        weight = found.weights.to_numpy()[self.seen] / share
        return np.asarray(weight / weight.mean())

    @property
    def chance_observed(self) -> FloatArray:
        """Probability of observation of each patient; where it was, the inverse of the truncated weight."""
        chance = np.ones(len(self.seen))
        if self.weight is not None:
            chance[self.seen] = np.minimum(self.seen.mean() / self.weight, 1.0)
        return chance

    def weights(self, rows: Any = slice(None)) -> dict[str, Any]:
        """Return the arguments of a metric that weight patients; none if patients are not weighted.

        `rows`: some of the patients with the outcome observed, as a mask.
        """
        if self.weight is None:
            return {}
        return {"sample_weight": self.weight[rows], "weights_are": "sampling"}

    @property
    def weighting(self) -> str:
        """How patients are weighted, as part of a method; empty without weights."""
        if self.weight is None:
            return ""
        return "; weighted to represent the patients whose outcome was not observed"

    @property
    def one_class(self) -> str | None:
        """A statement that all patients have one and the same outcome; None if outcomes differ."""
        if len(classes := np.unique(self.observed)) > 1:
            return None
        return f"the outcome {self.outcome} is {int(classes[0])} in all patients in whom it was observed"

    @property
    def good_name(self) -> str:
        """The good outcome in words."""
        return self.outcome if self.good else f"no {self.outcome}"

    @cached_property
    def good_y(self) -> FloatArray:
        """Good outcomes observed, 0 or 1."""
        return self.observed if self.good else 1 - self.observed

    @cached_property
    def good_table(self) -> pd.DataFrame:
        """Predicted probability of the good outcome, for patients with the outcome observed."""
        table = self.by_arm[self.seen]
        return table if self.good else 1 - table

    @cached_property
    def recommended(self) -> pd.DataFrame:
        """Share of each arm in the recommendation of each patient, whether or not the outcome was observed.

        By default, `recommend` gives the arm with the highest predicted probability of the good outcome (rule
        "expected"), and ties to the default arm.
        """
        return self.best_among(self.by_arm.columns) if self.given is None else self.given

    def best_among(self, arms: Any) -> pd.DataFrame:
        """Return the shares of the arms with the highest probability of the good outcome among some arms."""
        table = self.by_arm[list(arms)]
        return recommended_shares(table if self.good else 1 - table, self.tie_arm)

    @cached_property
    def sites(self) -> pd.Series | None:
        """Site of each patient with the outcome observed; "not stated" is a site of its own."""
        name = self.cohort.codebook.name("site")
        return None if name is None else _named(self.cohort.frame.loc[self.seen, name])

    @property
    def seed(self) -> int:
        """Seed of the resamples."""
        return 0 if self.random_state is None else self.random_state

    @property
    def n_sites(self) -> int:
        """Number of sites; 0 if the codebook names no site column."""
        return 0 if self.sites is None else len(self.sites.unique())

    @cached_property
    def all_clusters(self) -> np.ndarray | None:
        """Cluster of each patient (site, or else person); None without enough for robust intervals.

        Of fewer than 10 sites, the therapists.
        """
        return self._all_clusters(MIN_CLUSTERS)

    def _all_clusters(self, fewest: int) -> np.ndarray | None:
        groups, therapists = self.cohort.groups, self.cohort.therapists
        if groups is not None and enough_clusters(_named(groups[self.seen]), fewest=fewest) is not None:
            return _named(groups).to_numpy()
        if therapists is None:
            return None
        found = therapist_clusters(therapists, groups).to_numpy()
        return None if enough_clusters(found[self.seen]) is None else found

    @property
    def clusters_of_means(self) -> np.ndarray | None:
        """Clusters of the patients with the outcome observed, for means with a small-sample correction."""
        found = self.all_clusters_of_means
        return None if found is None else found[self.seen]

    @cached_property
    def all_clusters_of_means(self) -> np.ndarray | None:
        """The same of all patients."""
        return self._all_clusters(FEWEST_CLUSTERS)

    @property
    def clusters(self) -> np.ndarray | None:
        """Clusters of the patients with the outcome observed."""
        return None if self.all_clusters is None else self.all_clusters[self.seen]


def rare_arms(y: pd.Series, received: pd.Series) -> list[Any]:
    """Return the arms whose figures would tell of single patients: see `treatsel._disclosure.is_telling`."""
    groups = y.groupby(received.to_numpy(), sort=False)
    counts = pd.DataFrame({"n": groups.size(), "seen": groups.count(), "events": groups.sum()})
    telling = is_small(counts["n"]) | is_telling(counts["seen"], counts["events"])
    return list(counts.index[telling])


def _named(groups: pd.Series) -> pd.Series:
    return groups.fillna("not stated").astype(str)


def _outcome(model: Any, cohort: Cohort, outcome: str | None) -> str:
    known = cohort.codebook.outcomes
    if not known:
        raise InputError("No column of the cohort's codebook has the role outcome.")
    mine = list(getattr(model, "outcomes_", known))
    name = mine[0] if outcome is None else outcome
    check_choice("outcome", name, mine)
    check_choice("The outcome of the cohort", name, known)
    book = getattr(model, "codebook_", None)
    if book is not None and name in book:
        check_same_definition(book[name], cohort.codebook[name])
    return str(name)


def _direction(model: Any, cohort: Cohort, outcome: str, given: bool | None) -> bool:
    return direction_of(
        outcome,
        ("event_is_good", given),
        ("the model", getattr(model, "event_is_good_", {}).get(outcome)),
        ("the codebook of the cohort", cohort.codebook[outcome].event_is_good),
    )
