"""The fitted model that `TreatmentSelector.fit`, `load_model` and `serve.load_model` have in common.

Only NumPy is imported here: a service reads a model file and predicts records without pandas or
scikit-learn. Functions for tables import pandas when they are called.
"""

from treatsel.fitted._development import DataCheck, Development
from treatsel.fitted._development import Published as Published
from treatsel.fitted._model import FittedModel
from treatsel.fitted._row_digests import MOST_SAMPLED as MOST_SAMPLED
from treatsel.fitted._row_digests import RowDigests as RowDigests
from treatsel.fitted._row_digests import Shared as Shared
from treatsel.fitted._row_digests import rows_shared as rows_shared
from treatsel.fitted._row_digests import shared_patients as shared_patients
from treatsel.fitted._service import with_sites as with_sites
from treatsel.fitted._therapists import TherapistEffects as TherapistEffects

__all__ = ["DataCheck", "Development", "FittedModel"]
