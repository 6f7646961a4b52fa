"""Plots: labels do not overlap and are not cut off, legends hide no data, keywords reach the main artist."""

import inspect
import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel import metrics
from treatsel._reporting import plots
from treatsel._reporting.axes import bare_axes, bare_figure
from treatsel.explanation import Explanation
from treatsel.monitoring import sequential_calibration_test
from treatsel.predictions import Predictions
from treatsel.validation import balancing_weights, case_mix, subgroup_performance

LONG = ["Interpersonal psychotherapy, 16 weekly sessions", "CBT ($12) or IPT ($15) & <more>", "_SSRI_%_a\\b"]
ARMS = [*LONG, *(f"Arm number {i} with a rather long name indeed" for i in range(9))]
N = 400
RNG = np.random.default_rng(0)
Y = RNG.binomial(1, 0.4, N)
P = np.clip(0.4 + RNG.normal(0, 0.15, N), 0.02, 0.98)


def by_arm(arms):
    rng = np.random.default_rng(len(arms))
    table = pd.DataFrame(rng.uniform(0.2, 0.7, (N, len(arms))), columns=arms)
    return table, rng.choice(arms, N), table * 0 + 1 / len(arms)


def predictions(arms, *, bounds=True):
    p = pd.DataFrame(np.linspace(0.0, 1.0, len(arms))[None], columns=arms, index=["p$1$"])
    ends = [(p - 0.1).clip(0), (p + 0.1).clip(0, 1)] if bounds else [p * np.nan, p * np.nan]
    none = pd.DataFrame({"patient": [], "code": [], "column": []})
    tables = [{"recovered_$%$": table} for table in (p, *ends)]
    return Predictions.from_tables(tables[0], lower=tables[1], upper=tables[2], level=0.9, warnings=none)


def recommendations(n):
    rng = np.random.default_rng(n)
    table = pd.DataFrame(
        rng.uniform(0.2, 0.6, (n, 3)), columns=LONG, index=[f"patient $-{i}" for i in range(n)]
    )
    return ts.recommend(table, draws=table.to_numpy() + rng.normal(0, 0.05, (60, n, 3)))


def explanation(k, n=1):
    rng = np.random.default_rng(k)
    names = (*(f"Severity of depression at baseline (PHQ-9) {i}" for i in range(k - 1)), "_x$ & <b> 100 %")
    values = rng.normal(0, 0.3, (n, k)) * np.where(np.arange(k) > 3, 1e-5, 1)
    return Explanation(
        patients=[f"p${i}$" for i in range(n)],
        covariates=names,
        attributions=values,
        base_value=-0.2,
        predictions=values.sum(axis=1) - 0.2,
        inputs={name: rng.normal(20, 4, n) for name in names},
        arm=None,
        contrast=(LONG[0], LONG[1]),
        outcome="remission_at_12_months_of_follow_up",
        scale="probability",
    )


def meta(k):
    values = np.random.default_rng(k).normal(0, 0.5, k)
    names = [f"Site {i} of the northern and western region $_{i}" for i in range(k)]
    return metrics.random_effects_meta_analysis(values, np.full(k, 0.3), sites=names)


def lost(seed=0):
    return np.where(np.random.default_rng(seed).random(N) < 0.2, np.nan, Y)


def delta_adjusted():
    (_, received, table, propensity), _ = pair()
    best = table.idxmax(axis=1).to_numpy()
    return metrics.delta_adjusted(lost(), received, table, propensity, best, observation=np.full(N, 0.8))


def gains(arms):
    table, received, propensity = by_arm(arms)
    scores = metrics.aipw_scores(Y, received, table, propensity)
    return metrics.gain_over_each_arm(scores, table.idxmax(axis=1).to_numpy())


def best_arm(arms):
    table, received, propensity = by_arm(arms)
    scores = metrics.aipw_scores(Y, received, table, propensity)
    return metrics.best_arm_gain(scores, table.idxmax(axis=1).to_numpy(), y_true=Y)


def choices(arms):
    table, received, propensity = by_arm(arms)
    scores = metrics.aipw_scores(Y, received, table, propensity)
    return metrics.treatment_choice_net_benefit(scores, table, comparator=arms[0])


def pair():
    table, received, propensity = by_arm(LONG)
    return (Y, received, table, propensity), {"control": LONG[0], "treated": LONG[1]}


