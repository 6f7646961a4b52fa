"""Means by known service: where the same patients are expected to do better."""

from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import check_level
from treatsel.additive import logistic
from treatsel.errors import UnsupportedModelError
from treatsel.fitted._data import ModelData
from treatsel.fitted._tables import read_with_sites

if TYPE_CHECKING:
    import pandas as pd

DRAWN_ROWS = (
    200  # patients over whom draws are averaged: the mean over others differs little, and time counts
)
COLUMNS = ("value", "lower", "upper", "difference", "difference_lower", "difference_upper")


class ServiceMeans(ModelData):
    """Adds the means by service of a model with site effects."""

    def service_means(self, X: Any, outcome: str | None = None, *, level: float = 0.95) -> "pd.DataFrame":
        """Return the mean probability that patients would have at each known service, under each arm.

        All services are compared on the same patients, so that their own patients do not matter. Effects of
        services are shrunken towards the average service, the more, the fewer patients a service had.

        Parameters
        ----------
        X : DataFrame, or list of mappings
            Covariates of the patients over whom means are taken, such as the development cohort.
        outcome : str, optional
            Name of the outcome; None: the first.
        level : float
            Level of the intervals, which are quantiles of posterior draws of the means.

        Returns
        -------
        DataFrame of shape (n_services * n_arms, 6)
            By service and arm: `value`, `lower` and `upper` of the mean probability, 0 to 1, and
            `difference`, `difference_lower` and `difference_upper` from the average service.

        Raises
        ------
        UnsupportedModelError
            If the model knows no services, or has no posterior draws.

        Notes
        -----
        Patients were not assigned to services at random: a difference may come from what the covariates do
        not say of the patients. With many services, some of the most extreme ones are so by chance.
        """
        import pandas as pd

        name, level = self.outcome_named(outcome), check_level(level)
        model = self.models[name]
        if model is None or model.sites is None or model.sites.draws is None:
            raise UnsupportedModelError(
                f"The model of {name!r} knows no services. It needs an outcome model with site effects (a "
                "cohort with a site column, and a hierarchical or stacked model)."
            )
        clean = read_with_sites(self, X, "raise", "new")[0]
        labels = model.sites.labels
        matrix, average = model.encoding.encode(clean), len(labels)
        means = np.array(
            [
                logistic(model.logit(matrix, np.full(len(clean), number))).mean(axis=0)
                for number in range(average + 1)
            ]
        )
        rows = np.unique(np.linspace(0, len(clean) - 1, min(len(clean), DRAWN_ROWS)).astype(int))
        logits = model.logit_draws(clean.iloc[rows], "new")
        own = model.sites.draws.astype(np.float64).transpose(1, 2, 0)
        draws = np.array([logistic(logits + effect).mean(axis=0) for effect in own])
        bounds = [(1 - level) / 2, (1 + level) / 2]
        # the draws of some patients are moved to the mean of all
        moved = draws + (means - draws.mean(axis=2))[:, :, None]
        lower, upper = np.quantile(moved[:-1], bounds, axis=2)
        difference = means[:-1] - means[-1]
        less, more = np.quantile(moved[:-1] - moved[-1], bounds, axis=2)
        parts = [part.ravel() for part in (means[:-1], lower, upper, difference, less, more)]
        index = pd.MultiIndex.from_product([labels, list(self.arms)], names=[model.sites.column, "arm"])
        return pd.DataFrame(dict(zip(COLUMNS, parts, strict=True)), index=index)
