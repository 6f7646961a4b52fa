"""Validation with a comparison to the development cohort, and over imputed tables."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from treatsel.codebook import Codebook
from treatsel.cohort import Cohort
from treatsel.errors import CohortError, InputError
from treatsel.metrics import calibration_slope, pool_rubin, roc_auc
from treatsel.validation import ValidationReport, balancing_weights, case_mix, transport_performance, validate
from treatsel.validation.report._page import page_of
from treatsel.validation.studies._case_mix import columns_of

BOOK = Codebook.from_dict(
    {
        "fields": [
            {"name": "id", "role": "id"},
            {"name": "x", "type": "number", "role": "covariate"},
            {"name": "z", "type": "string", "role": "covariate"},
            {"name": "arm", "role": "arm"},
            {"name": "remission", "type": "integer", "role": "outcome"},
        ]
    }
)


class Known:
    """A model with known coefficients; a missing covariate counts as 0."""

    arms_ = np.array(["CBT", "SSRI"])

    def predict_by_arm(self, X):
        x, z = X["x"].fillna(0.0), X["z"].eq("b")
        return pd.DataFrame({"CBT": expit(0.5 * x), "SSRI": expit(1.2 * x - 0.3 * z)}, index=X.index)


def simulate(n, *, shift=0.0, seed=0, rare=0):
    rng = np.random.default_rng(seed)
    index = pd.Index([f"p{seed}-{i}" for i in range(n)], name="id")
    frame = pd.DataFrame({"x": rng.normal(shift, 1, n), "z": rng.choice(["a", "b"], n)}, index=index)
    frame.iloc[:rare, 1] = "rare"
    frame["arm"] = rng.choice(["CBT", "SSRI"], n)
    table = Known().predict_by_arm(frame)
    own = np.where(frame["arm"] == "CBT", table["CBT"], table["SSRI"])
    return frame.assign(remission=(rng.random(n) < own).astype(float))


OPTIONS = {"assignment": "randomised", "comparator": "CBT", "sections": ()}


@pytest.fixture(scope="module")
def old():
    return Cohort(simulate(600, seed=1).reset_index(), BOOK)


@pytest.fixture(scope="module")
def new():
    return Cohort(simulate(500, shift=0.5, seed=2).reset_index(), BOOK)


@pytest.fixture(scope="module")
def imputed(new):
    """The cohort with a fifth of x missing, and three tables with noisy values in their place."""
    rng = np.random.default_rng(5)
    lost = rng.random(len(new)) < 0.2
    tables = []
    for _ in range(3):
        x = new.frame["x"].where(~lost, new.frame["x"] + rng.normal(0, 1, len(new)))
        tables.append(Cohort(new.frame.assign(x=x), new.codebook))
    return Cohort(new.frame.assign(x=new.frame["x"].mask(lost)), new.codebook), tables


# --- development


@pytest.fixture(scope="module")
def likened(new, old):
    return validate(Known(), new, development=old, **OPTIONS)


def test_case_mix_is_that_of_the_function(likened, new, old):
    tables = []
    for cohort in (old, new):
        by_arm = Known().predict_by_arm(cohort.X)
        own = np.where(cohort.received == "CBT", by_arm["CBT"], by_arm["SSRI"])
        tables.append(cohort.frame.assign(p=own))
    found = case_mix(*tables, outcome="remission", prediction="p")
    for name, auc in {
        "with outcome": found.membership,
        "case mix only": found.membership_without_outcome,
    }.items():
        row = likened.figure(f"membership AUC, {name}")
        assert (row["value"], row["lower"], row["upper"]) == pytest.approx((auc.value, auc.lower, auc.upper))
        assert "likelihood ratio test p < 0.001" in row["method"]
    line = found.linear_predictor.loc["overall"]
    row = likened.figure("linear predictor, ratio of SDs")
    assert (row["value"], row["lower"]) == pytest.approx((line["ratio"], line["ratio_lower"]))
    differences = likened.tables["development: covariates"].set_index("covariate")["standardized_difference"]
    assert differences["x"] == pytest.approx(found.covariates.loc["x", "standardized_difference"])
    assert 0.3 < differences["x"] < 0.7


def test_reweighted_figures_rest_on_fewer_patients(likened, old, new):
    table = likened.tables["development: re-weighted"].set_index("measure")
    assert (table["effective_n"] < 500).all()
    assert (table["effective_n"] > 250).all()
    row = likened.figure("calibration slope, re-weighted")
    assert row["n"] == round(table.loc["calibration slope", "effective_n"])
    numbers = [columns_of([c.frame[["x", "z"]] for c in (new, old)])[i] for i in (0, 1)]
    by_arm = Known().predict_by_arm(new.X)
    own = np.where(new.received == "CBT", by_arm["CBT"], by_arm["SSRI"])
    found = transport_performance(new.y, own, balancing_weights(*numbers)).expected["calibration_slope"]
    assert (row["value"], row["lower"]) == pytest.approx((found.value, found.lower))
    gain = table.loc["gain over the best single arm"]
    assert gain["reweighted_lower"] < gain["reweighted"] < gain["reweighted_upper"]
    assert gain["reweighted"] != gain["here"]
    assert gain["here"] == likened.gain.value


def test_the_section_of_development_is_in_page_and_json(likened, tmp_path):
    headings = [section.heading for section in page_of(likened).sections]
    assert any(heading.startswith("Comparison with development:") for heading in headings)
    likened.to_json(tmp_path / "a.json")
    again = ValidationReport.from_json(tmp_path / "a.json")
    assert again.tables.keys() == likened.tables.keys()
    again.to_html(tmp_path / "a.html")
    assert "Standardized difference" in (tmp_path / "a.html").read_text()
    answers = likened.tables["checklist"].set_index(["list", "item"])["answer"]
    assert answers["TRIPOD+AI", "16"].startswith("Membership AUC 0.")


def test_a_table_is_accepted_as_development_cohort_and_the_same_cohort_is_not_compared(new, old):
    report = validate(Known(), new, development=old.frame.reset_index(), **OPTIONS)
    assert report.has("membership AUC, case mix only")
    same = validate(Known(), new, development=new, **OPTIONS)
    assert "is the validation cohort itself" in same.cautions[0]
    assert same.figure("membership AUC, case mix only")["value"] == pytest.approx(0.5)


def test_predictions_without_a_model_have_no_linear_predictor_in_development(new, old):
    report = validate(Known().predict_by_arm(new.X), new, development=old, **OPTIONS)
    assert "not a model" in dict(report.not_estimable)["Linear predictor in the development cohort"]
    assert report.tables["development: linear predictor"].empty
    assert report.has("AUC, re-weighted")


def test_rare_categories_are_not_reported():
    old = Cohort(simulate(400, seed=3, rare=4).reset_index(), BOOK)
    new = Cohort(simulate(400, seed=4, rare=30).reset_index(), BOOK)
    reported = set(
        validate(Known(), new, development=old, **OPTIONS).tables["development: covariates"]["covariate"]
    )
    assert "z=rare" not in reported
    assert any(name.endswith(" and others") for name in reported)


def test_an_unfit_development_cohort_is_refused(new):
    with pytest.raises(InputError, match="development is a str"):
        validate(Known(), new, development="old.csv", **OPTIONS)
    with pytest.raises(CohortError, match="does not fit its codebook"):
        validate(Known(), new, development=new.frame.reset_index().drop(columns="x"), **OPTIONS)


# --- imputations


def test_figures_are_pooled_by_rubins_rules_on_their_scales(imputed):
    cohort, tables = imputed
    report = validate(Known(), cohort, imputations=tables, **OPTIONS)
    aucs, slopes = [], []
    for table in tables:
        by_arm = Known().predict_by_arm(table.X)
        own = np.where(table.received == "CBT", by_arm["CBT"], by_arm["SSRI"])
        aucs.append(roc_auc(table.y, own, interval="logit"))
        slopes.append(calibration_slope(table.y, own))
    expected = {
        "AUC": pool_rubin(logit([auc.value for auc in aucs]), [auc.se for auc in aucs], n=500, scale="logit"),
        "calibration slope": pool_rubin([s.value for s in slopes], [s.se for s in slopes], n=500),
    }
    rows = report.tables["imputations"].set_index("measure")
    for measure, found in expected.items():
        row = report.figure(f"{measure}, pooled")
        assert (row["value"], row["lower"], row["upper"]) == pytest.approx(
            (found.value, found.lower, found.upper)
        )
        assert rows.loc[measure, "fmi"] == pytest.approx(found.fmi)
        assert f"missing information {found.fmi:.0%}" in row["method"]
    assert len(rows) == 9
    assert rows.loc["gain over the best single arm", "as_given"] == report.gain.value


def test_every_pooled_standard_error_fits_its_scale(new):
    """Equal tables: nothing is missing, so the pooled interval is that of one table (t for normal)."""
    report = validate(Known(), new, imputations=[new, new], **OPTIONS)
    rows = report.tables["imputations"].set_index("measure")
    assert (rows["fmi"] < 0.01).all()
    for measure in rows.index:
        one, pooled = report.figure(measure), report.figure(f"{measure}, pooled")
        assert pooled["value"] == pytest.approx(one["value"])
        width = one["upper"] - one["lower"]
        assert pooled["upper"] - pooled["lower"] == pytest.approx(width, rel=0.02), measure


def test_the_page_describes_the_handling_of_missing_covariates(imputed, tmp_path):
    cohort, tables = imputed
    incomplete = int(cohort.frame["x"].isna().sum())
    report = validate(Known(), cohort, imputations=tables, **OPTIONS)
    report.to_markdown(tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text()
    assert f"In the cohort as given, {incomplete} patients have missing covariates" in text
    assert "are not pooled" in text
    assert "describe the cohort as given" in dict(report.not_estimable)["Other estimates over imputed tables"]
    complete = validate(Known(), tables[0], imputations=tables, **OPTIONS)
    complete.to_markdown(tmp_path / "b.md")
    assert "has no missing covariates" in (tmp_path / "b.md").read_text()


def test_tables_of_predictions_are_pooled_like_their_cohorts(imputed):
    cohort, tables = imputed
    by_arm = [Known().predict_by_arm(table.X) for table in tables]
    by_table = validate(by_arm[0], cohort, imputations=by_arm, **OPTIONS).tables["imputations"]
    by_model = validate(Known(), cohort, imputations=tables, **OPTIONS).tables["imputations"]
    pd.testing.assert_frame_equal(by_table.drop(columns="as_given"), by_model.drop(columns="as_given"))


def test_a_pooled_gain_with_another_conclusion_is_a_caution(new):
    useless = pd.DataFrame(0.5, index=new.frame.index, columns=["CBT", "SSRI"])
    helpful = Known().predict_by_arm(new.X)
    report = validate(useless.assign(CBT=0.6), new, imputations=[helpful, helpful], **OPTIONS)
    assert report.gain.n_discordant == 0
    assert "a different conclusion from the gain in the cohort as given" in report.cautions[0]
    same = validate(helpful, new, imputations=[helpful, helpful], **OPTIONS)
    assert not any("different conclusion" in caution for caution in same.cautions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: [c], "holds 1 table; give a list of two"),
        (lambda c: c, "is a Cohort; give a list"),
        (
            lambda c: [c, Cohort(c.frame.head(490), c.codebook)],
            "table 2 lacks 10 patients .* 0 other patients",
        ),
        (
            lambda c: [c, Cohort(c.frame.assign(arm=c.received.to_numpy()[::-1]), c.codebook)],
            "gives another arm for",
        ),
        (
            lambda c: [Cohort(c.frame.assign(remission=1 - c.y), c.codebook), c],
            "another outcome for 500",
        ),
        (lambda c: [c, "b.csv"], "table 2 is a str"),
    ],
)
def test_tables_of_other_patients_are_refused(new, change, message):
    with pytest.raises(InputError, match=message):
        validate(Known(), new, imputations=change(new), **OPTIONS)


def test_a_table_of_predictions_cannot_predict_from_imputed_cohorts(new):
    with pytest.raises(InputError, match="one by-arm table of predictions for each"):
        validate(Known().predict_by_arm(new.X), new, imputations=[new, new], **OPTIONS)