def sensitivity():
    (y, received, table, propensity), _ = pair()
    return metrics.policy_sensitivity(y, received, table.idxmax(axis=1).to_numpy(), propensity=propensity)


def subgroups():
    labels = pd.DataFrame(
        {"_a very long name of a column of the audit $": RNG.choice(["yes & <no>", "$no$"], N)}
    )
    return subgroup_performance(Y, P, by_arm(LONG)[1], labels)


def covariates(shift=0.0):
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {f"Severity of depression $ at baseline {i}": rng.normal(shift, 1, N) for i in range(40)}
    )


RESULTS = {
    "predictions": lambda: predictions(LONG),
    "predictions, 12 arms": lambda: predictions(ARMS),
    "predictions, 1 arm": lambda: predictions(LONG[:1], bounds=False),
    "recommendations": lambda: recommendations(5),
    "recommendations, 1": lambda: recommendations(1),
    "recommendations, 40": lambda: recommendations(40),
    "recommendations, 200": lambda: recommendations(200),
    "explanation": lambda: explanation(4),
    "explanation, 40 covariates": lambda: explanation(40),
    "explanation, mean": lambda: explanation(40, n=8),
    "calibration": lambda: metrics.calibration_curve(Y, P),
    "calibration, 3 arms": lambda: metrics.calibration_curve(Y, P, received=by_arm(LONG)[1]),
    "calibration, 12 arms": lambda: metrics.calibration_curve(Y, P, received=by_arm(ARMS)[1]),
    "gains": lambda: gains(LONG),
    "gains, 12 arms": lambda: gains(ARMS),
    "best arm": lambda: best_arm(LONG),
    "best arm, 12 arms": lambda: best_arm(ARMS),
    "meta-analysis": lambda: meta(3),
    "meta-analysis, 60 sites": lambda: meta(60),
    "decision curve": lambda: metrics.decision_curve(Y, P),
    "treatment choice": lambda: choices(LONG),
    "treatment choice, 12 arms": lambda: choices(ARMS),
    "value of information": lambda: metrics.value_of_information(Y, P),
    "rank-weighted": lambda: metrics.rank_weighted_average_treatment_effect(*pair()[0], **pair()[1]),
    "benefit calibration": lambda: metrics.benefit_calibration(*pair()[0], **pair()[1]),
    "tipping point": lambda: metrics.tipping_point(lost(), by_arm(LONG)[1], arms=(LONG[0], LONG[1])),
    "delta-adjusted": delta_adjusted,
    "bounds, 12 arms": lambda: metrics.missing_outcome_bounds(lost(), by_arm(ARMS)[1]),
    "sensitivity": sensitivity,
    "subgroups": subgroups,
    "case mix": lambda: case_mix(covariates(), covariates(0.1), arm=None),
    "weights": lambda: balancing_weights(covariates(), covariates(0.01).iloc[::-1]),
    "sequential test": lambda: sequential_calibration_test(Y, P),
}


@pytest.fixture(scope="module")
def made():
    """Results by name, each computed once."""
    found = {}

    def get(name):
        if name not in found:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = RESULTS[name]()
        return found[name]

    return get


def tick_labels(axis):
    """Labels of the ticks that are drawn."""
    low, high = sorted(axis.get_view_interval())
    pairs = zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=False)
    return [label for label, at in pairs if label.get_text() and label.get_visible() and low <= at <= high]


