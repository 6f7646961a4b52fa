"""Effects of therapists from the cohort to the model file and back, under keyed labels."""

import hashlib
import hmac
import json
import zipfile
from itertools import product

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.artifact.test_artifact import resealed

import treatsel as ts
from treatsel._stats.keyed_labels import keyed_label, secret_of
from treatsel.artifact import read_manifest, sign_model
from treatsel.cli.main import main
from treatsel.codebook import Field
from treatsel.datasets import make_cohort
from treatsel.errors import ArtifactError, InputError
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, RecalibratedClassifier
from treatsel.report import model_card
from treatsel.serve import load_model

pytestmark = [pytest.mark.one_version, pytest.mark.filterwarnings("ignore::treatsel.errors.TreatselWarning")]
KEY, OTHER = bytes(range(32)), b"x" * 32
OPTIONS = {"estimator": "hierarchical", "random_state": 0}
USE = {"intended_use": "Tests."}


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(900, sites=6, random_state=2).cohort


@pytest.fixture(scope="module")
def selector(cohort):
    return ts.TreatmentSelector(**OPTIONS).fit(cohort, keep_therapists=True)


@pytest.fixture(scope="module")
def saved(selector, tmp_path_factory):
    path = tmp_path_factory.mktemp("therapists") / "m.treatsel"
    ts.save_model(selector, path, **USE, therapist_key=KEY)
    return path


def test_the_selector_keeps_them_on_request(selector, cohort):
    for outcome in selector.outcomes_:
        found = selector.therapist_effects(outcome)
        observed = cohort.frame[cohort.y[outcome].notna()]
        sizes = observed.groupby(["service", "therapist", "arm"]).size()
        keys = [tuple(row) for row in found[["site", "therapist", "arm"]].to_numpy()]
        assert found["n"].tolist() == sizes.loc[keys].tolist()
        assert found["n"].min() >= 15
        np.testing.assert_allclose(found["upper"] - found["effect"], 1.959964 * found["sd"])
    assert len(selector.therapist_effects("dropout")) > len(selector.therapist_effects("recovery")) > 5
    one = cohort.frame[cohort.frame["therapist"] == found["therapist"][0]].head(1)
    own = selector.therapist_effects(outcome, table=one, level=0.8)
    assert own["therapist"].tolist() == [found["therapist"][0]]
    assert own["upper"][0] < found["upper"][0]


def test_nothing_is_kept_by_default(cohort, selector, tmp_path):
    plain = ts.TreatmentSelector(**OPTIONS).fit(cohort)
    with pytest.raises(InputError, match="No effects of therapists were kept for 'recovery'"):
        plain.therapist_effects()
    with pytest.raises(InputError, match="therapist_key was given, but the model has no effects"):
        ts.save_model(plain, tmp_path / "m.treatsel", **USE, therapist_key=KEY)
    # neither the file nor the predictions tell whether they were kept
    ts.save_model(plain, tmp_path / "plain.treatsel", **USE)
    ts.save_model(selector, tmp_path / "asked.treatsel", **USE)
    content = (tmp_path / "plain.treatsel").read_bytes()
    assert content == (tmp_path / "asked.treatsel").read_bytes()
    manifest = read_manifest(tmp_path / "plain.treatsel").content
    keys = {
        "name",
        "event_is_good",
        "encoding",
        "has_posterior_draws",
        "has_trees",
        "joint",
        "score",
        "sites",
    }
    assert all(set(outcome) == keys for outcome in manifest["outcomes"])
    assert "Effects of therapists" not in model_card(read_manifest(tmp_path / "plain.treatsel"))


