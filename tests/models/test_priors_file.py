"""Priors from a file: what it states, and all of its faults at once."""

import json

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.errors import InputError
from treatsel.model_selection import cross_predict_cohort
from treatsel.models import Priors, read_priors

pytestmark = pytest.mark.one_version

GOOD = """
recovery:
  source: Network meta-analysis X, 2024
  arm_means:
    - {arm: cbt, rate: 0.45, se: 0.03}
    - {arm: counselling, rate: 0.40, se: 0.03}
  arm_contrasts:
    - {arm: cbt, against: counselling, log_odds_ratio: 0.20, se: 0.08}
    - {arm: guided_self_help, against: counselling, log_odds_ratio: 0.05, se: 0.10}
  contrast_correlation: [[1.0, 0.5], [0.5, 1.0]]
  modifiers:
    - {arm: cbt, against: medication, covariate: phq9_start, slope: -0.02, se: 0.01}
    - {arm: cbt, against: medication, covariate: employment=unemployed, slope: -0.1, se: 0.1}
  prognosis:
    - {covariate: phq9_start, slope: -0.08, se: 0.02}
  null: 0.5
dropout:
  arm_contrasts:
    - {arm: cbt, against: counselling, log_odds_ratio: -0.1, se: 0.1}
"""


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(500, random_state=4).cohort


@pytest.fixture
def read(tmp_path, cohort):
    def read(text, *, name="priors.yaml", **options):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_priors(tmp_path / name, **{"outcomes": ["recovery", "dropout"], "X": cohort.X} | options)

    return read


def test_a_file_states_what_priors_hold(read):
    found = read(GOOD)
    assert list(found) == ["recovery", "dropout"]
    assert found["dropout"].arm_contrasts == {("cbt", "counselling"): (-0.1, 0.1)}
    one = found["recovery"]
    assert one.source == "Network meta-analysis X, 2024"
    assert one.null == 0.5  # a key that YAML reads as None
    assert one.arm_means == {"cbt": (0.45, 0.03), "counselling": (0.4, 0.03)}
    assert list(one.arm_contrasts.values()) == [(0.2, 0.08), (0.05, 0.1)]
    assert one.correlation().tolist() == [[1.0, 0.5], [0.5, 1.0]]
    assert one.modifiers["cbt", "medication", "phq9_start"] == (-0.02, 0.01)
    assert one.prognosis == {"phq9_start": (-0.08, 0.02)}


def test_json_states_the_same(read):
    content = {"dropout": {"null": 0.3, "prognosis": [{"covariate": "age", "slope": 0.1, "se": 0.1}]}}
    found = read(json.dumps(content), name="priors.json")["dropout"]
    assert (found.null, found.prognosis) == (0.3, {"age": (0.1, 0.1)})


def test_all_faults_are_reported_at_once(read):
    text = """
remission: {source: a trial}
recovery:
  arm_mean: []
  source: 3
  arm_means: {cbt: [0.4, 0.1]}
  arm_contrasts:
    - {arm: CBT, against: counselling, log_odds_ratio: 0.2, se: 0.1}
    - {arm: cbt, against: counselling, odds_ratio: 1.2, se: 0.1}
    - {arm: cbt, against: ipt, log_odds_ratio: high, se: 0.1}
    - {arm: cbt, against: medication, log_odds_ratio: 20, se: 0.1}
    - {arm: cbt, against: cbt, log_odds_ratio: 0.2, se: 0.1}
  modifiers:
    - [cbt, ipt, age, 0.2, 0.1]
    - {arm: no, against: ipt, covariate: age, slope: 0.1, se: 0.1}
  prognosis:
    - {covariate: phq9_end, slope: -0.1, se: 0.1}
    - {covariate: employment, slope: -0.1, se: 0.1}
    - {covariate: employment=astronaut, slope: -0.1, se: 0}
  null: 2
"""
    with pytest.raises(InputError, match=r"does not state priors \(17 faults\)") as found:
        read(text)
    expected = [
        r"remission: is no outcome here. Allowed: ['recovery', 'dropout'].",
        "recovery: unknown key 'arm_mean'. Allowed: ['arm_means', 'arm_contrasts', 'contrast_correlation', "
        "'modifiers', 'prognosis', 'null', 'source']. Did you mean 'arm_means'?",
        "recovery, arm_means: is a mapping. It must be a list of at most 1,000 entries {arm, rate, se}.",
        "recovery, arm_contrasts, entry 1: arm is 'CBT', which no patient received. The arms are ",
        "recovery, arm_contrasts, entry 2: unknown key 'odds_ratio'. Allowed: ['arm', 'against', "
        "'log_odds_ratio', 'se']. Did you mean 'log_odds_ratio'?",
        "recovery, arm_contrasts, entry 2: lacks ['log_odds_ratio'].",
        "recovery, arm_contrasts, entry 3: arm_contrasts[('cbt', 'ipt')] must be a number; it is a str.",
        "recovery, arm_contrasts, entry 4: arm_contrasts[('cbt', 'medication')]: the log odds ratio is 20;",
        "recovery, arm_contrasts, entry 5: arm_contrasts: ('cbt', 'cbt') names the same arm twice.",
        "recovery, modifiers, entry 1: is a list. It must be a mapping with the keys ['arm', ",
        "recovery, modifiers, entry 2: arm is yes or no. Give its name, in quotes if it is yes or no.",
        "recovery, prognosis, entry 1: covariate is 'phq9_end', which the patients do not have. Numbers are ",
        "recovery, prognosis, entry 2: covariate is 'employment', a column of categories. Give it as ",
        "recovery, prognosis, entry 3: covariate is 'employment=astronaut', a category that no patient has. "
        "Categories of 'employment' include ['employed', ",
        "recovery, prognosis, entry 3: prognosis['employment=astronaut']: the estimate must be at ",
        "recovery: null is 2; a probability must be above 0 and below 1.",
        "recovery: source must be a text of at most 2,000 characters",
    ]
    shown = [str(fault) for fault in found.value.faults]
    for text in expected:
        assert any(each.startswith(text) for each in shown), (text, shown)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must contain a mapping of outcomes"),
        ("[1, 2]", "must contain a mapping of outcomes"),
        ("recovery: [", r"are not valid YAML or JSON \(line"),
        ("a: " + "[" * 5000, "are not valid YAML or JSON"),
        ("recovery: {null: 0.5}\nrecovery: {null: 0.2}", r"have the keys \['recovery'\] twice"),
        ("recovery: 3", r"recovery: is a number\. It must be a mapping with some of the keys"),
        ("no: {null: 0.5}", "False: is yes or no. Name an outcome, in quotes if it is yes"),
        ("recovery: {arm_means: [{arm: cbt, rate: 0.4, se: 0.1}]}", "arm_means has one arm"),
        ("recovery: {contrast_correlation: [[1.0]]}", "must be a list of 0 lists"),
        ("recovery: {prognosis: [{covariate: age, slope: .nan, se: 0.1}]}", "at most 1e.06 in size"),
        (
            "recovery: {prognosis: [{covariate: age, slope: 0, se: 1}, {covariate: age, slope: 0, se: 2}]}",
            "entry 2: names age a second time",
        ),
        ("# " + "x" * 2**18, "Cannot read the priors .* more than 262,144 bytes"),
    ],
)
def test_files_that_state_no_priors_are_refused(read, text, message):
    with pytest.raises(InputError, match=message):
        read(text)


