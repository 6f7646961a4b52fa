"""`update_selector`: recovery of a planted drift, what the file keeps, and what is refused."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.artifact import read_manifest, store_validation
from treatsel.cli.main import main
from treatsel.errors import ArtifactError, InputError, TreatselWarning
from treatsel.fitted import DataCheck
from treatsel.metrics import calibration_in_the_large, calibration_slope
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, PooledClassifier
from treatsel.report import model_card
from treatsel.updating import update_selector
from treatsel.updating._choice import closed_test
from treatsel.updating._patients import patients_of

ARMS = ["A", "B", "C"]
EFFECTS = {"A": 0.5, "B": 0.0, "C": -0.5}
BOOK = ts.Codebook.from_dict(
    {
        "fields": [
            {"name": "x", "type": "number", "role": "covariate"},
            {"name": "z", "type": "number", "role": "covariate"},
            {"name": "arm", "role": "arm"},
            {"name": "site", "role": "site"},
            {"name": "well", "type": "integer", "role": "outcome", "event_is_good": True},
        ]
    }
)


def draw(seed, n, p=None, arms=ARMS, sites=8):
    """A cohort; `p`: by-arm table of a frame (None: the process on which models are developed)."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 2)).round(4), columns=["x", "z"])
    frame = frame.assign(arm=rng.choice(arms, n), site=[f"S{k}" for k in rng.integers(0, sites, n)])
    if p is None:
        level = frame["arm"].map(EFFECTS) + frame["x"] - 0.5 * frame["z"] * (frame["arm"] == "B")
        own = expit(level.to_numpy())
    else:
        own = p(frame).to_numpy()[np.arange(n), [ARMS.index(arm) for arm in frame["arm"]]]
    return ts.Cohort(frame.assign(well=(rng.random(n) < own).astype(int)), BOOK)


def drifted(selector, shift=0.0, slope=1.0, by_arm=0.0):
    """The truth after a drift: the selector's own logits, changed."""
    steps = shift + by_arm * np.array([-1.0, 0.0, 1.0])
    return lambda frame: expit(steps + slope * logit(selector.predict_by_arm(frame)))


def fitted(estimator, cohort):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)  # data checks of small cohorts
        return ts.TreatmentSelector(estimator=estimator, random_state=0).fit(cohort)


@pytest.fixture(scope="module")
def selector():
    book = [field.to_dict() for field in BOOK.fields if field.name != "site"]
    cohort = ts.Cohort(draw(0, 900).frame.drop(columns="site"), ts.Codebook.from_dict({"fields": book}))
    return fitted(PooledClassifier(LogisticRegression()), cohort)


@pytest.fixture(scope="module")
def parent(selector, tmp_path_factory):
    path = tmp_path_factory.mktemp("parent") / "m.treatsel"
    use = {"purpose": "Tests.", "population": "Simulated patients."}
    return path, ts.save_model(selector, path, intended_use=use)


@pytest.fixture(scope="module")
def updated(selector, parent):
    loaded = ts.load_model(parent[0])
    cohort = draw(1, 1500, drifted(selector, shift=0.8, slope=0.5))
    return cohort, update_selector(loaded, cohort, date="2027-01-31")


def test_a_drift_of_level_and_slope_is_mended_in_a_third_cohort(selector, updated):
    _, found = updated
    outcome = found.outcomes["well"]
    assert (outcome.method, outcome.chosen_by, outcome.reference) == ("slope", "closed test", "refit")
    assert outcome.slope == pytest.approx(0.5, abs=0.2)
    assert outcome.tests["rejected"].tolist() == [True, True, False, False]
    third = draw(2, 3000, drifted(selector, shift=0.8, slope=0.5))
    own = np.arange(3000), [ARMS.index(arm) for arm in third.frame["arm"]]
    p = found.selector.predict_by_arm(third.X).to_numpy()[own]
    y = third.y.to_numpy()
    # the update itself has the error of 1,500 patients: twice the variance in the third cohort
    for measure, ideal in ((calibration_in_the_large, 0), (calibration_slope, 1)):
        estimate = measure(y, p)
        assert abs(estimate.value - ideal) < 3 * np.sqrt(3) * estimate.se
        before = measure(y, selector.predict_by_arm(third.X).to_numpy()[own])
        assert abs(before.value - ideal) > 5 * before.se
    table = outcome.to_frame().set_index(["predictions", "measure"])["value"]
    assert table["after", "calibration slope"] == pytest.approx(1, abs=1e-6)  # apparent, by construction
    assert table["cross-validated", "calibration slope"] < 1
    assert table["cross-validated", "calibration in the large"] == pytest.approx(0, abs=0.1)
    assert table["before", "observed / expected"] > 1.1


