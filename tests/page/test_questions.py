"""Questions one after the other on the page: each answer with what would be decided, in the page's words."""

import html
import re
from dataclasses import replace

import pytest

from treatsel.errors import InputError
from treatsel.page import strings_of
from treatsel.page._choice_view import choice_view
from treatsel.page._wording import Wording
from treatsel.recommendation._page import choice_of, page_of

SAID = strings_of(None)["next"]
WEIGHTS = {"remission": 2, "dropout": 1}
LABELS = {0: ["Yes", "long term sick", "3 to 14"], 1: ["About Yes", "About long term sick", "About 3 to 14"]}


def section(text):
    """The part of the page that asks."""
    found = re.search(r'<section class="questions".*?</section>', text, re.DOTALL)
    return "" if found is None else found[0]


def lines_of(part):
    """Texts of the part in their order, without markup."""
    plain = re.sub(r"<[^>]+>", " ", re.sub(r"\n", " ", re.sub(r"</(p|summary|h2|h3)>", "|", part)))
    return [" ".join(html.unescape(each).split()) for each in plain.split("|") if each.strip()]


def expected_lines(tree, step=0):
    """What follows from a question, in words, from the recommendation of each answer."""
    for label, answer in zip(LABELS[int(tree.is_range)], tree.answers, strict=True):
        found = answer.recommendation
        view = choice_view(choice_of(found), Wording(page_of(found), strings_of(None)))
        heading, names, _ = view.groups[0]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        yield f"{label}: {view.headline}. {heading} {listed}."
        if answer.answers:
            unit = f" (in {answer.unit})" if answer.unit else ""
            yield f"Then ask: {answer.title}{unit}"
            if len(answer.values) > 1:
                yield "What comes after this was worked out for 12.5."
            yield from expected_lines(answer, step + 1)
        else:
            yield SAID["open"] if answer.is_open else SAID["nothing"]
    if not tree.lists_all:
        yield SAID["others"]


def test_each_answer_says_what_would_be_decided_and_what_to_ask_then(patient_of, tree_of):
    patient = patient_of(0)
    tree = tree_of(patient, WEIGHTS)
    text = patient.recommended(WEIGHTS).to_html(next_question=tree)
    first, *lines = lines_of(section(text))
    assert first == SAID["heading"]
    assert lines[0] == f"{SAID['text']} {SAID['between']} {SAID['at_start']}"
    assert lines[1] == "Score before treatment (in points)"
    assert lines[2:] == list(expected_lines(tree))
    headlines = {line.split(": ")[1].split(".")[0] for line in lines if line.startswith(("Yes", "About"))}
    assert len(headlines) > 3
    assert text.count('<h2 id="next-heading">') == 1


def test_questions_need_no_script_and_are_nested(patient_of, tree_of):
    patient = patient_of(0)
    part = section(patient.recommended().to_html(next_question=tree_of(patient)))
    assert part.count("<details>") == part.count("<summary>") == 6
    assert "<script" not in part
    assert not re.search(r"\son\w+=|tabindex", part)
    depth = most = 0
    for tag in re.findall(r"</?ul", part):
        depth += 1 if tag == "<ul" else -1
        most = max(most, depth)
    assert most == 3


def test_arms_that_an_answer_excludes_are_not_named(patient_of, tree_of):
    """An answer may exclude the comparator, with which nothing is compared then."""
    patient = patient_of(0, options={"comparator": "TAU"})
    tree = tree_of(patient, depth=1)
    part = section(patient.recommended().to_html(next_question=tree))
    last = lines_of(part)[-2]
    assert last.startswith("About 3 to 14: ")
    assert tree.answers[2].recommendation.columns["comparator"][0] is None
    assert "TAU" not in last


def test_with_one_criterion_there_are_no_weights_to_speak_of(patient_of, tree_of):
    patient = patient_of(0, good={"remission": True})
    part = section(patient.recommended().to_html(next_question=tree_of(patient)))
    assert SAID["at_start"] not in part
    assert SAID["between"] in part


def test_where_no_answer_matters_the_page_says_so(patient_of, tree_of):
    patient = patient_of(0)
    tree = replace(tree_of(patient), question=None, answers=())
    text = patient.recommended().to_html(next_question=tree)
    assert section(text) == ""
    assert SAID["nothing"] in text
    complete = replace(tree, worth=replace(tree.worth, table=tree.worth.table.head(0)))
    for other in (complete, replace(tree, worth=None)):  # nothing is missing; not calculated
        assert SAID["heading"] not in patient.recommended().to_html(next_question=other)


def test_questions_of_another_recommendation_are_refused(patient_of, tree_of):
    patient = patient_of(0)
    tree = tree_of(patient)
    for weights, options, what in (
        (WEIGHTS, {}, "preferences"),
        (None, {"margin": 0.1}, "margin"),
        (None, {"comparator": "IPT"}, "comparator"),
        (None, {"excluded": {"CBT": "No."}}, "excluded"),
    ):
        found = replace(patient, options=options).recommended(weights)
        with pytest.raises(InputError, match=rf"does not start at this recommendation: other .*'{what}'"):
            found.to_html(next_question=tree)
    with pytest.raises(InputError, match="utilities"):
        patient_of(1).recommended().to_html(next_question=tree)


def test_out_of_scope_nothing_is_asked(patient_of, tree_of):
    patient = patient_of(0, in_scope=False)
    assert section(patient.recommended().to_html(next_question=tree_of(patient))) == ""


def test_titles_and_answers_with_markup_are_inert(patient_of, tree_of):
    patient, evil = patient_of(0), "<img src=x onerror=alert(1)>"
    tree = replace(tree_of(patient), title=evil)
    answers = (replace(tree.answers[0], values=(evil,), value=evil), *tree.answers[1:])
    text = patient.recommended().to_html(next_question=replace(tree, answers=answers))
    assert "<img" not in text
    assert text.count(html.escape(evil)) == 2


def test_the_largest_page_is_below_400_kilobytes(patient_of, tree_of):
    """Six arms, two outcomes and 1,000 draws, as models have, and more answers than a tree can have."""
    arms = ("CBT", "Counselling", "IPT", "Psychodynamic therapy", "SSRI", "TAU")
    patient = patient_of(0, arms=arms, good={"remission": True, "dropout": False}, n_draws=1000)
    tree = tree_of(patient, WEIGHTS)
    tree = replace(tree, answers=tree.answers * 5)  # 105 answers; ten states with eight answers are 80
    text = patient.recommended(WEIGHTS).to_html(next_question=tree)
    assert text.count("<strong>Yes:") + text.count("<strong>About Yes:") == 105 / 3
    assert len(text.encode()) < 400_000
