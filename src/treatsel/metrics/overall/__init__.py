"""Overall performance: Brier score and its decomposition, log loss, Nagelkerke's R2, base rate."""

from treatsel.metrics.overall._brier import brier_score, scaled_brier_score
from treatsel.metrics.overall._brier_decomposition import BrierDecomposition, brier_decomposition
from treatsel.metrics.overall._log_loss import log_loss
from treatsel.metrics.overall._nagelkerke import nagelkerke_r2
from treatsel.metrics.overall._prevalence import prevalence
from treatsel.metrics.overall._spiegelhalter import spiegelhalter_z

__all__ = [
    "BrierDecomposition",
    "brier_decomposition",
    "brier_score",
    "log_loss",
    "nagelkerke_r2",
    "prevalence",
    "scaled_brier_score",
    "spiegelhalter_z",
]
