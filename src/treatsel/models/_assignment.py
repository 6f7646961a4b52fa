"""The assignment model: how likely each arm was for a patient like this."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from treatsel.models._encoder import Encoding

PROPENSITY_FLOOR = 0.01


def assignment_probabilities(
    covariates: pd.DataFrame,
    received: pd.Series,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
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

    References
    ----------
    Imbens (2000), Biometrika 87(3), 706-710. doi:10.1093/biomet/87.3.706
    """
    arms = pd.Index(sorted(received.unique(), key=str))
    values = np.zeros((len(received), len(arms)))
    codes = arms.get_indexer(received)
    for rest, fold in folds:
        known = np.unique(codes[rest])
        if len(known) == 1:
            values[fold, known[0]] = 1.0
            continue
        encoding = Encoding.learn(covariates.iloc[rest], np.ones(len(rest)), native_missing=False)
        model = LogisticRegression(C=0.1, max_iter=1000)
        model.fit(encoding.encode(covariates.iloc[rest]), codes[rest])
        values[np.ix_(fold, model.classes_)] = model.predict_proba(encoding.encode(covariates.iloc[fold]))
    if len(arms) > 1:
        values = np.maximum(values, floor)
    values /= values.sum(axis=1, keepdims=True)
    return pd.DataFrame(values, index=received.index, columns=arms)
