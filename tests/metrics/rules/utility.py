"""Rules for net benefit, decision curves, choice between arms and value of information."""

from tests.metrics.rules._reference import Different

from treatsel.metrics.policy import aipw_scores
from treatsel.metrics.utility import decision_curve, treatment_choice_net_benefit, value_of_information


def decision(ref, *, check, prevalence=None):
    """All columns that hold predictions, at the thresholds of the check."""
    expected = ref.value(check)
    grid = expected["threshold"]
    models = {name: ref[name] for name in ref.table if name == "p" or name.startswith("p_")}
    known = None if prevalence is None else float(prevalence)
    options = {"thresholds": grid, "prevalence": known, "sample_weight": ref.weight, "n_resamples": 0}
    table = decision_curve(ref.y, models, **options).to_frame().set_index("strategy")
    found = {"threshold": table.loc["treat all", "threshold"].tolist()}
    found |= {name: table.loc[f"treat {name}", "value"].tolist() for name in ("all", "none")}
    columns = {"nb": "value", "tp": "true_positive", "fp": "false_positive", "avoided": "avoided"}
    for theirs, ours in columns.items():
        found |= {f"{theirs}_{name}": table.loc[name, ours].tolist() for name in models}
    return dict.fromkeys(expected, Different("the data set has no such column of predictions")) | found


def with_interval(row):
    return {"est": row["value"]} | {name: row[name] for name in ("se", "lower", "upper")}


def choice(ref):
    """The curve of the model and of each arm for everybody; the first arm is the reference."""
    expected = ref.value("policy.net_benefit_threshold")
    predicted = ref.by_arm("p_")
    scores = aipw_scores(ref.y, ref["arm"], predicted, ref.by_arm("e_"))
    grid = [point["threshold"] for point in expected["curve"]]
    found = treatment_choice_net_benefit(scores, predicted, thresholds=grid, sample_weight=ref.weight)
    table, shares = found.to_frame().set_index("strategy"), found.shares.set_index("arm")
    curve = []
    for position, threshold in enumerate(grid):
        rows = {name: part.iloc[position] for name, part in table.groupby("strategy")}
        always = {arm: with_interval(rows[f"{arm} for everybody"]) for arm in ref.arms}
        share = {arm: shares.loc[arm, "share"].iloc[position] for arm in ref.arms}
        point = {"threshold": threshold, "share": share, "model": with_interval(rows["model"])}
        curve.append(point | {"always": always})
    return {"reference": found.comparator, "curve": curve}


def information(ref):
    """Predtools takes p > z as positive; p >= z + 1e-9 is the same for predictions of fewer digits."""
    grid = ref.value("evpi_val_asymptotic")["z"]
    strict = [threshold + 1e-9 for threshold in grid]
    found = value_of_information(ref.y, ref.p, thresholds=strict, sample_weight=ref.weight).to_frame()
    names = {"ENB_perfect": "perfect", "ENB_current": "current", "EVPIv": "value"}
    answer = {theirs: found[ours].tolist() for theirs, ours in names.items()}
    for position, threshold in enumerate(grid):
        if not (ref.p > threshold).any():
            reason = "without positives the original takes the net benefit of treat all as known"
            answer["ENB_perfect"][position] = answer["EVPIv"][position] = Different(reason)
    return answer | {"z": grid}


RULES = {
    r"(?P<check>((py|ties|off_grid)\.)*net_benefit(_prev(?P<prevalence>[0-9.]+))?)": decision,
    r"policy\.net_benefit_threshold": choice,
    r"evpi_val_asymptotic": information,
}
