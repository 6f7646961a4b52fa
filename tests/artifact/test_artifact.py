"""The model file: the same model is restored, and nothing else is accepted."""

import dataclasses
import hashlib
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from functools import partial
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel import serve
from treatsel.artifact import _archive, read_manifest
from treatsel.datasets import make_cohort
from treatsel.errors import ArtifactError, InputError, UnsupportedModelError
from treatsel.manifest import INTENDED_USE_KEYS
from treatsel.models import ArmwiseClassifier, PooledClassifier
from treatsel.report import model_card

STORED = Path(__file__).parents[1] / "artifacts"


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(500, missing=0.1, random_state=8).cohort


def with_groups(cohort):
    """Return the covariates, the arm the site and the therapist, which the codebook names."""
    return cohort.X.join(cohort.frame[["service", "therapist"]])


@pytest.fixture(scope="module", params=["ridge", "trees"])
def selector(request, cohort):
    trees = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6))
    estimator = "auto" if request.param == "ridge" else trees
    options = {"estimator": estimator, "codebook": cohort.codebook, "random_state": 0}
    return ts.TreatmentSelector(**options).fit(with_groups(cohort), cohort.y["dropout"])


@pytest.fixture(scope="module")
def path(selector, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.treatsel"
    ts.save_model(selector, path, intended_use="Tests.")
    return path


@pytest.fixture(scope="module")
def loaded(path):
    return ts.load_model(path)


def test_predictions_intervals_and_recommendations_are_restored(selector, loaded, cohort):
    X = cohort.X.head(60)
    pd.testing.assert_frame_equal(loaded.predict_by_arm(X), selector.predict_by_arm(X), rtol=1e-11)
    before, after = selector.predict(X).to_frame(), loaded.predict(X).to_frame()
    pd.testing.assert_frame_equal(before, after, rtol=1e-11)
    before, after = selector.recommend(X).to_frame(), loaded.recommend(X).to_frame()
    pd.testing.assert_frame_equal(before, after, rtol=1e-9)


def test_explanations_are_restored(selector, loaded, cohort):
    X = cohort.X.head(10)
    before, after = (ts.explain(model, X, arm="cbt").values for model in (selector, loaded))
    pd.testing.assert_frame_equal(before, after, atol=1e-10)


def test_learned_attributes_are_restored(selector, loaded):
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


def test_the_id_and_the_intended_use_are_in_predictions(loaded, path, cohort):
    audit = loaded.predict(cohort.X.head(1)).audit
    assert audit["model_id"] == read_manifest(path).model_id
    assert audit["intended_use"] == {"purpose": "Tests."}


def test_the_same_fit_gives_the_same_bytes(selector, path, cohort, tmp_path):
    again = clone(selector).fit(with_groups(cohort), cohort.y["dropout"])
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
    """Neither an id nor a row: no stored array has one row per patient, and no stored row is a patient's."""
    archive = zipfile.ZipFile(path)
    text = archive.read("manifest.json").decode()
    assert not any(patient in text for patient in cohort.frame.index)
    for name in archive.namelist()[1:]:
        shape = np.load(io.BytesIO(archive.read(name)), allow_pickle=False).shape
        assert name.startswith("outcome_0/trees/") or len(cohort) not in shape
    background = ts.load_model(path).background_
    assert len(background) <= len(cohort) / 5
    covariates = cohort.X[list(background.columns)]
    numbers = [name for name in background if pd.api.types.is_numeric_dtype(background[name])]
    rows = set(map(tuple, covariates[numbers].dropna().to_numpy(dtype=float)))
    assert len(rows) > 100
    assert not rows & set(map(tuple, background[numbers].to_numpy()))


def test_small_cells_are_left_out_of_the_file(cohort, tmp_path):
    y = cohort.y["dropout"].copy()
    ipt = (cohort.X["arm"] == "ipt").to_numpy()
    y[ipt] = 0.0
    y.iloc[np.flatnonzero(ipt)[:2]] = 1.0
    selector = ts.TreatmentSelector(estimator="hierarchical", event_is_good=False, random_state=0)
    selector.fit(cohort.X, y)
    manifest = ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    counts = {row["arm"]: row["n_events"] for row in manifest.content["training"]}
    assert counts["ipt"] is None
    assert counts["cbt"] >= 5
    status = ts.load_model(tmp_path / "m.treatsel").recommend(cohort.X.head(50)).to_frame()
    compared = (status["top"] == "ipt") & (status["status"] != "out_of_scope")
    assert set(status.loc[compared, "status"]) <= {"insufficient_evidence"}
    again = ts.save_model(ts.load_model(tmp_path / "m.treatsel"), tmp_path / "again", intended_use="Tests.")
    assert again.content["training"] == manifest.content["training"]


def test_no_arithmetic_on_totals_gives_a_small_count(cohort, tmp_path):
    """Four patients of an arm, and three of another without the second outcome."""
    y = cohort.y[["dropout", "recovery"]].fillna(0.0)
    arm = cohort.X["arm"].to_numpy()
    y.iloc[np.flatnonzero(arm == "cbt")[:3], 1] = np.nan
    y.iloc[np.flatnonzero(arm == "medication")[:9], 1] = np.nan
    ipt = np.flatnonzero(arm == "ipt")
    y.iloc[ipt[:4]] = [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    kept = (arm != "ipt") | np.isin(np.arange(len(arm)), ipt[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an arm with few patients
        quick = PooledClassifier(LogisticRegression())  # counts do not depend on the estimator
        selector = ts.TreatmentSelector(estimator=quick, codebook=cohort.codebook, random_state=0)
        selector.fit(cohort.X[kept], y[kept])
    assert selector.training_["n"].min() == 4
    content = ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.").content
    overlap, everybody = content["assignment"]["overlap"], content["arm_means"]["n"][0]
    for name in y.columns:
        rows = {row["arm"]: row for row in content["training"] if row["outcome"] == name}
        few = [arm for arm in rows if rows[arm]["n"] is None]
        assert "ipt" in few
        assert everybody - sum(row["n"] or 0 for row in rows.values()) >= 10
        observed = max(row["n"] for row in content["performance"][name] if row["n"] is not None)
        assert observed == y.loc[kept, name].notna().sum()
        assert observed - sum(row["n_observed"] or 0 for row in rows.values()) >= 10
        assert {row["n"] for row in content["performance"][name]} <= {observed, None}
        hidden = [arm for arm in rows if rows[arm]["n_observed"] is None]
        assert len(few) >= 2
        assert len(hidden) >= 2
        told = [row["n"] - row["n_observed"] for row in rows.values() if row["n_observed"] is not None]
        assert all(count == 0 or count >= 5 for count in [*told, everybody - observed - sum(told)])
        for figures in overlap.values():
            assert [arm for arm, v in zip(content["arms"], figures, strict=True) if v is None][:1]
            assert all(figures[content["arms"].index(arm)] is None for arm in few)
    for share in overlap["share_low_propensity"]:
        assert share is None or not 0.5 < share * everybody < 4.5
    loaded = ts.load_model(tmp_path / "m.treatsel")
    ts.save_model(loaded, tmp_path / "again.treatsel", intended_use="Tests.")
    assert (tmp_path / "again.treatsel").read_bytes() == (tmp_path / "m.treatsel").read_bytes()


@pytest.mark.parametrize("n_missing", [3, 7])
def test_a_few_outcomes_missing_in_one_arm_are_not_disclosed(selector, tmp_path, n_missing):
    """Neither by that arm's counts nor by the totals of all arms."""
    training = selector.training_.copy()
    n, arm = training["n"].sum(), training["arm"].eq("cbt")
    training["n_observed"] = training["n"] - np.where(arm, 3, 0)
    training.loc[training["arm"].eq("ipt"), "n_observed"] -= n_missing - 3
    performance = selector.performance_["dropout"].assign(n=n - n_missing)
    development = dataclasses.replace(
        selector.model_.development, training=training.to_dict("list"), performance={"dropout": performance}
    )
    model = dataclasses.replace(selector.model_, development=development)
    selector = ts.TreatmentSelector.from_model(model, arm=selector.arm)
    content = ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.").content
    assert all(row["n"] is not None for row in content["training"])
    told = [row["n_observed"] for row in content["training"] if row["n_observed"] is not None]
    totals = {row["n"] for row in content["performance"]["dropout"]}
    if n_missing == 3:
        assert totals == {None}
        assert len(told) == len(training) - 1
    else:
        assert totals == {n - 7}
        hidden = {row["arm"] for row in content["training"] if row["n_observed"] is None}
        assert {"cbt", "ipt"} <= hidden
    loaded = ts.load_model(tmp_path / "m.treatsel")
    again = ts.save_model(loaded, tmp_path / "again.treatsel", intended_use="Tests.").content
    for key in ("training", "performance", "assignment"):
        assert again[key] == content[key]


def test_a_link_in_place_of_the_temporary_file_is_not_followed(selector, tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    monkeypatch.setattr("os.urandom", lambda n: bytes(n))
    (tmp_path / f".m.treatsel.{bytes(8).hex()}.part").symlink_to(victim)
    with pytest.raises(ArtifactError, match="Cannot write"):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    assert victim.read_text() == "untouched"


def test_a_saved_file_has_ordinary_permissions_and_leaves_nothing_else(selector, tmp_path):
    (tmp_path / "plain").touch()
    ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    assert {file.name for file in tmp_path.iterdir()} == {"plain", "m.treatsel"}
    assert (tmp_path / "m.treatsel").stat().st_mode == (tmp_path / "plain").stat().st_mode


# --- intended use


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("", "needs a purpose"),
        ({"population": "Adults"}, "needs a purpose"),
        ({"purpose": None}, "needs a purpose"),
        ({"purpose": ["a", "b"]}, "must be text; it is a list"),
        (["a"], "must be a sentence"),
        ({"purpose": "x", "porpoise": "y"}, "unknown key 'porpoise'"),
        ({"purpose": "x", "review_date": "soon"}, "date such as 2027-01-31"),
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


def test_an_invalid_summary_is_refused(selector, tmp_path):
    with pytest.raises(InputError, match=r"pass report.summary\(\)"):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.", validation={"auc": 0.7})


def test_a_validation_does_not_change_the_id(selector, path, tmp_path):
    figures = {"AUC": {"value": 0.7, "lower": 0.6, "upper": None}}
    summary = {"outcome": "dropout", "n": 9, "level": 0.95, "headline": "None.", "figures": figures}
    manifest = ts.save_model(selector, tmp_path / "v.treatsel", intended_use="Tests.", validation=summary)
    assert (
        manifest.model_id == read_manifest(path).model_id == ts.load_model(tmp_path / "v.treatsel").model_id_
    )


def test_a_model_that_is_not_a_sum_cannot_be_saved(cohort, tmp_path):
    forest = PooledClassifier(RandomForestClassifier(n_estimators=3, random_state=0))
    selector = ts.TreatmentSelector(estimator=forest, codebook=cohort.codebook, random_state=0).fit(
        with_groups(cohort), cohort.y["dropout"]
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
    """Return the file's content after a change to its parts, with all hashes recomputed."""
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


def by_hand(body, *, claims, checksum, name=b"manifest.json"):
    """Return a sealed zip of one deflated member, with a size and a checksum that need not be true."""
    fixed = struct.pack("<5H3I2H", 20, 0, 8, 0, 33, checksum, len(body), claims, len(name), 0)
    members = b"PK\3\4" + fixed + name + body
    attributes = bytes(6) + struct.pack("<2I", 0o644 << 16, 0)
    directory = b"PK\1\2" + struct.pack("<H", 788) + fixed + attributes + name
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(directory), len(members), 64)
    whole = members + directory + end
    return whole + hashlib.sha256(whole).hexdigest().encode()


def deflated_zeros(size):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(bytes(size)) + packer.flush()


@pytest.mark.parametrize(
    ("claims", "message"), [(16, "claims fewer bytes than it has: 16"), (70_000, "70,000 bytes, but has")]
)
def test_a_member_is_never_decompressed_beyond_its_stated_size(tmp_path, claims, message):
    """A member of 64 MB with a small stated size is rejected first, or read up to the stated size."""
    content = by_hand(deflated_zeros(64 * 2**20), claims=claims, checksum=zlib.crc32(bytes(claims)))
    tracemalloc.start()
    try:
        assert_refused(tmp_path / "m.treatsel", content, message)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_member_shorter_than_its_stated_size_is_refused(tmp_path):
    content = by_hand(deflated_zeros(20_000), claims=20_001, checksum=zlib.crc32(bytes(20_000)))
    assert_refused(tmp_path / "m.treatsel", content, "claims 20,001 bytes, but has 20,000")


@pytest.mark.parametrize(
    ("hidden", "checksum", "message"),
    [(b"hidden", None, "but has more"), (b"", 1, "checksum"), (None, None, "20,000 bytes, but has")],
    ids=["bytes after the stream", "checksum", "stream without an end"],
)
def test_a_member_with_bytes_that_it_does_not_use_is_refused(tmp_path, hidden, checksum, message):
    body, crc = deflated_zeros(20_000), zlib.crc32(bytes(20_000)) if checksum is None else checksum
    body = body[:-2] if hidden is None else body + hidden
    assert_refused(tmp_path / "m.treatsel", by_hand(body, claims=20_000, checksum=crc), message)


def test_a_bomb_of_many_members_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "MAX_TOTAL", 1000)
    with pytest.raises(ArtifactError, match="in total"):
        ts.load_model(path)


def zeros(shape):
    """Return the bytes of an array of zeros."""
    return _archive.array_bytes(np.zeros(shape))


def test_a_small_file_does_not_unfold_to_much_memory(tmp_path):
    """Arrays of zeros compress a thousandfold: .1 MB would take 100 MB, and loading copies some of them."""

    def change(manifest, parts):
        parts["outcome_0/trees/value.npy"] = zeros(13 * 2**20)

    content = resealed(STORED / "format_1.treatsel", change)
    assert len(content) < 200_000
    tracemalloc.start()
    try:
        assert_refused(tmp_path / "m.treatsel", content, "in total: too large for a file of 1")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_what_is_too_large_to_read_is_not_written(selector, tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "MAX_MEMBERS", 5)
    with pytest.raises(ArtifactError, match=r"cannot be saved\. .*too many members"):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="Tests.")
    assert not list(tmp_path.iterdir())


def with_fields(n):
    def change(manifest, parts):
        manifest["codebook"]["fields"] += [{"name": f"x{i}", "type": "string"} for i in range(n)]

    return resealed(STORED / "format_1.treatsel", change)


def test_time_grows_in_proportion_to_the_fields_of_the_codebook(tmp_path):
    """Four times as many may take at most ten times as long; quadratic time would take sixteen."""
    path = tmp_path / "m.treatsel"

    def seconds(n):
        path.write_bytes(with_fields(n))
        taken = []
        for _ in range(3):
            before = time.process_time()
            model = serve.load_model(path)
            taken.append(time.process_time() - before)
            assert len(model.codebook.fields) > n
        return min(taken)

    assert seconds(16_000) < 10 * seconds(4000)


def test_a_codebook_of_too_many_fields_is_refused(tmp_path):
    assert_refused(tmp_path / "m.treatsel", with_fields(20_000), r"the codebook has 20,0\d\d fields")


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
        (lambda m, p: m.update(arms=["cbt"]), "default arm is not an arm"),
        (lambda m, p: m.update(default_arm="yoga"), "default arm is not an arm"),
        (lambda m, p: m.update(outcomes=[]), "outcomes are not distinct"),
        (lambda m, p: first(m).update(joint=1), "joint is neither true nor false"),
        (lambda m, p: m.pop("codebook"), "the manifest has no codebook"),
        (lambda m, p: m.update(codebook={"fields": 3}), "not a list of mappings"),
        (lambda m, p: m.update(intended_use={}), "needs a purpose"),
        (lambda m, p: m["ranges"].update(age=[1, 2, 3]), "not a list of 2"),
        (lambda m, p: first(m).update(event_is_good="maybe"), "direction"),
        (lambda m, p: first(m)["encoding"]["columns"].pop(), "does not fit|differ"),
        (lambda m, p: first(m)["encoding"]["columns"][0].update(scale=0), "a scale: a number is"),
        (lambda m, p: p.pop("outcome_0/intercept.npy"), "is missing"),
        (lambda m, p: p.update({"outcome_0/intercept.npy": b"\x93NUMPY"}), "not an .npy file"),
        (lambda m, p: change_array(p, "outcome_0/intercept.npy", with_nan), "does not fit"),
        (lambda m, p: change_array(p, "outcome_0/intercept.npy", lambda a: a + 0.5), "not reproduced"),
        (lambda m, p: change_array(p, "outcome_0/intercept.npy", lambda a: a[:2]), "does not fit"),
        (lambda m, p: change_array(p, "outcome_0/golden.npy", lambda a: a[:, :2]), "does not fit"),
        (lambda m, p: change_array(p, "background/column_0.npy", lambda a: a[:1]), "differ in length"),
        (lambda m, p: m["background"].pop(), "differ"),
        (lambda m, p: m["arm_means"].update(p_best=None), "p_best"),
        (lambda m, p: m["arm_means"].update(p_best=[2.0] * 6), "p_best"),
        (lambda m, p: m.update(priors={"yoga": {}}), "published estimates are of other outcomes"),
        (lambda m, p: m.update(priors={"dropout": published(prior_se=-1.0)}), "prior_se"),
        (lambda m, p: m.update(priors={"dropout": published() | {"more": 1}}), "have other keys"),
        (lambda m, p: m.update(priors={"dropout": published(what="a\u200bb")}), "no name that can be shown"),
        (lambda m, p: first(m).update(score={"means": [1.0]}), "a score has other keys"),
        (lambda m, p: first(m).update(score={"means": [1.0], "thresholds": []}), "too few"),
        (
            lambda m, p: first(m).update(score={"means": [1.0, 2.0, 3.0], "thresholds": [0.0, 1.0]}),
            "in order",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_even_with_the_right_hashes(path, tmp_path, change, message):
    assert_refused(tmp_path / "m.treatsel", resealed(path, change), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, p: sites(m)["labels"].append(sites(m)["labels"][0]), "sites are not distinct"),
        (lambda m, p: sites(m)["labels"].pop(), "does not fit"),
        (lambda m, p: sites(m).update(labels=[" S1 ", *sites(m)["labels"][1:]]), "normal form"),
        (lambda m, p: sites(m).update(labels=[]), "does not fit"),
        (lambda m, p: sites(m).update(labels=None), "sites are not distinct"),
        (lambda m, p: sites(m).update(column="age"), "the site column has another role"),
        (lambda m, p: sites(m).update(column=3), "no name that can be shown"),
        (lambda m, p: sites(m).update(more=1), "sites have other keys"),
        (lambda m, p: first(m).update(sites=[1]), "sites have other keys"),
        (lambda m, p: first(m).update(sites=None), "arrays that no part of the model needs"),
        (lambda m, p: p.pop("outcome_0/sites/draws.npy"), "is missing"),
        (lambda m, p: change_array(p, "outcome_0/sites/draws.npy", lambda a: a + 50), "do not surround"),
        (lambda m, p: change_array(p, "outcome_0/sites/draws.npy", lambda a: a[:-1]), "does not fit"),
        (lambda m, p: change_array(p, "outcome_0/sites/intercept.npy", with_nan), "does not fit"),
        (lambda m, p: change_array(p, "outcome_0/sites/intercept.npy", lambda a: a + 0.5), "not reproduced"),
        (lambda m, p: change_array(p, "outcome_0/sites/coefficients.npy", lambda a: -a), "not reproduced"),
    ],
)
def test_known_sites_that_do_not_fit_are_refused(path, tmp_path, change, message):
    if "outcome_0/sites/draws.npy" not in zipfile.ZipFile(path).namelist():
        pytest.skip("trees have no site effects")
    assert_refused(tmp_path / "m.treatsel", resealed(path, change), message)


def published(**change):
    row = dict.fromkeys(("prior", "prior_se", "patients", "patients_se", "difference_sd", "used_se"), 0.1)
    return {"source": "A trial", "rows": [row | {"what": "log odds ratio"} | change]}


def test_a_file_of_an_earlier_version_has_no_sites_priors_or_scores(path, tmp_path, cohort):
    def change(manifest, parts):
        for outcome in manifest["outcomes"]:
            outcome.pop("sites"), outcome.pop("score"), outcome.pop("joint")
        manifest.pop("priors"), manifest["arm_means"].pop("p_best")
        for name in [name for name in parts if "/sites/" in name]:
            parts.pop(name)

    (tmp_path / "m.treatsel").write_bytes(resealed(path, change))
    old = ts.load_model(tmp_path / "m.treatsel")
    assert old.model_.site_column is None
    assert not any(model.joint for model in old.additive_.values())
    assert old.arm_means_["p_best"].isna().all()
    assert "Best for all" in model_card(read_manifest(tmp_path / "m.treatsel"))
    old.predict(cohort.X.head(3))


def sites(manifest):
    return first(manifest)["sites"]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("left", lambda a: np.zeros_like(a), "before its parent"),
        ("right", lambda a: np.full_like(a, 10**6), "outside the tree"),
        ("feature", lambda a: np.full_like(a, 10**6), "does not exist"),
        ("threshold", lambda a: np.full_like(a, np.inf), "not finite"),
        ("value", lambda a: a[:-1], "differ in length"),
        ("roots", lambda a: a - 1, "outside the tree"),
        ("left", lambda a: a.astype(float), "not a vector"),
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
    assert_refused(tmp_path / "m.treatsel", content, "does not match its header")


def test_deep_json_is_refused(path, tmp_path):
    deep = b'{"members":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert_refused(tmp_path / "m.treatsel", sealed({"manifest.json": deep}))


def test_a_manifest_that_is_not_a_mapping_is_refused(tmp_path):
    for text in (b"[]", b"3", b"null", b'{"members": 3}', b"\xff\xfe", b"", b'{"format":1,"members":3}'):
        assert_refused(tmp_path / "m.treatsel", sealed({"manifest.json": text}))


def test_a_changed_manifest_has_another_id(path, tmp_path):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(parts["manifest.json"])
    manifest["intended_use"] = {"purpose": "Everything."}
    parts["manifest.json"] = json.dumps(manifest).encode()
    assert_refused(tmp_path / "m.treatsel", sealed(parts), "model id does not match its content")


# --- numbers that could be used, but must be rejected


def last(manifest):
    return first(manifest)["encoding"]["columns"][-1]  # a text


def renamed(manifest, parts, *, what, sign):
    """Add a character to a name, at all places where it is."""
    if what == "arms":
        old, new = manifest["arms"][0], manifest["arms"][0] + sign
        text = json.dumps(manifest).replace(json.dumps(old), json.dumps(new))
    elif what == "an outcome":
        text = json.dumps(manifest).replace('"dropout"', json.dumps(f"dropout{sign}"))
    elif what == "a field":
        text = json.dumps(manifest).replace('"age"', json.dumps(f"age{sign}"))
    elif what in ("a level", "an enum"):
        places = last(manifest)["levels"] if what == "a level" else None
        field = next(f for f in manifest["codebook"]["fields"] if "enum" in f.get("constraints", {}))
        (places or field["constraints"]["enum"])[0] += sign
        text = json.dumps(manifest)
    else:
        text = json.dumps({**manifest, "library_version": f"1{sign}"})
    manifest.update(json.loads(text))


TAMPERED = {
    "arm means out of order": (lambda m, p: m["arm_means"]["lower"].__setitem__(0, 0.9), "not in order"),
    "a negative error": (lambda m, p: m["arm_means"]["se"].__setitem__(0, -1.0), "arm_means: se"),
    **{
        f"{what} with {ord(sign):04X}": (partial(renamed, what=what, sign=sign), "not seen|can be shown")
        for what in ("arms", "an outcome", "a level", "a field", "an enum", "the version")
        for sign in ("\r", "\n", "\t", "\u202e", "\u2028", "\u200b", "\U000e0041")
    },
    "two arms that look the same": (
        lambda m, p: (m["arms"].__setitem__(1, "cbt\u00a0"), m["training"][1].update(arm="cbt\u00a0")),
        "two arms look the same",
    ),
    "an interval without its estimate": (
        lambda m, p: m["performance"]["dropout"][0].update(value=9.0),
        "does not contain its estimate",
    ),
    "half an interval": (lambda m, p: m["performance"]["dropout"][0].update(upper=None), "half an interval"),
    "a default arm that is not the best": (lambda m, p: m.update(default_arm="cbt"), "not the best"),
    "a default arm without events": (
        lambda m, p: [row.update(sufficient_events=row["arm"] == "cbt") for row in m["training"]],
        "not the best",
    ),
    "a range out of order": (lambda m, p: m["ranges"].update(age=[9.0, 1.0]), "range is not in order"),
    "too many outcomes": (lambda m, p: m.update(outcomes=m["outcomes"] * 33), "33 outcomes; at most 32"),
    "a range too few": (lambda m, p: m["ranges"].pop("age"), "ranges are not those"),
    "a share above 1": (lambda m, p: last(m)["shares"].__setitem__(0, 1.5), "shares"),
    "shares that do not add up": (lambda m, p: last(m)["shares"].__setitem__(0, 0.0), "do not add up"),
    "a level twice": (lambda m, p: last(m)["levels"].__setitem__(0, last(m)["levels"][1]), "levels"),
    "a text for a number": (lambda m, p: first(m)["encoding"]["columns"][0].update(center="1"), "center"),
    "a whole number for a truth": (
        lambda m, p: first(m).update(has_posterior_draws=0),
        "neither true nor false",
    ),
    "events beyond patients": (lambda m, p: m["training"][0].update(n_events=10**6), "not in order"),
    "an arm without counts": (lambda m, p: m["training"].pop(), "each outcome and arm once"),
    "a rate beyond 1": (lambda m, p: m["assignment"]["overlap"]["auc"].__setitem__(0, 1.01), "auc"),
    "no floor": (lambda m, p: m["assignment"].update(propensity_floor=0.0), "propensity_floor"),
    "a metric of no kind": (lambda m, p: m["performance"]["dropout"][0].update(metric="luck"), "metric"),
    "another direction": (lambda m, p: first(m).update(event_is_good=True), "another direction"),
    "another arm column": (lambda m, p: m.update(arm="age"), "another arm column"),
    "a constraint of no kind": (
        lambda m, p: m["codebook"]["fields"][3].update(constraints={"a": 1}),
        "const",
    ),
    "a number that became a text": (
        lambda m, p: m["codebook"]["fields"][3].update(type="string"),
        "in types",
    ),
    "an escape sequence": (lambda m, p: m["intended_use"].update(purpose="\x1b[2J"), "control characters"),
    "half a character": (lambda m, p: m["intended_use"].update(purpose="\ud800"), "control characters"),
    "a text without end": (lambda m, p: m["intended_use"].update(purpose="x" * 20_001), "20,000 characters"),
    "a purpose of another form": (lambda m, p: m["intended_use"].update(purpose=" x "), "normalized form"),
    "an enormous whole number": (lambda m, p: m["training"][0].update(n=10**400), "too large"),
    "no number": (lambda m, p: m["arm_means"]["se"].__setitem__(0, float("nan")), "not finite"),
    "an array too many": (lambda m, p: p.update({"extra/x.npy": p["outcome_0/golden.npy"]}), "no part of"),
    "a huge coefficient": (
        lambda m, p: change_array(p, "outcome_0/coefficients.npy", lambda a: a + 1e31),
        "too large",
    ),
    "infinite assignment": (
        lambda m, p: change_array(p, "assignment/intercept.npy", lambda a: a - np.inf),
        "not finite",
    ),
    "numbers of another kind": (
        lambda m, p: change_array(p, "outcome_0/mixing.npy", lambda a: a.astype("f4")),
        "does not fit",
    ),
    "a leaf that points away": (
        lambda m, p: change_array(p, "outcome_0/trees/left.npy", lambda a: np.maximum(a - (a == a[-1]), 0)),
        "a leaf does not point to itself",
    ),
}


def test_the_default_arm_is_the_best_of_those_with_enough_events(tmp_path):
    """What the selector writes: the best arm by its mean is passed over if it has too few events."""

    def change(manifest, parts):
        for row in manifest["training"]:
            row["sufficient_events"] = row["arm"] == "cbt"
        manifest["default_arm"] = "cbt"

    (tmp_path / "m.treatsel").write_bytes(resealed(STORED / "format_1.treatsel", change))
    assert ts.load_model(tmp_path / "m.treatsel").default_arm_ == "cbt"


@pytest.mark.parametrize(("change", "message"), TAMPERED.values(), ids=TAMPERED)
def test_what_cannot_be_served_is_refused(tmp_path, change, message):
    assert_refused(tmp_path / "m.treatsel", resealed(STORED / "format_1.treatsel", change), message)


def test_trees_whose_nodes_are_mixed_are_refused(tmp_path):
    """Two stumps; the first has leaves stored after the root of the second."""
    parts = {"feature": [0, -1, -1, -1], "left": [2, 1, 2, 3], "right": [3, 1, 2, 3], "roots": [0, 1]}
    parts |= {"threshold": [0.0] * 4, "value": [0.0] * 4, "missing_left": [False] * 4, "member": [0, 0]}
    kinds = {"threshold": "<f8", "value": "<f8", "missing_left": "|b1"}

    def change(manifest, members):
        for part, values in parts.items():
            array = np.array(values, dtype=kinds.get(part, "<i4"))
            members[f"outcome_0/trees/{part}.npy"] = _archive.array_bytes(array)

    content = resealed(STORED / "format_1.treatsel", change)
    assert_refused(tmp_path / "m.treatsel", content, "nodes of different trees are mixed")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:1], "1 draws"),
        (lambda a: a[:, :, :-1], "does not fit"),
        (with_nan, "not finite"),
        (lambda a: a + np.float32(5) * (np.arange(a.shape[2]) == 0), "do not surround their estimate"),
        (lambda a: a * np.float32(0), "do not surround their estimate"),
    ],
)
def test_draws_that_cannot_be_used_are_refused(path, tmp_path, change, message):
    if "outcome_0/draws.npy" not in zipfile.ZipFile(path).namelist():
        pytest.skip("trees have no draws")
    content = resealed(path, lambda m, p: change_array(p, "outcome_0/draws.npy", change))
    assert_refused(tmp_path / "m.treatsel", content, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a":' * 33 + b"1" + b"}" * 33, "33 levels deep"),
        (b'{"a":"' + b"[" * 100 + b'"}', "no format number"),
        (rb'{"a":"\\\"' + b"[" * 100 + b'"}', "no format number"),
        (b'{"' + rb"\"" * 500_000, "not JSON"),
        (b'{"a":1,"a":2}', "a duplicate key"),
        (b'{"a":1e999}', "not finite"),
        (b'{"a":Infinity}', "not finite"),
        (b'{"a":[' + b"0," * 500_000 + b"0]}", "too long"),
        ('{"format":1}'.encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "UTF-8"),
    ],
    ids=range(10),
)
def test_json_is_bounded_before_it_is_parsed(text, message, tmp_path):
    assert_refused(tmp_path / "m.treatsel", sealed({"manifest.json": text}), message)


