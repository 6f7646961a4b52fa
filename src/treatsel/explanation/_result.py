"""`Explanation`: attributions of one arm's prediction, or of the difference between two arms."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_text, check_patient, count_of
from treatsel._disclosure import SMALLEST_GROUP
from treatsel._reporting.summary import Summarized, Summary
from treatsel.predictions import (
    header,
    plain,
    scope_columns,
    scope_dicts,
    table_of_flags,
    warnings_of,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Explanation(Summarized):
    """SHAP values of one arm's prediction, or of the difference between two arms.

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
    flags : mapping of str to sequence, or None
        Warnings as in `Predictions.flags`; None for an explanation of a model that is not a selector.
    audit : mapping or None
        Model, versions, input and options as in `Predictions.audit`; None without a selector.
    titles, units : mapping of str to str
        Titles of covariates and of the outcome, and units of covariates, for readers; used in plots and
        summaries, while tables and JSON hold the names.
    method : {"additive", "enumeration", "permutation"}
        "additive": exact, from the terms of the model. "enumeration": exact for the background rows, from
        predictions for all coalitions of covariates. "permutation": approximate, from predictions along
        sampled permutations of the covariates.
    standard_errors : ndarray of shape (n_patients, n_covariates) or None
        Monte Carlo standard error of each attribution, from sampling permutations; None if they are exact.
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
    flags: Mapping[str, Any] | None = None
    audit: Mapping[str, Any] | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    method: str = "additive"
    standard_errors: FloatArray | None = None

    def __repr__(self) -> str:
        """Return a summary, without data of single patients."""
        patients, covariates = (
            count_of(len(self.patients), "patient"),
            count_of(len(self.covariates), "covariate"),
        )
        note = "" if self.exact else f"; {self.accuracy}"
        return f"Explanation({patients}, {covariates}: {self.subject}{note})"

    @property
    def exact(self) -> bool:
        """Whether the attributions are exact; if not, they have `standard_errors`."""
        return self.standard_errors is None

    @property
    def accuracy(self) -> str:
        """Whether the attributions are exact or approximate, in words."""
        if self.standard_errors is None:
            return "exact"
        largest = float(self.standard_errors.max(initial=0.0))
        return f"approximate (sampled permutations), standard error at most {largest:.2g}"

    def _summary(self) -> Summary:
        unit, n = "log odds" if self.scale == "logit" else "probability", len(self.patients)
        sizes = np.abs(self.attributions).mean(axis=0)
        order = np.argsort(-sizes, kind="stable")[:5]
        rows = [(self.label(self.covariates[i]), f"{sizes[i]:.3g}") for i in order]
        return Summary(
            title="Explanation",
            headline=f"SHAP values of {self._subject(self.label(self.outcome))}",
            facts=[
                ("patients", f"{n:,}"),
                ("covariates", f"{len(self.covariates):,}"),
                ("prediction for the background", f"{self.base_value:+.3f} ({unit})"),
            ],
            columns=("Covariate", f"Mean absolute attribution ({unit})"),
            rows=() if n < SMALLEST_GROUP else rows,
            note="to_frame() shows each patient; plot(patient=...) draws one.",
        )

    def label(self, name: str) -> str:
        """Return the title of a covariate or of the outcome, or its name if it has none."""
        return self.titles.get(name, name)

    @property
    def subject(self) -> str:
        """Description of the explained quantity, with the name of the outcome."""
        return self._subject(self.outcome)

    def _subject(self, outcome: str) -> str:
        what = f"{'log odds' if self.scale == 'logit' else 'probability'} of {outcome}"
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

    @property
    def warnings(self) -> "pd.DataFrame":
        """Warnings, as in `Predictions`: columns patient, code and column; empty without a selector."""
        return table_of_flags(self.flags)

    def to_frame(self) -> "pd.DataFrame":
        """Return a long table that says what it holds: one row per patient and covariate.

        Columns patient, outcome, arm, contrast ("first minus second"; arm or contrast is None), scale,
        covariate, value (of the covariate, as text; None if missing), attribution, base_value, prediction.
        The explanation of a selector also has the scope of each patient, as in `Predictions.to_frame`.
        Approximate attributions have the column standard_error as well.
        """
        import pandas as pd

        n, p = self.attributions.shape
        contrast = None if self.contrast is None else f"{self.contrast[0]} minus {self.contrast[1]}"
        values = {
            name: [None if pd.isna(value) else as_text(value) for value in self.inputs[name]]
            for name in self.covariates
        }
        scope = {} if self.flags is None else scope_columns(self.patients, self.flags)
        table = pd.DataFrame(
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
                **{key: np.repeat(values, p) for key, values in scope.items()},
            }
        )
        if self.standard_errors is not None:
            table.insert(
                list(table.columns).index("base_value"), "standard_error", self.standard_errors.ravel()
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and mappings, one entry per patient; a number that does not exist is None.

        The keys are described in the reference page "The JSON of predictions".
        """
        names = [str(name) for name in self.covariates]
        scopes = scope_dicts(self.patients, self.flags)
        n = len(self.patients)
        errors = [None] * n if self.standard_errors is None else self.standard_errors.tolist()
        parts = (self.patients, self.attributions.tolist(), self.predictions.tolist(), errors, scopes)
        return {
            **header("explanation"),
            "outcome": self.outcome,
            "arm": plain(self.arm),
            "contrast": None if self.contrast is None else [plain(arm) for arm in self.contrast],
            "scale": self.scale,
            "method": self.method,
            "exact": self.exact,
            "base_value": plain(float(self.base_value)),
            "explanations": [
                {
                    "patient": plain(patient),
                    "prediction": plain(prediction),
                    "attributions": dict(zip(names, map(plain, values), strict=True)),
                    "standard_errors": None if error is None else dict(zip(names, error, strict=True)),
                    **scope,
                }
                for patient, values, prediction, error, scope in zip(*parts, strict=True)
            ],
            "model_id": self.model_id,
            "warnings": warnings_of(self.flags),
            "audit": None if self.audit is None else dict(self.audit),
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

    def plot(self, ax: Any = None, *, patient: Any = None, **kwargs: Any) -> Any:
        """Draw one patient's attributions, or the mean absolute values of all patients.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; None: new ones.
        patient : label, optional
            Id of the patient; None: the only patient, or all.
        **kwargs
            Passed to `matplotlib.axes.Axes.barh` for the bars.

        Returns
        -------
        matplotlib Axes
        """
        from treatsel._reporting import plots

        values, unit = self.values, "log odds" if self.scale == "logit" else "probability"
        about = "" if self.exact else f"; {self.accuracy}"
        if patient is None and len(values) == 1:
            patient = values.index[0]
        if patient is None:
            label = f"Mean absolute attribution ({unit}) to {self._subject(self.label(self.outcome))}{about}"
            sizes = values.abs().mean()
            return plots.attributions(sizes, labels=self.titles, xlabel=label, signed=False, ax=ax, **kwargs)
        check_patient(patient, values.index)
        row, prediction = self.data.loc[patient], self.prediction.loc[patient]
        labels = {
            name: f"{self.label(name)} = {_shown(row[name], self.units.get(name, ''))}"
            for name in self.covariates
        }
        label = f"Attribution ({unit}) to {self._subject(self.label(self.outcome))}{about}"
        ax = plots.attributions(values.loc[patient], labels=labels, xlabel=label, ax=ax, **kwargs)
        ends = f"{self.base_value:+.3f} for the background, {prediction:+.3f} for this patient"
        note = "green increases the prediction, orange decreases it"
        ax.set_title(plots.wrapped(f"{patient}: {ends}\n{note}", 68), fontsize=9)
        return ax


def _codes(column: "pd.Series") -> "pd.Series":
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    codes = pd.Series(pd.factorize(column, sort=False)[0], index=column.index).astype("float64")
    return codes.mask(codes < 0)


def _shown(value: Any, unit: str) -> str:
    if value is None or value != value:
        return "missing"
    text = f"{value:g}" if isinstance(value, float | np.floating) else str(value)
    return f"{text} {unit}".strip()
