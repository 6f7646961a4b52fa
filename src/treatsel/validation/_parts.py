"""Parts that ask one question each: calibration errors, use, missing outcomes, updating, sample size."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._reporting.format import points
from treatsel._stats.by_arm_tables import recommended_arms
from treatsel._stats.logits import inside
from treatsel.errors import InputError
from treatsel.metrics import received_propensity, roc_auc
from treatsel.metrics.calibration import calibration_errors
from treatsel.metrics.discrimination import model_based_concordance
from treatsel.metrics.missing import gain_missing_bounds, missing_outcome_bounds
from treatsel.metrics.sample_size import LinearPredictor, validation_sample_size
from treatsel.metrics.sensitivity import policy_sensitivity
from treatsel.metrics.utility import decision_curve, treatment_choice_net_benefit
from treatsel.validation._part import FEWEST_SHOWN, Caution, Gravity, Part, row, row_of
from treatsel.validation._policy import Policies
from treatsel.validation._subgroups import MOST_GROUPS, subgroups
from treatsel.validation._task import Setting
from treatsel.validation._updating import recalibrate

N_RESAMPLES = 200
THRESHOLDS = np.arange(1, 20) / 20
EVENTS_PER_PARAMETER = 10  # Peduzzi et al. (1996). doi:10.1016/S0895-4356(96)00236-3
MOST_CODES = 5  # values of a number up to which each is a group
COSTS = (0, 5, 10)  # points, shown as figures
ERRORS = {"ici": "ICI", "e50": "E50", "e90": "E90", "emax": "Emax"}


def errors(setting: Setting, _: Policies) -> Part:
    """Return the distances from the calibration curve, and what perfect calibration would show."""
    found = calibration_errors(
        setting.observed,
        setting.own,
        n_resamples=N_RESAMPLES,
        n_simulations=N_RESAMPLES,
        groups=setting.clusters,
        level=setting.level,
        random_state=setting.seed,
    )
    rows = [row_of("calibration errors", ERRORS[name], found.estimates[name]) for name in ERRORS]
    table = found.to_frame().loc[list(ERRORS)]
    if not np.isfinite(found.ici):
        return Part(not_estimable=[("Calibration errors (ICI, E50, E90)", found.smoother)])
    return Part(figures=rows, tables={"calibration errors": table.rename_axis("measure").reset_index()})


def use(setting: Setting, policies: Policies) -> Part:
    """Return decision curves for the received arm, and the net benefit of choosing among arms."""
    own = setting.own if setting.good else 1 - setting.own
    curve = decision_curve(
        setting.good_y,
        {"model": own},
        thresholds=THRESHOLDS,
        n_resamples=N_RESAMPLES,
        groups=setting.clusters,
        random_state=setting.seed,
        level=setting.level,
    )
    reference = policies.gain.best_arm
    choice = treatment_choice_net_benefit(
        policies.scores, policies.table, reference=reference, **policies.options
    )
    model = choice.to_frame().query("strategy == 'model'").to_dict(orient="records")
    rows = [
        row(
            "utility",
            f"net benefit of choosing, other arms cost {100 * at['threshold']:g} points",
            *(at[key] for key in ("value", "lower", "upper")),
            n=choice.n,
            method=choice.method,
        )
        for at in model
        if round(100 * at["threshold"]) in COSTS
    ]
    return Part(
        figures=rows,
        tables={
            "decision curve": curve.to_frame(),
            "decision curve differences": curve.differences,
            "choice curve": choice.to_frame(),
        },
    )


def missing_outcomes(setting: Setting, policies: Policies) -> Part:
    """Return what extreme assumptions about the missing outcomes make of rates and gain."""
    if setting.seen.all():
        return Part()
    y, received = setting.y if setting.good else 1 - setting.y, setting.received
    arms = list(policies.table.columns)
    whole = setting.by_arm[arms] if setting.good else 1 - setting.by_arm[arms]
    rates = missing_outcome_bounds(y, received, level=setting.level).to_frame()
    there, groups = received.isin(arms).to_numpy(), setting.all_clusters
    bounds = gain_missing_bounds(
        y[there],
        received[there],
        whole[there],
        policies.everybody[there],
        recommended_arms(whole[there], policies.best_arm),
        best_arm=policies.gain.best_arm,
        groups=None if groups is None else groups[there],
        level=setting.level,
    ).to_frame()
    tables = {"missing outcomes": pd.concat([rates, bounds], ignore_index=True)}
    rows = [
        row(
            "missing outcomes",
            f"gain over the best single arm, {found['scenario']}",
            *(found[key] for key in ("value", "lower", "upper")),
            n=found["n"],
            method=found["method"],
        )
        for found in bounds.to_dict(orient="records")
    ]
    lowest, highest = (bounds.set_index("scenario").loc[name] for name in ("lowest", "highest"))
    caution = (
        "If the missing outcomes were as bad as can be for the recommendations, the gain would be "
        f"{points(lowest['value'])}; as good as can be, {points(highest['value'])}."
    )
    sure = (policies.gain.lower > 0 and lowest["lower"] <= 0) or (policies.gain.upper < 0 <= highest["upper"])
    gravity = Gravity.MAY_OVERTURN if sure else Gravity.LOST
    cautions = [Caution(gravity, caution)] if policies.gain.n_differs else []
    return Part(figures=rows, tables=tables, cautions=cautions)


def updating(setting: Setting, _: Policies) -> Part:
    """Return the closed test among ways to update the model on these patients."""
    arm = str(setting.cohort.codebook.arm)
    X = setting.cohort.X[setting.seen]
    try:
        found = recalibrate(setting.by_arm[setting.seen], X, setting.observed, arm=arm)
    except InputError as error:
        return Part(not_estimable=[("Updating of the model", str(error))])
    table = found.to_frame().rename_axis("method").reset_index()
    learned = int(found.table["n_parameters"]["refit"])
    fewer = min(found.n_events, found.n - found.n_events)
    if fewer < EVENTS_PER_PARAMETER * learned:
        why = (
            f"fitting anew would learn {learned} numbers from {fewer:,} patients of the rarer outcome; the "
            f"test is to be trusted from {EVENTS_PER_PARAMETER} for each"
        )
        shown = table.drop(columns=["statistic", "df", "p_value", "rejected", "chosen"])
        return Part(tables={"updating": shown}, not_estimable=[("Closed test among updates", why)])
    if found.chosen == "none":
        return Part(tables={"updating": table})
    caution = (
        f"The closed test asks for an update before use in such patients: {WORDS[found.chosen]}. See the "
        "section on updating."
    )
    return Part(tables={"updating": table}, cautions=[Caution(Gravity.UPDATE, caution)])


WORDS = {
    "none": "none",
    "intercept": "a new intercept",
    "slope": "a new intercept and slope",
    "per_arm": "a new intercept for each arm and a slope",
    "refit": "fitting the model anew",
}


def size(setting: Setting, _: Policies) -> Part:
    """Return how many patients a validation needs for intervals of the usual widths."""
    auc = roc_auc(setting.observed, setting.own).value
    if not 0.5 < auc < 1:
        why = "the formulas need an AUC between 0.5 and 1"
        return Part(not_estimable=[("Sample size that a validation needs", why)])
    needed = validation_sample_size(
        prevalence=float(setting.observed.mean()),
        auc=auc,
        predictor=LinearPredictor.observed(setting.own),
        level=setting.level,
    )
    return Part(tables={"sample size": needed.to_frame().reset_index()})


def confounding(setting: Setting, policies: Policies) -> Part:
    """Return what the gain may be worth if something unmeasured decided who got which arm."""
    if not policies.assignment.startswith("estimated") or not policies.gain.n_differs:
        return Part()
    found = policy_sensitivity(
        setting.good_y,
        setting.arms,
        policies.recommended,
        propensity=received_propensity(setting.arms, policies.chances),
        best_arm=policies.gain.best_arm,
        n_resamples=N_RESAMPLES,
        random_state=setting.seed,
        **policies.options,
    )
    rows = found.to_frame()
    table = rows[rows["measure"] == "gain"].drop(columns="measure").reset_index(drop=True)
    told = [
        row(
            "confounding",
            f"gain over the best single arm, Lambda {line['Lambda']:g}",
            0.5 * (line["lowest"] + line["highest"]),
            line["lower"],
            line["upper"],
            n=found.n,
            n_events=found.n_events,
            method=f"bounds {line['lowest']:+.3f} to {line['highest']:+.3f}; {found.method}",
        )
        for line in table.to_dict(orient="records")
    ]
    return Part(figures=told, tables={"confounding": table})


def fairness(setting: Setting, policies: Policies) -> Part:
    """Return the figures of subgroups by the columns with the role audit."""
    book, y = setting.cohort.codebook, setting.observed
    names = [name for name in book.names("audit") if name in setting.cohort.frame]
    if not names:
        why = "the codebook gives no column the role audit; sex, age group or ethnicity could have it"
        return Part(not_estimable=[("Figures by subgroup (fairness)", why)])
    labels = pd.DataFrame({name: audited(setting.cohort.frame.loc[setting.seen, name]) for name in names})
    n_groups = labels.nunique()
    left = [
        (
            f"Figures by {name}",
            f"it has {n} groups of {FEWEST_SHOWN} patients or more; 2 to {MOST_GROUPS} can be compared",
        )
        for name, n in n_groups.items()
        if not 1 < n <= MOST_GROUPS
    ]
    labels = labels.loc[:, n_groups.between(2, MOST_GROUPS)]
    if not len(labels.columns):
        return Part(not_estimable=left)
    found = subgroups(
        y,
        setting.own,
        setting.arms,
        labels,
        scores=None if policies.problem else policies.scores,
        recommended=policies.recommended,
        best_arm=policies.gain.best_arm,
        level=setting.level,
    )
    table = found.to_frame()
    told = [
        row(
            "subgroups",
            str(line["measure"]),
            line["value"],
            line["lower"],
            line["upper"],
            n=line["n"],
            n_events=line["n_events"],
            method=line["method"],
            group=f"{line['variable']}: {line['group']}",
        )
        for line in table[table["variable"] != "overall"].to_dict(orient="records")
    ]
    tests = found.tests.reset_index(drop=True)
    return Part(figures=told, tables={"subgroups": table, "subgroup tests": tests}, not_estimable=left)


def audited(column: pd.Series) -> pd.Series:
    """Return the groups of a column with the role audit: quarters of a number, small groups together."""
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > MOST_CODES:
        ends = np.unique(np.round(np.nanquantile(column.to_numpy(dtype=float), [0.25, 0.5, 0.75])))
        groups = pd.cut(column.astype(float), [-np.inf, *ends, np.inf]).astype(str)
    else:
        groups = column.astype(object).astype(str)
    groups = groups.where(column.notna(), "not stated")
    counts = groups.value_counts()
    small = counts[counts < FEWEST_SHOWN]
    if small.empty or len(small) == len(counts):
        return groups
    if small.sum() >= FEWEST_SHOWN:
        return groups.mask(groups.isin(small.index), "small groups")
    least = counts[counts >= FEWEST_SHOWN].index[-1]  # even together too few to be shown
    return groups.mask(groups.isin([*small.index, least]), f"{least} and others")


def spread(setting: Setting, _: Policies) -> Part:
    """Return how predictions are spread, overall and by arm: the logit's mean and standard deviation."""
    logits = np.log(inside(setting.own) / (1 - inside(setting.own)))
    groups = {"overall": np.ones(len(logits), dtype=bool)}
    groups |= {str(arm): setting.arms == arm for arm in sorted(set(setting.arms), key=str)}
    table = pd.DataFrame(
        [
            {
                "group": name,
                "n": int(mask.sum()),
                "mean_prediction": float(setting.own[mask].mean()),
                "observed": float(setting.observed[mask].mean()),
                "mean_logit": float(logits[mask].mean()),
                "sd_logit": float(logits[mask].std(ddof=1)) if mask.sum() > 1 else float("nan"),
            }
            for name, mask in groups.items()
        ]
    )
    options: dict[str, Any] = {"groups": setting.clusters, "level": setting.level}
    auc = model_based_concordance(setting.own, **options)
    within = model_based_concordance(setting.own, setting.arms, **options)
    rows = [
        row_of("discrimination", "AUC to expect in this case mix", auc),
        row_of("discrimination", "within-arm AUC to expect in this case mix", within),
    ]
    return Part(figures=rows, tables={"case mix": table})
