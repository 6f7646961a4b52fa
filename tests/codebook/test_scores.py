import inspect

import pytest

from treatsel import outcome as outcomes
from treatsel.codebook import INPUTS, OPTIONS, Codebook, Field, Target
from treatsel.errors import CodebookError
from treatsel.outcome import Outcome

TABLE = [
    {"name": "phq9_start", "type": "integer", "role": "covariate"},
    {"name": "gad7_start", "type": "integer", "role": "covariate"},
    {"name": "arm", "role": "arm"},
    {"name": "phq9_end", "type": "integer", "role": "session_score"},
    {"name": "gad7_end", "type": "number", "role": "session_score"},
    {"name": "attended", "type": "integer", "role": "process"},
]
LOW = {"name": "low", "role": "outcome", "event_is_good": True, "score": "phq9_end", "target": "< 10"}
NHS = {
    "name": "recovery",
    "role": "outcome",
    "definition": {
        "name": "nhs_recovery",
        "phq_first": "phq9_start",
        "phq_last": "phq9_end",
        "gad_first": "gad7_start",
        "gad_last": "gad7_end",
    },
}


def book_of(*outcomes):
    return Codebook.from_dict({"fields": [*TABLE, *outcomes]})


def without(entry, *keys):
    return {key: value for key, value in entry.items() if key not in keys}


def test_inputs_and_options_are_those_of_the_outcomes():
    measured = [name for name in Outcome.names() if name not in
                ("non_start", "one_session", "unplanned_end", "below_dose")]  # fmt: skip
    assert list(INPUTS) == measured
    for name, inputs in INPUTS.items():
        parameters = inspect.signature(getattr(outcomes, name)).parameters.values()
        assert inputs == tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        assert set(OPTIONS.get(name, ())) == {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_the_keys_survive_files_and_merging(tmp_path, ending):
    low = {**LOW, "start": "phq9_start"}
    rest = {"name": "rest", "role": "outcome", "definition": {
        "name": "remission", "last": "phq9_end", "instrument": "PHQ-9"}}  # fmt: skip
    book = book_of(low, NHS, rest)
    assert Codebook.from_dict(book.to_dict()) == book
    book.write(path := tmp_path / f"book.{ending}")
    assert Codebook.read(path) == book
    assert book.merge(book) == book
    assert book.merge({"fields": [{"name": "low", "title": "Low"}]})["low"].target == "< 10"
    assert book.to_dict()["fields"][-2] == {**NHS, "type": "integer", "event_is_good": True}
    assert book["rest"].definition["instrument"] == "PHQ-9"
    assert (book["low"].start, book["low"].type) == ("phq9_start", "integer")
    assert hash(book["recovery"]) == hash(Codebook.read(path)["recovery"])


def test_the_keys_survive_the_notes_of_a_draft(tmp_path):
    noted = [Field.from_dict(entry) for entry in TABLE]
    book = Codebook((*noted, Field.from_dict(LOW)))
    book = Codebook(tuple(f.with_role(f.role) for f in book.fields))
    fields = [*book.fields[:-1], Field(**{**vars(book["low"]), "note": "Review this: < 10?"})]
    Codebook(tuple(fields)).write(path := tmp_path / "draft.yaml")
    again = Codebook.read(path)
    assert again == book
    assert again["low"].note == "Review this: < 10?"


def test_edits_may_add_a_derived_outcome_and_replace_or_remove_its_keys():
    book = Codebook.from_dict({"fields": TABLE})
    added = book.merge({"fields": [LOW]})
    assert added.outcomes == ("low",)
    replaced = added.merge({"fields": [{**NHS, "name": "low", "score": None, "target": None}]})
    assert (replaced["low"].score, replaced["low"].definition["name"]) == (None, "nhs_recovery")
    other = {"name": "reliable_deterioration", **without(NHS["definition"], "name")}
    turned = replaced.merge({"fields": [{"name": "low", "definition": other}]})
    assert turned["low"].event_is_good is False
    plain = added.merge({"fields": [{"name": "low", "score": None, "target": None}]})
    assert not plain["low"].is_derived
    with pytest.raises(CodebookError, match="'law', which is not a column"):
        added.merge({"fields": [{"name": "law", "target": "< 9"}]})


def test_a_subset_without_the_scores_has_an_ordinary_outcome():
    book = book_of(LOW, NHS)
    assert book.subset(["low", "phq9_end"])["low"].is_derived
    part = book.subset(["arm", "low", "recovery", "phq9_end"])
    assert part["low"].is_derived
    assert not part["recovery"].is_derived
    assert part["recovery"].event_is_good is True


@pytest.mark.parametrize(
    ("text", "sign", "cutoff"),
    [("< 10", "<", 10), ("<=9", "<=", 9), (" >= 50 ", ">=", 50), ("> -1.5", ">", -1.5), (">=.5", ">=", 0.5)],
)
def test_targets(text, sign, cutoff):
    assert Target.parse(text) == Target(sign, cutoff)


@pytest.mark.parametrize(
    "text", ["10", "= 10", "< ten", "<", "=< 10", "< 10 points", "< 1e3", "< nan", "", 10]
)
def test_what_is_no_target(text):
    with pytest.raises(CodebookError, match=r"'low'.*in quotes, such as '< 10'"):
        book_of({**LOW, "target": text})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (without(LOW, "target"), "'low': score and target need each other; add target"),
        (without(LOW, "score"), "'low': score and target need each other; add score"),
        (without({**LOW, "start": "phq9_start"}, "score", "target"), "start needs score and target"),
        ({**LOW, "start": "phq9_end"}, "the same column"),
        ({**LOW, "score": 9}, "score must be the name of a column"),
        ({**LOW, "role": "audit", "event_is_good": None}, "'low': score and target need role outcome"),
        ({**LOW, **without(NHS, "name")}, "exclude definition"),
        ({**NHS, "definition": "nhs_recovery"}, "must be a mapping with a name"),
        ({**NHS, "definition": {"name": "nhs_recovry"}}, "unknown; .*Did you mean 'nhs_recovery'"),
        ({**NHS, "definition": {"name": "non_start", "sessions": "attended"}}, "'non_start' has no score"),
        ({**NHS, "definition": {"name": "remission"}}, "needs a column for last"),
        ({**NHS, "definition": {**NHS["definition"], "fall": 0.3}}, r"unknown keys \['fall'\]"),
        ({**NHS, "definition": {**NHS["definition"], "gad_last": "phq9_end"}}, "names a column twice"),
        ({**NHS, "definition": {**NHS["definition"], "gad_last": 3}}, "must name columns by texts"),
        (
            {**NHS, "definition": {"name": "remission", "last": "phq9_end", "instrument": ["PHQ-9"]}},
            "instrument must be a text or a number",
        ),
        ({**NHS, "event_is_good": False}, "1 is bad by event_is_good in the codebook, but good by the defin"),
        ({**NHS, "name": "dropout", "event_is_good": False}, "'dropout' is contradictory"),
        ({**NHS, "name": "caseness"}, "'caseness' is contradictory"),
    ],
)
def test_contradictions(entry, message):
    with pytest.raises(CodebookError, match=message):
        book_of(entry)


