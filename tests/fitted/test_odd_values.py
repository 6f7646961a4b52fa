"""Values that pass as other types, texts that look alike, objects that misbehave: one answer everywhere."""

import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from tests.fitted.test_scope import PATIENT, STORED

import treatsel as ts
from treatsel import serve
from treatsel._checks import check_vector
from treatsel.cli.main import main
from treatsel.cohort import Cohort
from treatsel.errors import CodebookError, CohortError, DataQualityWarning, InputError, TreatselError
from treatsel.models import PooledClassifier
from treatsel.scale import predict_file, predict_in_chunks

ZURICH = "Zürich"


class BoomError(Exception):
    """An error that no caller expects."""


def boom(*_):
    raise BoomError


class Text(str):
    __str__ = __eq__ = __hash__ = strip = boom


class Whole(int):
    __str__ = __float__ = __eq__ = boom
    __hash__ = int.__hash__


class Real(float):
    __le__ = __ge__ = __ne__ = __eq__ = boom
    __hash__ = float.__hash__


class Misnamed(type):
    __name__ = property(boom)


class Nameless(metaclass=Misnamed):
    pass


class Classless:
    __class__ = property(boom)


class Silent:
    def __str__(self):
        raise SystemExit


class Endless:
    def __iter__(self):
        while True:
            yield 1

    def __str__(self):
        return "".join(self)


class NAType:
    """Named like the missing value of pandas."""

    def __repr__(self):
        return "17"


HOSTILE = [Text("female"), Nameless(), Classless(), Silent(), Endless(), NAType(), object(), len, boom]
# by what they are in a column of whole numbers
NUMBER = [
    *(Decimal("34"), Fraction(34), np.int8(34), np.uint64(34), np.float16(34), np.longdouble(34)),
    *(np.float32(34), "34", " 34 ", np.str_("34"), Whole(34), Real(34.0)),
]
INFINITE = ["1e999", "-1e999", Decimal("1E+999"), 10**400, -(10**400), 10**5000, Fraction(10**500, 3), np.inf]
MISSING = [
    Decimal("sNaN"),
    Decimal("NaN"),
    pd.NA,
    pd.NaT,
    None,
    np.nan,
    np.float32("nan"),
    "",
    "  ",
    "\u00a0",
]
WRONG = [
    *(True, np.True_, np.timedelta64(34), np.timedelta64(34, "D"), pd.Timedelta("34D")),
    *(pd.Timestamp("2020-01-01"), np.datetime64("2020-01-01"), 34 + 0j, np.complex128(34), b"34"),
    *(bytearray(b"34"), [34], [[34]], (34,), {34}, {"a": 34}, range(3), np.array(34), np.array([34])),
    *("34\ud800", "\udfff"),  # lone surrogates, as JSON may hold
    *("34\u00a0", "\uff13\uff14", "0x22", "female", np.bytes_(b"34"), "x" * 100_000, "9" * 500),
    *HOSTILE[1:],
]
KINDS = {"number": NUMBER, "infinite": INFINITE, "missing_covariate": MISSING, "wrong_type": WRONG}
VALUES = [*NUMBER, *INFINITE, *MISSING, *WRONG, HOSTILE[0]]


@pytest.fixture(scope="module")
def selector():
    return ts.load_model(STORED)


@pytest.fixture(scope="module")
def served():
    return serve.load_model(STORED)


def answer(call):
    """Probabilities and warnings, or the faults of a refusal; anything else fails the test."""
    try:
        found = call()
    except TreatselError as error:
        return "refused", [fault.to_dict() for fault in error.faults]
    flags = {(c, str(of)) for p, c, of in zip(*found.flags.values(), strict=True) if p == found.patients[0]}
    return found.probability["dropout"][0].round(12).tolist(), flags, found.in_scope[0]


def answers(selector, served, key, value, on_invalid):
    record = {**PATIENT, key: value}
    frame = pd.DataFrame([PATIENT], dtype="object")
    cell = np.empty(1, dtype=object)
    cell[0] = value
    frame[key] = pd.Series(cell, dtype="object")
    return [
        answer(lambda: served.predict(record, on_invalid=on_invalid)),
        answer(lambda: selector.predict(record, on_invalid=on_invalid)),
        answer(lambda: selector.predict([record], on_invalid=on_invalid)),
        answer(lambda: selector.predict(frame, on_invalid=on_invalid)),
    ]


