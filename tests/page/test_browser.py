"""The page in a browser: its script decides as Python does."""

import itertools
import json
import math
import re
import shutil
import subprocess
from collections import Counter

import numpy as np
import pytest

from treatsel.page import strings_of
from treatsel.page._choice_view import choice_view
from treatsel.page._wording import Wording
from treatsel.recommendation._page import choice_of, page_of

pytestmark = pytest.mark.one_version

GOOD = {"remission": True, "dropout": False, "nausea": False}

REGIONS = """{
  ready: d.documentElement.dataset.ready, status: d.getElementById('yours').dataset.status,
  headline: d.getElementById('headline').textContent, text: d.getElementById('status-text').textContent,
  rule: d.getElementById('rule-text').textContent, used: d.getElementById('weights-used').textContent,
  groups: [...d.getElementById('groups').children].map((e) => [e.tagName, e.className, e.start || 0,
    e.children.length ? [...e.children].map((i) => i.textContent) : e.textContent]),
  contrasts: [...d.getElementById('contrasts').rows].map((r) => [...r.cells].map((c) => c.textContent)),
  heads: [...d.querySelectorAll('#contrasts th')].map((c) => c.scope),
  facts: ['fact-status', 'fact-best-set', 'fact-weights'].map((id) => d.getElementById(id).textContent),
  outputs: [...d.querySelectorAll('output')].map((o) => o.textContent),
  spoken: [...d.querySelectorAll('input')].map((i) => i.getAttribute('aria-valuetext')) }"""


def moves(weights):
    """Move the sliders of a page to each of these weights, and return what it then shows."""
    return f"""{json.dumps([list(map(int, each)) for each in weights])}.map((weights) => {{
      weights.forEach((each, i) => {{ d.getElementById('weight-' + i).value = String(each); }});
      d.getElementById('weight-0').dispatchEvent(new w.Event('input'));
      return {REGIONS}; }})"""


def expected(page, words, found):
    """What Python says at these weights, in the form of `REGIONS`."""
    view = choice_view(choice_of(found), words)
    groups = []
    for heading, names, is_ordered in view.groups:
        start = 1 + (len(view.groups[0][1]) if groups else 0)
        groups.append(["P", "group", 0, heading])
        groups.append(["OL", "rest", start, names] if is_ordered else ["UL", "lead", 0, names])
    total = sum(found.preferences.values())
    shares = [math.floor(100 * found.preferences[name] / total + 0.5) for name in found.preferences]
    outputs = [f"{share} of 100 points" for share in shares]
    return {
        "ready": "true",
        "status": view.status,
        "headline": view.headline,
        "text": view.text,
        "rule": view.rule,
        "used": f"Weights used: {view.weights}.",
        "groups": groups,
        "contrasts": view.contrasts,
        "heads": ["row"] * len(page.eligible),
        "facts": [view.status, view.best_set, view.weights],
        "outputs": outputs,
        "spoken": outputs,
    }


def check(patients, weights, browse):
    """The script of each page at all weights shows what Python decides; returns what it shows."""
    shown = []
    frames = [(patient.recommended(dict.fromkeys(patient.good, 1.0)).to_html(), "") for patient in patients]
    for patient, found in zip(patients, browse(frames, moves(weights)), strict=True):
        page = page_of(patient.recommended())
        words = Wording(page, strings_of(None))
        for each, seen in zip(weights, found, strict=True):
            decided = patient.recommended(dict(zip(patient.good, map(float, each), strict=True)))
            assert seen == expected(page, words, decided), each
        shown += found
    return shown