def test_the_definition_states_the_direction():
    assert book_of(NHS)["recovery"].event_is_good is True
    assert book_of({**NHS, "event_is_good": True})["recovery"].event_is_good is True
    worse = {"name": "worse", "role": "outcome", "definition": {"name": "caseness", "score": "phq9_end"}}
    assert book_of(worse)["worse"].event_is_good is False
    assert book_of(without(LOW, "event_is_good"))["low"].event_is_good is None


def test_all_columns_that_do_not_suit_are_listed_at_once():
    wrong = {**NHS["definition"], "phq_first": "phq9_end", "phq_last": "phq9_start", "gad_last": "gad7_ende"}
    with pytest.raises(CodebookError) as error:
        book_of({**LOW, "score": "attended", "start": "arm"}, {**NHS, "definition": wrong})
    text = str(error.value)
    assert "5 faults" in text
    assert "'low': column 'attended' (score) has role process. It must have role session_score." in text
    assert "'low': column 'arm' (start) has role arm. It must have role covariate." in text
    assert "'recovery': column 'phq9_end' (phq_first) has role session_score." in text
    assert "'recovery': column 'phq9_start' (phq_last) has role covariate." in text
    assert "'gad7_ende' (gad_last) is not in the codebook. Add it with role session_score." in text
    assert "Did you mean 'gad7_end'?" in text
    with pytest.raises(CodebookError, match=r"has type string\. A score has type number or integer"):
        Codebook.from_dict({"fields": [{"name": "phq9_end", "role": "session_score"}, LOW]})
