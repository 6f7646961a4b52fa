"""Clinical utility: net benefit of acting on the predictions, in true positives, by threshold."""

from treatsel.metrics.utility._decision_curve import DecisionCurve, decision_curve
from treatsel.metrics.utility._net_benefit import net_benefit
from treatsel.metrics.utility._treatment_choice import TreatmentChoiceCurve, treatment_choice_net_benefit
from treatsel.metrics.utility._value_of_information import ValueOfInformation, value_of_information

__all__ = [
    "DecisionCurve",
    "TreatmentChoiceCurve",
    "ValueOfInformation",
    "decision_curve",
    "net_benefit",
    "treatment_choice_net_benefit",
    "value_of_information",
]
