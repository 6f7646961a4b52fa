"""Every id of the reference numbers on synthesis and decisions is tested, or named as not tested yet."""

import json
import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2] / "shared" / "reference" / "synthesis"
EXPECTED = Path(os.environ.get("TREATSEL_SYNTHESIS_REFERENCE", BESIDE)) / "expected.json"
IDS = [one["id"] for one in json.loads(EXPECTED.read_text())["checks"]] if EXPECTED.exists() else []

# by the start of an id, the file that tests it
TESTED = {
    "smaa": "preference/test_reference.py",
    "weights": "preference/test_reference.py",
    "logic": "eligibility/test_reference.py",
    "allocate": "allocation/test_reference.py",
    "match": "allocation/test_reference.py",
    "policytree": "tree/test_reference.py",
    "voi": "questions/test_reference.py",
}
# published evidence, which the library does not synthesize yet
EVIDENCE = {
    *("ad", "bayes", "borrow", "component", "convert", "faults", "franchini2012", "gurusamy2011", "ipd"),
    *("linde2015_remission", "map", "metapsy", "mlnmr", "one", "published", "senn2013", "shrinkage"),
    *("smoking", "stages"),
}

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not IDS, reason="the reference numbers do not lie beside the project"),
]


@pytest.mark.parametrize("start", sorted({name.partition(".")[0] for name in IDS}))
def test_every_id_has_rules(start):
    if start in EVIDENCE:
        pytest.skip("published evidence is not synthesized yet")
    assert start in TESTED, f"no rule for the ids {start}.*"
    assert f'"{start}.' in (Path(__file__).parent / TESTED[start]).read_text()