def test_sliders_decide_as_python_does(patient_of, browse):
    """Random patients at random weights, with every status that needs draws."""
    settings = [(1.0, 0.15), (0.3, 0.3), (0.1, 0.1), (0.6, 0.5), (0.05, 0.02), (0.4, 0.3), (0.25, 0.2)]
    patients = [patient_of(i, effect=effect, spread=spread) for i, (effect, spread) in enumerate(settings)]
    weights = np.random.default_rng(0).integers(0, 101, (16, 3))
    found = check(patients, [(100, 0, 0), (0, 50, 0), *weights], browse)
    counts = Counter(each["status"] for each in found)
    assert set(counts) == {"clear_gain", "default_best", "leaning", "equivalent", "undecided"}
    assert min(counts.values()) >= 5
    assert len({json.dumps(each["groups"]) for each in found}) > 20  # the order does change


def test_sliders_respect_all_options(patient_of, browse):
    """Exclusions, rules, comparator, margin, level, evidence, outcomes without draws, and ties."""
    options = [
        {"excluded": {"CBT": "Not offered here."}},
        {"excluded": {"TAU": "Not offered here."}, "rule": "switch"},
        {"rule": "switch", "margin": 0.0},
        {"rule": "switch", "p_switch": 0.55, "level": 0.5},
        {"rule": "default", "margin": 0.3},
        {"comparator": "IPT"},
        {"default_arm": None},
    ]
    patients = [patient_of(7, effect=0.5, spread=0.35, options=each) for each in options]
    patients.append(patient_of(8, evidence={("dropout", "TAU"): True, ("nausea", "IPT"): True}))
    without = patient_of(9)
    without.draws["nausea"] = None
    # CBT and IPT are the best and tied: without a default arm both lead, else the default arm
    ties = [{"default_arm": None}, {"default_arm": None, "comparator": "TAU"}, {"default_arm": "IPT"}]
    tied = [patient_of(10, options=each) for each in ties]
    for patient, (name, good) in itertools.product(tied, GOOD.items()):
        for table in (patient.probability[name].T, patient.draws[name].T):
            table[0] = table[0] + (0.8 if good else -0.8) * (1 - table[0] if good else table[0])
            table[1] = table[0]
    weights = [(1, 0, 0), (0, 0, 1), (30, 70, 0), *np.random.default_rng(1).integers(0, 101, (5, 3))]
    found = check([*patients, without, *tied], weights, browse)
    assert {each["status"] for each in found} >= {"insufficient_evidence", "no_interval"}
    assert any(each["rule"] for each in found)
    headlines = {each["headline"] for each in found}
    assert "CBT and IPT is likely to do better for you than TAU" in headlines
    assert "IPT is a good choice for you" in headlines


def test_an_address_sets_the_weights_and_the_page_is_that_of_python(patient_of, browse):
    """What the script writes is, element by element, what Python writes for these weights."""
    patient = patient_of(3, effect=0.4)
    pages = [patient.recommended(weights).to_html() for weights in (None, {"remission": 30, "dropout": 70})]
    start, moved, written = browse([(pages[0], ""), (pages[0], "weights=30,70,0"), (pages[1], "")], REGIONS)
    assert moved == written != start


