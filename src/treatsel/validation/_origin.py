"""Where the patients of a validation come from: other patients, or those of the development cohort."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from treatsel._checks import count_of
from treatsel._measures import MEASURES
from treatsel._stats.row_hashes import received_row_keys
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.fitted import Shared, rows_shared
from treatsel.model_selection import CrossPredictions, cross_predict_cohort
from treatsel.models import RecalibratedClassifier
from treatsel.validation._rule import RuleInUse
from treatsel.validation.parts import OVERALL, Caution, Severity

EXTERNAL, CROSS_VALIDATED, APPARENT = "external", "cross-validated", "apparent"
WITHIN_ARM_AUC = MEASURES["within_arm_auc"].label
N_PARTITIONS = 3  # of a cross-validation; an odd number has a median
DEFAULT = RuleInUse()
WITHHELD = "withheld, since patients of the development cohort are among these"  # gains of a model on them


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Origin:
    """What is validated, in which patients, and what kind of validation this is.

    Attributes
    ----------
    model : selector, model or by-arm table
        What gives the predictions; out-of-fold predictions for a cross-validation.
    cohort : Cohort
        The patients that are evaluated.
    kind : str
        "external"; "cross-validated": the patients are (partly) those of the development cohort, and each is
        predicted by a model fitted without the patient's fold; "apparent": they are, and the model cannot be
        fitted again.
    share : float
        Estimated proportion of the given cohort that was in the development cohort.
    n_left_out : int
        Patients who were left out because they were in the development cohort.
    is_checked : bool
        Whether the cohort could be compared with the development cohort.
    fold_comparator : Series or None
        For a cross-validation: the best single arm by the patients outside each patient's fold.
    partitions : sequence of CrossPredictions
        For a cross-validation: the same from other partitions into folds. How patients are divided moves the
        gain by almost as much as its sampling error.
    recommended : DataFrame or None
        For a cross-validation by a stated rule: what the selectors of the folds recommend.
    source : str
        The cohort with which patients are shared: that of the development, or of an update.
    """

    model: Any
    cohort: Cohort
    kind: str
    share: float = 0.0
    n_left_out: int = 0
    is_checked: bool = True
    fold_comparator: pd.Series | None = None
    partitions: Sequence[CrossPredictions] = ()
    recommended: pd.DataFrame | None = None
    source: str = "the development cohort"

    @property
    def predictions(self) -> list[tuple[Any, pd.Series | None, pd.DataFrame | None]]:
        """What gives predictions, the best single arm, and what is recommended, of each partition."""
        own = (self.model, self.fold_comparator, self.recommended)
        return [own, *((each.by_arm, each.default_arm, each.recommended) for each in self.partitions)]

    @property
    def cautions(self) -> list[Caution]:
        """What a reader must know about the patients."""
        if self.kind == APPARENT:
            return [
                Caution(
                    Severity.NO_VALIDATION,
                    f"About {self.share:.0%} of these patients were in {self.source}. The estimates "
                    "are apparent (optimistic) performance, not external validation; gains and verdicts are "
                    "withheld.",
                )
            ]
        if self.kind == CROSS_VALIDATED and self.share:
            return [
                Caution(
                    Severity.PARTIAL,
                    f"{self.share:.0%} of these patients were in the development cohort, so this is not an "
                    "external validation. Every patient was predicted by a model fitted to other patients of "
                    "this cohort (cross-validation); performance at other services may be lower.",
                )
            ]
        if self.share and self.kind == EXTERNAL and not self.n_left_out:
            text = (
                f"About {self.share:.0%} of these patients were probably in the development cohort; the "
                "model does not tell which."
            )
            return [Caution(Severity.PARTIAL, text)]
        if not self.is_checked:
            text = (
                "Whether patients of the development cohort are among these could not be checked; the author "
                "should confirm that none is."
            )
            return [Caution(Severity.MILD, text)]
        if self.n_left_out:
            verb = "was" if self.n_left_out == 1 else "were"
            text = f"{count_of(self.n_left_out, 'patient')} of {self.source} {verb} left out."
            return [Caution(Severity.MILD, text)]
        return []


def cautions_of_folds(origin: Origin, figures: list[dict[str, Any]]) -> list[Caution]:
    """Return a caution if out-of-fold predictions look reversed, which is usually an artifact of the folds.

    References
    ----------
    Parker, Guenter & Bedo (2007), BMC Bioinformatics 8, 326. doi:10.1186/1471-2105-8-326
    """
    own = (one for one in figures if (one["measure"], one["group"]) == (WITHIN_ARM_AUC, OVERALL))
    if origin.kind != CROSS_VALIDATED or not any(one["upper"] < 0.5 for one in own):
        return []
    text = (
        "The within-arm AUC lies below 0.5. In a cross-validation this is usually no reversed prediction: "
        "where the covariates hardly predict the outcome, a fold with few events is predicted from the other "
        "folds, which have more of them. Read AUC and calibration slope as: no discrimination was found."
    )
    return [Caution(Severity.PARTIAL, text)]


def origin_of(
    model: Any,
    cohort: Cohort,
    outcome: str | None,
    random_state: int | None,
    n_jobs: int | None,
    rule: RuleInUse = DEFAULT,
) -> Origin:
    """Return which patients and predictions to evaluate, after comparing the cohort with the development one.

    Patients known to be shared are left out. If more than 5 % are shared, or the selector is not fitted, the
    figures are cross-fitted; a model from a file, which cannot be fitted again, gives apparent performance.
    """
    if not hasattr(model, "shared_with"):
        return _of_keys([model], model, cohort, "the cohort on which the model was fitted or updated")
    if not model.__sklearn_is_fitted__():
        return _cross_validated(model, cohort, outcome, random_state, n_jobs, rule)
    updated = [each for each in model.models_.values() if isinstance(each, RecalibratedClassifier)]
    used = _of_keys(updated, model, cohort, "the cohort on which the model was updated")
    if used.share:  # a clone would be fitted without the update: its figures are those of another model
        return used
    shared = _shared(model, cohort)
    if shared is None or not shared.is_known:
        return Origin(model=model, cohort=cohort, kind=EXTERNAL, is_checked=False)
    if not shared.share:
        return Origin(model=model, cohort=cohort, kind=EXTERNAL)
    if shared.too_many:
        if shared.is_exact:
            found = _cross_validated(model, cohort, outcome, random_state, n_jobs, rule)
            return replace(found, share=shared.share)
        return Origin(model=model, cohort=cohort, kind=APPARENT, share=shared.share)
    if shared.rows is None:
        return Origin(model=model, cohort=cohort, kind=EXTERNAL, share=shared.share)
    return Origin(
        model=model,
        cohort=cohort.take(~shared.rows),
        kind=EXTERNAL,
        share=shared.share,
        n_left_out=int(shared.rows.sum()),
    )


def _of_keys(parts: list[Any], model: Any, cohort: Cohort, source: str) -> Origin:
    """Compare the cohort with the rows that were used to fit or update (parts of) a model that keeps them."""
    shared = [found for part in parts if (found := _shared_rows(part, cohort)) is not None]
    most = max(shared, key=lambda found: found.share, default=None)
    unchecked = Origin(model=model, cohort=cohort, kind=EXTERNAL, is_checked=False)
    if most is None or not most.is_known or not most.share:
        return unchecked  # the rows may have been written in another form
    if most.too_many or most.rows is None:
        return replace(unchecked, kind=APPARENT, share=most.share, is_checked=True, source=source)
    rest, n = cohort.take(~most.rows), int(most.rows.sum())
    return replace(unchecked, cohort=rest, share=most.share, n_left_out=n, is_checked=True, source=source)


def _shared_rows(part: Any, cohort: Cohort) -> Shared | None:
    keys, names = getattr(part, "row_keys_", None), list(getattr(part, "feature_names_in_", ()))
    if keys is None or not names or any(name not in cohort.frame for name in names):
        return None
    return rows_shared(keys, received_row_keys(cohort.frame[names], cohort.received))


def _cross_validated(
    model: Any,
    cohort: Cohort,
    outcome: str | None,
    random_state: int | None,
    n_jobs: int | None,
    rule: RuleInUse,
) -> Origin:
    known = model.outcomes_ if model.__sklearn_is_fitted__() else cohort.codebook.outcomes
    main = next(iter(known), None)
    name = outcome or main
    if name not in cohort.codebook.outcomes:
        raise InputError(f"The cohort has no outcome {name!r}; it has {list(cohort.codebook.outcomes)}.")
    decision = rule.of_folds(name, str(main))
    seeds = [None if random_state is None else random_state + number for number in range(N_PARTITIONS)]
    first, *others = (
        cross_predict_cohort(model, cohort, name, decision=decision, random_state=seed, n_jobs=n_jobs)
        for seed in seeds
    )
    return Origin(
        model=first.by_arm,
        cohort=cohort,
        kind=CROSS_VALIDATED,
        fold_comparator=first.default_arm,
        partitions=others,
        recommended=first.recommended,
    )


def _shared(model: Any, cohort: Cohort) -> Shared | None:
    """Compare the cohort's covariates and arms with those of the development cohort."""
    if any(name not in cohort.frame for name in model.codebook_.covariates):
        return None  # predicting will say so
    found: Shared | None = model.shared_with(cohort.frame, cohort.received)
    return found


def stated_by(
    model: Any, origin: Origin, outcome: str | None, event_is_good: bool | None
) -> tuple[str | None, bool | None]:
    """Return the outcome and its direction as a fitted selector states them, unless they are given."""
    if not hasattr(model, "outcomes_") or not model.__sklearn_is_fitted__():
        return outcome, event_is_good
    name = outcome or model.outcomes_[0]
    if event_is_good is None and origin.kind == CROSS_VALIDATED:
        event_is_good = model.event_is_good_.get(name)
    return name, event_is_good
