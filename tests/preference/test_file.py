"""Preferences from a file."""

import json

import pytest

from treatsel import Preferences
from treatsel.errors import InputError
from treatsel.preference import Criterion, read_preferences


def written(tmp_path, text):
    path = tmp_path / "preferences.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("weights: {a: 3, b: 1}", Preferences({"a": 3, "b": 1})),
        ("swing: {a: 100, b: 50}", Preferences.swing({"a": 100, "b": 50})),
        ("ranked: [a, [b, c]]", Preferences.ranked(["a", ["b", "c"]])),
        ("equal: [a, b]", Preferences.equal(["a", "b"])),
        (
            "between: {a: [.3, .6], b: [0, 1]}\nat_least: [[a, c, 1.5]]",
            Preferences.between({"a": (0.3, 0.6), "b": (0, 1)}, at_least=[("a", "c", 1.5)]),
        ),
    ],
)
def test_every_way_of_stating_weights(tmp_path, text, expected):
    found = read_preferences(written(tmp_path, text))
    assert found["preferences"].to_dict() == expected.to_dict()
    assert found["criteria"] == []
    assert found["measurements"] is found["side_effects"] is None


def test_json_with_criteria(tmp_path):
    path = tmp_path / "p.json"
    entry = {"name": "wait", "worst": 20, "best": 0, "unit": "weeks"}
    content = {"weights": {"wait": 1}, "criteria": [entry], "measurements": {"wait": {"cbt": 3}}}
    rate = {"effect": "nausea", "arm": "cbt", "good": False, "probability": 0.1, "lower": 0.05, "upper": 0.2}
    rate |= {"level": 0.95, "source": "Trial X", "date": "2024-05-01"}
    content["side_effects"] = {"rates": [rate]}
    path.write_text(json.dumps(content))
    found = read_preferences(path)
    assert found["criteria"] == [Criterion("wait", worst=20, best=0, unit="weeks")]
    assert found["measurements"] == {"wait": {"cbt": 3}}
    assert found["side_effects"].effects == ("nausea",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "must be a mapping with some of the keys"),
        ("weight: {a: 1}", "unknown key 'weight'.*Did you mean 'weights'"),
        ("criteria: []", "must state the weights by one of the keys .* they have none"),
        ("weights: {a: 1}\nranked: [a]", r"they have \['weights', 'ranked'\]"),
        ("weights: {a: 1}\nat_least: [[a, b]]", "at_least without between"),
        ("weights: {a: 1}\ncriteria: [{name: a, best: 1}]", "has no worst value"),
        ("weights: {a: 1}\ncriteria: [{worst: 0, best: 1}]", "with name, worst and best"),
        ("weights: {a: 1}\ncriteria: [{name: a, worst: 0, best: 1, color: red}]", "unknown key 'color'"),
        ("weights: {a: -1}", "0 or more"),
        ("weights: {a: 1", "not valid YAML"),
    ],
)
def test_faults_are_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_preferences(written(tmp_path, text))
