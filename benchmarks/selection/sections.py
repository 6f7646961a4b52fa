"""Sections of a report in Markdown: a script can run a part of a benchmark and keep the other parts."""

import re
from collections.abc import Mapping
from pathlib import Path


def update(path: Path, intro: str, sections: Mapping[str, str]) -> None:
    """Write a report; sections of an existing report that are not among the given ones are kept.

    Parameters
    ----------
    path : Path
        Of the report.
    intro : str
        Text before the first section.
    sections : mapping of str to str
        Title (without "# ") and text of each section. New sections follow the existing ones.
    """
    existing = path.read_text() if path.exists() else ""
    parts = re.split(r"^# (.*)\n", existing, flags=re.MULTILINE)[1:]
    kept = dict(zip(parts[::2], parts[1::2], strict=True))
    texts = [f"# {title}\n\n{text.strip()}\n" for title, text in {**kept, **sections}.items()]
    path.write_text("\n".join([f"{intro.strip()}\n", *texts]))
