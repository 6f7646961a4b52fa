"""A small stacked model with trees, draws and two outcomes, fitted when it is needed."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import treatsel as ts


def write_stacked(folder: Path) -> Path:
    """Fit the model to simulated patients; write the model and a table of 20 of these patients."""
    random, n = np.random.default_rng(0), 900
    X = pd.DataFrame(
        {
            "age": random.normal(40, 12, n).round(),
            "score": random.normal(15, 5, n).round(),
            "work": random.choice(["yes", "no", "sick"], n),
            "arm": random.choice(["a", "b"], n),
        }
    )
    product = (X["age"] - 40) * (X["score"] - 15) / 40
    logits = product + (X["arm"] == "a") * np.where(X["score"] > 15, 0.8, -0.7)
    remission = random.random(n) < 1 / (1 + np.exp(-logits))
    y = pd.DataFrame(
        {"remission": remission.astype(float), "dropout": (random.random(n) < 0.3).astype(float)}
    )
    X.loc[random.random(n) < 0.1, "score"] = np.nan
    X.loc[random.random(n) < 0.1, "work"] = None
    path = folder / "stacked.treatsel"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        directions = {"remission": True, "dropout": False}
        selector = ts.TreatmentSelector(event_is_good=directions, random_state=0).fit(X, y)
    ts.save_model(selector, path, intended_use="Mutants are made of it.")
    model = selector.additive_["remission"]
    assert model is not None
    assert model.trees is not None
    X.head(20).to_csv(path.with_suffix(".patients.csv"), index=False)
    return path
