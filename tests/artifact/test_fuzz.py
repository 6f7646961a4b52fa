"""A few hundred mutants of model files; `make fuzz` tries tens of thousands."""

import dataclasses
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits of memory are those of Unix")

from fuzz.damage import sealed, swell_member
from fuzz.worker import Judge, mutant

from treatsel.artifact import _archive

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "artifacts" / "format_1.treatsel"


@pytest.fixture
def judge(tmp_path):
    return Judge(STORED, STORED.with_suffix(".patients.csv"), tmp_path)


@pytest.mark.slow
def test_no_mutant_crashes_hangs_or_gives_wrong_results():
    """In a separate process, under limits."""
    command = [sys.executable, "-m", "fuzz", "--files", str(STORED), "--number", "150"]
    done = subprocess.run([*command, "--jobs", "1"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "150 mutants, 0 of them bad" in done.stdout


def test_mutants_are_the_same_each_time():
    content = STORED.read_bytes()
    for kind in ("damaged", "sealed", "forged"):
        assert mutant(kind, content, content, "1") == mutant(kind, content, content, "1")
        assert mutant(kind, content, content, "1") != mutant(kind, content, content, "2")


def test_the_judge_detects_an_unexpected_exception(judge, monkeypatch):
    monkeypatch.setattr("treatsel.load_model", lambda path: {}["key"])
    assert judge.verdict(STORED.read_bytes()) == ("wrong", "loading raised KeyError: 'key'")


def test_the_judge_detects_unbounded_memory(judge, monkeypatch):
    monkeypatch.setattr(_archive, "read", lambda path: (_ for _ in ()).throw(MemoryError))
    assert judge.verdict(STORED.read_bytes()) == ("wrong", "loading took all memory before it was refused")


@pytest.mark.parametrize("number", range(4))
def test_a_swollen_member_is_refused_with_little_memory(judge, number):
    content = STORED.read_bytes()
    mutated = sealed(swell_member(content, content, random.Random(number)))
    tracemalloc.start()
    verdict, why = judge.verdict(mutated)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert verdict == "refused", why
    assert peak < 8 * len(mutated)


def test_the_judge_detects_silently_changed_predictions(judge):
    judge.expected[-1] = judge.expected[-1].replace("0.", "0.1", 1)
    assert judge.verdict(STORED.read_bytes()) == ("wrong", "the same model id, but other predictions")


def test_the_judge_detects_invalid_probabilities(judge, monkeypatch):
    class Beyond(type(judge.sound)):
        def predict(self, *arguments, **options):
            predictions = super().predict(*arguments, **options)
            beyond = predictions.probability["dropout"] + 1.0
            return dataclasses.replace(predictions, probability={"dropout": beyond})

    judge.sound.__class__ = Beyond
    monkeypatch.setattr("treatsel.load_model", lambda path: judge.sound)
    verdict, why = judge.verdict(STORED.read_bytes())
    assert verdict == "wrong"
    assert "a prediction is not a probability" in why
