"""Explanations of predictions: exact SHAP values per arm, and for the difference between two arms.

Attributions describe the model: how covariates contribute to its prediction, not what would change the
patient's outcome.
"""

from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from treatsel._checks import check_choice, check_patient, count_of
from treatsel._reporting import plots
from treatsel.additive import AdditiveModel, Explainer, positions_of
from treatsel.errors import InputError, UnsupportedModelError


@dataclass(frozen=True, kw_only=True, repr=False)
class Explanation:
    """Attributions of one arm's prediction, or of the difference between two arms.

    Attributes
    ----------
    values : DataFrame of shape (n_patients, n_covariates)
        Attribution of each source column; logits, or proportions on the probability scale.
    base_value : float
        The model's prediction for the background.
    prediction : Series of shape (n_patients,)
        The model's prediction: base value plus the attributions of a row.
    data : DataFrame of shape (n_patients, n_covariates)
        The covariates of the explained patients.
    arm : label or None
        The explained arm, or None for a contrast.
    contrast : tuple of two labels or None
        First arm minus second arm.
    outcome : str
        Name of the outcome.
    scale : {"logit", "probability"}
        Unit of the values.
    """

    values: pd.DataFrame
    base_value: float
    prediction: pd.Series
    data: pd.DataFrame
    arm: Any
    contrast: tuple[Any, Any] | None
    outcome: str
    scale: str

    def __repr__(self) -> str:
        """Describe the explained quantity without showing a patient."""
        n, p = self.values.shape
        return f"Explanation({count_of(n, 'patient')}, {count_of(p, 'covariate')}: {self.subject})"

    @property
    def subject(self) -> str:
        """Description of the explained quantity."""
        what = f"the {'log odds' if self.scale == 'logit' else 'probability'} of {self.outcome}"
        if self.contrast is not None:
            return f"the model's difference in {what[4:]}, {self.contrast[0]} minus {self.contrast[1]}"
        return f"the model's {what[4:]} under {self.arm}"

    def to_frame(self) -> pd.DataFrame:
        """Return a long table: patient, covariate, attribution, base_value, prediction."""
        n, p = self.values.shape
        return pd.DataFrame(
            {
                "patient": np.repeat(self.values.index.to_numpy(), p),
                "covariate": np.tile(self.values.columns.to_numpy(), n),
                "attribution": self.values.to_numpy().ravel(),
                "base_value": self.base_value,
                "prediction": np.repeat(self.prediction.to_numpy(), p),
            }
        )

    def to_shap(self) -> Any:
        """Return a `shap.Explanation`, for the plots of the shap package."""
        import shap

        numbers = self.data.apply(_codes)
        return shap.Explanation(
            values=self.values.to_numpy(),
            base_values=np.full(len(self.values), self.base_value),
            data=numbers.to_numpy(dtype=float),
            display_data=self.data.to_numpy(dtype=object),
            feature_names=[str(name) for name in self.values.columns],
        )

    def plot(self, ax: Any = None, *, patient: Any = None) -> Any:
        """Plot one patient's attributions (None: the only patient, or mean absolute values over all).

        Returns
        -------
        matplotlib Axes
        """
        if patient is None and len(self.values) == 1:
            patient = self.values.index[0]
        unit = "log odds" if self.scale == "logit" else "probability"
        if patient is None:
            sizes = self.values.abs().mean()
            label = fill(f"Mean size of the attribution ({unit}) to {self.subject}", 52)
            return plots.attributions(sizes, labels={}, xlabel=label, ax=ax)
        check_patient(patient, self.values.index)
        row = self.data.loc[patient]
        labels = {name: f"{name} = {_shown(row[name])}" for name in self.values.columns}
        label = fill(f"Attribution ({unit}) to {self.subject}", 52)
        ax = plots.attributions(self.values.loc[patient], labels=labels, xlabel=label, ax=ax)
        ends = (
            f"{self.base_value:+.3f} for the background, {self.prediction.loc[patient]:+.3f} for this patient"
        )
        ax.set_title(f"{patient}: {ends}\ngreen raises it, orange lowers it", fontsize=9, parse_math=False)
        return ax


