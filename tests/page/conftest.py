"""One patient of three outcomes and four arms, without any model: draws are made here."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

from treatsel.predictions import Predictions, flags_of
from treatsel.preference import check_preferences, utility
from treatsel.questions import QuestionTree
from treatsel.recommendation import PatientOutcomes, recommend

ARMS = ("CBT", "IPT", "SSRI", "TAU")
GOOD = {"remission": True, "dropout": False, "nausea": False}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@dataclass(frozen=True)
class Patient:
    """A patient with draws around probabilities; `recommended` is what a model would return."""

    probability: dict
    draws: dict
    good: dict = field(default_factory=lambda: dict(GOOD))
    evidence: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    flags: tuple = ()
    titles: dict = field(default_factory=dict)
    arms: tuple = ARMS
    in_scope: bool = True
    audit: dict = field(default_factory=dict)
    patient_id: str = "planted-id"

    @classmethod
    def of(cls, seed=0, *, effect=0.5, spread=0.3, n_draws=200, arms=ARMS, good=GOOD, **others):
        """Draw a patient: `effect` is the spread of arms, `spread` that of draws, on the logit scale."""
        rng, probability, draws, k = np.random.default_rng(seed), {}, {}, len(arms)
        for name in good:
            logits = rng.normal(-0.3, 0.5) + effect * rng.normal(size=k)
            noise = spread * (0.5 * rng.normal(size=(n_draws, 1)) + rng.normal(size=(n_draws, k)))
            probability[name] = 1 / (1 + np.exp(-logits))
            draws[name] = 1 / (1 + np.exp(-(logits + noise)))
        return cls(probability, draws, arms=arms, good=dict(good), **others)

    def recommended(self, weights=None):
        """The recommendation at some weights, as `FittedModel.recommend` makes it."""
        names = tuple(self.good)
        given = {names[0]: 1.0} if weights is None else weights
        used = check_preferences(given, names, self.good)
        table = utility({name: self.probability[name][None] for name in used}, used, self.good)
        draws = None
        if all(self.draws[name] is not None for name in used):
            draws = utility({name: self.draws[name] for name in used}, used, self.good)[:, None]
        found = recommend(
            pd.DataFrame(table, index=[self.patient_id], columns=list(self.arms)),
            draws=draws,
            evidence=self.evidence_for(used),
            in_scope=pd.Series(self.in_scope, index=[self.patient_id]),
            **{"default_arm": self.arms[-1], **self.options},
        )
        return replace(
            found,
            preferences={name: float(given[name]) for name in names if name in given},
            audit={"model_id": "0123456789abcdef", "library_version": "9.9", **self.audit},
            outcomes=PatientOutcomes(
                event_is_good=self.good,
                titles=self.titles,
                predict=self.predictions,
                draw=self.draws.get,
                decide=self.recommended,
                evidence=self.evidence_for,
            ),
        )

    def evidence_for(self, names):
        return {arm: not any((name, arm) in self.evidence for name in names) for arm in self.arms}

    def predictions(self):
        bounds = {
            name: np.full((2, len(self.arms)), np.nan)
            if draws is None
            else np.quantile(draws, [0.025, 0.975], axis=0)
            for name, draws in self.draws.items()
        }
        return Predictions(
            patients=(self.patient_id,),
            arms=self.arms,
            probability={name: values[None] for name, values in self.probability.items()},
            lower={name: both[:1] for name, both in bounds.items()},
            upper={name: both[1:] for name, both in bounds.items()},
            level=0.95,
            flags=flags_of(self.patient_id, self.flags),
        )


@pytest.fixture(scope="session")
def patient_of():
    return Patient.of


@dataclass(frozen=True)
class Worth:
    """What a tree of questions needs of `NextQuestion`: a table with a row."""

    table: pd.DataFrame


TITLES = ("Job of the patient", "Score before treatment", "points")  # of questions in turn, and a unit


def tree(patient, weights=None, *, label="long_term_sick", titles=TITLES, depth=3, seed=100):
    """Questions whose answers lead to other patients, as `question_tree` would make them."""
    answers = []
    settings = [(2.0, 0.05, (True,)), (0.05, 0.02, (label,)), (0.4, 0.4, (3.0, 12.5, 14))]
    for i, (effect, spread, values) in enumerate(settings):
        options = {**patient.options, **({"excluded": {patient.arms[-1]: "No place."}} if i == 2 else {})}
        other = Patient.of(
            seed + i, effect=effect, spread=spread, arms=patient.arms, good=patient.good, options=options
        )
        answer = {"values": values, "value": values[len(values) // 2], "probability": 1 / 3}
        if depth > 1 and i != 1:
            deeper = {"label": label, "titles": titles, "depth": depth - 1, "seed": seed + 10 * (i + 1)}
            answers.append(replace(tree(other, weights, **deeper), **answer))
        else:
            found = other.recommended(weights)
            answers.append(QuestionTree(recommendation=found, question=None, is_open=i == 0, **answer))
    return QuestionTree(
        recommendation=patient.recommended(weights),
        question=f"question{depth}",
        title=titles[depth % 2],
        unit=titles[2] if depth % 2 else "",
        is_range=bool(depth % 2),
        lists_all=depth != 2,
        worth=Worth(pd.DataFrame({"value": [0.01]})),
        answers=tuple(answers),
    )


@pytest.fixture(scope="session")
def tree_of():
    return tree


@pytest.fixture
def browse(tmp_path):
    """Show pages in frames of one browser window, and return what a script finds in each."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")

    def shown(frames, script, width=1000):
        """`frames`: (text of a page, address after #); `script`: expression of the document `d`."""
        files, tags = {}, []
        for text, address in frames:
            path = files.setdefault(text, tmp_path / f"page{len(files)}.html")
            path.write_text(text, encoding="utf-8")
            style = f"width:{width}px;height:700px;border:0"
            tags.append(f'<iframe src="{path.as_uri()}#{address}" style="{style}"></iframe>')
        probe = tmp_path / "probe.html"
        probe.write_text(
            f"""<meta charset="utf-8">{"".join(tags)}<pre id="out"></pre><script>onload = () => {{
            const found = [...document.querySelectorAll('iframe')].map((f) => {{
              const d = f.contentDocument, w = f.contentWindow; return ({script}); }});
            out.textContent = JSON.stringify(found); }}</script>""",
            encoding="utf-8",
        )
        command = [
            *(CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--allow-file-access-from-files"),
            *("--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", probe.as_uri()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert ":CONSOLE" not in done.stderr, done.stderr
        found = re.search(r'<pre id="out">(.+?)</pre>', done.stdout, re.DOTALL)
        plain = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return json.loads(plain)

    return shown
