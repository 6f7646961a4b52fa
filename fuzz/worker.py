"""One process that loads mutants, one after the other, with limits on memory and processor time.

It prints the number of each mutant before the test and the verdict afterwards, so that the mutant is known if
the process dies or hangs.
"""

import json
import random
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import treatsel as ts
from fuzz.damage import damaged, sealed
from fuzz.forgery import forged
from treatsel import serve
from treatsel.artifact import read_manifest
from treatsel.errors import ArtifactError, TreatselError
from treatsel.report import model_card

MAKING = 60  # seconds of processor time allowed for making a mutant
MEMORY = 2 * 2**30  # bytes, in addition to those of the imports


def mutant(kind: str, content: bytes, other: bytes, seed: str) -> tuple[str, bytes]:
    """Return the name of the way in which a mutant was made, and the mutant."""
    source = random.Random(seed)
    if kind == "forged":
        return forged(content, source)
    way, changed = damaged(content, other, source)
    return way, sealed(changed) if kind == "sealed" else changed


class Judge:
    """Compare mutants with the predictions of the valid file for some patients."""

    def __init__(self, path: Path, patients: Path, folder: Path) -> None:
        self.records = pd.read_csv(patients).head(3)
        plain = self.records.astype(object).where(self.records.notna(), None)
        rows = plain.to_dict(orient="records")
        self.one_by_one = [{str(name): value for name, value in row.items()} for row in rows]
        self.mutant = folder / "mutant.treatsel"
        self.sound = ts.load_model(path)
        self.expected = self._all_of(self.sound, serve.load_model(path))

    def verdict(self, content: bytes) -> tuple[str, str]:
        """Return "refused", "accepted" or "wrong", and why."""
        self.mutant.write_bytes(content)
        refusals = []
        for load in (ts.load_model, serve.load_model):
            try:
                load(self.mutant)
            except ArtifactError as error:
                refusals.append(str(error))
            except Exception as error:
                return "wrong", f"loading raised {type(error).__name__}: {error}"
        if len(refusals) == 1:
            return "wrong", f"one loader refuses, the other does not: {refusals[0]}"
        if any("more memory than is available" in refusal for refusal in refusals):
            return "wrong", "loading took all memory before it was refused"
        if refusals:
            return "refused", refusals[0].partition(". ")[2]
        return self._used()

    def _used(self) -> tuple[str, str]:
        """Return the verdict on a mutant that was loaded."""
        selector = ts.load_model(self.mutant)
        try:
            found = self._all_of(selector, serve.load_model(self.mutant))
            model_card(read_manifest(self.mutant))
        except TreatselError as error:
            return "accepted", f"raises {type(error).__name__}"
        except Exception as error:
            return "wrong", f"using it raised {type(error).__name__}: {error}"
        if selector.model_id_ == self.sound.model_id_ and found != self.expected:
            return "wrong", "the same model id, but other predictions"
        return "accepted", "is the same" if found == self.expected else "says something else, by another id"

    def _all_of(self, selector: ts.TreatmentSelector, served: serve.FittedModel) -> list[str]:
        """Return all results of a selector as exact text; check that its numbers are probabilities."""
        flagged = selector.predict(self.records, on_invalid="flag")
        flagged.to_json()
        said = [json.dumps({**flagged.to_dict(), "audit": None})]
        for name in flagged.outcomes:
            lower, upper = (table.to_numpy() for table in flagged.interval(name))
            p = flagged.by_arm(name).to_numpy()
            if not ((p >= 0) & (p <= 1)).all():
                raise ArithmeticError("a prediction is not a probability")
            if not (np.isnan(lower) | ((lower >= 0) & (lower <= upper) & (upper <= 1))).all():
                raise ArithmeticError("an interval is none")
        for i, record in enumerate(self.one_by_one):
            alone = served.predict(record, on_invalid="flag")
            said += [alone.to_json(), served.recommend(record, on_invalid="flag").to_frame().to_json()]
            for name in flagged.outcomes:
                if alone.probability[name][0].tolist() != flagged.by_arm(name).iloc[i].tolist():
                    raise ArithmeticError("a patient alone is told something else than among others")
        said.append(selector.recommend(self.records, on_invalid="flag").to_frame().to_json())
        return [*said, json.dumps(selector.predict_by_arm(self.records).to_numpy().tolist())]


def main(arguments: list[str]) -> None:
    """Test the mutants in a range of numbers."""
    path, other, patients, kinds, seed, start, stop, seconds = arguments
    content, strange = Path(path).read_bytes(), Path(other).read_bytes()
    warnings.simplefilter("error", RuntimeWarning)
    warnings.filterwarnings("ignore", "Duplicate name")  # intended
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(Path(path), Path(patients), Path(folder))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        print("ready", flush=True)
        for number in range(int(start), int(stop)):
            kind = kinds.split(",")[number % len(kinds.split(","))]
            print(json.dumps([number, kind]), flush=True)
            _limit_time(MAKING)
            way, changed = mutant(kind, content, strange, f"{seed} {Path(path).name} {kind} {number}")
            _limit_time(float(seconds))
            same = changed == content  # the change had no effect
            verdict, why = ("accepted", "is the file itself") if same else judge.verdict(changed)
            print(json.dumps([way, verdict, why]), flush=True)


def _limit_time(seconds: float) -> None:
    """Let the system end this process after this processor time."""
    end = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(sys.argv[1:])