def test_a_drift_of_single_arms_changes_their_ranking(selector):
    found = update_selector(selector, draw(3, 1500, drifted(selector, by_arm=0.9))).outcomes["well"]
    assert found.method == "per_arm"
    assert found.shift.to_numpy() == pytest.approx([-0.9, 0, 0.9], abs=0.35)
    assert (found.best_arm, found.share_moved > 0.5) == ("C", True)
    moved = update_selector(selector, draw(3, 300, drifted(selector, shift=1)), method="intercept")
    assert moved.outcomes["well"].share_moved == 0


def test_a_model_that_is_right_is_seldom_changed(selector):
    kept = []
    for seed in range(24):
        patients = patients_of(selector, draw(100 + seed, 250, drifted(selector)), "well")
        kept.append(closed_test(selector.models_["well"], patients, ARMS, 0.05).chosen == "none")
    assert np.mean(kept) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 24)


def test_the_file_predicts_the_same_and_names_its_parent(parent, updated, tmp_path):
    cohort, found = updated
    _, manifest = parent
    path = tmp_path / "new.treatsel"
    new = ts.save_model(found.selector, path, intended_use=found.selector.intended_use_)
    loaded = ts.load_model(path)
    X = draw(5, 50).X
    pd.testing.assert_frame_equal(loaded.predict_by_arm(X), found.selector.predict_by_arm(X), rtol=1e-9)
    np.testing.assert_allclose(loaded.predict_draws(X), found.selector.predict_draws(X), atol=1e-6)
    record = new.updates[-1]
    assert (record["parent_id"], record["date"]) == (manifest.model_id, "2027-01-31")
    assert new.model_id != manifest.model_id
    assert new.intended_use == manifest.intended_use
    assert loaded.model_.updates[-1]["outcomes"][0]["slope"] == found.outcomes["well"].slope
    assert (record["outcomes"][0]["n"], len(record["outcomes"][0]["tests"])) == (1500, 4)
    assert list(loaded.arm_means_["value"]) == list(found.selector.arm_means_["value"])
    card = model_card(read_manifest(path))
    assert f"Updated from: {manifest.model_id[:12]} on 2027-01-31" in card.replace("**", "")
    for text in ("a new intercept and slope", "none rejected, p < 0.001", "figures of the model before"):
        assert text in card
    # the cohort of the update is no validation of the update, also after it was read from a file
    assert ts.validate(loaded, cohort, sections=()).kind == "apparent"
    with pytest.raises(InputError, match="An update needs new patients"):
        update_selector(loaded, cohort)
    again = update_selector(loaded, draw(6, 800, drifted(loaded, shift=-1)), method="intercept").selector
    chain = ts.save_model(again, tmp_path / "third.treatsel", intended_use="Tests.").updates
    assert [update["parent_id"] for update in chain] == [manifest.model_id, new.model_id]