@pytest.mark.parametrize(
    "row", ["[[1, 0.2], [0.2]]", "[[1, high], [0.2, 1]]", f"[[1, 1{'0' * 400}], [0, 1]]"]
)
def test_a_correlation_has_a_row_for_each_contrast(read, row):
    entries = [f"{{arm: cbt, against: {arm}, log_odds_ratio: 0, se: 1}}" for arm in ("ipt", "medication")]
    contrasts = f"[{', '.join(entries)}]"
    with pytest.raises(InputError, match="must be a list of 2 lists of 2 numbers from -1 to 1"):
        read(f"recovery: {{arm_contrasts: {contrasts}, contrast_correlation: {row}}}")


def test_a_json_key_is_given_once_and_files_exist(read, tmp_path):
    with pytest.raises(InputError, match=r"have the keys \['null'\] twice"):
        read('{"recovery": {"null": 0.2, "null": 0.3}}', name="p.json")
    with pytest.raises(InputError, match=r"Cannot read the priors .*: No such file"):
        read_priors(tmp_path / "absent.yaml")


def test_without_patients_only_the_form_is_checked(read):
    text = "recovery: {prognosis: [{covariate: height, slope: 0.1, se: 0.1}]}"
    assert read(text, X=None)["recovery"].prognosis == {"height": (0.1, 0.1)}


def test_labels_are_the_same_by_their_text(read):
    X = pd.DataFrame({"age": [1.0, 2.0], "arm": [1, 2]})
    text = "recovery: {arm_contrasts: [{arm: 1, against: '2', log_odds_ratio: 0, se: 1}]}"
    assert list(read(text, X=X)["recovery"].arm_contrasts) == [("1", "2")]


@pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")
def test_folds_of_a_cross_validation_use_the_priors_of_the_outcome():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(40, 9, 200), "arm": rng.choice(["A", "B"], 200)})
    frame["harm"], frame["remission"] = rng.integers(0, 2, (2, 200))
    fields = [{"name": "age", "type": "number", "role": "covariate"}, {"name": "arm", "role": "arm"}]
    for name in ("remission", "harm"):
        good = name == "remission"
        fields.append({"name": name, "type": "integer", "role": "outcome", "event_is_good": good})
    small = ts.Cohort(frame, ts.Codebook.from_dict({"fields": fields}))
    priors = Priors(arm_contrasts={("A", "B"): (1.0, 0.05)})

    def held_out(priors, outcome):
        selector = ts.TreatmentSelector(priors=priors, estimator="hierarchical", random_state=0)
        return cross_predict_cohort(selector, small, outcome, n_splits=2).by_arm

    def largest_change(priors, outcome):
        return np.abs(held_out(priors, outcome) - held_out(None, outcome)).to_numpy().max()

    assert largest_change({"harm": priors, "remission": Priors()}, "harm") > 0.001
    assert largest_change(priors, "remission") > 0.001  # the main outcome
    assert largest_change(priors, "harm") == 0
    assert largest_change({"harm": priors}, "remission") == 0
