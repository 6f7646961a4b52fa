"""Policy value: the outcome rate expected if every patient got the recommended arm.

All intervals take propensities and outcome models as given; cross-fit them if they were estimated. Arm
labels are matched to columns by name.
"""

from treatsel.metrics.policy._aipw import aipw_scores, arm_means
from treatsel.metrics.policy._best_arm_gain import best_arm_gain
from treatsel.metrics.policy._best_arm_gain_result import DETECTABLE as DETECTABLE
from treatsel.metrics.policy._best_arm_gain_result import OVER_BEST as OVER_BEST
from treatsel.metrics.policy._best_arm_gain_result import PRACTICE as PRACTICE
from treatsel.metrics.policy._best_arm_gain_result import BestArmGain
from treatsel.metrics.policy._best_arm_gain_result import patients_for as patients_for
from treatsel.metrics.policy._best_arm_gain_result import plot_policies as plot_policies
from treatsel.metrics.policy._gain import gain_over_best_arm, gain_over_each_arm
from treatsel.metrics.policy._gain_comparators import gain_over_random, gain_over_received
from treatsel.metrics.policy._gain_result import BEFOREHAND as BEFOREHAND
from treatsel.metrics.policy._gain_result import BEST as BEST
from treatsel.metrics.policy._gain_result import OF_FOLDS as OF_FOLDS
from treatsel.metrics.policy._gain_result import ON_THIS_DATA as ON_THIS_DATA
from treatsel.metrics.policy._gain_result import Gain, Gains
from treatsel.metrics.policy._naive_contrast import NaiveConcordanceContrast, naive_concordance_contrast
from treatsel.metrics.policy._policy_value import policy_value, policy_value_aipw, policy_value_direct
from treatsel.metrics.policy._selection import CROSS_FITTED as CROSS_FITTED
from treatsel.metrics.policy._selection import SMALLEST as SMALLEST
from treatsel.metrics.policy._weights import effective_sample_size, received_propensity

__all__ = [
    "BestArmGain",
    "Gain",
    "Gains",
    "NaiveConcordanceContrast",
    "aipw_scores",
    "arm_means",
    "best_arm_gain",
    "effective_sample_size",
    "gain_over_best_arm",
    "gain_over_each_arm",
    "gain_over_random",
    "gain_over_received",
    "naive_concordance_contrast",
    "policy_value",
    "policy_value_aipw",
    "policy_value_direct",
    "received_propensity",
]