def test_stored_validations_are_not_carried_over(selector, parent, updated, tmp_path):
    path = tmp_path / "validated.treatsel"
    path.write_bytes(parent[0].read_bytes())
    report = ts.validate(selector, draw(7, 300), sections=())
    assert store_validation(path, [report.summary()]).validations
    found = update_selector(ts.load_model(path), updated[0], method="slope")
    new = ts.save_model(found.selector, tmp_path / "new.treatsel", intended_use="Tests.")
    assert new.validations == []
    assert new.updates[-1]["outcomes"][0]["chosen_by"] == "name"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parent_id": "abc"}, "not a model id"),
        ({"date": "2027-13-01"}, "not a date"),
        ({"outcomes": []}, "other outcomes"),
        ({"note": "x"}, "other keys"),
        ({"slope": -1.0}, "the slope of an update"),
        ({"shift": [0.0]}, "shifts of an update"),
        ({"method": "refit"}, "method of an update"),
        ({"calibration": []}, "other measures"),
        ({"tests": []}, "other tests"),
        ({"n": 3, "n_events": 5}, "not a count"),
    ],
)
def test_a_record_of_another_form_is_not_written(updated, tmp_path, change, message):
    selector = updated[1].selector
    record = dict(selector.model_.updates[-1])
    (outcome,) = record["outcomes"]
    inside = {key: value for key, value in change.items() if key in outcome}
    record |= {"outcomes": [outcome | inside]} | {k: v for k, v in change.items() if k not in inside}
    other = ts.TreatmentSelector.from_model(
        dataclasses.replace(selector.model_, updates=(record,)), arm="arm"
    )
    with pytest.raises(ArtifactError, match=message):
        ts.save_model(other, tmp_path / "m.treatsel", intended_use="Tests.")


def test_intervals_hold_the_error_of_the_update(selector):
    X = draw(8, 200).X
    truth = drifted(selector, shift=0.8, slope=0.5)
    widths = []
    for n in (120, 3000):
        found = update_selector(selector, draw(9, n, truth), method="slope").selector
        lower, upper = np.quantile(found.predict_draws(X), [0.025, 0.975], axis=0)
        widths.append((upper - lower).mean())
        assert ((lower <= truth(X)) & (truth(X) <= upper)).to_numpy().mean() > 0.8
    assert widths[0] > 1.4 * widths[1]


def test_a_model_with_trees_is_updated_and_saved(tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    trees = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=8, num_leaves=4, verbose=-1))
    selector = fitted(trees, draw(0, 600))
    found = update_selector(selector, draw(1, 600, drifted(selector, shift=0.8)), method="per_arm").selector
    ts.save_model(found, tmp_path / "m.treatsel", intended_use="Tests.")
    X = draw(5, 30).X
    loaded = ts.load_model(tmp_path / "m.treatsel").predict_by_arm(X)
    pd.testing.assert_frame_equal(loaded, found.predict_by_arm(X), rtol=1e-9)
    slope = found.models_["well"].slope_
    moved = logit(loaded) - slope * logit(selector.predict_by_arm(X))
    assert moved.std().max() < 1e-9
    assert moved.mean().to_numpy() == pytest.approx(found.models_["well"].shift_.to_numpy())


def test_an_arm_that_no_patient_received(selector):
    cohort = draw(1, 600, drifted(selector, shift=0.8), arms=["A", "B"])
    with pytest.warns(TreatselWarning, match=r"received 1 arm of the model: \['C'\]"):
        found = update_selector(selector, cohort)
    outcome = found.outcomes["well"]
    assert (outcome.method, outcome.reference) == ("intercept", "slope")
    assert len(set(outcome.shift)) == 1
    with pytest.raises(InputError, match=r"in every arm; these have fewer: \['C'\].*'slope' or 'intercept'"):
        update_selector(selector, cohort, method="per_arm")


def test_lost_outcomes_are_told(selector):
    frame = draw(1, 400, drifted(selector, shift=0.8)).frame.copy()
    frame.loc[frame.index[:80], "well"] = np.nan
    with pytest.warns(TreatselWarning, match="not observed in 80 patients of 400"):
        found = update_selector(selector, ts.Cohort(frame, BOOK), method="intercept")
    assert found.outcomes["well"].n == 320


def test_nothing_is_changed_where_no_change_is_needed(selector):
    found = update_selector(selector, draw(12, 500, drifted(selector)))
    assert found.outcomes["well"].method == "none"
    assert found.selector is selector
    assert not found.is_changed
    assert found.to_frame().loc["well", "slope"] == 1
    assert len(found.plot().get_yticklabels()) == 3
    assert found.outcomes["well"].plot(measure="observed / expected") is not None