@pytest.mark.parametrize(
    ("start", "stop", "value"),
    [(10, 12, 5000), (12, 16, 2**21), (16, 20, 0), (16, 20, 2**31), (20, 22, 65)],
    ids=["members", "long directory", "prefix", "outside", "comment"],
)
def test_a_directory_that_is_elsewhere_is_refused(tmp_path, start, stop, value):
    content = (STORED / "format_1.treatsel").read_bytes()[:-64]
    at = len(content) - 22
    changed = content[: at + start] + value.to_bytes(stop - start, "little") + content[at + stop :]
    whole = changed + hashlib.sha256(changed).hexdigest().encode()
    assert_refused(tmp_path / "m.treatsel", whole, "zip directory")


def test_a_file_that_never_ends_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.treatsel")
    for path in (tmp_path / "pipe.treatsel", Path("/dev/zero")):
        with pytest.raises(ArtifactError, match="not a regular file"):
            ts.load_model(path)


def test_too_little_memory_does_not_crash(path, monkeypatch):
    monkeypatch.setattr(_archive, "array_of", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(ArtifactError, match="more memory than is available"):
        ts.load_model(path)


def test_what_could_not_be_loaded_is_not_saved(selector, tmp_path):
    with pytest.raises(ArtifactError, match=r"cannot be saved.*control characters"):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="A \x07 bell.")
    assert not list(tmp_path.iterdir())