def explain(
    model: Any,
    X: Any,
    *,
    arm: Any = None,
    contrast: tuple[Any, Any] | None = None,
    outcome: str | None = None,
    scale: str = "logit",
    background: pd.DataFrame | None = None,
) -> Explanation:
    """Explain a model's predictions by exact SHAP values on the source columns.

    SHAP values of linear terms have a closed form; those of trees are interventional. An unknown covariate is
    represented by a background, the same for all arms. On the logit scale, base value plus attributions equal
    the model's logit, which is checked in every call. On the probability scale, the logit attributions are
    rescaled along the straight path from the base value (Aumann-Shapley), and sum to the change in
    probability.

    Parameters
    ----------
    model : TreatmentSelector or fitted model of `treatsel.models`
        Model to explain; it must be made of logistic regressions or LightGBM.
    X : DataFrame (for a selector also dict or list of dicts)
        Patients.
    arm : label, optional
        Arm whose prediction is explained. Give either this or `contrast`.
    contrast : tuple of two labels, optional
        Explain the first arm's prediction minus the second's.
    outcome : str, optional
        Outcome of a selector; None: the first.
    scale : {"logit", "probability"}
        Unit of the attributions.
    background : DataFrame, optional
        Rows of covariates that represent the population; default: the selector's background.

    Returns
    -------
    Explanation

    Raises
    ------
    InputError
        If neither or both of arm and contrast are given, or an arm is unknown.
    UnsupportedModelError
        If the model is not a sum on the logit scale.
    AdditivityError
        If the attributions do not add up to the model's prediction.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67. doi:10.1038/s42256-019-0138-9
    Janzing, Minorics & Bloebaum (2020), AISTATS, PMLR 108, 2907-2916.
    Sundararajan & Najmi (2020), ICML, PMLR 119, 9269-9278 (Aumann-Shapley and the baseline).

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.linear_model import LogisticRegression
    >>> from treatsel.models import ArmwiseClassifier
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 2, "arm": ["CBT"] * 4 + ["SSRI"] * 4})
    >>> model = ArmwiseClassifier(LogisticRegression()).fit(X, [0, 1, 0, 1, 1, 0, 1, 0])
    >>> explanation = explain(model, X.head(1), contrast=("CBT", "SSRI"), background=X)
    >>> explanation.values.round(2)
        age
    0 -1.22
    """
    additive, covariates, name = _parts(model, X, outcome)
    rows = background if background is not None else getattr(model, "background_", None)
    if rows is None or not len(rows):
        raise InputError("This model has no background. Pass background=, rows of covariates.")
    positions = positions_of(arm, contrast, scale, list(additive.arms_))
    explainer = Explainer.of(additive, additive.encoding.encode(rows))
    values, base, prediction = explainer.explain(additive.encoding.encode(covariates), positions, scale)
    columns = additive.encoding.names
    return Explanation(
        values=pd.DataFrame(values, index=covariates.index, columns=columns),
        base_value=base,
        prediction=pd.Series(prediction, index=covariates.index, name="prediction"),
        data=covariates[columns].copy(),
        arm=arm,
        contrast=None if contrast is None else (contrast[0], contrast[1]),
        outcome=name,
        scale=scale,
    )


def _parts(model: Any, X: Any, outcome: str | None) -> tuple[AdditiveModel, pd.DataFrame, str]:
    """Return the additive form, the covariates and the name of the outcome."""
    if hasattr(model, "recommend"):
        check_is_fitted(model, "additive_")
        name = model.outcomes_[0] if outcome is None else check_choice("outcome", outcome, model.outcomes_)
        additive = model.additive_[name]
        if additive is None:
            raise UnsupportedModelError(
                f"The model of {name!r} cannot be written as a sum of terms; logistic regression and "
                "LightGBM can be explained."
            )
        return additive, model.covariates(X), name
    if not hasattr(model, "additive"):
        raise UnsupportedModelError(
            f"model is a {type(model).__name__}; it must be a TreatmentSelector or a model of "
            "treatsel.models."
        )
    if not isinstance(X, pd.DataFrame):
        raise InputError("X must be a DataFrame of covariates to explain a model without a selector.")
    return model.additive(), X, "the outcome" if outcome is None else outcome


def _codes(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    codes = pd.Series(pd.factorize(column, sort=False)[0], index=column.index).astype("float64")
    return codes.mask(codes < 0)


def _shown(value: Any) -> str:
    if value is None or value != value:
        return "missing"
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
