"""The assignment (propensity) model: probability of each arm given the covariates, and overlap."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from treatsel._checks import FloatArray, check_same_length, count_of
from treatsel._reporting.summary import Summarized
from treatsel._stats.vectors import effective_size
from treatsel.additive import LOW_PROPENSITY, AssignmentModel, Encoding
from treatsel.errors import InputError

PROPENSITY_FLOOR = 0.01  # no inverse-probability weight above about 100 (Petersen et al. 2012: truncation)
Folds = Sequence[tuple[np.ndarray, np.ndarray]]


def learn_model(
    covariates: pd.DataFrame, codes: np.ndarray, arms: np.ndarray, encoding: Encoding
) -> AssignmentModel:
    """Fit a ridge multinomial regression; `codes` are positions in `arms`, some of which may not occur."""
    known = np.unique(codes)
    intercept = np.full(len(arms), -np.inf)
    coefficients = np.zeros((len(arms), len(encoding.features)))
    intercept[known] = 0.0
    if len(known) > 1:
        # prior SD 0.3 of a coefficient of a standardized covariate (C is its variance): enough to keep the
        # propensities of small cohorts away from 0 and 1, with little shrinkage in large cohorts
        fitted = LogisticRegression(C=0.1, max_iter=1000).fit(encoding.encode(covariates), codes)
        terms = np.column_stack([fitted.intercept_, fitted.coef_])
        if len(known) == 2:  # scikit-learn fits one logit; split it, so that softmax gives the same
            terms = np.concatenate([-terms / 2, terms / 2])
        intercept[known], coefficients[known] = terms[:, 0], terms[:, 1:]
    return AssignmentModel(encoding=encoding, arms_=arms, intercept=intercept, coefficients=coefficients)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Assignment(Summarized):
    """Propensities of all arms, and the overlap of the arms.

    Attributes
    ----------
    probabilities : DataFrame of shape (n_patients, n_arms), or None
        Cross-fitted probability of each arm, at least `propensity_floor`; rows sum to 1. None in a model
        loaded from a file, which holds no patients.
    raw : DataFrame of shape (n_patients, n_arms), or None
        The same before propensities were raised to the floor.
    table : DataFrame of shape (n_arms, 6)
        Per arm: `n` patients; their `share`; `effective_n`, Kish's effective sample size when they are
        weighted by 1 / propensity; `propensity_q01`, the 1st percentile of the arm's raw propensity among
        all patients; `share_low_propensity`, the share of all patients whose raw propensity is below 2 %;
        `auc`, the discrimination of the arm's patients from all others by that propensity (0.5: as in a
        trial; near 1: hardly any overlap; NaN for a single arm). A model loaded from a file has only the
        last four columns.
    model : AssignmentModel
        Fitted to all patients, for new patients.
    propensity_floor : float
        Smallest probability in `probabilities`.
    """

    probabilities: pd.DataFrame | None = field(repr=False)
    raw: pd.DataFrame | None = field(repr=False)
    table: pd.DataFrame
    model: AssignmentModel = field(repr=False)
    propensity_floor: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table by arm."""
        return self.table.copy()


def assignment_probabilities(
    covariates: pd.DataFrame,
    received: pd.Series,
    folds: Folds,
    *,
    floor: float = PROPENSITY_FLOOR,
) -> pd.DataFrame:
    """Return cross-fitted probabilities of each arm given the covariates.

    Multinomial logistic regression with a ridge penalty. Probabilities below `floor` are raised to it and
    each row is rescaled to sum to 1, so that no inverse-probability weight exceeds about 1 / floor.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline columns.
    received : Series of shape (n_patients,)
        Arm labels.
    folds : sequence of (rest, fold)
        Positions of the rest and of the fold, as in ``list(KFold().split(covariates))`` of scikit-learn;
        each patient is predicted by a model fitted to the rest.
    floor : float
        Smallest probability, above 0.

    Returns
    -------
    DataFrame of shape (n_patients, n_arms)
        Rows sum to 1.

    Raises
    ------
    InputError
        If lengths differ, the folds leave a patient out, or floor is not above 0 and below 1.

    References
    ----------
    Imbens (2000), Biometrika 87(3), 706-710. doi:10.1093/biomet/87.3.706
    """
    return _raised(_cross_fitted(covariates, received, folds), floor)


