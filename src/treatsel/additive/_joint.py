"""Which draws of several outcomes belong together."""

from collections.abc import Mapping

import numpy as np

from treatsel.additive._model import AdditiveModel
from treatsel.additive._numeric import pairing


def rows_of_draws(models: Mapping[str, AdditiveModel]) -> dict[str, np.ndarray]:
    """Return, by outcome, the rows of its draws, in an order in which row i of all outcomes is one draw.

    Outcomes that were fitted together have joint draws, which stay in their order. Those of other models
    (read from a file of an earlier version, recalibrated, or replaced after the fit) are independent of all
    others: they are paired by a permutation. Of models with different numbers of draws, the first draws are
    used, as many as the model with the fewest has.

    Parameters
    ----------
    models : mapping of str to AdditiveModel
        Models with draws, by outcome.
    """
    sizes = {
        name: len(model.coefficient_draws)
        for name, model in models.items()
        if model.coefficient_draws is not None
    }
    n = min(sizes.values())
    return {
        name: np.arange(n) if model.joint else pairing(number, sizes[name])[:n]
        for number, (name, model) in enumerate(models.items())
    }
