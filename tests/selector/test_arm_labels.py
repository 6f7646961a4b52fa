"""Labels of arms keep their type, from the table to every result, and are matched as texts where typed."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel import serve
from treatsel.cli.main import main
from treatsel.errors import InputError
from treatsel.metrics import policy_value
from treatsel.models import ArmwiseClassifier, PooledClassifier
from treatsel.monitoring import monitor


def make_table(n=360, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"age": rng.integers(18, 80, n).astype(float), "score": rng.normal(15, 4, n).round()})
    X["arm"] = rng.integers(0, 3, n)
    lift = (X["score"] - 15) / 4 * (X["arm"] - 1)
    return X, pd.Series((rng.random(n) < 1 / (1 + np.exp(-lift))).astype(int), X.index, name="remission")


def fitted(X, y):
    estimator = PooledClassifier(LogisticRegression(), interaction_scale=0.5)
    return ts.TreatmentSelector(estimator=estimator, event_is_good=True, random_state=0).fit(X, y)


@pytest.fixture(scope="module")
def integers():
    return fitted(*make_table())


def kinds_of(labels):
    return {type(label) for label in labels}


def test_results_have_integer_labels(integers):
    X, y = make_table()
    assert integers.arms_ == [0, 1, 2]
    assert kinds_of([*integers.arms_, integers.default_arm_]) == {int}
    assert integers.codebook_["arm"].type == "integer"
    assert list(integers.predict_by_arm(X).columns) == [0, 1, 2]
    assert set(integers.predict(X).to_frame()["arm"]) == {0, 1, 2}
    table = integers.recommend(X).table
    assert kinds_of(table["arm"]) == {int}
    assert (table["arm"] == X["arm"]).any()  # a text would never equal the received arm
    value = policy_value(y, X["arm"], table["arm"], propensity=np.full(len(X), 1 / 3))
    assert 0 < value.value < 1


def test_texts_and_integers_give_the_same_results(integers):
    X, y = make_table()
    texts = fitted(X.assign(arm=X["arm"].astype(str)), y)
    assert texts.arms_ == ["0", "1", "2"]
    np.testing.assert_allclose(texts.predict_by_arm(X), integers.predict_by_arm(X), atol=1e-12)
    one, other = (s.recommend(X).table["arm"].map(str) for s in (texts, integers))
    assert one.equals(other)
    assert texts.fingerprint_ == integers.fingerprint_


@pytest.mark.parametrize("arm", [1, "1", 1.0, np.int64(1)])
def test_an_arm_is_named_by_its_label_or_its_text(integers, arm):
    X, _ = make_table()
    record = X.drop(columns="arm").iloc[0].to_dict()
    for patient in (X.head(3), record):
        table = integers.recommend(patient, excluded={arm: "waiting list closed"}).table
        assert table["excluded"].iloc[0] == {1: "waiting list closed"}
        assert 1 not in table["best_set"].iloc[0]
        found = ts.explain(integers, patient, arm=arm)
        assert type(found.arm) is int
        assert ts.explain(integers, patient, contrast=(arm, "2")).contrast == (1, 2)
    allowed = pd.DataFrame(True, index=X.index, columns=["0", "1", "2"])
    allowed["1"] = False
    assert 1 not in set(integers.recommend(X, allowed=allowed).table["arm"])
    with pytest.raises(InputError, match="it must be 0, 1 or 2"):
        integers.recommend(X, excluded={"three": "unknown"})


def test_labels_survive_the_model_file(integers, tmp_path):
    X, _ = make_table()
    path = tmp_path / "m.treatsel"
    ts.save_model(integers, path, intended_use="test")
    loaded, served = ts.load_model(path), serve.load_model(path)
    record = X.drop(columns="arm").iloc[0].to_dict()
    for model in (loaded.model_, served):
        assert kinds_of([*model.arms, model.default_arm]) == {int}
        assert list(model.predict_by_arm(record)) == [0, 1, 2]
        decision = model.recommend(record, excluded={"0": "not offered"})
        assert json.loads(json.dumps(decision.to_dict()))["recommendations"][0]["arm"] in (1, 2)
    pd.testing.assert_frame_equal(loaded.predict_by_arm(X), integers.predict_by_arm(X))
    pd.testing.assert_frame_equal(loaded.training_, integers.training_, check_dtype=False)


def test_a_cohort_with_other_types_of_labels_is_validated_and_monitored(integers):
    X, y = make_table(seed=1)
    gains, figures = [], []
    for labels in (X["arm"], X["arm"].astype(str)):
        cohort = ts.Cohort(X.assign(arm=labels, remission=y))
        report = ts.validate(integers, cohort, comparator="1", event_is_good=True, sections=())
        gains.append(report.gain.value)
        assert str(report.gain.comparator_arm) == "1"
        received, model = labels.astype("object"), ArmwiseClassifier(LogisticRegression()).fit(*make_table())
        given = model.predict_proba(X.assign(arm=labels))[:, 1]
        own = [model.predict_by_arm(X).loc[i, int(received[i])] for i in X.index]
        np.testing.assert_allclose(given, own)
        frame = X.assign(arm=labels, remission=y)
        figures.append(monitor(integers, frame, y).to_frame()["value"].to_numpy(dtype=float))
    assert gains[0] == gains[1]
    np.testing.assert_array_equal(*figures)


def test_the_command_line_reads_integer_arms_as_texts(integers, tmp_path):
    X, _ = make_table()
    path, patients, out = tmp_path / "m.treatsel", tmp_path / "p.csv", tmp_path / "out.csv"
    ts.save_model(integers, path, intended_use="test")
    X.drop(columns="arm").head(4).to_csv(patients, index=False)
    assert main(["explain", str(path), str(patients), "--contrast", "2", "0", "--out", str(out)]) == 0
    expected = ts.explain(integers, X.head(4), contrast=(2, 0), scale="probability").attributions.ravel()
    np.testing.assert_allclose(pd.read_csv(out)["attribution"], expected, atol=1e-9)


def test_labels_that_differ_only_in_type_are_refused_or_read_as_text():
    X, y = make_table()
    mixed = X.assign(arm=X["arm"].astype("object").where(X.index % 2 == 0, X["arm"].astype(str)))
    with pytest.raises(InputError, match="differ only in type"):
        PooledClassifier(LogisticRegression()).fit(mixed, y)
    assert fitted(mixed, y).arms_ == ["0", "1", "2"]
    with_missing = X.assign(arm=X["arm"].astype(float))
    assert fitted(with_missing, y).arms_ == [0, 1, 2]
