"""The model file: the same model comes back, and nothing else ever does."""

import hashlib
import io
import json
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

import treatsel as ts
from treatsel.artifact import _archive, read_manifest
from treatsel.datasets import make_cohort
from treatsel.errors import ArtifactError, InputError, UnsupportedModelError
from treatsel.manifest import INTENDED_USE_KEYS
from treatsel.models import ArmwiseClassifier, PooledClassifier

STORED = Path(__file__).parent / "artifacts"


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(500, missing=0.1, random_state=8).cohort


@pytest.fixture(scope="module", params=["ridge", "trees"])
def selector(request, cohort):
    trees = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6))
    estimator = "auto" if request.param == "ridge" else trees
    options = {"estimator": estimator, "codebook": cohort.codebook, "random_state": 0}
    return ts.TreatmentSelector(**options).fit(cohort.X, cohort.y["dropout"])


@pytest.fixture(scope="module")
def path(selector, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.treatsel"
    ts.save_model(selector, path, intended_use="Tests.")
    return path


@pytest.fixture(scope="module")
def loaded(path):
    return ts.load_model(path)


def test_predictions_intervals_and_recommendations_come_back(selector, loaded, cohort):
    X = cohort.X.head(60)
    pd.testing.assert_frame_equal(loaded.predict_by_arm(X), selector.predict_by_arm(X), rtol=1e-11)
    before, after = selector.predict(X).to_frame(), loaded.predict(X).to_frame()
    pd.testing.assert_frame_equal(before, after, rtol=1e-11)
    before, after = selector.recommend(X).to_frame(), loaded.recommend(X).to_frame()
    pd.testing.assert_frame_equal(before, after, rtol=1e-9)


def test_explanations_come_back(selector, loaded, cohort):
    X = cohort.X.head(10)
    before, after = (ts.explain(model, X, arm="cbt").values for model in (selector, loaded))
    pd.testing.assert_frame_equal(before, after, atol=1e-10)


def test_what_was_learned_comes_back(selector, loaded):
    assert loaded.arms_ == selector.arms_
    assert loaded.default_arm_ == selector.default_arm_
    assert loaded.codebook_ == selector.codebook_
    assert loaded.event_is_good_ == {"dropout": False}
    pd.testing.assert_frame_equal(
        loaded.arm_means_[["value", "lower", "upper"]],
        selector.arm_means_.loc[selector.arms_, ["value", "lower", "upper"]],
        check_names=False,
    )
    pd.testing.assert_frame_equal(loaded.ranges_, selector.ranges_, check_names=False)


def test_the_id_and_the_intended_use_travel_into_predictions(loaded, path, cohort):
    audit = loaded.predict(cohort.X.head(1)).audit
    assert audit["model_id"] == read_manifest(path).model_id
    assert audit["intended_use"] == {"purpose": "Tests."}


def test_the_same_fit_gives_the_same_bytes(selector, path, cohort, tmp_path):
    again = clone(selector).fit(cohort.X, cohort.y["dropout"])
    ts.save_model(again, tmp_path / "again.treatsel", intended_use="Tests.")
    assert (tmp_path / "again.treatsel").read_bytes() == path.read_bytes()


def test_saving_a_loaded_model_keeps_its_predictions(loaded, tmp_path, cohort):
    ts.save_model(loaded, tmp_path / "again.treatsel", intended_use="Tests.")
    again = ts.load_model(tmp_path / "again.treatsel")
    X = cohort.X.head(5)
    pd.testing.assert_frame_equal(again.predict_by_arm(X), loaded.predict_by_arm(X))


def test_loaded_arrays_are_read_only(loaded):
    model = loaded.additive_["dropout"]
    with pytest.raises(ValueError, match="read-only"):
        model.intercept[0] = 1.0


def test_a_loaded_selector_can_be_pickled_for_workers(loaded, cohort):
    again = pickle.loads(pickle.dumps(loaded))
    X = cohort.X.head(3)
    pd.testing.assert_frame_equal(again.predict_by_arm(X), loaded.predict_by_arm(X))


def test_no_patient_is_in_the_file(path, cohort):
    archive = zipfile.ZipFile(path)
    text = archive.read("manifest.json").decode()
    assert not any(patient in text for patient in cohort.frame.index)
    rows = len(ts.load_model(path).background_)
    assert rows <= len(cohort) / 5


def test_small_cells_are_left_out_of_the_file(cohort, tmp_path):
    y = cohort.y["dropout"].copy()
    ipt = (cohort.X["arm"] == "ipt").to_numpy()
    y[ipt] = 0.0
    y.iloc[np.flatnonzero(ipt)[:2]] = 1.0
    selector = ts.TreatmentSelector(event_is_good=False, random_state=0).fit(cohort.X, y)
    manifest = ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    counts = {row["arm"]: row["n_events"] for row in manifest.content["training"]}
    assert counts["ipt"] is None
    assert counts["cbt"] >= 5
    status = ts.load_model(tmp_path / "m.treatsel").recommend(cohort.X.head(50)).to_frame()
    compared = (status["top"] == "ipt") & (status["status"] != "out_of_scope")
    assert set(status.loc[compared, "status"]) <= {"insufficient_evidence"}


# --- intended use


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("", "needs a purpose"),
        ({"population": "Adults"}, "needs a purpose"),
        ({"purpose": None}, "needs a purpose"),
        ({"purpose": ["a", "b"]}, "must be a text; it is a list"),
        (["a"], "must be a sentence"),
        ({"purpose": "x", "porpoise": "y"}, "unknown key 'porpoise'"),
        ({"purpose": "x", "review_date": "soon"}, "date like 2027-01-31"),
    ],
)
def test_an_unclear_intended_use_is_refused(selector, tmp_path, use, message):
    with pytest.raises(InputError, match=message):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use=use)
    assert not list(tmp_path.iterdir())


