"""Faults reported for comparable tools: each gets the right answer, derived independently, or a refusal."""

import io
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import treatsel as ts
from treatsel import metrics, outcome
from treatsel.codebook import Codebook
from treatsel.errors import CohortError, InputError, TreatselWarning
from treatsel.instrument import Band, Instrument
from treatsel.metrics import roc_auc
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, PooledClassifier, StackedClassifier
from treatsel.monitoring import monitor, sequential_calibration_test
from treatsel.outcome import Outcome, reliable_deterioration
from treatsel.scale import predict_file, predict_in_chunks
from treatsel.validation import balancing_weights, transport_performance, update_closed_test

OPTIONS = {"remission": {"instrument": "PHQ-9"}, "caseness": {"instrument": "PHQ-9"}, "below_dose": {"k": 3}}
MODELS = {
    "hierarchical": HierarchicalClassifier(),
    "stacked": StackedClassifier(),
    "armwise": ArmwiseClassifier(LogisticRegression()),
    "pooled": PooledClassifier(LogisticRegression()),
    "selector": ts.TreatmentSelector(estimator="hierarchical", event_is_good=True, random_state=0),
}


@pytest.fixture(autouse=True)
def quiet():
    """Data checks warn of the small cohorts here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        yield


def hierarchical(**options):
    return ts.TreatmentSelector(estimator="hierarchical", random_state=0, **options)


# --- direction


def test_an_outcome_of_the_library_carries_its_direction():
    rng, n = np.random.default_rng(0), 900
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["CBT", "Waiting"], n)})
    worse = rng.random(n) < np.where(X["arm"] == "CBT", 0.08, 0.35)
    first, gad = pd.Series(rng.integers(10, 20, n)), pd.Series(rng.integers(8, 15, n))
    y = reliable_deterioration(first, first + np.where(worse, 7, -3), gad, gad)
    selector = hierarchical().fit(X, y)
    assert selector.event_is_good_ == {"reliable_deterioration": False}
    assert selector.default_arm_ == "CBT"
    assert set(selector.recommend(X.head(300)).to_frame()["arm"]) == {"CBT"}
    renamed = hierarchical().fit(X, y.rename("worse"))  # the series still carries it
    assert renamed.event_is_good_ == {"worse": False}


@pytest.mark.parametrize("name", Outcome.names())
def test_every_shipped_name_states_its_direction(name):
    rng, n = np.random.default_rng(0), 200
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    y = pd.Series(rng.binomial(1, 0.4, n), name=name)
    shipped = Outcome.get(name, **OPTIONS.get(name, {}))
    assert hierarchical().fit(X, y).event_is_good_ == {name: shipped.event_is_good}


@pytest.mark.parametrize("name", ["dropout", "relapse_free", "recovered", "remission_6m", "y", None])
def test_any_other_name_is_refused_rather_than_guessed(name):
    rng, n = np.random.default_rng(0), 100
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    with pytest.raises(InputError, match="is not specified"):
        hierarchical().fit(X, pd.Series(rng.binomial(1, 0.4, n), name=name))


def test_an_arrow_or_polars_outcome_keeps_its_name():
    rng, n = np.random.default_rng(0), 400
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    dropout = rng.binomial(1, np.where(X["arm"] == "A", 0.2, 0.6))
    for frame, y in converted(X, dropout, "dropout"):
        with pytest.raises(InputError, match="direction of 'dropout'"):
            hierarchical().fit(frame, y)
        selector = hierarchical(event_is_good={"dropout": False}).fit(frame, y)
        assert (selector.recommend(X.head(50)).to_frame()["arm"] == "A").all()


def converted(X, values, name):
    pa = pytest.importorskip("pyarrow")
    yield pa.Table.from_pandas(X), pa.table({name: values})
    try:
        import polars as pl
    except ImportError:
        return
    yield pl.from_pandas(X), pl.Series(name, values)


def test_tables_of_other_libraries_are_taken_wherever_pandas_is():
    pa = pytest.importorskip("pyarrow")
    rng, n = np.random.default_rng(0), 200
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    y = pd.DataFrame({"remission": rng.binomial(1, 0.4, n)})
    model = HierarchicalClassifier().fit(X, y["remission"])
    by_arm = pd.DataFrame({"A": [0.3, 0.4], "B": [0.5, 0.2]})
    table = pa.Table.from_pandas
    assert len(ts.Cohort(table(X.join(y)))) == n
    assert Codebook.infer(table(X.join(y))).arm == "arm"
    assert ts.recommend(table(by_arm)).to_frame()["arm"].tolist() == ["B", "A"]
    assert hierarchical().fit(table(X), table(y)).outcomes_ == ["remission"]
    expected = ts.explain(model, X.head(2), arm="A", background=X).values
    found = ts.explain(model, table(X.head(2)), arm="A", background=table(X)).values
    np.testing.assert_array_equal(found, expected)


# --- ties


@pytest.mark.parametrize("order", [["CBT", "SSRI"], ["SSRI", "CBT"]])
def test_ties_do_not_depend_on_the_order_of_columns(order):
    rng, n = np.random.default_rng(5), 1000
    ids = [f"p{i}" for i in range(n)]
    frame = pd.DataFrame({"pid": ids, "age": rng.integers(18, 80, n), "arm": rng.choice(["CBT", "SSRI"], n)})
    frame["remission"] = rng.binomial(1, np.where(frame["arm"] == "CBT", 0.35, 0.55))
    cohort = ts.Cohort(frame, book(frame))
    base = 0.3 + 0.005 * (frame["age"] - 20)
    table = pd.DataFrame({"CBT": base.round(1), "SSRI": (base + 0.02).round(1)}).set_axis(ids)
    tied = (table["CBT"] - table["SSRI"]).abs() < 1e-12
    assert tied.mean() > 0.7
    gain = ts.validate(table[order], cohort, assignment="randomised", sections=()).gain
    # by hand: doubly robust scores; tied patients get each arm with probability one half
    shares = pd.DataFrame({"CBT": np.where(tied, 0.5, 0.0), "SSRI": np.where(tied, 0.5, 1.0)})
    propensity = frame["arm"].value_counts(normalize=True)
    scores = {
        arm: table[arm].to_numpy()
        + (frame["arm"] == arm) * (frame["remission"] - table[arm].to_numpy()) / propensity[arm]
        for arm in order
    }
    best = max(scores[arm].mean() for arm in order)
    by_hand = np.mean(sum(shares[arm] * scores[arm] for arm in order)) - best
    assert gain.value == pytest.approx(by_hand, abs=1e-12)
    assert gain.lower < gain.value < gain.upper < 0


def book(frame):
    fields = [
        {"name": "pid", "role": "id"},
        *({"name": name, "type": "number", "role": "covariate"} for name in frame if name in ("age", "x")),
        {"name": "arm", "role": "arm"},
        {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
    ]
    return Codebook.from_dict({"fields": fields})


# --- binary rounding: 0.9 - 0.8 is below 0.1, and 0.1 + 0.2 above 0.3


def test_a_benefit_that_is_only_rounding_is_none():
    rng, n = np.random.default_rng(0), 200
    by_arm = pd.DataFrame({"A": np.full(n, 0.3), "B": np.full(n, 0.1 + 0.2)})
    even = by_arm.assign(B=0.3)
    received, y = rng.choice(["A", "B"], n), rng.binomial(1, 0.4, n)
    pair = {"control": "A", "treated": "B"}
    for metric in (
        metrics.population_average_value,
        metrics.population_average_prescriptive_effect,
        metrics.population_benefit,
    ):
        assert metric(y, received, by_arm, **pair).value == metric(y, received, even, **pair).value


def test_a_score_reaches_a_cutoff_whatever_rounding_did():
    bands = (Band(label="low", minimum=0, maximum=0.2), Band(label="high", minimum=0.3, maximum=0.9))
    scale = Instrument(
        name="Mean",
        title="Mean of items",
        minimum=0,
        maximum=0.9,
        direction="lower is better",
        bands=bands,
        case_cutoff=0.3,
        remission_maximum=0.3,
    )
    assert outcome.caseness([0.3, 1 - 0.7, 0.2], instrument=scale).tolist() == [1, 1, 0]
    assert outcome.remission([0.3, 0.1 + 0.2, 0.4], instrument=scale).tolist() == [1, 1, 0]
    assert scale.band([0.3, 0.9 - 0.6]).tolist() == ["high", "high"]
    assert len(scale.check_scores("score", [0.3 * 3 + 1e-16, 0.1 * 9, 0.7 + 0.1 + 0.1])) == 3


# --- patients matched by id, never by position


@pytest.mark.parametrize("name", MODELS)
def test_outcomes_and_weights_in_another_order_are_refused(name):
    rng, n = np.random.default_rng(0), 300
    index = [f"p{i:04d}" for i in range(n)]
    X = pd.DataFrame({"x": rng.normal(size=n), "arm": rng.choice(["A", "B"], n)}, index=index)
    y = pd.Series(rng.binomial(1, expit(2 * X["x"])), index=index, name="remission")
    shuffled = y.sample(frac=1, random_state=2)
    with pytest.raises(InputError, match="another order"):
        MODELS[name].fit(X, shuffled)
    if name == "selector":
        return
    weight = pd.Series(np.where(X["x"] > 0, 1.0, 1e-3), index=index)
    with pytest.raises(InputError, match="another order"):
        MODELS[name].fit(X, y, sample_weight=weight.sample(frac=1, random_state=1))
    fitted = MODELS[name].fit(X, y)
    with pytest.raises(InputError, match="another order"):
        update_closed_test(fitted, X, shuffled)
    with pytest.raises(InputError, match="their indices differ"):
        MODELS[name].fit(X, y.set_axis([f"q{i}" for i in range(n)]))


def test_ids_of_several_rows_in_another_order_are_refused():
    y = pd.Series([0, 1, 1, 0], index=list("aabb"))
    p = pd.Series([0.1, 0.9, 0.8, 0.2], index=list("bbaa"))
    with pytest.raises(InputError, match=r"in another order\. Align them first, by a column"):
        metrics.brier_score(y, p)
    expected = metrics.brier_score(y.to_numpy(), p.to_numpy()).value
    for same in (p.set_axis(y.index), p.reset_index(drop=True)):
        assert metrics.brier_score(y, same).value == expected


def reversed_pairs():
    index = [f"p{i}" for i in range(6)]
    y, p, ones = (pd.Series(values, index=index) for values in ([0, 1] * 3, [0.2, 0.7] * 3, [1.0, 2.0] * 3))
    back = slice(None, None, -1)
    of = metrics.LinearPredictorDistribution.observed
    return {
        "sequential test": lambda: sequential_calibration_test(y, p.iloc[back]),
        "effective size": lambda: metrics.effective_sample_size(ones, sample_weight=ones.iloc[back]),
        "linear predictor": lambda: of(p, sample_weight=ones.iloc[back]),
        "sites": lambda: metrics.random_effects_meta_analysis(p, ones.iloc[back]),
        "imputations": lambda: metrics.pool_rubin(p, ones.iloc[back], n=100),
        "pairs": lambda: metrics.MatchedPairs.of(y, p.iloc[back], p),
    }


@pytest.mark.parametrize("name", reversed_pairs())
def test_vectors_that_belong_together_are_never_matched_by_position(name):
    with pytest.raises(InputError, match="in another order"):
        reversed_pairs()[name]()


def test_outcomes_by_id_are_compared_with_the_ids_in_a_column():
    rng, n = np.random.default_rng(0), 200
    frame = pd.DataFrame({"pid": [f"p{i}" for i in range(n)], "x": rng.normal(size=n)})
    frame["arm"] = rng.choice(["A", "B"], n)
    frame["remission"] = rng.binomial(1, expit(frame["x"]))
    X, y = frame.drop(columns="remission"), frame.set_index("pid")["remission"]
    selector = hierarchical(codebook=book(frame))
    with pytest.raises(InputError, match="y holds the same patients as X in another order"):
        selector.fit(X, y.iloc[::-1])
    fitted = selector.fit(X, y)
    again = X.sample(frac=1, random_state=0)
    for other in (y.iloc[::-1], y.reset_index(drop=True)):  # by id; by the index of X before it was shuffled
        with pytest.raises(InputError, match="y holds the same patients as X in another order"):
            monitor(fitted, again, other)
    expected = monitor(fitted, X, y).figures
    pd.testing.assert_frame_equal(monitor(fitted, X, frame["remission"]).figures, expected)
    assert monitor(fitted, again, frame.loc[again.index, "remission"]).n == n


def test_transported_performance_needs_the_patients_of_the_weights_in_their_order():
    rng, n = np.random.default_rng(0), 60
    index = [f"p{i:02d}" for i in range(n)]
    patients = pd.DataFrame({"severity": rng.normal(size=n)}, index=index)
    p = expit(patients["severity"])
    y = pd.Series(rng.binomial(1, p), index=index)
    counts = pd.Series(np.arange(n) % 3 + 1.0, index=index)
    with pytest.raises(InputError, match="sample_weight holds the same patients as validation in another"):
        balancing_weights(patients, {"severity": 0.2}, sample_weight=counts.iloc[::-1])
    weights = balancing_weights(patients, {"severity": 0.2}, sample_weight=counts)
    with pytest.raises(InputError, match="weights holds the same patients as y_true in another order"):
        transport_performance(y.iloc[::-1], p.iloc[::-1], weights)
    assert transport_performance(y, p, weights).expected["auc"].value > 0.5


def test_ids_are_matched_whatever_their_type():
    rng, n = np.random.default_rng(0), 400
    frame = pd.DataFrame({"pid": np.arange(100, 100 + n), "x": rng.normal(size=n)})
    frame["arm"] = rng.choice(["A", "B"], n)
    frame["remission"] = rng.binomial(1, expit(-frame["x"]))
    cohort = ts.Cohort(frame, book(frame))
    selector = hierarchical(codebook=book(frame)).fit(frame.drop(columns="remission"), frame["remission"])
    table = selector.predict_by_arm(frame)
    gains = [
        ts.validate(given, cohort, assignment="randomised", sections=()).gain.value
        for given in (
            table,
            table.set_axis(table.index.astype(str)),
            table.set_axis(table.index.astype(float)),
            table.sample(frac=1, random_state=0),
        )
    ]
    assert len(set(gains)) == 1
    chances = pd.DataFrame(0.5, index=table.index, columns=["A", "B"])
    assert np.isfinite(ts.validate(table, cohort, assignment=chances, sections=()).gain.value)


# --- values


@pytest.mark.parametrize("name", [name for name in MODELS if name != "stacked"])
def test_declared_categories_of_numbers_stay_categories(name):
    rng, n = np.random.default_rng(0), 1500
    group = rng.choice([1, 2, 3, 4, 5], n)
    y = pd.Series(rng.binomial(1, expit(np.array([0, 2.0, -1.5, 1.5, -2.0])[group - 1])), name="remission")
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    for column in (pd.Categorical(group), pd.Categorical(group, ordered=True), group.astype(str)):
        frame = X.assign(ethnicity=column)
        p = MODELS[name].fit(frame, y).predict_by_arm(frame)["A"]
        np.testing.assert_allclose(p.groupby(group).mean(), y.groupby(group).mean(), atol=0.08)


@pytest.mark.parametrize("unit", [1e-9, 5e-13, 1e-13])
def test_predictions_do_not_depend_on_the_unit_of_a_covariate(unit):
    rng, n = np.random.default_rng(0), 600
    z, X = rng.normal(size=n), pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    y = pd.Series(rng.binomial(1, expit(1.5 * z)), name="remission")
    for model in (HierarchicalClassifier(), PooledClassifier(LogisticRegression())):
        one, other = (
            model.fit(frame, y).predict_by_arm(frame)
            for frame in (X.assign(il6=z + 4), X.assign(il6=(z + 4) * unit))
        )
        np.testing.assert_allclose(other, one, atol=1e-6)
        assert roc_auc(y, other["A"]).value > 0.8


@pytest.mark.parametrize("unit", [1e-14, 1e-40])
def test_a_model_of_a_covariate_in_a_tiny_unit_can_be_saved(unit, tmp_path):
    rng, n = np.random.default_rng(0), 300
    X = pd.DataFrame({"il6": unit * rng.normal(size=n), "arm": rng.choice(["A", "B"], n)})
    y = pd.Series(rng.binomial(1, 0.4, n), name="remission")
    selector = hierarchical().fit(X, y)
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    again = ts.load_model(tmp_path / "m.treatsel").predict_by_arm(X)
    np.testing.assert_array_equal(again, selector.predict_by_arm(X))


def test_a_covariate_that_varies_too_little_for_computation_is_refused():
    rng, n = np.random.default_rng(0), 300
    X = pd.DataFrame({"il6": 1e-70 * rng.normal(size=n), "arm": rng.choice(["A", "B"], n)})
    y = pd.Series(rng.binomial(1, 0.4, n), name="remission")
    with pytest.raises(CohortError, match=r"'il6' varies by less than 1e-60.*larger unit"):
        hierarchical().fit(X, y)


def test_missing_values_among_objects_are_missing():
    rng, n = np.random.default_rng(0), 300
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    y = pd.Series(rng.binomial(1, 0.4, n), name="remission", dtype="Int64").mask(np.arange(n) % 20 == 0)
    for values in (y, y.astype(object), y.astype(object).where(y.notna(), None)):
        assert hierarchical().fit(X, values).training_["n_observed"].sum() == 285
        with pytest.raises(InputError, match="15 missing values"):
            metrics.brier_score(values, np.full(n, 0.4))
        assert outcome.caseness(values, instrument="PHQ-9").isna().sum() == 15


# --- drafts


@pytest.mark.parametrize(
    "name",
    ["record_id", "study_id", "subject_id", "subjid", "USUBJID", "client_id", "Person_ID", "PatientID",
     "nhs_number", "X", "rownames"],
)  # fmt: skip
def test_a_record_number_is_never_a_covariate(name):
    rng, n = np.random.default_rng(0), 200
    frame = pd.DataFrame({name: np.arange(1, n + 1), "age": rng.integers(18, 80, n)})
    frame["arm"] = rng.choice(["CBT", "SSRI"], n)
    assert Codebook.infer(frame)[name].role == "id"
    with pytest.raises(CohortError, match="may not be covariates"):
        hierarchical().fit(frame, pd.Series(rng.binomial(1, 0.4, n), name="remission"))


def test_whole_numbers_that_never_repeat_are_undecided():
    frame = pd.DataFrame({"code": np.arange(50) * 7, "age": np.arange(50) % 9, "arm": ["A", "B"] * 25})
    assert Codebook.infer(frame)["code"].role == "undecided"


def codings(dropout):
    n = np.arange(len(dropout))
    return {
        "0/1": dropout,
        "bool": dropout.astype(bool),
        "yes/no": np.where(dropout, "yes", "no"),
        "Checked": np.where(dropout, "Checked", "Unchecked"),
        "1/2": dropout + 1,
        "-1/1": 2 * dropout - 1,
        "0/1 and 9": np.where(n % 50 == 0, 9, dropout),
        "0/1 and NA": np.where(n % 50 == 0, "NA", dropout.astype(str)),
        "labels": pd.Categorical(np.where(dropout, "Dropped out", "Completed")),
    }


@pytest.mark.parametrize("coding", codings(np.zeros(2, dtype=int)))
def test_an_outcome_is_no_covariate_however_it_is_coded(coding):
    rng, n = np.random.default_rng(0), 300
    frame = pd.DataFrame({"age": rng.integers(18, 80, n), "arm": rng.choice(["A", "B"], n)})
    dropout = rng.binomial(1, 0.3, n)
    y = pd.Series(rng.binomial(1, np.where(dropout == 1, 0.1, 0.6)), name="remission")
    frame["dropout"] = codings(dropout)[coding]
    assert Codebook.infer(frame.assign(remission=y))["dropout"].role in ("outcome", "undecided")
    with pytest.raises(CohortError, match="may not be covariates"):
        hierarchical().fit(frame, y)


def test_outcomes_of_the_library_are_drafted_as_outcomes():
    values = np.random.default_rng(0).binomial(1, 0.3, 60)
    frame = pd.DataFrame(dict.fromkeys(Outcome.names(), values)).assign(age=np.arange(60) % 30, arm="A")
    drafted = Codebook.infer(frame)
    assert drafted.outcomes == Outcome.names()
    assert [drafted[name].event_is_good for name in ("remission", "non_start")] == [True, False]


@pytest.mark.parametrize(
    "name",
    ["bdi.8m", "Postwt", "weight_post_lb", "Score 12 weeks", "HDRS end", "phq9.discharge", "followup_gad"],
)
def test_later_scores_are_no_covariates_whatever_their_names(name):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.integers(0, 27, 60), "age": rng.integers(18, 80, 60)})
    assert Codebook.infer(frame.assign(arm=["A", "B"] * 30))[name].role in ("session_score", "undecided")


@pytest.mark.parametrize(
    "name",
    ["self_harm_last_year", "episodes_last_12m", "prior_episodes_6_months", "post_code", "age_end_school"],
)
def test_words_of_time_before_treatment_are_no_later_scores(name):
    frame = pd.DataFrame({name: np.random.default_rng(0).integers(0, 20, 60), "arm": ["A", "B"] * 30})
    assert Codebook.infer(frame)[name].role == "covariate"


@pytest.mark.parametrize(
    "name", ["death_in_family", "event_stressful", "response_style", "withdrawal_symptoms"]
)
def test_a_name_that_begins_like_an_outcome_is_left_to_a_person(name):
    frame = pd.DataFrame({name: np.random.default_rng(0).integers(0, 2, 60), "arm": ["A", "B"] * 30})
    assert Codebook.infer(frame)[name].role == "undecided"


def test_numbers_of_other_types_are_drafted_like_numbers():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 27, 100)
    plain = Codebook.infer(pd.DataFrame({"phq": values, "arm": ["A", "B"] * 50}))["phq"]
    for column in (
        [Decimal(int(v)) for v in values],
        [int(v) if i % 2 else str(v) for i, v in enumerate(values)],
    ):
        frame = pd.DataFrame({"phq": pd.Series(column, dtype=object), "arm": ["A", "B"] * 50})
        assert Codebook.infer(frame)["phq"] == plain


def test_codes_that_give_the_outcome_away_in_any_order_are_undecided():
    rng, n = np.random.default_rng(0), 300
    y = rng.binomial(1, 0.4, n)
    codes = np.where(y == 1, 2, rng.choice([1, 3], n))
    frame = pd.DataFrame({"form": codes, "age": rng.integers(18, 80, n), "arm": "A", "remission": y})
    assert Codebook.infer(frame)["form"].role == "undecided"


@pytest.mark.parametrize("name", ["phq9_w0", "bdi.pre", "baseline_score", "Prewt", "age", "response_time"])
def test_scores_before_treatment_are_covariates(name):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.integers(0, 27, 60), "arm": ["A", "B"] * 30})
    assert Codebook.infer(frame)[name].role == "covariate"


def test_a_column_that_follows_the_outcome_is_undecided():
    rng, n = np.random.default_rng(0), 300
    y = rng.binomial(1, 0.4, n)
    frame = pd.DataFrame({"grade": np.where(y, "good", "poor"), "severity": rng.integers(0, 27, n)})
    frame["minutes"] = np.where(y == 1, rng.normal(60, 5, n), rng.normal(30, 5, n))
    frame = frame.assign(arm=rng.choice(["A", "B"], n), remission=y)
    drafted = Codebook.infer(frame)
    roles = {name: drafted[name].role for name in ("grade", "minutes", "severity")}
    assert roles == {"grade": "undecided", "minutes": "undecided", "severity": "covariate"}
    assert "remission" in drafted["minutes"].note
    with pytest.raises(ts.errors.CodebookError, match="'minutes': Predicts almost perfectly"):
        hierarchical().fit(ts.Cohort(frame, drafted))


def test_texts_for_missing_are_read_as_missing_and_noted():
    rng, n = np.random.default_rng(1), 400
    frame = pd.DataFrame({"age": rng.normal(45, 12, n).round(1), "sex": rng.choice(["f", "m"], n)})
    frame["treatment"] = rng.choice(["CBT", "SSRI"], n)
    frame["remission"] = rng.integers(0, 2, n).astype(float)
    for name in ("age", "sex", "remission"):
        frame.loc[rng.choice(n, 30, replace=False), name] = np.nan
    text = frame.to_csv(index=False, na_rep="NA").replace(".0,", ",")
    cells = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    drafted = Codebook.infer(cells)
    assert drafted.missing_values == ("", "NA")
    assert (drafted["age"].type, drafted["age"].role) == ("number", "covariate")
    assert drafted["sex"].enum == ("f", "m")
    assert drafted.outcomes == ("remission",)
    assert "'NA' is taken as missing" in drafted["sex"].note
    assert Codebook.from_dict(drafted.to_dict()) == drafted, "notes are comments, not content"
    assert "# " in drafted.to_yaml()


@pytest.mark.parametrize("code", [999, -9])
def test_a_number_that_may_stand_for_missing_is_undecided(code):
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, 100)
    age[:4] = code
    drafted = Codebook.infer(pd.DataFrame({"age": age, "arm": ["A", "B"] * 50}))
    assert drafted["age"].role == "undecided"
    assert str(code) in drafted["age"].note
    again = Codebook.infer(pd.DataFrame({"age": age, "arm": ["A", "B"] * 50}), missing_values=["", str(code)])
    assert again["age"].role == "covariate"


def test_true_and_false_values_make_an_outcome_of_any_coding():
    field = {"name": "dropout", "type": "boolean", "role": "outcome", "event_is_good": False}
    field |= {"trueValues": ["Checked"], "falseValues": ["Unchecked"]}
    fields = [{"name": "age", "type": "number", "role": "covariate"}, {"name": "arm", "role": "arm"}, field]
    frame = pd.DataFrame({"age": [31, 44, 50], "arm": "A", "dropout": ["Checked", "Unchecked", None]})
    cohort = ts.Cohort(frame, Codebook.from_dict({"fields": fields}))
    np.testing.assert_array_equal(cohort.y, [1, 0, np.nan])
    with pytest.raises(CohortError, match="'dropout' holds 1 value"):
        ts.Cohort(frame.replace("Checked", "true"), cohort.codebook)


# --- clusters


def test_an_arm_at_one_site_has_no_cluster_robust_interval():
    rng, n = np.random.default_rng(100), 720
    site = np.repeat(np.arange(12), 60)
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "site": site})
    X["arm"] = np.where(site < 1, "R", rng.choice(["A", "B"], n))
    y = pd.Series(rng.binomial(1, 0.45, n), name="remission")
    selector = hierarchical(groups="site", assignment="randomised").fit(X, y)
    assert selector.arm_means_.loc["R", ["lower", "upper"]].isna().all()
    assert "received in 1 cluster of 12" in selector.arm_means_.loc["R", "method"]
    assert selector.arm_means_.loc["A", ["lower", "upper"]].notna().all()
    assert "arm_at_few_sites" in [check.code for check in selector.data_checks_]


@pytest.mark.slow
@pytest.mark.parametrize("n_sites", [2, 4])
def test_intervals_of_an_arm_at_few_sites_cover_its_rate(n_sites):
    covered = []
    for seed in range(200):
        rng, n = np.random.default_rng([3, seed]), 720
        site = np.repeat(np.arange(12), 60)
        received = np.where(site < n_sites, "R", rng.choice(["A", "B"], n))
        y = rng.binomial(1, 0.45, n)
        propensity = pd.DataFrame({arm: np.full(n, (received == arm).mean()) for arm in ("A", "B", "R")})
        scores = metrics.aipw_scores(y, received, propensity * 0 + 0.45, propensity)
        row = metrics.arm_means(scores, received=received, clusters=site).loc["R"]
        covered.append(row["lower"] <= 0.45 <= row["upper"])
    assert np.mean(covered) > 0.95 - 2 * np.sqrt(0.95 * 0.05 / 200)


# --- wrapped learners


WRAPPED = {
    "bare": LogisticRegression(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "grid search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}),
    "search in a pipeline": GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}
    ),
    "calibrated": CalibratedClassifierCV(LogisticRegression()),
    "voting": VotingClassifier(
        [("one", LogisticRegression()), ("two", LogisticRegression(C=0.1))], voting="soft"
    ),
    "bagging": BaggingClassifier(LogisticRegression(), n_estimators=3, random_state=0),
    "one against the rest": OneVsRestClassifier(LogisticRegression()),
}


ADDITIVE = ("bare", "pipeline", "grid search", "search in a pipeline")


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_linear_learner_has_products_of_arm_and_covariate(name):
    rng, n = np.random.default_rng(0), 2000
    X = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "arm": rng.choice(["A", "B"], n)})
    X.loc[:50, "z"] = np.nan
    y = rng.binomial(1, expit(np.where(X["arm"] == "A", 1.2, -1.2) * X["x"]))
    weight = None if name == "one against the rest" else rng.uniform(0.5, 2, n)
    model = PooledClassifier(WRAPPED[name]).fit(X, y, sample_weight=weight)
    p = model.predict_by_arm(X)
    difference = logit(p["A"]) - logit(p["B"])
    assert difference.std() == pytest.approx(2.4, abs=0.3)
    assert 0.45 < (difference > 0).mean() < 0.55
    if name in ADDITIVE:
        np.testing.assert_allclose(model.additive().predict_by_arm(X.drop(columns="arm")), p, atol=1e-12)


# --- what is not a selector, and pictures


def test_a_model_that_is_not_a_selector_is_named(tmp_path):
    rng, n = np.random.default_rng(0), 100
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(["A", "B"], n)})
    model = HierarchicalClassifier().fit(X, rng.binomial(1, 0.4, n))
    X.to_csv(tmp_path / "x.csv", index=False)
    for call in (
        lambda: predict_in_chunks(model, X),
        lambda: predict_file(model, tmp_path / "x.csv", tmp_path / "o.csv"),
        lambda: monitor(model, X),
        lambda: ts.save_model(model, tmp_path / "m.treatsel", intended_use="Tests."),
    ):
        with pytest.raises(InputError, match="TreatmentSelector is needed, not a HierarchicalClassifier"):
            call()


def test_dollar_signs_and_underscores_in_names_are_drawn_as_they_are():
    pytest.importorskip("matplotlib")
    rng, n = np.random.default_rng(0), 200
    arms = ["CBT ($12) or IPT ($15)", "_SSRI"]
    X = pd.DataFrame({"age": rng.normal(45, 12, n), "arm": rng.choice(arms, n)})
    y = pd.Series(rng.binomial(1, 0.4, n), name="recovered_$%$")
    selector = hierarchical(event_is_good=True).fit(X, y)
    by_arm = pd.DataFrame({arms[0]: [0.6, 0.5], arms[1]: [0.4, 0.3]}, index=["p$1{$", "p2"])
    draws = by_arm.to_numpy() + rng.normal(0, 0.05, (50, 2, 2))
    curve = metrics.calibration_curve(y, rng.uniform(0.1, 0.9, n), received=X["arm"])
    for ax in (selector.predict(X.head(3)).plot(), ts.recommend(by_arm, draws=draws).plot(), curve.plot()):
        ax.figure.savefig(io.BytesIO())
    legend = [text.get_text().strip() for text in ax.get_legend().get_texts()]
    assert legend == [r"CBT (\$12) or IPT (\$15)", "_SSRI"]
