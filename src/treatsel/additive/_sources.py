"""Posterior draws of one patient's logits, divided by where their uncertainty comes from."""

from typing import TYPE_CHECKING

import numpy as np

from treatsel._checks import FloatArray
from treatsel.additive._explainer import Explainer
from treatsel.additive._model import AdditiveModel
from treatsel.additive._scoring import score_trees
from treatsel.additive._sites import NEW

if TYPE_CHECKING:
    import pandas as pd

ARM_AVERAGES, COVARIATES, SERVICE, MISSING = "arm_averages", "covariates", "service", "missing_answers"


def draws_by_source(
    model: AdditiveModel, patient: "pd.DataFrame", reference: FloatArray, service: str
) -> dict[str, FloatArray] | None:
    """Return what each source contributes to the draws of a patient's logits; the parts sum to the draws.

    Averages of arms are the logits at the mean of the background, at the average service; the part of the
    covariates is the patient's distance from this mean, times the coefficients. So the division does not
    depend on how covariates are encoded. The service is what this one, or a new one, adds to the average
    one. Missing answers are the draws of missing values from their distribution in the development cohort.

    Parameters
    ----------
    model : AdditiveModel
        Model of the outcome.
    patient : DataFrame of shape (1, n_covariates)
        Clean covariates, and the site if it is used.
    reference : ndarray of shape (n_rows, n_features)
        The encoded background.
    service : {"known", "average", "new"}
        As in `AdditiveModel.predict_by_arm`.

    Returns
    -------
    dict of str to ndarray of shape (n_draws, n_arms), or None
        Keys "arm_averages", "covariates", "service" and "missing_answers"; None for a model without draws.
    """
    if model.coefficient_draws is None:
        return None
    draws = model.coefficient_draws.astype(np.float64)
    matrix, explainer = model.encoding.encode(patient), Explainer.of(model, reference)
    own, average = [np.ones(1), matrix[0]], [np.ones(1), explainer.center]
    if model.trees is not None and explainer.games is not None:
        own.append(score_trees(model.trees, matrix)[0])
        average.append(explainer.games.base)
    at, center = np.concatenate(own), np.concatenate(average)
    averages, services = draws @ center, np.zeros(draws.shape[:2])
    if model.sites is not None and model.sites.draws is not None:
        sites = model.sites.draws.astype(np.float64)  # what is added to the draws of a new site
        numbers = model.sites_of(patient, service)
        number = NEW if numbers is None else int(numbers[0])
        services = (0.0 if number == NEW else sites[:, number]) - sites[:, -1]
        averages = averages + sites[:, -1]
    missing = np.zeros(draws.shape[:2])
    for j in np.flatnonzero(model.encoding.missing(patient)[0]):
        missing += model._effect_of_missing(int(j), draws)
    return {ARM_AVERAGES: averages, COVARIATES: draws @ (at - center), SERVICE: services, MISSING: missing}
