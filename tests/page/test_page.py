"""The page as text: its numbers are those of the recommendation, its words those of one file."""

import copy
import html.parser
import itertools
import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.errors import InputError
from treatsel.page import strings_of
from treatsel.recommendation import recommend

ENGLISH = strings_of(None)
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
VOID = {"meta", "link", "br", "img", "input", "path"}


class Page(html.parser.HTMLParser):
    """Tags with attributes, texts by tag, and texts by id."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if data.strip() and self.open and self.open[-1][0] not in ("script", "style", "title"):
            self.texts.append((self.open[-1][0], data.strip()))

    def of(self, *tags):
        return [text for tag, text in self.texts if tag in tags]

    def having(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def of_100(p):
    return math.floor(100 * p + 0.5)


def rows_of(text, start):
    """Cells of the table rows after a mark."""
    body = text[text.index(start) :].split("</tbody>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("<tr>")[1:]]
    return [row for row in rows if row]


def test_pictures_show_the_probabilities_and_intervals(patient_of):
    patient = patient_of(1, good={"remission": True, "dropout": False, "pain": False})
    text = patient.recommended().to_html()
    cards = text.split('<article class="card"')[1:]
    assert len(cards) == len(patient.arms)
    phrases = [*(("recover", "do not recover"), ("stop treatment early", "stay in treatment"))]
    phrases.append(("have &#34;pain&#34;", "do not have &#34;pain&#34;"))
    for k, card in enumerate(cards):
        figures = card.split("<figure")[1:]
        for name, figure, (event, no_event) in zip(patient.good, figures, phrases, strict=True):
            n = of_100(patient.probability[name][k])
            lower, upper = map(of_100, np.quantile(patient.draws[name][:, k], [0.025, 0.975]))
            assert f"<strong>{n} of 100 {event}, {100 - n} {no_event}.</strong>" in figure
            assert f"It could be between {lower} and {upper} of 100." in figure
            dots = {kind: figure.split(f'"dot {kind}" d="')[-1].split('"')[0].count("h0") for kind in KINDS}
            dots = {kind: n if f"dot {kind}" in figure else 0 for kind, n in dots.items()}
            assert sum(dots.values()) == 100
            assert dots["sure"] + dots["likely"] == n
            assert dots["likely"] + dots["possible"] == upper - lower
            assert f"{n} of 100 dots are filled" in figure


KINDS = ("sure", "likely", "possible", "not")


def test_the_table_of_the_clinician_shows_every_comparison(patient_of):
    patient = patient_of(2)
    weights = {"remission": 3, "dropout": 1}
    found = patient.recommended(weights)
    text = found.to_html()
    rows = rows_of(text, '<tbody id="contrasts">')
    assert [row[0] for row in rows] == list(patient.arms)
    compared = found.compared().loc["planted-id"]
    for row, (arm, each) in zip(rows, compared.iterrows(), strict=True):
        numbers = [int(part) for part in re.findall(r"\d+", row[2])]
        if arm == "TAU":
            assert row[2:4] == ["Comparator", DASH]
        else:
            signed = [
                abs(of_100(each[name])) for name in ("difference", "difference_lower", "difference_upper")
            ]
            assert numbers == signed
            assert row[2].startswith(("+", MINUS)[int(each["difference"] < 0)]) or signed[0] == 0
            assert row[3] == f"{of_100(each['p_better'])} %"
            assert row[4] == f"{of_100(each['p_relevantly_better'])} %"
        assert row[1] == str(of_100(each["utility"]))
        assert float(row[5]) == pytest.approx(100 * each["expected_regret"], abs=0.0501)
        assert row[6:] == [f"{of_100(each[name])} %" for name in ("p_regret", "p_best")]
    outcomes = rows_of(text, '<table id="outcomes">')[1:]
    assert outcomes[0][1].startswith(f"{of_100(patient.probability['remission'][0])} % (")
    assert 'id="fact-status">' + str(found.columns["status"][0]) in text


def test_the_three_orders_are_those_of_recommend(patient_of):
    patient = patient_of(3, effect=0.4)
    text = patient.recommended({"dropout": 1, "nausea": 2}).to_html()
    choices = text.split('<div class="choice"')[1:]
    weights = [{"dropout": 1, "nausea": 2}, dict.fromkeys(patient.good, 1), {"remission": 1}]
    for part, each in zip(choices, weights, strict=True):
        found = patient.recommended(each)
        status, best = found.columns["status"][0], found.columns["best_set"][0]
        start = ENGLISH["status"][status]["headline"].split("{")[0]
        assert f">{start}" in part
        first = re.search(r'<ul class="lead">(.*?)</ul>', part)[1]
        assert re.findall("<li>(.*?)</li>", first) == [arm for arm in patient.arms if arm in best]
        rest = [*re.findall("<li>(.*?)</li>", "".join(re.findall("<ol.*?>(.*?)</ol>", part)))]
        order = sorted(patient.arms, key=lambda arm: -found.utility.loc["planted-id", arm])
        assert rest == [arm for arm in order if arm not in best]


def test_the_page_names_no_patient_unless_told(patient_of):
    found = patient_of(0).recommended()
    assert "planted-id" not in found.to_html()
    assert "For: A. B." in found.to_html(patient="A. B.")


def test_nothing_is_loaded(patient_of):
    text = patient_of(0).recommended().to_html()
    page = Page(text)
    assert not re.search(r"https?:|url\(|@import|<link(?! rel=\"icon\" href=\"data:,\")", text)
    assert page.having("src") == []
    assert page.having("href") == ["data:,"]
    policy = next(each for each in page.having("content") if "default-src" in each)
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_safety_items_come_first(patient_of):
    found = patient_of(0).recommended()
    page = Page(found.to_html(safety_items=["PHQ-9 item 9: several days"]))
    texts = [text for _, text in page.texts]
    assert texts.index("PHQ-9 item 9: several days") < texts.index("Your treatment options")
    assert "Please talk about this first" not in found.to_html()


def test_slots_are_filled(patient_of):
    found = patient_of(0, titles={"nausea": "Nausea", "age": "Age"}).recommended()
    text = found.to_html()
    assert "by week 4" in text
    assert "week 8" in text
    assert "What to ask next" not in text
    assert "No explanation was given" in text
    text = found.to_html(
        next_question=SimpleNamespace(question="age", pair=None),
        explanation=["One reason.", "Another."],
        follow_up="Come back in March.",
    )
    assert "An answer to this may change the order: Age" in text
    assert "<p>One reason.</p>" in text
    assert "Come back in March." in text
    assert "by week 4" not in text
    nothing = found.to_html(next_question=SimpleNamespace(question=None, pair=None))
    assert "What to ask next" not in nothing
    both = found.to_html(next_question=SimpleNamespace(question=None, pair=("age", "sex")))
    assert "Age and sex" in both
    with pytest.raises(InputError, match="safety_items must be a text or a list of texts"):
        found.to_html(safety_items=[3])


def test_a_patient_out_of_scope_gets_no_numbers(patient_of):
    flags = [("out_of_range", "age")]
    patient = patient_of(0, in_scope=False, flags=flags, titles={"age": "Age of the patient"})
    text = patient.recommended().to_html()
    assert "This tool cannot help with this choice" in text
    assert "Age of the patient: the value is outside the range" in text
    page = Page(text)
    assert not re.search(r"of 100 (?!points)", " ".join(text for _, text in page.texts))
    assert "article" not in {tag for tag, _ in page.tags}
    assert "script" not in {tag for tag, _ in page.tags}


def test_exclusions_are_shown_with_reasons(patient_of):
    reasons = {"CBT": "You said no to it.", "IPT": "Not offered here."}
    text = patient_of(0, options={"excluded": reasons}).recommended().to_html()
    assert "CBT: You said no to it." in text
    assert 'data-arm="CBT"' not in text
    assert "than with the other option." in text or "than with the other option. (" in text
    left = patient_of(0, options={"excluded": {**reasons, "SSRI": "No."}}).recommended().to_html()
    assert "There is one option left for you" in left
    assert "<input" not in left
    none = patient_of(0, options={"excluded": dict.fromkeys(("CBT", "IPT", "SSRI", "TAU"), "No.")})
    assert "None of the options is possible now" in none.recommended().to_html()


def test_what_is_not_known_is_said(patient_of):
    flags = [("missing_covariate", "age"), ("low_propensity", "SSRI"), ("model_expired", None)]
    patient = patient_of(0, flags=flags, titles={"age": "Age"}, good={"remission": True, "other": None})
    text = patient.recommended().to_html()
    assert "We did not have your answer to: Age." in text
    assert "SSRI: we have too few results. We do not know how well it works" in text
    assert "other: shown, but it does not count in the order" in text
    assert "the review date of the model has passed." in text
    assert "<input" not in text  # one outcome alone can have a weight
    without = patient_of(0)
    without.draws["remission"] = None
    assert "How sure we are of this number is not known." in without.recommended().to_html()


def test_what_speaks_for_an_arm_is_certain_or_may_be_chance(patient_of):
    clear = patient_of(1, effect=2.0, spread=0.02).recommended().to_html()
    vague = patient_of(1, effect=0.3, spread=1.5, options={"margin": 0.0}).recommended().to_html()
    nothing = patient_of(1, effect=0.02, spread=1.5).recommended().to_html()
    pattern = r"About \d+ (?:more|fewer) of 100 people [^<]*"
    assert nothing.count("Nothing in these numbers clearly speaks for it or against it.") == 4
    assert not re.search(pattern, nothing)
    clear, vague = (re.findall(pattern, text) for text in (clear, vague))
    assert len(vague) > 3
    assert sum("chance" in each for each in clear) < len(clear) / 4
    assert all("(May be chance.)" in each for each in vague)


def test_the_chance_to_be_better_is_never_certain(patient_of):
    found = patient_of(0, effect=3.0, spread=0.01).recommended()
    assert found.columns["status"][0] == "clear_gain"
    assert found.columns["p_better"][0] == 1
    assert "about 99 of 100" in found.to_html()


def test_the_page_can_be_used_by_keyboard_and_screen_reader(patient_of):
    text = patient_of(0).recommended().to_html(safety_items="One", next_question="Two")
    page = Page(text)
    assert dict(page.tags[0][1])["lang"] == "en"
    assert len([tag for tag, _ in page.tags if tag == "h1"]) == 1
    identifiers = page.having("id")
    assert len(set(identifiers)) == len(identifiers)
    for name in ("aria-describedby", "aria-labelledby", "for"):
        assert page.having(name)
        assert set(page.having(name)) <= set(identifiers)
    inputs = [each["id"] for tag, each in page.tags if tag == "input"]
    assert len(inputs) == 3
    assert set(inputs) <= set(page.having("for"))
    assert all(each.get("scope") for tag, each in page.tags if tag == "th")
    assert all(each.get("aria-label") for _, each in page.tags if each.get("role") in ("img", "region"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)][1:]  # after safety
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert not [each for each in page.having("tabindex") if each != "0"]
    assert not [each for _, each in page.tags if any(name.startswith("on") for name in each)]


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(first, second):
    """Ratio of contrast by WCAG 2.2."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colors_have_enough_contrast(patient_of):
    """WCAG 2.2 AA: 4.5 for text, 3 for pictures; kinds of dots differ in lightness, not in hue alone."""
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", patient_of(0).recommended().to_html()))
    for ink in ("ink", "soft", "accent"):
        for back in ("back", "panel"):
            assert contrast(colors[ink], colors[back]) >= 4.5
    assert contrast(colors["warn"], colors["warn-back"]) >= 4.5
    assert contrast(colors["ink"], colors["warn-back"]) >= 4.5
    assert contrast(colors["empty"], colors["back"]) >= 3
    for kind in ("good", "bad", "neutral"):
        assert contrast(colors[kind], colors["back"]) >= 4.5
        assert contrast(colors[kind], colors[f"{kind}-pale"]) >= 3


