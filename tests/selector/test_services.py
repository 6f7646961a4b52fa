"""Known services from the cohort to the record, the table, the file and the shell."""

import json

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.errors import InputError
from treatsel.scale import predict_file, predict_in_chunks
from treatsel.serve import load_model

pytestmark = [pytest.mark.one_version, pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")]
USE = {"purpose": "a test", "population": "nobody", "not_for": "patients"}
SERVICES = ("known", "average", "new")


@pytest.fixture(scope="module")
def simulated():
    return make_cohort(900, sites=6, random_state=11)


@pytest.fixture(scope="module")
def selector(simulated):
    return ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(simulated.cohort)


@pytest.fixture(scope="module")
def saved(selector, tmp_path_factory):
    path = tmp_path_factory.mktemp("services") / "model.treatsel"
    ts.save_model(selector, path, intended_use=USE)
    return path


@pytest.fixture(scope="module")
def table(simulated):
    frame = simulated.cohort.frame.head(12).copy()
    frame.iloc[3, frame.columns.get_loc("service")] = "elsewhere"
    frame.iloc[4, frame.columns.get_loc("service")] = None
    return frame


def test_the_selector_knows_its_services(selector, simulated):
    model = selector.model_
    assert model.site_column == "service"
    assert model.known_sites == set(simulated.cohort.frame["service"])


@pytest.mark.parametrize("service", SERVICES)
def test_records_and_tables_and_files_give_the_same(selector, saved, table, service):
    whole, model = selector.predict(table, service=service), load_model(saved)
    kinds = {"known": ["known"] * 3 + ["new"] * 2 + ["known"] * 7}.get(service, [service] * 12)
    assert list(whole.service) == kinds
    assert list(whole.to_frame()["service"].iloc[:: len(selector.arms_)].iloc[:12]) == kinds
    for i in range(len(table)):
        record = table.iloc[i].to_dict()
        one = model.predict(record, service=service)
        assert one.service == (kinds[i],)
        for name in selector.outcomes_:
            for part in ("probability", "lower", "upper"):
                own, of_table = getattr(one, part)[name][0], getattr(whole, part)[name][i]
                np.testing.assert_allclose(own, of_table, rtol=0, atol=1e-9)
        by_arm = model.predict_by_arm(record, service=service)
        np.testing.assert_array_equal(list(by_arm.values()), one.probability[selector.outcomes_[0]][0])
        digest = selector.predict(table.iloc[[i]], service=service).audit["input_sha256"]
        assert one.audit["input_sha256"] == digest
        assert one.audit["service"] == service


def test_the_three_kinds_differ(selector, table):
    p = {service: selector.predict_by_arm(table, service=service) for service in SERVICES}
    assert (p["known"] - p["new"]).abs().iloc[0].max() > 0.005
    np.testing.assert_array_equal(p["known"].iloc[[3, 4]], p["new"].iloc[[3, 4]])
    draws = selector.predict_draws(table, service="new")
    wide = np.ptp(np.quantile(draws, [0.025, 0.975], axis=0), axis=0).mean()
    narrow = np.quantile(selector.predict_draws(table, service="average"), [0.025, 0.975], axis=0)
    assert np.ptp(narrow, axis=0).mean() < wide


def test_recommendations_are_for_the_service_and_can_be_reproduced(saved, table):
    model, record = load_model(saved), table.iloc[0].to_dict()
    found = {service: model.recommend(record, service=service) for service in SERVICES}
    by_table = ts.load_model(saved).recommend(table.iloc[[0]])
    assert by_table.columns["arm"] == found["known"].columns["arm"]
    assert by_table.columns["advantage"] == pytest.approx(found["known"].columns["advantage"])
    assert found["known"].columns["advantage"] != found["new"].columns["advantage"]
    for service, each in found.items():
        audit = json.loads(json.dumps(each.audit))
        assert audit["service"] == service
        again = model.reproduce(audit, record)
        assert again.columns["arm"] == each.columns["arm"]
    with pytest.raises(InputError, match="digest differs"):
        model.reproduce(found["known"].audit, record | {"service": "elsewhere"})


@pytest.mark.parametrize("scale", ["logit", "probability"])
@pytest.mark.parametrize("service", SERVICES)
def test_the_service_has_an_attribution_of_its_own(saved, table, service, scale):
    model = load_model(saved)
    whole = ts.load_model(saved).model_.explain(table, arm=model.arms[0], service=service, scale=scale)
    shown = "service" in whole.covariates
    assert shown == (service != "new")
    np.testing.assert_allclose(
        whole.base_value + whole.attributions.sum(axis=1), whole.predictions, rtol=0, atol=1e-9
    )
    if scale == "probability":
        p = model.predict_by_arm(table.iloc[0].to_dict(), service=service)
        assert whole.predictions[0] == pytest.approx(p[model.arms[0]], abs=1e-9)
    if shown:
        values = list(whole.inputs["service"])
        own = list(table["service"])
        expected = ["average"] * 12 if service == "average" else [*own[:3], None, None, *own[5:]]
        assert values == expected
        assert (whole.attributions[[3, 4], -1] == 0).all() == (service == "known")
    one = model.explain(table.iloc[0].to_dict(), arm=model.arms[0], service=service, scale=scale)
    np.testing.assert_allclose(one.attributions[0], whole.attributions[0], rtol=0, atol=1e-9)
    assert len(whole.to_frame()) == 12 * len(whole.covariates)


def test_files_of_any_size_and_frames_keep_the_service(selector, table, tmp_path):
    path, out = tmp_path / "patients.csv", tmp_path / "predictions.csv"
    table.drop(columns=["recovery", "dropout"], errors="ignore").to_csv(path, index=False)
    for service in SERVICES:
        predict_file(selector, path, out, service=service)
        written = pd.read_csv(out)
        expected = selector.predict(table, service=service).to_frame()
        np.testing.assert_allclose(written["probability"], expected["probability"], rtol=0, atol=1e-9)
        assert list(written["service"]) == list(expected["service"])
        chunks = predict_in_chunks(selector, table, service=service)
        np.testing.assert_array_equal(chunks, selector.predict_by_arm(table, service=service))


def test_a_validation_evaluates_what_is_served(selector, simulated):
    other = make_cohort(400, sites=list(selector.model_.known_sites), random_state=12).cohort
    report = ts.validate(selector, other, sections=())
    expected = ts.validate(selector.predict_by_arm(other.frame), other, outcome="recovery", sections=())
    name = "calibration slope"
    assert report.figure(name)["value"] == expected.figure(name)["value"]
    new = ts.validate(
        selector.predict_by_arm(other.frame, service="new"), other, outcome="recovery", sections=()
    )
    assert report.figure(name)["value"] != new.figure(name)["value"]


def test_persons_are_never_known(simulated):
    frame = simulated.cohort.frame.drop(columns="service")
    frame["person"] = np.arange(len(frame)) // 15  # of 15 rows each
    fields = [f for f in simulated.cohort.codebook.to_dict()["fields"] if f["name"] != "service"]
    fields.append({"name": "person", "type": "integer", "role": "person"})
    book = ts.Codebook.from_dict({"fields": fields})
    fitted = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(ts.Cohort(frame, book))
    assert fitted.model_.known_sites == frozenset()
    assert fitted.predict(frame.head(2)).service is None
    assert "service" not in fitted.predict(frame.head(2)).to_frame()


def test_a_table_with_groups_is_enough_and_its_column_is_no_unknown_key(simulated):
    X, y = simulated.cohort.X, simulated.cohort.y["dropout"]
    X = X.assign(clinic=simulated.cohort.frame["service"])
    fitted = ts.TreatmentSelector(
        estimator="hierarchical", event_is_good=False, groups="clinic", random_state=0
    ).fit(X, y)
    found = fitted.model_.predict(X.iloc[0].drop("arm").to_dict())
    assert found.service == ("known",)
    assert not len(found.warnings)


def test_odd_values_of_the_service_are_new(saved, table):
    model, record = load_model(saved), table.iloc[0].to_dict()
    new = model.predict(record, service="new").probability["recovery"]
    for odd in (None, float("nan"), [], {}, object(), "x" * 10_000, b"S01", 10**400, True):
        found = model.predict(record | {"service": odd})
        assert found.service == ("new",)
        np.testing.assert_array_equal(found.probability["recovery"], new)
    with pytest.raises(InputError, match="service"):
        model.predict(record, service="ours")


def test_a_model_without_services_ignores_the_option(simulated):
    cohort = simulated.cohort
    fitted = ts.TreatmentSelector(estimator="hierarchical", event_is_good=False, random_state=0).fit(
        cohort.X, cohort.y["dropout"]
    )
    tables = [fitted.predict_by_arm(cohort.frame.head(3), service=service) for service in SERVICES]
    for each in tables[1:]:
        pd.testing.assert_frame_equal(each, tables[0])
    assert fitted.predict(cohort.frame.head(3), service="average").service is None


def test_a_missing_value_of_pandas_and_another_spelling_of_the_column(saved, table):
    model, record = load_model(saved), table.iloc[0].to_dict()
    assert model.predict(record | {"service": pd.NA}).service == ("new",)
    other = {("service " if key == "service" else key): value for key, value in record.items()}
    assert model.predict(other).service == ("known",)
    renamed = table.rename(columns={"service": "service "})
    selector = ts.load_model(saved)
    assert list(selector.predict(renamed).service) == list(selector.predict(table).service)
    chunks = predict_in_chunks(selector, renamed)
    np.testing.assert_array_equal(chunks, selector.predict_by_arm(table))


def test_a_column_with_another_role_may_be_the_site(simulated, tmp_path):
    frame = simulated.cohort.frame
    fields = [
        field | ({"role": "audit"} if field["name"] == "service" else {})
        for field in simulated.cohort.codebook.to_dict()["fields"]
    ]
    cohort = ts.Cohort(frame, ts.Codebook.from_dict({"fields": fields}))
    fitted = ts.TreatmentSelector(estimator="hierarchical", groups="service", random_state=0).fit(cohort)
    ts.save_model(fitted, tmp_path / "m.treatsel", intended_use=USE)
    assert load_model(tmp_path / "m.treatsel").known_sites == set(frame["service"])
    other = make_cohort(300, sites=sorted(set(frame["service"])), random_state=13)
    same = ts.Cohort(other.cohort.frame, cohort.codebook)
    report, by_table = (
        ts.validate(each, same, outcome="recovery", sections=())
        for each in (fitted, fitted.predict_by_arm(same.frame))
    )
    assert report.figure("calibration slope")["value"] == by_table.figure("calibration slope")["value"]


def test_a_service_is_known_if_the_models_of_all_outcomes_know_it(simulated):
    frame = simulated.cohort.frame.copy()
    lost = frame["service"] == frame["service"].iloc[0]
    frame.loc[lost, ["recovery", *simulated.cohort.codebook.names("session_score")]] = np.nan
    fitted = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(
        ts.Cohort(frame, simulated.cohort.codebook)
    )
    assert fitted.model_.known_sites == set(frame.loc[~lost, "service"])
    assert fitted.predict(frame.head(1)).service == ("new",)
    assert fitted.predict(frame.head(1), service="average").service == ("average",)


def test_the_probability_of_the_best_arm_is_that_at_the_average_site(simulated):
    """Also where no group is known: the variance of new persons says nothing about the average of an arm."""
    rng = np.random.default_rng(5)
    X = pd.DataFrame({"age": rng.normal(size=450), "arm": rng.choice(["A", "B"], 450)})
    y = pd.Series((rng.random(450) < np.where(X["arm"] == "B", 0.65, 0.5)).astype(int), name="good")
    options = {"estimator": "hierarchical", "event_is_good": True, "random_state": 0}
    grouped = ts.TreatmentSelector(groups="pid", **options).fit(X.assign(pid=np.arange(450) // 3), y)
    alone = ts.TreatmentSelector(**options).fit(X, y)
    p = [each.arm_means_.loc["B", "p_best"] for each in (grouped, alone)]
    assert min(p) > 0.9  # with the variance of new persons about 0.75
    assert abs(p[0] - p[1]) < 0.04


class TestMeansByService:
    def test_they_are_means_of_the_same_patients(self, selector, simulated):
        X = simulated.cohort.X
        found = selector.service_means(X)
        assert found.index.names == ["service", "arm"]
        assert len(found) == 6 * 6
        at = simulated.cohort.frame["service"].iloc[0]
        own = selector.predict_by_arm(X.assign(service=at)).mean()
        np.testing.assert_allclose(found.loc[at]["value"], own[found.loc[at].index])
        average = selector.predict_by_arm(X, service="average").mean()
        np.testing.assert_allclose(found.loc[at]["difference"], (own - average)[found.loc[at].index])
        assert (found["lower"] < found["value"]).all()
        assert (found["value"] < found["upper"]).all()
        assert (found["difference_lower"] < found["difference_upper"]).all()
        narrower = selector.service_means(X, level=0.5)
        assert (narrower["upper"] < found["upper"]).all()

    def test_planted_differences_are_found_with_shrinkage(self):
        rng, n, n_sites = np.random.default_rng(5), 3000, 10
        effect = rng.normal(0, 0.7, n_sites)
        site, arm, x = rng.integers(0, n_sites, n), rng.choice(["A", "B"], n), rng.standard_normal(n)
        x = x + effect[site]  # better services have patients with a better prognosis
        y = (rng.random(n) < 1 / (1 + np.exp(-(0.5 * x + effect[site])))).astype(float)
        X = pd.DataFrame({"x": x, "arm": arm, "site": [f"s{i}" for i in site]})
        selector = ts.TreatmentSelector(
            estimator="hierarchical", groups="site", event_is_good=True, random_state=0
        )
        found = selector.fit(X, pd.Series(y, name="y")).service_means(X).groupby("site").mean()
        given = np.array([effect[int(name[1:])] for name in found.index])
        truth = np.array([(1 / (1 + np.exp(-(0.5 * x + e)))).mean() for e in given])
        average = (1 / (1 + np.exp(-(0.5 * x + effect.mean())))).mean()
        assert np.corrcoef(found["difference"], truth - average)[0, 1] > 0.95
        assert np.std(found["difference"]) < 1.05 * np.std(truth)
        # raw rates exaggerate: they hold the patients' prognosis
        raw = pd.Series(y).groupby(X["site"]).mean()
        assert np.std(raw) > 1.2 * np.std(found["value"])
        covered = (found["lower"] <= truth) & (truth <= found["upper"])
        assert covered.mean() >= 0.8

    def test_a_file_has_them_and_a_model_without_services_has_none(self, selector, saved, simulated):
        X = simulated.cohort.X.head(50)
        pd.testing.assert_frame_equal(ts.load_model(saved).service_means(X), selector.service_means(X))
        plain = ts.TreatmentSelector(estimator="hierarchical", event_is_good=True, random_state=0)
        plain.fit(simulated.cohort.X, simulated.cohort.y["recovery"])
        with pytest.raises(ts.errors.UnsupportedModelError, match="knows no services"):
            plain.service_means(X)
