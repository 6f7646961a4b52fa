"""The list of measures: key, label, range, direction, ideal and useless value of each, as plain data.

Tables, reports, JSON files and model files take their keys and labels from here. The functions that compute
the measures are bound to the keys in `treatsel.metrics`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Scale = Literal["identity", "log", "logit"]
Direction = Literal["higher", "lower", "target", "none"]
INF = math.inf
PROPORTION, DIFFERENCE, ANY, POSITIVE = (0.0, 1.0), (-1.0, 1.0), (-INF, INF), (0.0, INF)
PREDICTED = ("y_true", "y_prob")
BENEFIT = ("y_true", "received", "by_arm")
POLICY = ("y_true", "received", "by_arm", "propensity", "recommended")
PAIRS = ("pairs",)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Name of a measure, and how its values are interpreted.

    Attributes
    ----------
    key : str
        Name in Python, in files and in tables indexed by key.
    label : str
        Name in reports and in the column `measure`.
    scale : {"identity", "log", "logit"}
        Scale on which the measure is pooled and compared.
    ideal : float or None
        Value of a perfect model; None if there is none, or if it depends on the patients.
    direction : {"higher", "lower", "target", "none"}
        Whether higher or lower values are better, or those nearest to `ideal`; "none" for a description.
    range : tuple of two floats
        Smallest and largest value.
    useless : float or None
        Value of a model that predicts the same for all patients; None if it depends on the patients, or if
        such a model can reach the ideal.
    needs : tuple of str
        Vectors, tables or pairs from which it is computed.
    """

    key: str
    label: str
    scale: Scale = "identity"
    ideal: float | None
    direction: Direction
    range: tuple[float, float]
    useless: float | None = None
    needs: tuple[str, ...] = PREDICTED

    @property
    def reference(self) -> float:
        """Value to compare with in plots: the ideal of a target, else the useless value; NaN if None."""
        found = self.ideal if self.direction == "target" else self.useless
        return math.nan if found is None else found


