"""Methods of EconML, CausalML and stochtree as contestants, run by `peer_worker.py` where they are installed.

They give differences between arms but no probabilities. Covariates are encoded for them: standardized
numbers, one column per category, missing values as 0 with an indicator.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.selection.process import Sample
from benchmarks.selection.run import Contestant, MethodFailedError
from benchmarks.selection.scores import Prediction
from treatsel.models import Encoding

SLOW = {  # largest number of patients
    "EconML CausalForestDML": 5_000,
    "CausalML uplift forest": 5_000,
    "stochtree BART, by arm": 1_000,
    "stochtree BCF": 1_000,
}


class PeerWorker:
    """A worker process; use it as a context.

    Parameters
    ----------
    python : str
        Interpreter of an environment with EconML, CausalML or stochtree.
    """

    def __init__(self, python: str) -> None:
        self.python = python

    def __enter__(self) -> "PeerWorker":
        self._folder = tempfile.TemporaryDirectory()
        script = Path(__file__).with_name("peer_worker.py")
        self._process = subprocess.Popen(
            [self.python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ready = self._reply()
        self.methods: list[str] = ready.get("methods", [])
        self.versions: dict[str, str] = ready.get("versions", {})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def _reply(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": "the worker ended"}

    def predict(self, name: str, train: Sample, test: Sample, seed: int, site: str | None) -> Prediction:
        """Have one method fitted and applied."""
        dropped = ["arm"] if site is None else ["arm", site]
        covariates, new = train.X.drop(columns=dropped), test.X.drop(columns=dropped)
        encoding = Encoding.learn(covariates, np.ones(len(covariates)), native_missing=False)
        arms = sorted(train.X["arm"].unique())
        folder = Path(self._folder.name)
        np.savez(
            folder / "data.npz",
            matrix=encoding.encode(covariates),
            codes=pd.Index(arms).get_indexer(train.X["arm"]),
            y=train.y.to_numpy(),
            new_matrix=encoding.encode(new),
        )
        request = {"folder": str(folder), "method": name, "seed": seed}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._reply()
        if "error" in answer:
            raise MethodFailedError(answer["error"])
        effects = pd.DataFrame(np.load(folder / "effects.npy"), index=new.index, columns=arms)
        return Prediction(by_arm=effects, effects_only=True, **answer)

    def contestants(self) -> list[Contestant]:
        """Return all methods that the worker has."""
        return [self._contestant(name) for name in self.methods]

    def _contestant(self, name: str) -> Contestant:
        def predict(train: Sample, test: Sample, seed: int, site: str | None, draws: bool) -> Prediction:
            return self.predict(name, train, test, seed, site)

        return Contestant(name=name, predict=predict, largest=SLOW.get(name, 1_000_000))
