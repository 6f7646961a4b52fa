"""What fewer than 5 patients have in common enters no model, and no file."""

import json
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest

from treatsel import Codebook, TreatmentSelector, load_model, save_model
from treatsel.additive import Encoding
from treatsel.codebook import Field
from treatsel.errors import DataQualityWarning

pytestmark = pytest.mark.one_version

N = 240
RARE = "lighthouse keeper"


def patients(n_rare=1, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 80, N).astype(float),
            "income": rng.normal(30000, 5000, N),
            "work": rng.choice(["employed", "student"], N),
            "pregnant": 0.0,
            "arm": rng.choice(["CBT", "SSRI"], N),
        }
    )
    rows = rng.choice(N, n_rare, replace=False)
    X.loc[rows, "work"] = RARE
    X.loc[rows, "pregnant"] = 1.0
    y = pd.Series(rng.integers(0, 2, N).astype(float), name="remission")
    return X, y, rows


def fitted(X, y, codebook=None, estimator="hierarchical"):
    selector = TreatmentSelector(codebook=codebook, estimator=estimator, event_is_good=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        return selector.fit(X, y)


def declared():
    levels = ("employed", "student", RARE)
    return Codebook(
        (
            Field(name="age", type="number", role="covariate"),
            Field(name="income", type="number", role="covariate"),
            Field(name="work", type="string", role="covariate", enum=levels),
            Field(name="pregnant", type="number", role="covariate"),
            Field(name="arm", type="string", role="arm"),
        )
    )


def test_a_rare_category_does_not_tell_outcome_and_arm_of_its_patient():
    X, y, rows = patients()
    predictions = []
    for arm in ("CBT", "SSRI"):
        for outcome in (0.0, 1.0):
            X.loc[rows, "arm"], y.loc[rows] = arm, outcome
            selector = fitted(X, y)
            record = {"age": 40.0, "income": 3e4, "work": "student", "pregnant": 0.0}
            usual, rare = (
                selector.model_.predict(record | {"work": work, "pregnant": flag}, on_invalid="flag")
                for work, flag in (("student", 0.0), (RARE, 1.0))
            )
            unknown = selector.model_.predict(record | {"work": "never seen"}, on_invalid="flag")
            predictions.append(rare.probability["remission"] - unknown.probability["remission"])
            assert ("unseen_category", "work") in zip(
                *[rare.flags[k] for k in ("code", "column")], strict=True
            )
            assert usual.probability["remission"].shape == (1, 2)
    assert np.abs(predictions).max() == 0.0  # the rare category and the rare 1 have no effect at all


@pytest.mark.parametrize("estimator", ["hierarchical", "stacked"])
@pytest.mark.parametrize("codebook", [None, "declared"])
def test_tables_records_and_files_treat_a_rare_category_as_unseen(tmp_path, estimator, codebook):
    X, y, rows = patients(n_rare=4)
    book = declared() if codebook else None
    selector = fitted(X, y, book, estimator)
    save_model(selector, tmp_path / "m.treatsel", intended_use="Test only.")
    loaded = load_model(tmp_path / "m.treatsel")
    frame = X.drop(columns="arm")
    for model in (selector.model_, loaded.model_):
        table = model.predict(frame, on_invalid="flag")
        one = model.predict(frame.iloc[rows[0]].to_dict(), on_invalid="flag")
        told = table.warnings[table.warnings["code"] == "unseen_category"]
        assert sorted(told["patient"]) == sorted(rows)
        assert "unseen_category" in list(one.flags["code"])
        np.testing.assert_array_equal(
            one.probability["remission"][0], table.probability["remission"][rows[0]]
        )
    check = next(check for check in selector.data_checks_ if check.code == "rare_levels")
    assert "'work': 1 category" in check.message
    assert "'pregnant': a number" in check.message
    assert RARE not in check.message
    if book is None:  # a category that a person listed in a codebook is not a patient's value
        with zipfile.ZipFile(tmp_path / "m.treatsel") as archive:
            assert not any(RARE.encode() in archive.read(name) for name in archive.namelist())
    else:
        assert model.predict_by_arm(frame, "remission").notna().all(axis=None)  # allowed, so no error


def test_five_patients_are_enough():
    X, y, _ = patients(n_rare=5)
    selector = fitted(X, y)
    assert RARE in selector.model_.known_levels["work"]
    assert "rare_levels" not in [check.code for check in selector.data_checks_]


def test_what_the_encoder_leaves_out():
    frame = pd.DataFrame(
        {
            "work": ["a"] * 5 + ["b"] * 4 + [None] * 1,
            "flag": [1.0] * 4 + [0.0] * 6,
            "few": [1.5, 2.5, 3.5, 4.5] + [np.nan] * 6,
            "score": [1.0, 2, 3, 4, 5, 6, 7, 8, 9, np.nan],
        }
    )
    for weights in (np.ones(10), np.full(10, 2.5)):
        encoding = Encoding.of_cohort(frame, weights, native_missing=False)
        work, flag, few, score = encoding.columns
        assert work.levels == ("a",)
        assert not work.indicator
        assert flag.ignored
        assert flag.center == 0.0
        assert few.ignored
        assert few.center == 0.0
        assert few.indicator
        assert score.center == pytest.approx(5)
        assert not score.indicator
        matrix = encoding.encode(frame)
        assert (matrix[:, encoding.features.index("flag")] == 0).all()
        for row, record in zip(matrix, frame.to_dict(orient="records"), strict=True):
            np.testing.assert_array_equal(encoding.encode_one(record)[0], row)
        assert Encoding.from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding
    repeated = Encoding.of_cohort(frame, np.full(10, 2.0), native_missing=False)
    assert repeated.columns[0].levels == ("a", "b")  # whole weights are repeated rows


def test_knots_and_ranges_are_no_patients_values():
    X, y, _ = patients()
    X = X.iloc[:60]
    encoding = Encoding.of_cohort(X[["income"]], np.ones(60), native_missing=False, knots=True)
    column = encoding.columns[0]
    knots = column.center + column.scale * np.array(column.knots)
    nearest = np.abs(X["income"].to_numpy()[:, None] - knots).min(axis=0)
    assert len(knots) == 3
    assert (nearest > 1e-6).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ranges = fitted(X, y.iloc[:60]).ranges_
    ages = np.sort(X["age"].to_numpy())
    low, high = ages[:5].mean(), ages[-5:].mean()
    margin = 0.5 * (high - low)
    assert low - margin - 10 < ranges.loc["age", "lower"] <= low - margin
    assert high + margin <= ranges.loc["age", "upper"] < high + margin + 10
    assert ranges.loc["age"].to_numpy() == pytest.approx(ranges.loc["age"].round(0))  # rounded outwards
    lower, upper = ranges.loc["age"]
    # the oldest patient does not follow from the range: older by one year, and it is the same
    older = X.assign(age=X["age"].replace(ages[-1], ages[-1] + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = fitted(older, y.iloc[:60]).ranges_.loc["age"]
    assert again["lower"] == lower
    assert abs(again["upper"] - upper) <= 1


def test_the_background_holds_no_text_of_few_patients():
    X, y, _ = patients(n_rare=4)
    background = fitted(X, y).background_
    assert set(background["work"].dropna()) <= {"employed", "student"}


def test_a_model_with_a_column_of_rare_categories_only_can_be_saved(tmp_path):
    X, y, _ = patients()
    X = X.drop(columns="work").assign(job=[f"job {i // 3}" for i in range(N)])
    book = Codebook(
        (
            Field(name="age", type="number", role="covariate"),
            Field(name="income", type="number", role="covariate"),
            Field(name="pregnant", type="number", role="covariate"),
            Field(name="job", type="string", role="covariate"),
            Field(name="arm", type="string", role="arm"),
        )
    )
    selector = fitted(X, y, book)
    save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    again = load_model(tmp_path / "m.treatsel")
    np.testing.assert_array_equal(again.predict_by_arm(X), selector.predict_by_arm(X))
    content = json.dumps([again.model_.codebook["job"].enum, list(again.background_["job"].dropna())])
    assert "job 1" not in content