def test_a_full_intended_use_is_kept(selector, tmp_path):
    use = {key: f"about {key}" for key in INTENDED_USE_KEYS} | {"review_date": "2027-01-31"}
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use=use)
    assert read_manifest(tmp_path / "m.treatsel").intended_use == use


def test_a_summary_that_is_none_is_refused(selector, tmp_path):
    with pytest.raises(InputError, match=r"pass report.summary\(\)"):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.", validation={"auc": 0.7})


def test_a_validation_does_not_change_the_id(selector, path, tmp_path):
    figures = {"AUC": {"value": 0.7, "lower": 0.6, "upper": None}}
    summary = {"outcome": "dropout", "n": 9, "level": 0.95, "headline": "None.", "figures": figures}
    manifest = ts.save_model(selector, tmp_path / "v.treatsel", intended_use="Tests.", validation=summary)
    assert (
        manifest.model_id == read_manifest(path).model_id == ts.load_model(tmp_path / "v.treatsel").model_id_
    )


def test_a_model_that_is_no_sum_cannot_be_saved(cohort, tmp_path):
    forest = PooledClassifier(RandomForestClassifier(n_estimators=3, random_state=0))
    selector = ts.TreatmentSelector(estimator=forest, codebook=cohort.codebook, random_state=0).fit(
        cohort.X, cohort.y["dropout"]
    )
    with pytest.raises(UnsupportedModelError, match="cannot be saved"):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")


def test_a_folder_that_does_not_exist_is_refused(selector, tmp_path):
    with pytest.raises(ArtifactError, match="Cannot write"):
        ts.save_model(selector, tmp_path / "nowhere" / "m.treatsel", intended_use="Tests.")


# --- damaged and foreign files


def assert_refused(path, content, message="Cannot load"):
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        ts.load_model(path)