# A model that predicts the base rate for all patients can be perfectly calibrated, and its losses depend on
# that rate: these measures have no useless value. Scaled losses compare with the base rate instead.
_ROWS: tuple[
    tuple[str, str, Direction, float | None, float | None, tuple[float, float], tuple[str, ...]], ...
] = (
    # key, label, direction, ideal, useless, range, needs
    ("base_rate", "base rate", "none", None, None, PROPORTION, ("y_true",)),
    ("no_information_rate", "no-information rate", "none", None, None, (0.5, 1.0), ("y_true",)),
    ("mean_prediction", "mean prediction", "none", None, None, PROPORTION, ("y_prob",)),
    ("recommended", "recommended", "none", None, None, PROPORTION, ("recommended",)),
    ("moved_from_default", "moved from the default arm", "none", None, None, PROPORTION, ("recommended",)),
    (
        "concordant",
        "received the recommended arm",
        "none",
        None,
        None,
        PROPORTION,
        ("received", "recommended"),
    ),
    ("auc", "AUC", "higher", 1.0, 0.5, PROPORTION, PREDICTED),
    ("within_arm_auc", "within-arm AUC", "higher", 1.0, 0.5, PROPORTION, (*PREDICTED, "received")),
    ("average_precision", "average precision", "higher", 1.0, None, PROPORTION, PREDICTED),
    ("accuracy", "accuracy at 50 %", "higher", 1.0, None, PROPORTION, PREDICTED),
    ("balanced_accuracy", "balanced accuracy at 50 %", "higher", 1.0, 0.5, PROPORTION, PREDICTED),
    ("model_based_concordance", "model-based concordance", "none", None, 0.5, (0.5, 1.0), ("y_prob",)),
    (
        "within_arm_model_based_concordance",
        "within-arm model-based concordance",
        "none",
        None,
        0.5,
        (0.5, 1.0),
        ("y_prob", "received"),
    ),
    ("calibration_in_the_large", "calibration in the large", "target", 0.0, None, ANY, PREDICTED),
    ("calibration_intercept", "calibration intercept", "target", 0.0, None, ANY, PREDICTED),
    ("calibration_slope", "calibration slope", "target", 1.0, None, ANY, PREDICTED),
    ("observed_expected", "observed / expected", "target", 1.0, None, POSITIVE, PREDICTED),
    ("ici", "ICI", "lower", 0.0, None, PROPORTION, PREDICTED),
    ("e50", "E50", "lower", 0.0, None, PROPORTION, PREDICTED),
    ("e90", "E90", "lower", 0.0, None, PROPORTION, PREDICTED),
    ("emax", "Emax", "lower", 0.0, None, PROPORTION, PREDICTED),
    ("eci", "ECI", "lower", 0.0, None, (0.0, 100.0), PREDICTED),
    (
        "weak_calibration",
        "weak calibration (intercept 0, slope 1), chi-squared",
        "lower",
        0.0,
        None,
        POSITIVE,
        PREDICTED,
    ),
    ("spiegelhalter_z", "Spiegelhalter z", "target", 0.0, None, ANY, PREDICTED),
    ("brier_score", "Brier score", "lower", 0.0, None, PROPORTION, PREDICTED),
    ("scaled_brier_score", "scaled Brier score", "higher", 1.0, 0.0, (-INF, 1.0), PREDICTED),
    ("log_loss", "log loss", "lower", 0.0, None, POSITIVE, PREDICTED),
    ("nagelkerke_r2", "Nagelkerke R2", "higher", 1.0, 0.0, (-INF, 1.0), PREDICTED),
    (
        "nagelkerke_r2_recalibrated",
        "Nagelkerke R2 after recalibration",
        "higher",
        1.0,
        0.0,
        PROPORTION,
        PREDICTED,
    ),
    ("net_benefit", "net benefit", "higher", None, 0.0, (-INF, 1.0), (*PREDICTED, "threshold")),
    (
        "treatment_choice_net_benefit",
        "net benefit of treatment choice",
        "higher",
        None,
        0.0,
        ANY,
        ("scores", "by_arm", "threshold"),
    ),
    ("policy_value", "recommended arm", "higher", None, None, PROPORTION, POLICY),
    ("policy_value_weighted", "recommended arm, weighted estimate", "higher", None, None, PROPORTION, POLICY),
    ("arm_mean", "all patients receive", "higher", None, None, PROPORTION, POLICY[:4]),
    ("gain", "gain over the best single arm", "higher", None, 0.0, DIFFERENCE, POLICY),
    ("gain_over_each_arm", "gain over one arm for all patients", "higher", None, 0.0, DIFFERENCE, POLICY),
    ("gain_over_received", "gain over the received arm", "higher", None, None, DIFFERENCE, POLICY),
    (
        "gain_over_random",
        "gain over random assignment, same arm proportions",
        "higher",
        None,
        0.0,
        DIFFERENCE,
        POLICY,
    ),
    (
        "naive_concordance_contrast",
        "concordant minus discordant (naive)",
        "none",
        None,
        None,
        DIFFERENCE,
        ("y_true", "received", "recommended"),
    ),
    (
        "naive_concordance_contrast_without_gain",
        "expected under no gain",
        "none",
        None,
        None,
        DIFFERENCE,
        ("y_true", "received", "recommended"),
    ),
    ("average_benefit", "average benefit", "none", None, None, DIFFERENCE, (*BENEFIT, "propensity")),
    (
        "benefit_in_the_large",
        "average benefit minus predicted",
        "target",
        0.0,
        None,
        (-2.0, 2.0),
        (*BENEFIT, "propensity"),
    ),
    ("effect_risk_trend", "trend of the effect with risk", "none", None, 0.0, ANY, ("scores", "risk")),
    (
        "effect_modification_slope",
        "effect modification slope",
        "target",
        1.0,
        0.0,
        ANY,
        ("scores", "by_arm"),
    ),
    ("benefit_slope", "benefit slope", "target", 1.0, 0.0, ANY, (*BENEFIT, "propensity")),
    ("autoc", "AUTOC", "higher", None, 0.0, ANY, (*BENEFIT, "propensity")),
    ("qini", "Qini", "higher", None, 0.0, ANY, (*BENEFIT, "propensity")),
    ("c_for_benefit", "c-for-benefit", "higher", None, 0.5, PROPORTION, PAIRS),
    (
        "model_based_c_for_benefit",
        "model-based c-for-benefit",
        "none",
        None,
        0.5,
        PROPORTION,
        ("by_arm",),
    ),
    ("logit_benefit_intercept", "benefit on the logit, intercept", "target", 0.0, None, ANY, BENEFIT),
    ("logit_benefit_slope", "benefit on the logit, slope", "target", 1.0, 0.0, ANY, BENEFIT),
    ("eavg_for_benefit", "E-for-benefit, mean", "lower", 0.0, None, (0.0, 2.0), PAIRS),
    ("e50_for_benefit", "E-for-benefit, median", "lower", 0.0, None, (0.0, 2.0), PAIRS),
    ("e90_for_benefit", "E-for-benefit, 90th percentile", "lower", 0.0, None, (0.0, 2.0), PAIRS),
    ("brier_for_benefit", "Brier score for benefit", "lower", 0.0, None, PROPORTION, PAIRS),
    ("cross_entropy_for_benefit", "cross-entropy for benefit", "lower", 0.0, None, POSITIVE, PAIRS),
    ("membership_auc", "membership AUC", "none", None, 0.5, PROPORTION, ("X",)),
    (
        "linear_predictor_difference",
        "linear predictor, difference of means",
        "none",
        None,
        None,
        ANY,
        ("y_prob",),
    ),
    (
        "linear_predictor_sd_ratio",
        "linear predictor, ratio of SDs",
        "none",
        None,
        None,
        POSITIVE,
        ("y_prob",),
    ),
    ("mape", "MAPE of refits", "lower", 0.0, None, PROPORTION, ("refits",)),
    (
        "recommendation_agreement",
        "unchanged recommendations in refits",
        "higher",
        1.0,
        None,
        PROPORTION,
        ("refits",),
    ),
)
# Concordances are pooled on the logit and ratios on the log scale, where their distribution is closer to
# normal (Debray et al. 2017, BMJ 356, i6460).
_SCALES: dict[str, Scale] = {"auc": "logit", "within_arm_auc": "logit", "observed_expected": "log"}

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        key: Measure(
            key=key,
            label=label,
            scale=_SCALES.get(key, "identity"),
            ideal=ideal,
            direction=direction,
            range=span,
            useless=useless,
            needs=needs,
        )
        for key, label, direction, ideal, useless, span, needs in _ROWS
    }
)
BY_LABEL: Mapping[str, Measure] = MappingProxyType({measure.label: measure for measure in MEASURES.values()})


def labels_of(*keys: str) -> dict[str, str]:
    """Return the label of each key."""
    return {key: MEASURES[key].label for key in keys}


def measure_of(name: str) -> Measure:
    """Return the measure of a row of a report, whose name may continue after the label.

    For example "AUC, pooled", "recommended CBT" or "gain over the best single arm, lowest".

    Raises
    ------
    KeyError
        If the name does not begin with a label.
    """
    label = max(
        (label for label in BY_LABEL if name == label or name.startswith((f"{label},", f"{label} "))),
        key=len,
        default="",
    )
    return BY_LABEL[label] if label else BY_LABEL[name]