def test_the_page_is_about_one_patient_of_a_model(patient_of):
    table = pd.DataFrame({"CBT": [0.6, 0.4], "IPT": [0.5, 0.3]})
    with pytest.raises(InputError, match="about one patient; these recommendations are for 2"):
        recommend(table).to_html()
    with pytest.raises(InputError, match="no outcomes to show"):
        recommend(table.head(1)).to_html()
    found = patient_of(0).recommended()
    assert copy.deepcopy(found).outcomes is None
    assert replace(found, margin=0.1).outcomes is found.outcomes


def test_the_file_is_the_page(patient_of, tmp_path):
    found = patient_of(0).recommended()
    assert found.to_html(tmp_path / "page.html") == (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def selector():
    rng = np.random.default_rng(0)
    n = 400
    X = pd.DataFrame({"age": rng.normal(40, 10, n), "arm": rng.choice(["CBT", "IPT", "TAU"], n)})
    better = -0.5 + 0.05 * (X["age"] - 40) * (X["arm"] == "CBT")
    y = pd.DataFrame(
        {
            "remission": (rng.random(n) < 1 / (1 + np.exp(-better))).astype(int),
            "dropout": (rng.random(n) < 0.3).astype(int),
        }
    )
    good = {"remission": True, "dropout": False}
    return ts.TreatmentSelector(event_is_good=good, estimator="hierarchical", random_state=0).fit(X, y)


def test_a_model_fills_the_page(selector, browse):
    """Of a record and of a table; the script reads the draws of the model."""
    record, weights = {"age": 55.0}, {"remission": 30, "dropout": 70}
    found = selector.recommend(record, preferences=weights)
    assert not {"predictions"} & set(vars(found.outcomes))  # nothing was computed for the page
    assert "outcomes" not in json.dumps(found.to_dict())
    of_table = selector.recommend(pd.DataFrame([record]), preferences=weights)
    for name in selector.outcomes_:
        draws = found.outcomes.draw(name)
        assert draws.shape[1] == 3
        np.testing.assert_allclose(of_table.outcomes.draw(name), draws, atol=1e-12)
        mean = selector.predict_draws(pd.DataFrame([record]), name).mean(axis=0)[0]
        np.testing.assert_allclose(draws.mean(axis=0), mean, atol=1e-12)
    assert selector.recommend(pd.DataFrame([record] * 2)).outcomes is None
    start = selector.recommend(record, preferences={"remission": 1, "dropout": 1}).to_html()
    text = """[d.getElementById('yours').textContent.replace(/\\s+/g, ''),
      d.getElementById('contrasts').textContent.replace(/\\s+/g, ''),
      d.getElementById('fact-status').textContent]"""
    moved, written, table = browse(
        [(start, "weights=30,70"), (found.to_html(), ""), (of_table.to_html(), "")], text
    )
    assert moved == written == table
    assert moved[2] == found.columns["status"][0]


def test_values_changed_later_do_not_change_the_page(selector):
    record = {"age": 55.0}
    found = selector.recommend(record)
    before = found.outcomes.decide({"remission": 1.0}).utilities
    record["age"] = 20.0
    np.testing.assert_array_equal(found.outcomes.decide({"remission": 1.0}).utilities, before)
    np.testing.assert_array_equal(found.utilities, before)
