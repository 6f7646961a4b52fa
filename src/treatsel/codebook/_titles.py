"""Titles of columns for readers, and the summary of a codebook."""

from collections import Counter
from collections.abc import Mapping, Sequence

from treatsel._checks import count_of
from treatsel._reporting.summary import Summary, some_of


def titles_of(titles: Mapping[str, str]) -> dict[str, str]:
    """Return the titles that are stated; one that is not unique is followed by the name of its column."""
    stated = {name: title.strip() for name, title in titles.items() if title.strip()}
    times = Counter(stated.values())
    unique = {
        name: times[title] == 1 and (title == name or title not in titles) for name, title in stated.items()
    }
    return {name: title if unique[name] else f"{title} ({name})" for name, title in stated.items()}


def summary_of(roles: Sequence[tuple[str | None, Sequence[str]]], titles: Mapping[str, str]) -> Summary:
    """Return the summary of columns by role."""
    used = [(role, names) for role, names in roles if names]
    n = sum(len(names) for role, names in used if role == "undecided")
    note = f"Decide the role of {count_of(n, 'undecided column')}. " if n else ""
    return Summary(
        title="Codebook",
        headline=count_of(sum(len(names) for _, names in used), "column"),
        columns=("Role", "Columns", "Titles or names"),
        rows=[
            (role or "no role", str(len(names)), some_of([titles.get(name, name) for name in names]))
            for role, names in used
        ],
        note=f"{note}codebook[name] shows one column, to_yaml() all.",
    )