def test_a_moved_slider_and_buttons_are_heard(patient_of, browse):
    """What is clicked changes the page and is announced; the start is restored to the last digit."""
    patient = patient_of(1, effect=0.6)
    start = patient.recommended({"remission": 2.0, "dropout": 1.0})
    steps = """(() => { const said = [], b = (id) => d.getElementById(id);
      const note = () => said.push([b('weights-used').textContent, b('headline').textContent,
        b('announcement').textContent, [...d.querySelectorAll('input')].map((i) => i.value).join()]);
      note(); b('set-equal').click(); note(); b('set-first').click(); note();
      b('weight-1').value = '100'; b('weight-1').dispatchEvent(new w.Event('input', {bubbles: true})); note();
      b('weight-0').value = b('weight-1').value = '0';
      b('weight-0').dispatchEvent(new w.Event('input')); note();
      b('set-start').click(); note(); return said; })()"""
    (found,) = browse([(start.to_html(), "")], steps)
    values = [each[3] for each in found]
    assert values == ["67,33,0", "50,50,50", "100,0,0", "100,100,0", "0,0,0", "67,33,0"]
    assert found[0][:2] == found[5][:2]
    assert found[0][2] == ""
    for _, headline, announcement, _ in found[1:]:
        assert announcement.startswith("Now first: ")
        assert headline in announcement
    equal = patient.recommended(dict.fromkeys(patient.good, 1.0)).to_html()
    for at in (1, 4):  # with no weight at all, all results matter the same
        assert f">{found[at][1]}</p>" in equal
    assert found[2][0].startswith("Weights used: recover: 100 of 100 points")


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_cut_off(patient_of, tree_of, browse, width):
    """A page with long names and all questions open fits a telephone; only the tables scroll."""
    strings = {"arms": {"CBT": {"title": "Cognitive behavioural therapy, delivered in a group by telephone"}}}
    text = (
        patient_of(3)
        .recommended()
        .to_html(
            strings=strings, safety_items=["PHQ-9 item 9: several days"], next_question=tree_of(patient_of(3))
        )
    )
    sizes = """{closed: d.querySelectorAll('details:not([open])').length,
      opened: [...d.querySelectorAll('summary')].map((e) => { e.click(); return e.parentElement.open; }),
      width: d.documentElement.clientWidth, scroll: d.documentElement.scrollWidth,
      pictures: [...d.querySelectorAll('figure svg')].map((s) => s.getBoundingClientRect().width),
      small: [...d.querySelectorAll('button, input, summary')]
        .filter((e) => e.getBoundingClientRect().height < 40).length,
      fonts: [...d.querySelectorAll('p, li, td, figcaption')]
        .map((e) => parseFloat(w.getComputedStyle(e).fontSize))}"""
    (found,) = browse([(text, "")], sizes, width)
    assert found["closed"] == 6
    assert found["opened"] == [True] * 6
    assert found["width"] == width
    assert found["scroll"] <= width
    assert len(found["pictures"]) == 12
    assert min(found["pictures"]) > 60
    assert found["small"] == 0
    assert min(found["fonts"]) >= 13


def test_labels_with_markup_are_inert(patient_of, browse):
    evil = (
        "<script>document.title='bad'</script><img src=x onerror=\"document.title='bad'\">{{ 7*7 }}</script>"
    )
    patient = patient_of(2, arms=(evil, "IPT", "SSRI", "TAU"), titles={"nausea": evil})
    text = patient.recommended().to_html(
        safety_items=[evil],
        explanation=evil,
        next_question=evil,
        follow_up=evil,
        patient=evil,
        strings={"outcomes": {"dropout": {"event": evil, "no_event": evil}}},
    )
    assert "<script>document" not in text
    assert "<img" not in text
    frames = [(text, "weights=10,80,10")]
    (found,) = browse(frames, "{title: d.title, scripts: d.scripts.length, images: d.images.length}")
    assert found == {"title": "Your treatment options", "scripts": 2, "images": 0}


@pytest.mark.parametrize(("n_arms", "n_outcomes"), [(4, 3), (6, 2)])
def test_the_print_is_two_sides_and_a_page_for_the_clinician(
    patient_of, tree_of, tmp_path, n_arms, n_outcomes
):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    source, target = tmp_path / "page.html", tmp_path / "page.pdf"
    arms = ("CBT", "Counselling", "IPT", "Psychodynamic therapy", "SSRI", "TAU")[:n_arms]
    good = dict(list(GOOD.items())[:n_outcomes])
    patient, weights = patient_of(3, arms=arms, good=good), dict.fromkeys(good, 1)
    questions = tree_of(patient, weights)
    patient.recommended(weights).to_html(
        source, safety_items=["PHQ-9 item 9: several days"], next_question=questions
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [chromium, *options, "--no-pdf-header-footer", f"--print-to-pdf={target}", source.as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert len(re.findall(rb"/Type\s*/Page\b", target.read_bytes())) == 3