@pytest.mark.parametrize("number", range(len(VALUES)))
@pytest.mark.parametrize("key", ["age", "gender", "living_alone"])
def test_a_value_means_the_same_in_a_record_a_list_and_a_frame(selector, served, key, number):
    for on_invalid in ("raise", "flag"):
        first, *others = answers(selector, served, key, VALUES[number], on_invalid)
        assert all(other == first for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_only_numbers_are_numbers(served, kind):
    expected = served.predict_by_arm({**PATIENT, "age": 34})
    for value in KINDS[kind]:
        found = served.predict({**PATIENT, "age": value}, on_invalid="flag")
        codes = set(found.flags["code"]) & {*KINDS, "out_of_range"}
        if kind != "number":
            assert codes == {kind}
        else:
            assert not codes
            assert found.probability["dropout"][0].tolist() == list(expected.values())


@pytest.mark.parametrize("number", range(len(HOSTILE)))
@pytest.mark.parametrize("key", ["patient_id", "unknown", "arm"])
def test_objects_outside_the_covariates_run_no_code(selector, served, key, number):
    for call in (served.predict, served.recommend, selector.predict, lambda x: selector.predict([x])):
        try:
            call({**PATIENT, key: HOSTILE[number]}).to_dict()
        except TreatselError:
            assert key == "patient_id"


def test_an_id_is_a_text_or_a_number(served, selector):
    assert selector.predict([{**PATIENT, "patient_id": 10**200}]).to_json()
    with pytest.raises(
        InputError, match="'patient_id' has 1 id of an unknown type, or of more than 256 digits"
    ):
        selector.predict([{**PATIENT, "patient_id": 10**5000}])
    with pytest.raises(InputError, match="'patient_id' has more than 256 characters, or is not text"):
        served.predict({**PATIENT, "patient_id": object()})
    with pytest.raises(InputError, match="'patient_id' has 1 id of an unknown type"):
        selector.predict([{**PATIENT, "patient_id": object()}])


class Lying(dict):
    get = __iter__ = __len__ = __getitem__ = __contains__ = keys = boom


class Unending(Mapping):
    def __getitem__(self, key):
        return 1

    def __len__(self):
        return 1

    def __iter__(self):
        number = 0
        while number := number + 1:
            yield f"key{number}"


class Failing(Unending):
    __getitem__ = boom


class Leaving(Unending):
    def __iter__(self):
        raise SystemExit


def test_mappings_that_misbehave(served, selector):
    expected = served.predict(PATIENT).to_dict()["predictions"]
    for call in (served.predict, lambda x: selector.predict([x])):
        assert call(Lying(PATIENT)).to_dict()["predictions"] == expected
        for record, message in (
            (Unending(), "more than 100,000 keys"),
            (Failing(), "an error of its own"),
            (Leaving(), "an error of its own"),
            ({**PATIENT, 3: 4}, "1 key of a type other than text"),
        ):
            with pytest.raises(InputError, match=message):
                call(record)


@pytest.mark.parametrize(
    "values",
    [np.array([1, 2], "m8[D]"), np.array(["2020-01-01"], "M8[D]"), np.array([1 + 2j])],
    ids=["timedelta", "datetime", "complex"],
)
def test_a_vector_of_another_type_is_refused(values):
    with pytest.raises(InputError, match="must hold numbers only"):
        check_vector("y", values)


# --- texts that look alike


def table(n=240):
    rng = np.random.default_rng(0)
    towns, arms = rng.choice([ZURICH, "Bern", "Genève Nord"], n), rng.choice(["CBT", "Médication"], n)
    X = pd.DataFrame({"town": towns, "age": rng.integers(20, 60, n), "arm": arms})
    y = pd.Series((rng.random(n) < 0.3 + 0.3 * (towns == "Bern")).astype(float), name="recovered")
    return X, y


VARIANTS = [
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: f" {text}\t",
    lambda text: f"{text}\u00a0",
    lambda text: "\ufeff" + text.replace(" ", "\u00a0"),
    lambda text: unicodedata.normalize("NFD", text) + "\u202f",
]


@pytest.fixture(scope="module")
def towns():
    X, y = table()
    model = PooledClassifier(LogisticRegression())
    return ts.TreatmentSelector(estimator=model, event_is_good=True, random_state=0).fit(X, y)


@given(
    variant=st.sampled_from(VARIANTS), town=st.sampled_from([ZURICH, "Genève Nord"]), as_table=st.booleans()
)
@settings(max_examples=30, deadline=None)
def test_variants_of_a_text_are_predicted_alike_and_said(towns, variant, town, as_table):
    expected = towns.predict({"town": town, "age": 40})
    record = {"town": variant(town), "age": 40}
    found = towns.predict([record] if as_table else record)
    assert found.by_arm().to_numpy().tolist() == expected.by_arm().to_numpy().tolist()
    changed = [("normalized_text", "town")] if variant(town) != town else []
    flags = list(zip(found.flags["code"], found.flags["column"], strict=True))
    assert [flag for flag in flags if flag[0] == "normalized_text"] == changed
    assert found.in_scope.all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_in_the_development_cohort_are_no_new_categories(towns, variant):
    X, y = table()
    X.loc[::3, "town"] = [variant(text) for text in X.loc[::3, "town"]]
    X.loc[::4, "arm"] = [variant(text) for text in X.loc[::4, "arm"]]
    model = PooledClassifier(LogisticRegression())
    found = ts.TreatmentSelector(estimator=model, event_is_good=True, random_state=0)
    with pytest.warns(DataQualityWarning, match=r"normalized_text.*'town' \(\d+ values\).*'arm'"):
        found.fit(X, y)
    assert found.arms_ == towns.arms_
    assert found.codebook_["town"].enum == towns.codebook_["town"].enum
    record = {"town": ZURICH, "age": 40}
    pd.testing.assert_frame_equal(found.predict_by_arm(record), towns.predict_by_arm(record))


def test_case_is_kept(towns):
    with pytest.raises(CohortError, match="does not list"):
        towns.predict({"town": "bern", "age": 40})


@pytest.mark.parametrize("name", ["age ", "\u00a0age", "age\ufeff"])
def test_a_column_name_that_looks_alike_is_the_same(towns, name):
    expected = towns.predict_by_arm({"town": "Bern", "age": 40})
    for X in ({"town": "Bern", name: 40}, [{"town": "Bern", name: 40}]):
        found = towns.predict(X)
        assert found.by_arm().to_numpy().tolist() == expected.to_numpy().tolist()
        assert list(zip(found.flags["code"], found.flags["column"], strict=True)) == [
            ("normalized_text", "age")
        ]
    frame = pd.DataFrame({"town": ["Bern"], name: [40]})
    assert predict_in_chunks(towns, frame).to_numpy().tolist() == expected.to_numpy().tolist()


def test_a_file_with_variants_is_read_in_chunks_and_said(selector, tmp_path):
    rows = [{"patient_id": f"P-{i}", **PATIENT, "gender": ["female", "female\u00a0"][i]} for i in range(2)]
    frame = pd.DataFrame(rows).rename(columns={"age": "age\u00a0", "employment": " employment"})
    frame.to_csv(tmp_path / "in.csv", index=False)
    counts = predict_file(selector, tmp_path / "in.csv", tmp_path / "out.csv", level=None)
    said = counts[counts["code"] == "normalized_text"].set_index("column")["n_patients"].to_dict()
    assert said == {"age": 2, "employment": 2, "gender": 1}
    out = pd.read_csv(tmp_path / "out.csv")
    assert out.groupby("arm")["probability"].nunique().tolist() == [1] * len(selector.arms_)
    assert main(["recommend", str(STORED), str(tmp_path / "in.csv"), "--out", str(tmp_path / "r.csv")]) == 0
    assert pd.read_csv(tmp_path / "r.csv")["in_scope"].all()


def test_a_cohort_with_variants_is_read_and_said(selector):
    frame = pd.DataFrame([{"patient_id": f"P-{i}", **PATIENT} for i in range(3)])
    frame = frame.assign(arm=["cbt", "cbt ", "cbt"], service=["S1", "S1\u00a0", "S1"])
    with pytest.warns(DataQualityWarning, match=r"'service' \(1 value\), column 'arm' \(1 value\)"):
        cohort = Cohort(frame, selector.codebook_.subset([*frame.columns]))
    assert cohort.received.unique().tolist() == ["cbt"]
    assert cohort.groups.unique().tolist() == ["S1"]
    with pytest.warns(DataQualityWarning, match="the name of column 'age'"):
        Cohort(frame.rename(columns={"age": "age "}).assign(arm="cbt", service="S1"), cohort.codebook)


def test_a_codebook_lists_no_look_alikes():
    with pytest.raises(CodebookError, match="look alike"):
        ts.Codebook.from_dict({"fields": [{"name": "a", "constraints": {"enum": ["x", "x "]}}]})
    book = ts.Codebook.from_dict({"fields": [{"name": "a", "constraints": {"enum": ["x "]}}]})
    clean, violations = book["a"].parse(pd.Series(["x", "x ", "x\u00a0"]))
    assert (clean.tolist(), violations) == (["x "] * 3, [])  # as the codebook has it