def test_what_cannot_be_recalibrated_soundly_is_refused(selector):
    cohort = draw(1, 400, drifted(selector, shift=0.8))
    few = ts.Cohort(cohort.frame.assign(well=(np.arange(400) < 7).astype(int)), BOOK)
    with pytest.raises(InputError, match=r"at least 10 patients with each value.*or add patients"):
        update_selector(selector, few)
    with pytest.raises(InputError, match="develop a new model"):
        update_selector(selector, cohort, method="refit")
    turned = ts.Cohort(cohort.frame.assign(well=1 - draw(1, 400).frame["well"]), BOOK)
    with pytest.raises(InputError, match="orders them wrongly"):
        update_selector(selector, turned, method="slope")
    wrong = draw(1, 2500, lambda frame: pd.DataFrame({arm: expit(2 * frame["z"]) for arm in ARMS}))
    with pytest.raises(InputError, match=r"rejects every recalibration of 'well'.*Develop a new model"):
        update_selector(selector, wrong)
    with pytest.raises(InputError, match="outcome is 'ill'"):
        update_selector(selector, cohort, outcomes=["ill"])
    check = DataCheck("lost_outcomes_shifted", "Outcome 'well': by assumption, ...")
    development = dataclasses.replace(selector.model_.development, data_checks=(check,))
    shifted = ts.TreatmentSelector.from_model(
        dataclasses.replace(selector.model_, development=development), arm="arm"
    )
    with pytest.raises(InputError, match="would remove this assumption"):
        update_selector(shifted, cohort)


def test_known_services_of_the_update_stay_known():
    """All logits, at known services too, are shifted and stretched; services not in the update are new."""
    development = draw(0, 1200)
    frame = development.frame.copy()
    number = frame["site"].str[1:].astype(int)
    rng = np.random.default_rng(0)
    own = expit(frame["arm"].map(EFFECTS) + frame["x"] + np.linspace(-1.2, 1.2, 8)[number])
    development = ts.Cohort(frame.assign(well=(rng.random(1200) < own).astype(int)), BOOK)
    selector = fitted(HierarchicalClassifier(), development)
    sites = selector.additive_["well"].sites
    assert sites is not None
    cohort = draw(1, 500, drifted(selector, shift=0.8), sites=3)
    found = update_selector(selector, cohort, method="intercept")
    kept = found.selector.additive_["well"].sites
    assert kept.labels == ("S0", "S1", "S2")
    before, after = (logit(each.predict_by_arm(cohort.frame)) for each in (selector, found.selector))
    shift = found.outcomes["well"].shift["A"]
    np.testing.assert_allclose(after - before, shift, atol=1e-9)
    assert shift == pytest.approx(0.8, abs=0.4)
    draws = logit(found.selector.predict_draws(cohort.frame.head(50)))
    np.testing.assert_allclose(draws.mean(axis=0), after.head(50), atol=0.15)
    # the level of these three services is determined by the update: its draws vary as its own error does
    p = expit(after.to_numpy()[np.arange(500), [ARMS.index(a) for a in cohort.frame["arm"]]])
    weight = p * (1 - p)
    every = logit(found.selector.predict_draws(cohort.frame))
    level = np.average(
        every[:, np.arange(500), [ARMS.index(a) for a in cohort.frame["arm"]]], axis=1, weights=weight
    )
    assert level.std() == pytest.approx(weight.sum() ** -0.5, rel=0.15)


def test_the_command_writes_and_prints(parent, updated, tmp_path, capsys):
    path, manifest = parent
    table, new = tmp_path / "cohort.csv", tmp_path / "new.treatsel"
    updated[0].frame.drop(columns="site").to_csv(table, index=False)
    assert main(["update", str(path), str(table), "--out", str(new), "--date", "2027-01-31"]) == 0
    text = capsys.readouterr().out
    assert "well: slope (chosen by a closed test, level 0.05)" in text
    assert "cross-validated" in text
    assert f"updated from {manifest.model_id[:12]}" in text
    assert "The order of the arms of a patient is unchanged" in text
    assert read_manifest(new).updates[-1]["parent_id"] == manifest.model_id
    assert main(["show", str(new)]) == 0
    assert "Updated from" in capsys.readouterr().out
    same = ts.load_model(path)
    draw(12, 500, drifted(same)).frame.drop(columns="site").to_csv(table, index=False)
    other = tmp_path / "other.treatsel"
    assert main(["update", str(path), str(table), "--out", str(other)]) == 0
    assert "No outcome needs a change" in capsys.readouterr().out
    assert not other.exists()
