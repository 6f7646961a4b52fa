"""The assignment model: how likely each arm was for a patient like this."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from treatsel._checks import FloatArray, check_same_length
from treatsel._stats.vectors import effective_size
from treatsel.additive import RARELY, AssignmentModel, Encoding
from treatsel.errors import InputError

PROPENSITY_FLOOR = 0.01
Folds = Sequence[tuple[np.ndarray, np.ndarray]]


def learn_model(
    covariates: pd.DataFrame, codes: np.ndarray, arms: np.ndarray, encoding: Encoding
) -> AssignmentModel:
    """Fit a ridge regression; `codes` are positions in `arms`, some of which may not occur."""
    known = np.unique(codes)
    intercept = np.full(len(arms), -np.inf)
    coefficients = np.zeros((len(arms), len(encoding.features)))
    intercept[known] = 0.0
    if len(known) > 1:
        fitted = LogisticRegression(C=0.1, max_iter=1000).fit(encoding.encode(covariates), codes)
        terms = np.column_stack([fitted.intercept_, fitted.coef_])
        if len(known) == 2:  # one logit: half of it for one arm, half against the other
            terms = np.concatenate([-terms / 2, terms / 2])
        intercept[known], coefficients[known] = terms[:, 0], terms[:, 1:]
    return AssignmentModel(encoding=encoding, arms_=arms, intercept=intercept, coefficients=coefficients)


@dataclass(frozen=True, eq=False, kw_only=True)
class Assignment:
    """How arms were given to patients, and how far the arms' patients overlap.

    Attributes
    ----------
    probabilities : DataFrame of shape (n_patients, n_arms), or None
        Cross-fitted probability of each arm, none below `floor`; rows add up to 1. None once loaded from
        a model file, which holds no patients.
    raw : DataFrame of shape (n_patients, n_arms), or None
        The same before anything was raised to the floor.
    table : DataFrame of shape (n_arms, 6)
        Per arm: `n` patients; their `share`; `effective_n`, Kish's effective sample size of weighting
        them by 1 / probability; `lowest`, the 1st percentile of the arm's raw probability among all
        patients; `share_low_propensity`, the share of all patients whose raw probability is below 2 %; `auc`,
        how well that probability tells patients of the arm from the others (0.5: as in a trial; near 1:
        hardly any overlap; NaN for a single arm).
    model : AssignmentModel
        Fitted to all patients, for patients yet to come.
    floor : float
        Smallest probability in `probabilities`.
    """

    probabilities: pd.DataFrame | None = field(repr=False)
    raw: pd.DataFrame | None = field(repr=False)
    table: pd.DataFrame
    model: AssignmentModel = field(repr=False)
    floor: float

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

    Multinomial logistic regression with a ridge penalty. Probabilities below `floor` are raised to it
    and each row is scaled back to 1, so that no patient counts more than about 1 / floor times.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline columns.
    received : Series of shape (n_patients,)
        Arm labels.
    folds : sequence of (rest, fold)
        Positions, as from `balanced_folds`; each patient is predicted by a model fitted to the rest.
    floor : float
        Smallest probability, above 0.

    Returns
    -------
    DataFrame of shape (n_patients, n_arms)
        Rows add up to 1.

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
    """Return `assignment_probabilities`, what they say about overlap, and a model for new patients.

    Parameters
    ----------
    covariates : DataFrame of shape (n_patients, n_covariates)
        Baseline columns.
    received : Series of shape (n_patients,)
        Arm labels.
    folds : sequence of (rest, fold)
        Positions, as from `balanced_folds`.
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
        floor=floor,
    )


def randomized_probabilities(received: pd.Series) -> pd.DataFrame:
    """Return the observed share of each arm for every patient: assignment in a simple randomised trial.

    In a trial whose allocation ratio was changed, or depended on strata, these are not its probabilities.

    Parameters
    ----------
    received : Series of shape (n_patients,)
        Arm labels.

    Returns
    -------
    DataFrame of shape (n_patients, n_arms)
        Rows are all alike and add up to 1.

    References
    ----------
    Lunceford & Davidian (2004), Statistics in Medicine 23(19), 2937-2960. doi:10.1002/sim.1903
    """
    arms = _arms_of(received)
    shares = np.bincount(arms.get_indexer(pd.Index(received))) / len(received)
    return pd.DataFrame(np.tile(shares, (len(received), 1)), index=received.index, columns=arms)


def check_folds(folds: Folds, n: int) -> None:
    """Raise unless each of n patients is in exactly one fold, and never in the rest beside it."""
    times = np.bincount(np.concatenate([fold for _, fold in folds]), minlength=n)
    if len(times) > n or (wrong := int((times != 1).sum())):
        found = "patients that are not there" if len(times) > n else f"{wrong} patients never, or twice"
        raise InputError(f"The folds hold {found}; each of the {n} patients must be in exactly one.")
    for rest, fold in folds:
        held_out = np.zeros(n, dtype=bool)
        held_out[fold] = True
        if twice := int(held_out[rest].sum()):
            raise InputError(f"A fold and its rest share {twice} patients; they must be apart.")


def _arms_of(received: pd.Series) -> "pd.Index[Any]":
    arms: pd.Index[Any] = pd.Index(sorted(received.unique(), key=str))
    return arms


def _cross_fitted(covariates: pd.DataFrame, received: pd.Series, folds: Folds) -> pd.DataFrame:
    check_same_length(covariates=covariates, received=received)
    check_folds(folds, len(received))
    arms = _arms_of(received)
    values = np.zeros((len(received), len(arms)))
    codes = arms.get_indexer(pd.Index(received))
    encoding = _encoding(covariates)  # of covariates alone: a column may be empty in the rest
    for rest, fold in folds:
        model = learn_model(covariates.iloc[rest], codes[rest], arms.to_numpy(), encoding)
        values[fold] = model.predict(covariates.iloc[fold]).to_numpy()
    return pd.DataFrame(values, index=received.index, columns=arms)


def _encoding(covariates: pd.DataFrame) -> Encoding:
    return Encoding.learn(covariates, np.ones(len(covariates)), native_missing=False)


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
        "lowest": float(np.quantile(raw, 0.01)),
        "share_low_propensity": float((raw < RARELY).mean()),
        "auc": float("nan") if mine.all() else float(roc_auc_score(mine, raw)),
    }


def low_propensity(assignment: Assignment, clean: pd.DataFrame) -> pd.DataFrame:
    """Return one warning (patient, code, column: the arm) where such patients hardly ever got an arm."""
    chances = assignment.model.predict(clean)
    rows, columns = np.nonzero(chances.to_numpy() < RARELY)
    return pd.DataFrame(
        {
            "patient": clean.index.to_numpy(dtype=object)[rows],
            "code": "low_propensity",
            "column": chances.columns.to_numpy(dtype=object)[columns],
        }
    )
