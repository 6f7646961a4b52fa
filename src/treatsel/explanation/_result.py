"""`Explanation`: attributions of one arm's prediction, or of the difference between two arms."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_text, check_patient, count_of
from treatsel.predictions import plain

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Explanation:
    """Exact SHAP values of one arm's prediction, or of the difference between two arms.

    An attribution is a covariate's contribution to the model's prediction, not the effect of changing it on
    the patient's outcome. The fields are plain arrays, so that a service can explain a record without pandas;
    `values`, `prediction` and `data` return pandas objects.

    Attributes
    ----------
    patients : sequence of shape (n_patients,)
        Patient ids: the index of a table; for a record, its id, or 0 if it has none.
    covariates : tuple of str
        Source columns, in the order of `attributions`.
    attributions : ndarray of shape (n_patients, n_covariates)
        Attribution of each source column, in logits or probabilities (see `scale`).
    base_value : float
        The model's prediction for the background.
    predictions : ndarray of shape (n_patients,)
        The model's prediction: base value plus the attributions of a row.
    inputs : mapping of str to sequence of shape (n_patients,)
        The covariate values of the explained patients.
    arm : label or None
        The arm that is explained; None for a contrast.
    contrast : tuple of two labels or None
        The contrast that is explained, first arm minus second arm; None for a single arm.
    outcome : str
        Name of the outcome.
    scale : {"logit", "probability"}
        Unit of the attributions.
    model_id : str or None
        Hash of the model file's content; None for a model that is not from a file.
    """

    patients: Any
    covariates: tuple[str, ...]
    attributions: FloatArray
    base_value: float
    predictions: FloatArray
    inputs: Mapping[str, Any]
    arm: Any
    contrast: tuple[Any, Any] | None
    outcome: str
    scale: str
    model_id: str | None = None

    def __repr__(self) -> str:
        """Return a summary, without data of single patients."""
        patients, covariates = (
            count_of(len(self.patients), "patient"),
            count_of(len(self.covariates), "covariate"),
        )
        return f"Explanation({patients}, {covariates}: {self.subject})"

    @property
    def subject(self) -> str:
        """Description of the explained quantity."""
        what = f"{'log odds' if self.scale == 'logit' else 'probability'} of {self.outcome}"
        if self.contrast is not None:
            return f"the model's difference in {what}, {self.contrast[0]} minus {self.contrast[1]}"
        return f"the model's {what} under {self.arm}"

    @property
    def values(self) -> "pd.DataFrame":
        """Attributions as a table of shape (n_patients, n_covariates)."""
        import pandas as pd

        columns = list(self.covariates)
        return pd.DataFrame(self.attributions.copy(), index=pd.Index(self.patients), columns=columns)

    @property
    def prediction(self) -> "pd.Series":
        """Predictions as a series of shape (n_patients,)."""
        import pandas as pd

        return pd.Series(self.predictions.copy(), index=pd.Index(self.patients), name="prediction")

    @property
    def data(self) -> "pd.DataFrame":
        """Covariate values of the explained patients, a table of shape (n_patients, n_covariates)."""
        import pandas as pd

        index = pd.Index(self.patients)
        columns = {name: pd.Series(self.inputs[name]).set_axis(index) for name in self.covariates}
        return pd.DataFrame(columns, index=index)

    def to_frame(self) -> "pd.DataFrame":
        """Return a long table that says what it holds: one row per patient and covariate.

        Columns patient, outcome, arm, contrast ("first minus second"; arm or contrast is None), scale,
        covariate, value (of the covariate, as text; None if missing), attribution, base_value, prediction.
        """
        import pandas as pd

        n, p = self.attributions.shape
        contrast = None if self.contrast is None else f"{self.contrast[0]} minus {self.contrast[1]}"
        values = {
            name: [None if pd.isna(value) else as_text(value) for value in self.inputs[name]]
            for name in self.covariates
        }
        return pd.DataFrame(
            {
                "patient": np.repeat(pd.Index(self.patients).to_numpy(), p),
                "outcome": self.outcome,
                "arm": plain(self.arm),
                "contrast": contrast,
                "scale": self.scale,
                "covariate": np.tile(np.array(self.covariates, dtype=object), n),
                "value": [values[name][i] for i in range(n) for name in self.covariates],
                "attribution": self.attributions.ravel(),
                "base_value": self.base_value,
                "prediction": np.repeat(self.predictions, p),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, one entry per patient."""
        rows = zip(self.patients, self.attributions.tolist(), self.predictions.tolist(), strict=True)
        return {
            "outcome": self.outcome,
            "arm": plain(self.arm),
            "contrast": None if self.contrast is None else [plain(arm) for arm in self.contrast],
            "scale": self.scale,
            "base_value": float(self.base_value),
            "explanations": [
                {
                    "patient": plain(patient),
                    "prediction": prediction,
                    "attributions": dict(zip(self.covariates, values, strict=True)),
                }
                for patient, values, prediction in rows
            ],
            "model_id": self.model_id,
        }

    def to_json(self) -> str:
        """Return `to_dict` as JSON (RFC 8259: no NaN, no infinity)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_shap(self) -> Any:
        """Return a `shap.Explanation`, so that every plot of the shap package works on it."""
        import shap

        data = self.data
        return shap.Explanation(
            values=self.attributions.copy(),
            base_values=np.full(len(self.attributions), self.base_value),
            data=data.apply(_codes).to_numpy(dtype=float),
            display_data=data.to_numpy(dtype=object),
            feature_names=[str(name) for name in self.covariates],
        )

    def plot(self, ax: Any = None, *, patient: Any = None) -> Any:
        """Draw one patient's attributions (None: the only patient, or the mean absolute values of all).

        Returns
        -------
        matplotlib Axes
        """
        from treatsel._reporting import plots

        values, unit = self.values, "log odds" if self.scale == "logit" else "probability"
        if patient is None and len(values) == 1:
            patient = values.index[0]
        if patient is None:
            label = fill(f"Mean absolute attribution ({unit}) to {self.subject}", 52)
            return plots.attributions(values.abs().mean(), labels={}, xlabel=label, ax=ax)
        check_patient(patient, values.index)
        row, prediction = self.data.loc[patient], self.prediction.loc[patient]
        labels = {name: f"{name} = {_shown(row[name])}" for name in self.covariates}
        label = fill(f"Attribution ({unit}) to {self.subject}", 52)
        ax = plots.attributions(values.loc[patient], labels=labels, xlabel=label, ax=ax)
        ends = f"{self.base_value:+.3f} for the background, {prediction:+.3f} for this patient"
        note = "green increases the prediction, orange decreases it"
        ax.set_title(f"{patient}: {ends}\n{note}", fontsize=9, parse_math=False)
        return ax


def _codes(column: "pd.Series") -> "pd.Series":
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    codes = pd.Series(pd.factorize(column, sort=False)[0], index=column.index).astype("float64")
    return codes.mask(codes < 0)


def _shown(value: Any) -> str:
    if value is None or value != value:
        return "missing"
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