def test_a_newer_format_is_distinguished_from_damage(path, tmp_path):
    """Whatever a later format contains: members with other names, a manifest with other keys."""
    later = sealed({"manifest.json": b'{"format":2,"parts":[]}', "Model.onnx": b"x"})
    assert_refused(tmp_path / "m.treatsel", later, r"has format 2, newer than .* 1\. Update treatsel")
    with pytest.raises(ArtifactError, match="newer than"):
        read_manifest(tmp_path / "m.treatsel")


# --- files of earlier releases


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


def test_a_loaded_model_describes_its_development_but_no_patient(tmp_path):
    """Data checks and the tables by arm are in the file; ids and series by patient are not."""
    cohort = make_cohort(400, random_state=9).cohort
    X, planted = cohort.X, "planted-id-0451"
    X.index = [planted, *(f"p{number}" for number in range(1, len(X)))]
    y = cohort.y["recovery"].set_axis(X.index)
    with pytest.warns(ts.errors.TreatselWarning):
        fitted = ts.TreatmentSelector(codebook=cohort.codebook, estimator="hierarchical", random_state=0).fit(
            X, y
        )
    ts.save_model(fitted, tmp_path / "m.treatsel", intended_use="Tests.")
    with zipfile.ZipFile(tmp_path / "m.treatsel") as file:
        for name in file.namelist():
            assert planted.encode() not in name.encode() + file.read(name)
    loaded = ts.load_model(tmp_path / "m.treatsel")
    assert [check.code for check in loaded.data_checks_] == [check.code for check in fitted.data_checks_]
    assert loaded.data_checks_
    (name,), observation = loaded.observation_, loaded.observation_["recovery"]
    assert (name, observation.weights, observation.probability) == ("recovery", None, None)
    assert (loaded.assignment_.probabilities, loaded.assignment_.raw) == (None, None)
    shared = ["n", "n_observed", "share", "effective_n"]
    pd.testing.assert_frame_equal(
        observation.table[shared],
        fitted.observation_["recovery"].table.loc[fitted.arms_, shared],
        check_names=False,
        check_dtype=False,
    )
    assert planted in fitted.observation_["recovery"].weights.index
