"""The guide's code runs as it is printed, and names every column of the table."""

import re
from pathlib import Path

GUIDE = (Path(__file__).parents[2] / "docs" / "howto" / "find-modifiers.md").read_text(encoding="utf-8")


def test_the_guide_runs_as_printed(trained, tmp_path, monkeypatch):
    for name, new in (("cohort.csv", "cohort.csv"), ("m.treatsel", "model.treatsel")):
        (tmp_path / new).write_bytes((trained / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(block, names)
    assert list(names["grouped"].table.index).count("history") == 1
    assert set(names["table"]["arm"]) == set(names["found"].arms) - {names["found"].comparator}
    for column in names["found"].table:
        assert f"`{column}`" in GUIDE
