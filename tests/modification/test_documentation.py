"""The guide's code runs as it is printed, and names every column of the table."""

import re
from pathlib import Path

GUIDE = (Path(__file__).parents[2] / "docs" / "howto" / "find-modifiers.md").read_text(encoding="utf-8")


def test_the_guide_runs_as_printed(trained, tmp_path, monkeypatch):
    (tmp_path / "model.treatsel").write_bytes((trained / "m.treatsel").read_bytes())
    lines = (trained / "cohort.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "cohort.csv").write_text("".join(lines[:81]), encoding="utf-8")  # 80 patients: quick
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(block, names)
    assert list(names["grouped"].table.index).count("history") == 1
    assert set(names["table"]["arm"]) == set(names["found"].arms) - {names["found"].comparator}
    for column in names["found"].table:
        assert f"`{column}`" in GUIDE
