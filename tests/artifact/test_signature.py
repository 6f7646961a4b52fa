"""Signatures: the signer, the content covered, and no other change to the file."""

import base64
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import treatsel as ts
from treatsel.artifact import _archive, _signature, new_keys, read_manifest, sign_model
from treatsel.cli.main import main
from treatsel.errors import ArtifactError, InputError

STORED = Path(__file__).parents[1] / "artifacts" / "format_1.treatsel"
VALIDATION = {"outcome": "dropout", "n": 9, "level": 0.95, "headline": "None.", "figures": {}}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        new_keys(folder / f"{name}.pem", folder / f"{name}.pub.pem")
    return folder


@pytest.fixture(scope="module")
def signed(keys):
    sign_model(STORED, keys / "mine.pem", keys / "signed.treatsel")
    return keys / "signed.treatsel"


def with_members(path, content):
    """Write a file of other members, with a correct seal."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        archive.comment = b"0" * 64
    body = stream.getvalue()[:-64]
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_signed_file_loads_with_and_without_the_key(signed, keys):
    patients = pd.read_csv(STORED.with_suffix(".patients.csv"))
    expected = ts.load_model(STORED).predict_by_arm(patients)
    pem = (keys / "mine.pub.pem").read_bytes()
    for key in (None, keys / "mine.pub.pem", str(keys / "mine.pub.pem"), pem):
        selector = ts.load_model(signed, require_signature=key)
        pd.testing.assert_frame_equal(selector.predict_by_arm(patients), expected)


def test_signing_changes_neither_id_nor_hashes(signed):
    before, after = members(STORED), members(signed)
    assert len(after.pop("signature.ed25519")) == 96
    assert after == before
    assert read_manifest(signed).model_id == read_manifest(STORED).model_id


def test_the_signer_is_named(signed, keys):
    text = (keys / "mine.pub.pem").read_text()
    der = base64.b64decode("".join(text.splitlines()[1:-1]))
    assert read_manifest(STORED).signed_by is None
    assert read_manifest(signed).signed_by == hashlib.sha256(der).hexdigest()


def test_a_signature_is_the_same_each_time_and_replaces_another(signed, keys, tmp_path):
    again = tmp_path / "again.treatsel"
    sign_model(signed, keys / "other.pem", again)
    with pytest.raises(ArtifactError, match="not by the required"):
        ts.load_model(again, require_signature=keys / "mine.pub.pem")
    sign_model(again, keys / "mine.pem")
    assert again.read_bytes() == signed.read_bytes()


def test_a_file_that_is_not_signed_is_refused(keys):
    with pytest.raises(ArtifactError, match="It is not signed, and a signature is required"):
        ts.load_model(STORED, require_signature=keys / "mine.pub.pem")


@pytest.mark.parametrize("part", ["validation", "intended_use"])
def test_a_manifest_that_was_changed_is_refused(signed, keys, tmp_path, part):
    """All hashes are recomputed, and the signature is kept."""
    content = members(signed)
    manifest = json.loads(content["manifest.json"])
    manifest[part] = VALIDATION if part == "validation" else {"purpose": "Everything."}
    rest = {key: value for key, value in manifest.items() if key not in ("model_id", "validation")}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    manifest["model_id"] = hashlib.sha256(canonical).hexdigest()
    content["manifest.json"] = json.dumps(manifest).encode()
    path = with_members(tmp_path / "m.treatsel", content)
    assert ts.load_model(path).arms_
    with pytest.raises(ArtifactError, match="changed after it was signed"):
        ts.load_model(path, require_signature=keys / "mine.pub.pem")


def test_an_array_that_was_changed_is_refused(signed, keys, tmp_path):
    content = members(signed)
    content["outcome_0/intercept.npy"] = content["assignment/intercept.npy"]
    path = with_members(tmp_path / "m.treatsel", content)
    with pytest.raises(ArtifactError, match="The hash of member outcome_0/intercept"):
        ts.load_model(path, require_signature=keys / "mine.pub.pem")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:95], "has 95 bytes; it must have 96"),
        (lambda s: s + b"x", "has 97 bytes"),
        (lambda s: b"", "has 0 bytes"),
        (lambda s: bytes(96), "not by the required"),
        (lambda s: s[:32] + bytes(64), "changed after it was signed"),
        (lambda s: s[:95] + bytes([s[95] ^ 1]), "changed after it was signed"),
        (lambda s: bytes(2000), "too large"),
    ],
    ids=range(7),
)
def test_a_signature_that_was_changed_is_refused(signed, keys, tmp_path, change, message):
    content = members(signed)
    content["signature.ed25519"] = change(content["signature.ed25519"])
    path = with_members(tmp_path / "m.treatsel", content)
    with pytest.raises(ArtifactError, match=message):
        ts.load_model(path, require_signature=keys / "mine.pub.pem")


def test_a_signature_of_another_file_is_refused(signed, keys, tmp_path):
    """A signature is valid only for a manifest of this library and of this file."""
    raw = members(signed)["signature.ed25519"]
    with pytest.raises(ArtifactError, match="changed after it was signed"):
        _signature.check_signature(raw, b"{}", _signature.public_key_of(keys / "mine.pub.pem"))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("mine.pem", "This is a private key"),
        ("absent.pem", "Cannot read the public key"),
        (b"", "must be an Ed25519 key in PEM form"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "must be an Ed25519 key in PEM form",
        ),
    ],
)
def test_what_is_not_a_public_key_is_refused(signed, keys, key, message):
    with pytest.raises(InputError, match=message):
        ts.load_model(signed, require_signature=keys / key if isinstance(key, str) else key)


def test_a_key_given_as_text_is_read_and_never_shown(signed, keys, tmp_path):
    public, private = ((keys / name).read_text() for name in ("mine.pub.pem", "mine.pem"))
    ts.load_model(signed, require_signature=public)
    sign_model(STORED, private, tmp_path / "signed.treatsel")
    ts.load_model(tmp_path / "signed.treatsel", require_signature=public)
    secret = private.splitlines()[1]
    for text in (private.replace("A", "B"), private.replace("-----END", "-----"), private[:-80]):
        with pytest.raises(InputError, match="private key cannot be read") as caught:
            sign_model(STORED, text)
        assert secret[:20] not in str(caught.value)


@pytest.mark.parametrize("key", [True, 5, ["mine.pem"]])
def test_a_key_that_is_no_text_is_refused(signed, key):
    with pytest.raises(InputError, match="give PEM text, or a path to it"):
        ts.load_model(signed, require_signature=key)


def test_keys_of_another_kind_are_refused(signed):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, pem = ec.generate_private_key(ec.SECP256R1()), serialization.Encoding.PEM
    private, locked = (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock)
        for lock in (serialization.NoEncryption(), serialization.BestAvailableEncryption(b"x"))
    )
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(InputError, match="private key is not an Ed25519 key"):
        sign_model(signed, private)
    with pytest.raises(InputError, match="encrypted with a password"):
        sign_model(signed, locked)
    with pytest.raises(InputError, match="public key is not an Ed25519 key"):
        ts.load_model(signed, require_signature=public)


def test_a_damaged_file_is_never_signed(keys, tmp_path):
    path = tmp_path / "m.treatsel"
    path.write_bytes(STORED.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="seal is broken"):
        sign_model(path, keys / "mine.pem")


def test_the_signed_content_is_the_checked_content(keys, tmp_path, monkeypatch):
    """The file is read once, so it cannot be exchanged in between."""
    reads, read = [], _archive.read
    monkeypatch.setattr(_archive, "read", lambda path: reads.append(path) or read(path))
    sign_model(STORED, keys / "mine.pem", tmp_path / "m.treatsel")
    assert reads == [STORED]


def test_what_is_shown_is_what_was_verified(signed, keys, tmp_path, monkeypatch, capsys):
    """A forged file that takes the place of a signed one after its first reading is never shown."""
    content = members(signed)
    manifest = json.loads(content["manifest.json"])
    manifest["intended_use"] = {"purpose": "Forged."}
    rest = {key: value for key, value in manifest.items() if key not in ("model_id", "validation")}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    manifest["model_id"] = hashlib.sha256(text).hexdigest()
    content["manifest.json"] = json.dumps(manifest).encode()
    forged = with_members(tmp_path / "forged.treatsel", content)
    path, read = tmp_path / "m.treatsel", _archive.read

    def exchanging(given):
        found = read(given)
        path.write_bytes(forged.read_bytes())
        return found

    monkeypatch.setattr(_archive, "read", exchanging)
    for options in ([], ["--json"], ["--check"], ["--html", tmp_path / "card.html"]):
        path.write_bytes(signed.read_bytes())
        shown = said(capsys, "show", path, "--public-key", keys / "mine.pub.pem", *options)
        assert "verified" in shown or '"signed_by"' in shown
        assert "Forged" not in shown
        assert path.read_bytes() == forged.read_bytes()
        assert "does not match" in said(
            capsys, "show", path, "--public-key", keys / "mine.pub.pem", *options, status=2
        )
    assert "Forged" not in (tmp_path / "card.html").read_text(encoding="utf-8")


def test_a_manifest_is_read_only_with_the_required_signature(signed, keys):
    assert read_manifest(signed, require_signature=keys / "mine.pub.pem").signed_by
    with pytest.raises(ArtifactError, match="not by the required"):
        read_manifest(signed, require_signature=keys / "other.pub.pem")


def test_new_keys_are_private_and_replace_nothing(tmp_path):
    private, public = tmp_path / "a.pem", tmp_path / "b.pem"
    new_keys(private, public)
    assert private.stat().st_mode & 0o777 == 0o600
    before = private.read_bytes()
    with pytest.raises(InputError, match="Refusing to overwrite"):
        new_keys(private, tmp_path / "c.pem")
    assert private.read_bytes() == before


def test_without_cryptography_the_message_names_the_package(signed, keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(InputError, match=r"treatsel\[sign\]"):
        ts.load_model(signed, require_signature=keys / "mine.pub.pem")
    assert ts.load_model(signed).arms_
    assert read_manifest(signed).signed_by


def test_the_archive_is_written_with_the_signature(signed, tmp_path):
    file = _archive.read(signed)
    _archive.write(tmp_path / "copy", file.manifest, file.arrays, file.signature)
    assert (tmp_path / "copy").read_bytes() == signed.read_bytes()


# --- on the command line


def said(capsys, *arguments, status=0):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_sign_and_show(capsys, tmp_path):
    model, private, public = (tmp_path / name for name in ("m.treatsel", "private.pem", "public.pem"))
    model.write_bytes(STORED.read_bytes())
    assert "Keep" in said(capsys, "keygen", private, public)
    assert "not signed" in said(capsys, "show", model, "--check")
    assert "is not signed" in said(capsys, "show", model, "--check", "--public-key", public, status=2)
    text = said(capsys, "sign", model, "--private-key", private, "--out", tmp_path / "s.treatsel")
    fingerprint = read_manifest(tmp_path / "s.treatsel").signed_by
    assert fingerprint in text
    assert f"{fingerprint} (not verified" in said(capsys, "show", tmp_path / "s.treatsel")
    checked = said(capsys, "show", tmp_path / "s.treatsel", "--check", "--public-key", public)
    assert f"{fingerprint} (verified)" in checked
    shown = json.loads(said(capsys, "show", tmp_path / "s.treatsel", "--json"))
    assert shown["signed_by"] == fingerprint
    assert model.read_bytes() == STORED.read_bytes()


def test_keys_never_replace_files(capsys, tmp_path):
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    said(capsys, "keygen", private, public)
    before = private.read_bytes()
    assert "already exists" in said(capsys, "keygen", private, tmp_path / "other.pem", status=2)
    assert private.read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["m"], ["--private-key", "k"]])
def test_sign_needs_a_model_and_a_key(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(["sign", *arguments])
    assert ended.value.code == 2
    assert "required" in capsys.readouterr().err
