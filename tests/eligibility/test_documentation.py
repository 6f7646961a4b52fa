"""The guide's files and code run as they are printed; the reference page shows the grammar of the code."""

import re
from pathlib import Path

import pytest

from treatsel.eligibility import Rules, _grammar

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "howto" / "state-eligibility-rules.md").read_text(encoding="utf-8")
PAGE = (DOCS / "reference" / "eligibility-rules.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_the_guide_runs_as_printed(trained, tmp_path, monkeypatch):
    for name, new in (("cohort.csv",) * 2, ("codebook.yaml",) * 2, ("m.treatsel", "model.treatsel")):
        (tmp_path / new).write_bytes((trained / name).read_bytes())
    (tmp_path / "rules.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks("python"):
        exec(block, names)
    found, frame = names["found"], names["recommendations"].to_frame()
    excluded = ~found.allowed["guided_self_help"]
    assert 0 < excluded.sum() < len(excluded)
    for patient in excluded.index[excluded]:
        assert frame.loc[patient, "arm"] != "guided_self_help"
        assert "guided_self_help" not in frame.loc[patient, "best_set"]
    one, recommendation = names["one"], names["recommendation"]
    assert one.allowed == found.allowed.iloc[0].to_dict()
    assert set(recommendation.excluded) == set(one.excluded)


def test_an_excluded_arm_carries_its_reason(trained, tmp_path):
    import treatsel as ts

    (tmp_path / "rules.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    cohort = ts.Cohort.read_csv(trained / "cohort.csv", trained / "codebook.yaml")
    rules = Rules.read(tmp_path / "rules.yaml", codebook=cohort.codebook)
    found = rules.apply(cohort.frame)
    patient = found.allowed.index[~found.allowed["guided_self_help"]][0]
    record = cohort.frame.loc[patient].to_dict()
    one = rules.apply_record(record)
    covariates = {name: record[name] for name in cohort.codebook.covariates}
    result = ts.load_model(trained / "m.treatsel").recommend(covariates, excluded=one.excluded)
    assert result.to_frame()["arm"].iloc[0] != "guided_self_help"
    assert result.excluded["guided_self_help"] == one.excluded["guided_self_help"]


def test_the_page_shows_the_grammar_and_its_limits():
    def lines(text):
        return [
            " ".join(line.split()) for line in text.splitlines() if ":=" in line or line.strip()[:1] == "|"
        ]

    shown = lines(re.search(r"```\n(expression.*?)```", PAGE, flags=re.DOTALL)[1])
    assert shown == lines(_grammar.__doc__.partition("::")[2].partition("`NULL`")[0])
    assert f"{_grammar.MOST_CHARACTERS:,} characters and {_grammar.MOST_LEVELS} levels" in PAGE


@pytest.mark.parametrize("key", ["id", "arms", "when", "effect", "reason", "source", "version", "date"])
def test_the_guide_names_every_key(key):
    assert f"`{key}`" in GUIDE
    assert f"`{key}`" in PAGE
