"""`explain`: SHAP values for the predictions of a selector or of a single model."""

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, as_pandas, count_of
from treatsel.additive import Explainer, additive_of, positions_of
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.explanation._result import Explanation
from treatsel.explanation._sampled import shapley_values

if TYPE_CHECKING:
    import pandas as pd


def explain(
    model: Any,
    X: Any,
    *,
    arm: Any = None,
    contrast: tuple[Any, Any] | None = None,
    outcome: str | None = None,
    scale: str = "logit",
    background: "pd.DataFrame | None" = None,
    date: datetime.date | str | None = None,
    on_invalid: str = "raise",
    service: str = "known",
) -> Explanation:
    """Explain a model's predictions by SHAP values on the source columns.

    They are exact for a sum of terms on the logit scale (logistic regression, LightGBM). SHAP values of
    linear terms have a closed form; those of trees are interventional. Covariates outside a coalition take
    their values from a background, the same for all arms. On the logit scale, base value plus attributions
    equal the model's logit, which is checked in every call.

    On the probability scale, the values are Aumann-Shapley attributions along the straight path from the
    background to the patient. For a sum of terms they have a closed form: the logit attribution times
    (p(f) - p(b)) / (f - b), where f is the patient's logit, b the mean logit of the background, and p the
    logistic function; p(b) is the base value (not the mean probability of the background). A contrast of two
    arms on this scale is a difference of risks: the attribution to the first arm's probability minus that to
    the second's, each along the path of its own logit from the same background. Both kinds sum exactly to
    the printed number minus the base value, which is checked as well.

    Any other model (a random forest, say) is explained by its predictions alone, on the scale asked for: with
    all coalitions of up to 8 covariates, and otherwise with 32 sampled permutations (seeded), which is
    approximate; the result names the `method` and has `standard_errors`. The values still sum to the
    prediction. This takes seconds per patient, so that one call is limited to 200 patients; up to 100 rows of
    the background are used. A model that predicts 0 or 1 has no logit and needs scale="probability".

    Parameters
    ----------
    model : TreatmentSelector or fitted model of `treatsel.models`
        Model to explain.
    X : DataFrame (for a selector also dict or list of dicts)
        Patients.
    arm : label, optional
        Arm whose prediction is explained. Give either `arm` or `contrast`.
    contrast : tuple of two labels, optional
        Explain the first arm's prediction minus the second's.
    outcome : str, optional
        Outcome of a selector; None: the first.
    scale : {"logit", "probability"}
        Unit of the attributions.
    background : DataFrame, optional
        Rows of covariates that represent the population; default: the selector's background.
    date : date or str such as "2027-01-31", optional
        Date of the explanation, which is compared with the review date of a selector, as in `predict`.
    on_invalid : {"raise", "flag"}
        For a selector: whether a value that violates the codebook raises an error, or the patient is
        explained and marked as out of scope.
    service : {"known", "average", "new"}
        For a selector: as in `predict`. At a known site or the average one, the site has an attribution of
        its own: how its prediction differs from that at a new site.

    Returns
    -------
    Explanation

    Raises
    ------
    InputError
        If neither or both of arm and contrast are given, or an arm is unknown; for a model that is not a sum
        of terms, also if there are more than 200 patients, or a prediction is 0 or 1 on the logit scale.
    UnsupportedModelError
        If it is not a fitted model with by-arm predictions.
    AdditivityError
        If the attributions do not add up to the model's prediction.

    References
    ----------
    Lundberg et al. (2020), Nature Machine Intelligence 2, 56-67. doi:10.1038/s42256-019-0138-9
    Janzing, Minorics & Bloebaum (2020), AISTATS, PMLR 108, 2907-2916.
    Strumbelj & Kononenko (2014), Knowledge and Information Systems 41, 647-665. doi:10.1007/s10115-013-0679-x
    Sundararajan & Najmi (2020), ICML, PMLR 119, 9269-9278 (Aumann-Shapley and the baseline).
    Sundararajan, Taly & Yan (2017), ICML, PMLR 70, 3319-3328 (the path integral).

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
    if hasattr(model, "recommend") and hasattr(model, "get_params"):  # a selector
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(model)
        model = model.model_
    if hasattr(model, "recommend"):
        options = {"arm": arm, "contrast": contrast, "outcome": outcome, "scale": scale, "date": date}
        options |= {"background": background, "on_invalid": on_invalid, "service": service}
        found: Explanation = model.explain(X, **options)
        return found
    return _of_model(model, X, arm, contrast, outcome, scale, background)


def _of_model(
    model: Any, X: Any, arm: Any, contrast: Any, outcome: str | None, scale: str, background: Any
) -> Explanation:
    import pandas as pd

    model = getattr(model, "best_estimator_", model)  # of a search
    if not hasattr(model, "predict_by_arm"):
        raise UnsupportedModelError(f"{type(model).__name__} is not a model of treatsel.models.")
    X, background = as_pandas(X), as_pandas(background)
    if not isinstance(X, pd.DataFrame):
        raise InputError("X must be a DataFrame if the model is not a selector.")
    if background is None or not len(background):
        raise InputError("This model has no background. Pass background=, rows of covariates.")
    options = {"arm": arm, "contrast": contrast, "scale": scale}
    options["outcome"] = "the outcome" if outcome is None else outcome
    additive = additive_of(model)
    if additive is not None:
        return explain_table(additive, X, background, **options)
    names = _covariates_of(model, X)
    for what, table in (("X", X), ("background", background)):
        if lacking := [name for name in names if name not in table]:
            raise InputError(f"{what} has no column {lacking[0]!r}, a covariate of the model.")
    return explain_predictions(model, X[names], background[names], **options)


def _covariates_of(model: Any, X: "pd.DataFrame") -> list[Any]:
    from sklearn.utils.validation import check_is_fitted

    if hasattr(model, "fit"):
        check_is_fitted(model)
    arm = getattr(model, "arm", None)
    return list(getattr(model, "feature_names_in_", [name for name in X.columns if name != arm]))


def explain_table(
    additive: Any,
    covariates: "pd.DataFrame",
    background: "pd.DataFrame",
    *,
    arm: Any,
    contrast: tuple[Any, Any] | None,
    outcome: str,
    scale: str,
    model_id: str | None = None,
) -> Explanation:
    """Explain an additive model for a table of clean covariates, relative to a background."""
    model_arms = list(additive.arms_)
    positions = positions_of(arm, contrast, scale, model_arms)
    explainer = Explainer.of(additive, additive.encoding.encode(background))
    numbers = additive.sites_of(covariates, "known")
    sites = {} if numbers is None else additive.sites.shown(numbers)
    values, base, prediction = explainer.explain(
        additive.encoding.encode(covariates), positions, scale, sites=numbers if sites else None
    )
    names = tuple(additive.encoding.names)
    return Explanation(
        patients=covariates.index,
        covariates=(*names, *sites),
        attributions=values,
        base_value=base,
        predictions=prediction,
        inputs={**{name: covariates[name].array for name in names}, **sites},
        **arms_at(positions, model_arms),
        outcome=outcome,
        scale=scale,
        model_id=model_id,
    )


def explain_predictions(
    model: Any,
    covariates: "pd.DataFrame",
    background: "pd.DataFrame",
    *,
    arm: Any,
    contrast: tuple[Any, Any] | None,
    outcome: str,
    scale: str,
    model_id: str | None = None,
) -> Explanation:
    """Explain a model that is not a sum of terms, by its predictions for a table of clean covariates."""
    model_arms = list(model.arms_)
    positions = positions_of(arm, contrast, scale, model_arms)

    def predict(table: "pd.DataFrame") -> FloatArray:
        found = _on_scale(model.predict_by_arm(table).to_numpy(dtype=float)[:, positions], scale)
        return found[:, 0] if len(positions) == 1 else np.asarray(found[:, 0] - found[:, 1])

    found = shapley_values(predict, covariates, background)
    return Explanation(
        patients=covariates.index,
        covariates=tuple(covariates.columns),
        attributions=found.values,
        base_value=found.base,
        predictions=found.predictions,
        inputs={name: covariates[name].array for name in covariates.columns},
        **arms_at(positions, model_arms),
        outcome=outcome,
        scale=scale,
        model_id=model_id,
        method="enumeration" if found.errors is None else "permutation",
        standard_errors=found.errors,
    )


def arms_at(positions: Sequence[int], arms: Sequence[Any]) -> dict[str, Any]:
    """Return the arm, or the contrast of two arms, at these positions, as the model names them."""
    found = tuple(arms[k] for k in positions)
    return {"arm": None, "contrast": found} if len(found) == 2 else {"arm": found[0], "contrast": None}


def _on_scale(probability: FloatArray, scale: str) -> FloatArray:
    if scale == "probability":
        return probability
    if n := int(((probability <= 0) | (probability >= 1)).any(axis=1).sum()):
        raise InputError(
            f"The model predicts a probability of exactly 0 or 1 in {count_of(n, 'row')} that the "
            'explanation needs; its log odds are infinite. Use scale="probability".'
        )
    return np.asarray(np.log(probability) - np.log1p(-probability))