def check_layout(ax):
    """Tick labels of an axis do not overlap, and neither text nor legend is cut off or hides the data."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    whole = ax.figure.bbox.padded(1)
    for axes in [each for each in ax.figure.axes if each.axison]:
        ticks = [tick_labels(axis) for axis in (axes.xaxis, axes.yaxis)]
        for labels in ticks:
            boxes = [label.get_window_extent(renderer) for label in labels]
            for one, other in combinations(boxes, 2):
                assert not one.padded(-0.5).overlaps(other.padded(-0.5))
        for text in [*ticks[0], *ticks[1], axes.xaxis.label, axes.yaxis.label, axes.title]:
            box = text.get_window_extent(renderer)
            inside = whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
            assert inside or not text.get_text(), text.get_text()
        if (legend := axes.get_legend()) is not None:
            box = legend.get_window_extent(renderer)
            assert not box.overlaps(axes.get_window_extent(renderer).padded(-1))
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1
            assert box.y1 <= whole.y1


@pytest.mark.parametrize("name", RESULTS)
def test_nothing_overlaps_and_nothing_is_cut_off(made, name):
    check_layout(made(name).plot(bare_axes) if name != "subgroups" else made(name).plot(ax=bare_axes))


def test_explanations_fit_with_labels_of_any_length():
    for words in (1, 3, 12, 30):
        values = pd.Series({"long " * words: 0.2, "x" * 8 * words: -1e-7})
        check_layout(plots.attributions(values, labels={}, xlabel="attribution " * words, ax=bare_axes))


def test_given_axes_keep_legible_labels_apart():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for k in (3, 12, 60):
        ax = bare_figure(width=6, height=3).subplots()
        ax.figure.set_layout_engine(None)
        meta(k).plot(ax)
        canvas = FigureCanvasAgg(ax.figure)
        canvas.draw()
        labels = [label for label in ax.get_yticklabels() if label.get_text()]
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
        assert len(labels) >= min(k, 8)
        assert not any(a.padded(-0.5).overlaps(b.padded(-0.5)) for a, b in combinations(boxes, 2))


@pytest.mark.parametrize("name", RESULTS)
def test_unknown_keywords_are_refused_by_matplotlib(made, name):
    with pytest.raises(AttributeError, match="unexpected keyword argument 'colour'"):
        made(name).plot(colour="red")


@pytest.mark.parametrize("name", RESULTS)
def test_keywords_reach_the_main_artist(made, name):
    from matplotlib.colors import to_hex

    ax = made(name).plot(color="#123456")
    artists = [*ax.lines, *ax.patches]
    colors = {to_hex(each.get_facecolor() if each in ax.patches else each.get_color()) for each in artists}
    assert "#123456" in colors


def test_aliases_replace_defaults_and_intervals_follow_the_points():
    from matplotlib.colors import to_hex

    ax = predictions(LONG).plot(c="#123456", ms=9)
    (points,) = ax.lines
    assert (points.get_color(), points.get_markersize(), points.get_marker()) == ("#123456", 9, "o")
    assert {to_hex(color) for bars in ax.collections for color in bars.get_colors()} == {"#123456"}


def test_curves_of_two_models_share_axes_and_a_legend():
    ax = metrics.calibration_curve(Y, P).plot(label="Model $A", color="k")
    assert metrics.calibration_curve(Y, P**2).plot(ax, label="Model B", linestyle=":") is ax
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == [r"Model \$A" if "\\" in names[0] else "Model $A", "Model B"]


def test_every_plot_method_takes_axes_and_keywords():
    import importlib
    import pkgutil

    found = {}
    for module in pkgutil.walk_packages(ts.__path__, "treatsel."):
        if ".cli" in module.name or ".scale" in module.name or module.name.endswith("__main__"):
            continue
        for each in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(each) and each.__module__.startswith("treatsel"):
                for name in ("plot", "plot_policies"):
                    if hasattr(each, name):
                        found[f"{each.__name__}.{name}"] = inspect.signature(getattr(each, name)).parameters
    assert len(found) >= 25
    for name, parameters in found.items():
        assert parameters["ax"].default is None, name
        assert parameters["kwargs"].kind is inspect.Parameter.VAR_KEYWORD, name


def test_intervals_are_named_with_their_level():
    assert predictions(LONG).plot().get_legend().get_texts()[0].get_text() == "90% intervals"
    assert predictions(LONG, bounds=False).plot().get_legend() is None
    curve = metrics.calibration_curve(Y, P, level=0.8).plot()
    assert "80% intervals" in curve.get_title()
    assert "95% intervals" in metrics.decision_curve(Y, P).plot().get_ylabel().replace("\n", " ")
    assert "without intervals" in choices(ARMS).plot().get_ylabel() or choices(ARMS).plot().collections


def test_more_than_three_arms_are_drawn_in_panels(made):
    curve = made("calibration, 12 arms")
    assert len(curve.plot().figure.axes) == 12
    ax = bare_axes(width=6, height=6)
    assert curve.plot(ax) is ax
    assert len(ax.collections) == 0  # twelve bands would hide each other