def assess_assignment(
    covariates: pd.DataFrame,
    received: pd.Series,
    folds: Folds,
    *,
    floor: float = PROPENSITY_FLOOR,
) -> Assignment:
    """Return `assignment_probabilities`, the overlap of the arms, and a model for new patients.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline columns.
    received : Series of shape (n_patients,)
        Arm labels.
    folds : sequence of (rest, fold)
        As in `assignment_probabilities`.
    floor : float
        Smallest probability, above 0.

    Returns
    -------
    Assignment

    Raises
    ------
    InputError
        As `assignment_probabilities`.

    References
    ----------
    Crump, Hotz, Imbens & Mitnik (2009), Biometrika 96(1), 187-199. doi:10.1093/biomet/asn055
    Petersen et al. (2012), Statistical Methods in Medical Research 21(1), 31-54.
    doi:10.1177/0962280210386207
    Kish (1965), Survey Sampling, section 11.7.
    """
    raw = _cross_fitted(covariates, received, folds)
    probabilities = _raised(raw, floor)
    codes = raw.columns.get_indexer(pd.Index(received))
    rows = [
        _overlap(codes == k, raw.iloc[:, k].to_numpy(), probabilities.iloc[:, k].to_numpy())
        for k in range(len(raw.columns))
    ]
    return Assignment(
        probabilities=probabilities,
        raw=raw,
        table=pd.DataFrame(rows, index=raw.columns.rename("arm")),
        model=learn_model(covariates, codes, raw.columns.to_numpy(), _encoding(covariates)),
        propensity_floor=floor,
    )


def randomized_probabilities(received: pd.Series) -> pd.DataFrame:
    """Return the observed share of each arm for every patient, as in a simple randomized trial.

    If the allocation ratio changed or depended on strata, these are not the trial's probabilities.

    Parameters
    ----------
    received : Series of shape (n_patients,)
        Arm labels.

    Returns
    -------
    DataFrame of shape (n_patients, n_arms)
        All rows are equal and sum to 1.

    References
    ----------
    Lunceford & Davidian (2004), Statistics in Medicine 23(19), 2937-2960. doi:10.1002/sim.1903
    """
    arms = _arms_of(received)
    shares = np.bincount(arms.get_indexer(pd.Index(received))) / len(received)
    return pd.DataFrame(np.tile(shares, (len(received), 1)), index=received.index, columns=arms)


def check_folds(folds: Folds, n: int) -> None:
    """Raise unless each of n patients is in exactly one fold, and not in the rest of that fold."""
    times = np.bincount(np.concatenate([fold for _, fold in folds]), minlength=n)
    if len(times) > n or (wrong := int((times != 1).sum())):
        found = (
            "positions beyond the last patient"
            if len(times) > n
            else f"{count_of(wrong, 'patient')} never, or more than once"
        )
        raise InputError(f"The folds hold {found}; each of the {n} patients must be in exactly one.")
    for rest, fold in folds:
        held_out = np.zeros(n, dtype=bool)
        held_out[fold] = True
        if twice := int(held_out[rest].sum()):
            raise InputError(
                f"A fold and its rest share {count_of(twice, 'patient')}; they must not overlap."
            )


def _arms_of(received: pd.Series) -> "pd.Index[Any]":
    arms: pd.Index[Any] = pd.Index(sorted(received.unique(), key=str))
    return arms


def _cross_fitted(covariates: pd.DataFrame, received: pd.Series, folds: Folds) -> pd.DataFrame:
    check_same_length(covariates=covariates, received=received)
    check_folds(folds, len(received))
    arms = _arms_of(received)
    values = np.zeros((len(received), len(arms)))
    codes = arms.get_indexer(pd.Index(received))
    # learned from all patients, since a column may be empty in the rest; it does not use the arm: no leakage
    encoding = _encoding(covariates)
    for rest, fold in folds:
        model = learn_model(covariates.iloc[rest], codes[rest], arms.to_numpy(), encoding)
        values[fold] = model.predict_by_arm(covariates.iloc[fold]).to_numpy()
    return pd.DataFrame(values, index=received.index, columns=arms)


def _encoding(covariates: pd.DataFrame) -> Encoding:
    return Encoding.of_cohort(covariates, np.ones(len(covariates)), native_missing=False)


def _raised(raw: pd.DataFrame, floor: float) -> pd.DataFrame:
    if not 0 < floor < 1:
        raise InputError(f"floor is {floor}; it must lie between 0 and 1, for example {PROPENSITY_FLOOR}.")
    values = raw.to_numpy()
    if len(raw.columns) > 1:
        values = np.maximum(values, floor)
    return pd.DataFrame(values / values.sum(axis=1, keepdims=True), index=raw.index, columns=raw.columns)


def _overlap(mine: np.ndarray, raw: FloatArray, probability: FloatArray) -> dict[str, float]:
    return {
        "n": int(mine.sum()),
        "share": float(mine.mean()),
        "effective_n": effective_size(1 / probability[mine]),
        "propensity_q01": float(np.quantile(raw, 0.01)),
        "share_low_propensity": float((raw < LOW_PROPENSITY).mean()),
        "auc": float("nan") if mine.all() else float(roc_auc_score(mine, raw)),
    }


def low_propensity(assignment: Assignment, clean: pd.DataFrame) -> pd.DataFrame:
    """Return one warning (patient, code, column: the arm) per patient and arm of low propensity."""
    propensity = assignment.model.predict_by_arm(clean)
    rows, columns = np.nonzero(propensity.to_numpy() < LOW_PROPENSITY)
    return pd.DataFrame(
        {
            "patient": clean.index.to_numpy(dtype=object)[rows],
            "code": "low_propensity",
            "column": propensity.columns.to_numpy(dtype=object)[columns],
        }
    )