def resealed(path, change):
    """Return the file's content after a change to its parts, with all hashes made right again."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts.pop("manifest.json"))
    change(manifest, parts)
    manifest["members"] = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    rest = {key: value for key, value in manifest.items() if key not in ("model_id", "validation")}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    manifest["model_id"] = hashlib.sha256(canonical).hexdigest()
    return sealed({"manifest.json": json.dumps(manifest).encode(), **parts})


def sealed(parts):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
        archive.comment = b"0" * 64
    body = stream.getvalue()[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def test_every_truncation_is_refused(path, tmp_path):
    content = path.read_bytes()
    for length in [0, 1, 3, 100, len(content) // 2, len(content) - 64, len(content) - 1]:
        assert_refused(tmp_path / "m.treatsel", content[:length])


def test_every_flipped_bit_is_refused(path, tmp_path):
    content = path.read_bytes()
    source = random.Random(0)
    for _ in range(150):
        position = source.randrange(len(content))
        flipped = bytearray(content)
        flipped[position] ^= 1 << source.randrange(8)
        assert_refused(tmp_path / "m.treatsel", bytes(flipped))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"PK\x03\x04", pickle.dumps({"a": 1}), b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(10_000)],
)
def test_a_foreign_file_is_refused(content, tmp_path):
    assert_refused(tmp_path / "m.treatsel", content)


def test_a_foreign_zip_is_refused(tmp_path):
    assert_refused(tmp_path / "m.treatsel", sealed({"readme.txt": b"hello"}), "no manifest")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.treatsel", tmp_path):
        with pytest.raises(ArtifactError, match="cannot be read"):
            ts.load_model(path)


def test_a_zip_bomb_is_refused_before_memory_is_taken(tmp_path):
    bomb = sealed({"manifest.json": b" " * (20 * 2**20)})
    assert_refused(tmp_path / "m.treatsel", bomb, "too large")


def test_a_bomb_of_many_members_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "MAX_TOTAL", 1000)
    with pytest.raises(ArtifactError, match="in total"):
        ts.load_model(path)


def test_an_oversized_file_is_refused(path, monkeypatch):
    monkeypatch.setattr(_archive, "MAX_FILE", 1000)
    with pytest.raises(ArtifactError, match="at most 1,000"):
        ts.load_model(path)


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/x.npy", "a\\b.npy", "C:x.npy", "x.pkl", "X.npy"])
def test_a_member_that_leaves_the_archive_is_refused(path, tmp_path, name):
    content = resealed(path, lambda manifest, parts: parts.update({name: b"x"}))
    assert_refused(tmp_path / "m.treatsel", content, "name is not allowed")


def first(manifest):
    return manifest["outcomes"][0]


def change_array(parts, name, change):
    array = np.load(io.BytesIO(parts[name]), allow_pickle=False).copy()
    parts[name] = _archive.array_bytes(change(array))


def with_nan(array):
    array.flat[0] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, p: m.update(format=2), "newer than this library's 1. Update treatsel"),
        (lambda m, p: m.update(format="1"), "no format number"),
        (lambda m, p: m.update(format=True), "no format number"),
        (lambda m, p: m.update(arms=["cbt", "cbt"]), "arms are not distinct"),
        (lambda m, p: m.update(arms=["cbt"]), "default arm|does not fit|differ"),
        (lambda m, p: m.update(default_arm="yoga"), "default arm is no arm"),
        (lambda m, p: m.update(outcomes=[]), "outcomes are not distinct"),
        (lambda m, p: m.pop("codebook"), "damaged"),
        (lambda m, p: m.update(codebook={"fields": 3}), "damaged"),
        (lambda m, p: m.update(intended_use={}), "damaged"),
        (lambda m, p: m.update(ranges={"age": [1, 2, 3]}), "damaged"),
        (lambda m, p: first(m).update(event_is_good="maybe"), "direction"),
        (lambda m, p: first(m)["encoding"]["columns"].pop(), "does not fit|differ"),
        (lambda m, p: first(m)["encoding"]["columns"][0].update(scale=0), "scale is 0|golden"),
        (lambda m, p: p.pop("outcome_0/intercept.npy"), "damaged"),
        (lambda m, p: p.update({"outcome_0/intercept.npy": b"\x93NUMPY"}), "damaged"),
        (lambda m, p: change_array(p, "outcome_0/intercept.npy", with_nan), "does not fit"),
        (lambda m, p: change_array(p, "outcome_0/intercept.npy", lambda a: a + 0.5), "not reproduced"),
        (lambda m, p: change_array(p, "outcome_0/intercept.npy", lambda a: a[:2]), "does not fit"),
        (lambda m, p: change_array(p, "outcome_0/golden.npy", lambda a: a[:, :2]), "another shape"),
        (lambda m, p: change_array(p, "background/column_0.npy", lambda a: a[:1]), "differ in length"),
        (lambda m, p: m["background"].pop(), "differ"),
    ],
)
def test_parts_that_do_not_fit_are_refused_even_with_the_right_hashes(path, tmp_path, change, message):
    assert_refused(tmp_path / "m.treatsel", resealed(path, change), message)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("left", lambda a: np.zeros_like(a), "before its parent"),
        ("right", lambda a: np.full_like(a, 10**6), "outside the tree"),
        ("feature", lambda a: np.full_like(a, 10**6), "does not exist"),
        ("threshold", lambda a: np.full_like(a, np.inf), "not finite"),
        ("value", lambda a: a[:-1], "differ in length"),
        ("roots", lambda a: a - 1, "outside the tree"),
        ("left", lambda a: a.astype(float), "no vector"),
    ],
)
def test_broken_trees_are_refused(path, tmp_path, part, change, message):
    name = f"outcome_0/trees/{part}.npy"
    if name not in zipfile.ZipFile(path).namelist():
        pytest.skip("a ridge model has no trees")
    content = resealed(path, lambda manifest, parts: change_array(parts, name, change))
    assert_refused(tmp_path / "m.treatsel", content, message)


def test_an_array_of_objects_is_never_unpickled(path, tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.array([print], dtype=object), allow_pickle=True)
    content = resealed(path, lambda m, p: p.update({"outcome_0/intercept.npy": stream.getvalue()}))
    assert_refused(tmp_path / "m.treatsel", content)


def test_a_huge_shape_is_refused_before_memory_is_taken(path, tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**20)}
    )
    content = resealed(path, lambda m, p: p.update({"outcome_0/intercept.npy": stream.getvalue()}))
    assert_refused(tmp_path / "m.treatsel", content, "does not hold what its header says")


def test_deep_json_is_refused(path, tmp_path):
    deep = b'{"members":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert_refused(tmp_path / "m.treatsel", sealed({"manifest.json": deep}))


def test_a_manifest_that_is_no_mapping_is_refused(tmp_path):
    for text in (b"[]", b"3", b"null", b'{"members": 3}', b"\xff\xfe"):
        assert_refused(tmp_path / "m.treatsel", sealed({"manifest.json": text}))


def test_a_changed_manifest_has_another_id(path, tmp_path):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    manifest["intended_use"] = {"purpose": "Everything."}
    parts["manifest.json"] = json.dumps(manifest).encode()
    assert_refused(tmp_path / "m.treatsel", sealed(parts), "model id is not that of its content")


# --- files released before


@pytest.mark.parametrize("path", sorted(STORED.glob("*.treatsel")), ids=lambda path: path.name)
def test_every_released_format_still_loads_and_predicts(path):
    expected = pd.read_csv(path.with_suffix(".csv"), index_col=0)
    found = ts.load_model(path).predict_by_arm(pd.read_csv(path.with_suffix(".patients.csv")))
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), atol=1e-9)


def test_there_is_a_stored_file_of_each_format():
    assert sorted(path.stem for path in STORED.glob("*.treatsel")) == ["format_1"]


def test_loading_imports_neither_lightgbm_nor_shap():
    code = (
        "import sys, treatsel as ts; ts.load_model(sys.argv[1]);"
        "print(sorted({'lightgbm', 'shap', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(STORED / "format_1.treatsel")], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
