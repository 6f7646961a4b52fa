"""Summaries of the development cohort that a fitted model keeps; none describes a single patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from treatsel.fitted._row_digests import RowDigests
from treatsel.fitted._state import frozen, thawed
from treatsel.fitted._therapists import TherapistEffects

Columns = Mapping[str, Sequence[Any]]  # a table by columns


class DataCheck(NamedTuple):
    """A finding of the data-quality checks: a stable code for programs, and a message for readers.

    Codes: ``few_events``, ``small_arms``, ``positivity_violation``, ``constant_column``,
    ``collinear_columns``, ``duplicate_patients``, ``person_in_several_groups``, ``poor_overlap``,
    ``suspected_leakage``, ``worse_than_baseline``, ``extreme_predictions``, ``separated_loss``,
    ``score_not_proportional``, ``prior_conflict``, ``arm_at_few_sites``, ``rare_levels``,
    ``excluded_by_rules``.
    """

    code: str
    message: str
    disclosed: str = ""  # the message in model files, without counts by arm; "": the same message


class Published(NamedTuple):
    """Published estimates with which a model was fitted: their source, and the columns of `priors_`."""

    source: str
    columns: Columns


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Development:
    """Summaries of the development cohort.

    Tables are mappings of column to values. Those by arm are in the order of the model's arms.

    Attributes
    ----------
    training : mapping
        Columns outcome, arm, n, n_observed, n_events, sufficient_events; NaN: a count that is suppressed.
    arm_means : mapping
        By arm, doubly robust rate of the good main outcome: value, lower, upper, se, n and (only after
        `fit`) method; and p_best, the posterior probability that the arm is the best.
    ranges : mapping of str to (float, float)
        Lower and upper end of the expected range of each numeric covariate.
    background : mapping of str to ndarray
        Group means used as the background of explanations, by covariate.
    overlap : mapping
        By arm: table of the assignment model.
    propensity_floor : float
        Smallest propensity used for weights.
    observation : mapping of str to mapping
        For each outcome that is missing in some patients, the table of the observation model by arm.
    performance : mapping of str to mapping
        Cross-fitted performance by outcome: predictor, metric, value, lower, upper, n.
    data_checks : tuple of DataCheck
        Findings of the data-quality checks.
    fingerprint : str or None
        Hash of the covariates and the arm column; it shows whether another table is the same.
    priors : mapping of str to Published
        By outcome, the published estimates that the model took into account.
    row_digests : RowDigests or None
        Truncated digests of a sample of the rows, which show whether another cohort shares patients.
    therapists : mapping of str to TherapistEffects
        By outcome, the effects of therapists; empty unless they were asked for.
    """

    training: Columns
    arm_means: Columns
    ranges: Mapping[str, tuple[float, float]]
    background: Mapping[str, np.ndarray]
    overlap: Columns
    propensity_floor: float
    observation: Mapping[str, Columns] = field(default_factory=dict)
    performance: Mapping[str, Columns] = field(default_factory=dict)
    data_checks: tuple[DataCheck, ...] = ()
    fingerprint: str | None = None
    priors: Mapping[str, Published] = field(default_factory=dict)
    row_digests: RowDigests | None = None
    therapists: Mapping[str, TherapistEffects] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make every mapping and array read-only."""
        self.__setstate__({each.name: getattr(self, each.name) for each in fields(self)})

    def __getstate__(self) -> dict[str, Any]:
        """Return plain mappings, which can be copied and pickled."""
        return thawed(self.__dict__)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Keep read-only copies."""
        self.__dict__.update(frozen(state))

    def has_evidence(self, outcome: str) -> dict[Any, bool]:
        """Return, by arm, whether it has sufficient events of an outcome to be compared with others."""
        columns = ("outcome", "arm", "sufficient_events")
        rows = zip(*(self.training[name] for name in columns), strict=True)
        return {arm: bool(enough) for name, arm, enough in rows if name == outcome}
