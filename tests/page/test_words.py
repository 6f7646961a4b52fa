"""The words of the page: all in one file, plain, and replaced by those of a service."""

import html
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

from treatsel.codebook import SAFETY_CODES
from treatsel.errors import InputError
from treatsel.page import strings_of
from treatsel.predictions import WARNING_CODES
from treatsel.recommendation import STATUS_REASONS, STATUSES

ENGLISH = strings_of(None)


def leaves(strings, path=()):
    for name, value in strings.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def translated(value):
    """Every word is replaced, except those in braces."""
    if isinstance(value, dict):
        return {name: translated(each) for name, each in value.items()}
    if isinstance(value, list):
        return [translated(each) for each in value]
    return re.sub(r"(\{\w+\})|[A-Za-z]+", lambda found: found[1] or "zz", value)


def test_all_words_come_from_one_file(patient_of, tree_of, tmp_path):
    """With every English word replaced, no other word is left but what the recommendation holds."""
    strings = translated({name: value for name, value in ENGLISH.items() if name not in ("dir", "arms")})
    path = tmp_path / "zz.yaml"
    path.write_text(yaml.safe_dump(strings), encoding="utf-8")
    flags = [(code, "q") for code in WARNING_CODES]
    audit = {"intended_use": {"purpose": "q", "population": "q", "horizon": "q"}, "date": "2026-01-01"}
    audit |= {"service": "new", "assignment": "q"}
    patient = patient_of(0, flags=flags, evidence={("dropout", "IPT"): True}, audit=audit)
    found = patient.recommended({"remission": 1, "dropout": 1})
    text = found.to_html(strings=path, safety_items="q", explanation="q", next_question="q")
    tree = tree_of(patient, found.preferences, label="q", titles=("q", "q", "q"))
    text += found.to_html(strings=path, next_question=replace(tree, recommendation=found))
    status = found.columns["status"][0]
    known = {"zz", "q", "CBT", "IPT", "SSRI", "TAU", *patient.good, status, found.rule, "abcdef"}
    shown = re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.DOTALL)
    texts = [*re.findall(r">([^<]+)<", shown), *re.findall(r'aria-(?:label|valuetext)="([^"]+)"', shown)]
    words = {word for each in texts for word in re.findall(r"[A-Za-z_]{2,}", html.unescape(each))}
    assert words - known == set()


def test_every_code_has_words():
    assert set(ENGLISH["status"]) == {*STATUSES, "no_option"}
    assert set(ENGLISH["warnings"]) == set(WARNING_CODES) - set(SAFETY_CODES)
    assert set(SAFETY_CODES) <= set(ENGLISH["safety"])
    assert set(ENGLISH["reasons"]) == set(STATUS_REASONS)


def test_texts_for_patients_are_short():
    """Sentences of at most 25 words and few long words, as for a reading age of about 12."""
    parts = {
        name: ENGLISH[name] for name in ENGLISH if name not in ("clinician", "warnings", "reasons", "uses")
    }
    sentences = []
    for _, value in leaves(parts):
        for text in value if isinstance(value, list) else [value]:
            sentences += [each.split() for each in re.split(r"[.!?:]\s", text) if each]
    assert max(map(len, sentences)) <= 25
    words = [word for each in sentences for word in each]
    assert np.mean([len(each) for each in sentences if len(each) > 3]) < 14
    assert np.mean([len(word) > 9 for word in words]) < 0.05


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        ({"titel": "x"}, "no entry 'titel'. Did you mean 'title'"),
        ({"status": {"clear": {}}}, "no entry 'status' 'clear'"),
        ({"title": ["x"]}, "'title' must be a text"),
        ({"talk": {"items": "x"}}, "'items' must be a list of texts"),
        ({"chances": {"range": "{lower} {n}"}}, r"\['n'\] in braces; the words that can be filled are"),
        ({"outcomes": {"remission": {"event": "recover"}}}, "must be a mapping with"),
        ({"arms": {"CBT": {"name": "x"}}}, "must be a mapping with"),
        ({"arms": ["CBT"]}, "must be a mapping"),
        ([1], "must be a mapping"),
    ],
)
def test_wrong_strings_are_refused(patient_of, strings, message):
    with pytest.raises(InputError, match=message):
        patient_of(0).recommended().to_html(strings=strings)


def test_a_service_names_arms_and_outcomes(patient_of):
    strings = {
        "arms": {"CBT": {"title": "Talking therapy (CBT)", "description": "Weekly.", "for": ["No tablets."]}},
        "outcomes": {"nausea": {"event": "feel sick", "no_event": "do not feel sick"}},
        "title": "Deine Optionen",
        "lang": "de",
    }
    text = patient_of(0).recommended({"remission": 1, "nausea": 1}).to_html(strings=strings)
    assert '<html lang="de"' in text
    assert "<h1>Deine Optionen</h1>" in text
    assert "<h3>Talking therapy (CBT)</h3>" in text
    assert "<li>No tablets.</li>" in text
    assert "How much does it matter that you do not feel sick?" in text