def test_a_file_gives_the_same_effects_to_the_holder_of_the_key(selector, saved, cohort, tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    loaded = ts.load_model(saved)
    for outcome, key in zip(selector.outcomes_, (KEY, tmp_path / "key"), strict=True):
        found = loaded.therapist_effects(outcome, table=cohort.frame, key=key)
        pd.testing.assert_frame_equal(found, selector.therapist_effects(outcome))
    few = loaded.therapist_effects(table=cohort.frame.head(3), key=str(tmp_path / "key"))
    assert 0 < len(few) <= 3
    strangers = cohort.frame.assign(therapist="nobody")
    assert loaded.therapist_effects(table=strangers, key=KEY).empty
    missing = cohort.frame.assign(therapist=None)
    assert loaded.therapist_effects(table=missing, key=KEY).empty
    # the same label at another site is another therapist
    moved = cohort.frame.assign(service=cohort.frame["service"].map(lambda site: f"{site} (new)"))
    assert loaded.therapist_effects(table=moved, key=KEY).empty


def test_saving_again_needs_the_same_key(saved, selector, tmp_path):
    loaded = ts.load_model(saved)
    again = tmp_path / "again.treatsel"
    ts.save_model(loaded, again, **USE, therapist_key=KEY)
    assert again.read_bytes() == saved.read_bytes()
    with pytest.raises(InputError, match="not the key under which"):
        ts.save_model(loaded, again, **USE, therapist_key=OTHER)
    ts.save_model(loaded, again, **USE)
    ts.save_model(selector, tmp_path / "plain.treatsel", **USE)
    assert again.read_bytes() == (tmp_path / "plain.treatsel").read_bytes()


def test_the_file_tells_no_name_to_those_without_the_key(saved, cohort):
    with zipfile.ZipFile(saved) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    labels = {
        row["label"]
        for each in read_manifest(saved).content["outcomes"]
        for row in each["therapists"]["rows"]
    }
    assert KEY not in content
    assert KEY.hex().encode() not in content
    for site, name in cohort.frame[["service", "therapist"]].drop_duplicates().to_numpy():
        assert name.encode() not in content
        texts = (
            name,
            site + name,
            f"{site}|{name}",
            f"{site},{name}",
            f"{site} {name}",
            json.dumps([site, name]),
        )
        contexts = ("", "treatsel therapist\n")
        for text, context in product(texts, contexts):
            message = (context + text).encode()
            tried = {kind(message).hexdigest() for kind in (hashlib.sha256, hashlib.sha1, hashlib.md5)}
            tried |= {hmac.new(key, message, hashlib.sha256).hexdigest() for key in (b"", b"treatsel", OTHER)}
            assert not tried & labels
    # the order of rows does not follow that of the names
    names = {keyed_label(KEY, *pair): pair for pair in cohort.frame[["service", "therapist"]].to_numpy()}
    order = [names[row["label"]] for row in read_manifest(saved).content["outcomes"][0]["therapists"]["rows"]]
    assert [tuple(each) for each in order] != sorted(map(tuple, order))


def test_labels_depend_on_key_site_and_therapist_and_on_nothing_else():
    label = keyed_label(KEY, "S1", "Ann")
    message = b'treatsel therapist\n["S1", "Ann"]'
    assert label == hmac.new(KEY, message, hashlib.sha256).hexdigest()
    others = [("S1", "Bob"), ("S2", "Ann"), (None, "Ann"), ("S1A", "nn"), ("null", "Ann"), ("", "Ann")]
    assert len({label, keyed_label(OTHER, "S1", "Ann"), *(keyed_label(KEY, *pair) for pair in others)}) == 8
    assert keyed_label(KEY, 3.0, 7) == keyed_label(KEY, "3", "7") == keyed_label(KEY, " 3", "7 ")


@pytest.mark.parametrize("key", [b"", b"x" * 15, b"x" * 70_000])
def test_a_key_that_is_too_short_or_long_is_refused(key, selector, tmp_path):
    (tmp_path / "key").write_bytes(key)
    for given in (key, tmp_path / "key"):
        with pytest.raises(InputError, match="The key") as caught:
            ts.save_model(selector, tmp_path / "m.treatsel", **USE, therapist_key=given)
        assert "xxx" not in str(caught.value)
    assert not (tmp_path / "m.treatsel").exists()


def test_a_key_that_cannot_be_read_is_refused(tmp_path):
    for given, message in (
        (tmp_path / "absent", "No such file"),
        (3, "The key is a int"),
        ("a\0b", "not a valid"),
    ):
        with pytest.raises(InputError, match=message):
            secret_of(given)
    assert secret_of(b"x" * 16) == b"x" * 16


def test_reading_needs_table_and_key(saved, cohort, selector):
    loaded = ts.load_model(saved)
    for given in ({}, {"table": cohort.frame}, {"key": KEY}):
        with pytest.raises(InputError, match=r"keyed labels. Give a table .* 'service' and 'therapist'"):
            loaded.therapist_effects(**given)
    with pytest.raises(InputError, match="not the key under which"):
        loaded.therapist_effects(table=cohort.frame, key=OTHER)
    with pytest.raises(InputError, match="has no column 'service'"):
        loaded.therapist_effects(table=cohort.frame[["therapist"]], key=KEY)
    with pytest.raises(InputError, match="have names, not keyed labels"):
        selector.therapist_effects(key=KEY)
    with pytest.raises(InputError, match="outcome"):
        loaded.therapist_effects("survival", table=cohort.frame, key=KEY)


def change_row(**values):
    return lambda manifest: manifest["outcomes"][0]["therapists"]["rows"][0].update(values)


def change_part(**values):
    return lambda manifest: manifest["outcomes"][0]["therapists"].update(values)


def duplicate(manifest):
    rows = manifest["outcomes"][0]["therapists"]["rows"]
    rows.insert(0, rows[0])


def reverse(manifest):
    manifest["outcomes"][0]["therapists"]["rows"].reverse()


CORRUPT = {
    "a name as label": (change_row(label="Ann"), "not a keyed one"),
    "a label in capitals": (change_row(label="A" * 64), "not a keyed one"),
    "a label of another type": (change_row(label=3), "not a keyed one"),
    "14 patients": (change_row(n=14), "fewer than 15 patients"),
    "half a patient": (change_row(n=20.5), "fewer than 15 patients"),
    "an unknown arm": (change_row(arm="magic"), "unknown arm"),
    "an arm that is a list": (change_row(arm=["cbt"]), "unknown arm"),
    "no effect": (change_row(effect=None), "effect of a therapist"),
    "a huge effect": (change_row(effect=1e6), "effect of a therapist"),
    "a negative SD": (change_row(sd=-0.1), "SD of a therapist"),
    "another key": (change_row(name="Ann"), "other keys"),
    "a key more": (change_part(names=[]), "therapists have other keys"),
    "no check of the key": (change_part(key_check="secret"), "cannot be recognized"),
    "a covariate as column": (change_part(therapist="age"), "another role"),
    "one column twice": (change_part(site="therapist"), "no column of their own"),
    "no column": (change_part(therapist=None), "no column of their own"),
    "rows that are none": (change_part(rows=[1]), "not a list of mappings"),
    "too many": (change_part(rows=[{}] * 5001), "5,001 effects"),
    "a duplicate": (duplicate, "not in order, or not distinct"),
    "another order": (reverse, "not in order, or not distinct"),
    "a text": (lambda manifest: manifest["outcomes"][0].update(therapists="Ann"), "other keys"),
}


@pytest.mark.parametrize(("change", "message"), CORRUPT.values(), ids=CORRUPT)
def test_corrupt_entries_are_refused(change, message, saved, tmp_path):
    path = tmp_path / "m.treatsel"
    path.write_bytes(resealed(saved, lambda manifest, parts: change(manifest)))
    with pytest.raises(ArtifactError, match=message):
        ts.load_model(path)


def test_the_card_the_service_and_a_signature(saved, cohort, tmp_path):
    manifest = read_manifest(saved)
    n = len({row["label"] for each in manifest.content["outcomes"] for row in each["therapists"]["rows"]})
    assert (
        f"Effects of therapists: {n} therapists with 15 patients or more, under keyed labels"
        in model_card(manifest)
    )
    record = cohort.frame.iloc[0].to_dict()
    assert set(load_model(saved).predict_by_arm(record)) == set(cohort.frame["arm"])
    pytest.importorskip("cryptography")
    ts.artifact.new_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    sign_model(saved, tmp_path / "private.pem", tmp_path / "signed.treatsel")
    loaded = ts.load_model(tmp_path / "signed.treatsel", require_signature=tmp_path / "public.pem")
    assert len(loaded.therapist_effects(table=cohort.frame, key=KEY))


def test_they_are_refused_where_there_are_none(cohort):
    X, y = cohort.X, cohort.y["dropout"]
    with pytest.raises(InputError, match="give their column the role therapist in the codebook"):
        ts.TreatmentSelector(**OPTIONS, event_is_good=False).fit(X, y, keep_therapists=True)
    other = ArmwiseClassifier(LogisticRegression())
    with pytest.raises(InputError, match="ArmwiseClassifier has none"):
        ts.TreatmentSelector(estimator=other).fit(cohort, keep_therapists=True)
    # without sites, a person with several rows would be the site of a therapist
    frame = cohort.frame.drop(columns="service").assign(person=np.arange(len(cohort)) // 2)
    fields = [field for field in cohort.codebook.fields if field.name != "service"]
    person = Field(name="person", type="integer", role="person")
    book = ts.Codebook((*fields, person), cohort.codebook.missing_values)
    with pytest.raises(InputError, match="persons take the place of sites"):
        ts.TreatmentSelector(**OPTIONS).fit(ts.Cohort(frame, book), y, keep_therapists=True)


def test_an_updated_model_has_none_of_the_old_effects(selector, cohort):
    updated = RecalibratedClassifier(selector.models_["dropout"], method="intercept")
    changed = selector.with_models({"dropout": updated.fit(cohort.X, cohort.y["dropout"])})
    with pytest.raises(InputError, match="No effects of therapists were kept for 'dropout'"):
        changed.therapist_effects("dropout")
    pd.testing.assert_frame_equal(
        changed.therapist_effects("recovery"), selector.therapist_effects("recovery")
    )


def test_a_model_that_keeps_them_by_itself(cohort):
    model = HierarchicalClassifier(keep_therapists=True)
    found = ts.TreatmentSelector(estimator=model, random_state=0).fit(cohort, cohort.y["dropout"])
    assert len(found.therapist_effects()) > 5


def test_the_command_stores_them(cohort, tmp_path, capsys):
    (tmp_path / "key").write_bytes(KEY)
    cohort.frame.to_csv(tmp_path / "cohort.csv")
    cohort.codebook.write(tmp_path / "book.yaml")
    train = ["train", tmp_path / "cohort.csv", "--codebook", tmp_path / "book.yaml", "--outcome", "dropout"]
    train += ["--estimator", "hierarchical", "--intended-use", "Tests.", "--out", tmp_path / "m.treatsel"]
    assert main([*map(str, train), "--therapist-key", str(tmp_path / "absent")]) == 2
    assert "The key file cannot be read" in capsys.readouterr().err
    assert main([*map(str, train), "--therapist-key", str(tmp_path / "key")]) == 0
    loaded = ts.load_model(tmp_path / "m.treatsel")
    assert len(loaded.therapist_effects(table=cohort.frame, key=KEY)) > 5
