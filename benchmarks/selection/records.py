"""Simulated processes on tables as services keep them: skewed durations and counts, categories, gaps.

Twenty covariates: scores, counts and durations with long tails, yes/no, and five categories with rare levels;
5 to 25 % of nine of them are missing. Effects act on the logarithm of skewed numbers. Effect modification is
stronger than in real trials, so that methods can be told apart: the oracle gains 8 to 17 points.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from benchmarks.selection.process import Patients, Process

MISSING = {
    "wsas": 0.08,
    "income": 0.25,
    "hope": 0.15,
    "bmi": 0.2,
    "deprivation": 0.05,
    "employment": 0.1,
    "ethnicity": 0.12,
    "months_ill": 0.15,
    "visits": 0.05,
}
CATEGORIES = {
    "gender": (["female", "male", "other"], [0.64, 0.33, 0.03]),
    "employment": (
        ["employed", "unemployed", "student", "retired", "carer", "sick"],
        [0.45, 0.2, 0.12, 0.08, 0.05, 0.1],
    ),
    "ethnicity": (["white", "asian", "black", "mixed", "other"], [0.7, 0.12, 0.08, 0.05, 0.05]),
    "referrer": (list("ABCDEFG"), [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]),
    "problem": (["depression", "gad", "panic", "ocd", "ptsd", "mixed"], [0.4, 0.2, 0.1, 0.05, 0.1, 0.15]),
}


def record(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw complete records."""
    distress = rng.standard_normal(n)

    def score(mean: float, sd: float, loading: float) -> np.ndarray:
        return mean + sd * (loading * distress + np.sqrt(1 - loading**2) * rng.standard_normal(n))

    numbers = {
        "age": (18 + rng.gamma(4.0, 6.0, n)).clip(18, 90).round(),
        "phq9": score(16, 5, 0.8).clip(0, 27).round(),
        "gad7": score(13, 4.5, 0.7).clip(0, 21).round(),
        "wsas": score(20, 9, 0.6).clip(0, 40).round(),
        "sleep": score(0, 1, 0.4),
        "hope": score(10, 4, -0.4).round(1),
        "months_ill": rng.lognormal(2.8, 1.1, n).round(),
        "income": rng.lognormal(7.3, 0.8, n).round(-1),
        "episodes": rng.negative_binomial(1.2, 0.35, n).astype(float),
        "visits": rng.lognormal(0.8, 1.0, n).round(),
        "deprivation": rng.integers(1, 11, n).astype(float),
        "bmi": 20 + rng.gamma(3, 2.6, n),
        "trauma": (rng.random(n) < 0.3).astype(float),
        "medicated": (rng.random(n) < 0.45).astype(float),
        "risk": (rng.random(n) < 0.12).astype(float),
    }
    texts = {name: rng.choice(np.array(of, dtype=object), n, p=p) for name, (of, p) in CATEGORIES.items()}
    return pd.DataFrame({**numbers, **texts})


def with_gaps(x: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the records with values missing at random."""
    return x.assign(**{name: x[name].mask(rng.random(len(x)) < share) for name, share in MISSING.items()})


def standard(x: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers on a fixed standard scale, skewed ones on a logarithmic scale."""
    return pd.DataFrame(
        {
            "age": (np.log(x["age"] - 10) - 3.4) / 0.38,
            "phq9": (x["phq9"] - 16) / 5,
            "gad7": (x["gad7"] - 13) / 4.5,
            "wsas": (x["wsas"] - 20) / 9,
            "sleep": x["sleep"],
            "hope": (x["hope"] - 10) / 4,
            "ill": (np.log1p(x["months_ill"]) - 2.85) / 1.05,
            "income": (np.log(x["income"] + 50) - 7.3) / 0.78,
            "episodes": (np.log1p(x["episodes"]) - 0.95) / 0.75,
            "visits": (np.log1p(x["visits"]) - 1.15) / 0.7,
            "deprivation": (x["deprivation"] - 5.5) / 2.9,
            "bmi": (x["bmi"] - 27.8) / 4.5,
            "trauma": (x["trauma"] - 0.3) / 0.46,
            "medicated": (x["medicated"] - 0.45) / 0.5,
            "risk": (x["risk"] - 0.12) / 0.32,
        }
    )


def prognosis(x: pd.DataFrame, z: pd.DataFrame) -> np.ndarray:
    """Return the logit that all arms share, as a column."""
    scores = -0.3 - 0.4 * z["phq9"] - 0.3 * z["wsas"] + 0.2 * z["hope"] - 0.15 * z["deprivation"]
    history = -0.25 * z["ill"] - 0.2 * z["episodes"] - 0.2 * (x["problem"] == "ptsd")
    work = -0.3 * (x["employment"] == "sick") + 0.25 * (x["employment"] == "employed")
    return (scores + history + work).to_numpy()[:, None]


def dense(n: int, rng: np.random.Generator) -> Patients:
    """Every number modifies the effect of each of five arms a little."""
    x = record(n, rng)
    z = standard(x)
    slopes = np.random.default_rng(3).normal(0, 0.2, (z.shape[1], 5))
    logits = prognosis(x, z) + z.to_numpy() @ slopes + np.array([0.1, 0.05, 0.0, -0.05, -0.1])
    return Patients(covariates=with_gaps(x, rng), truth=expit(logits), shares=np.full(5, 0.2))


def sparse(n: int, rng: np.random.Generator) -> Patients:
    """Two of twenty covariates modify effects, one of them strongly."""
    x = record(n, rng)
    z = standard(x)
    strong, weak = 0.75 * z["trauma"].to_numpy(), 0.35 * z["ill"].to_numpy()
    logits = prognosis(x, z) + np.column_stack([strong + weak, -strong, -weak, 0 * weak])
    truth = expit(logits + np.array([0.0, 0.1, 0.1, 0.0]))
    return Patients(covariates=with_gaps(x, rng), truth=truth, shares=np.full(4, 0.25))


def indication(n: int, rng: np.random.Generator) -> Patients:
    """A few moderate modifiers, one of them a category; arms are given by indication."""
    x = record(n, rng)
    z = standard(x)
    arms = [
        0.35 * z["gad7"] + 0.3 * z["hope"] - 0.3 * z["risk"],
        0.45 * z["phq9"] - 0.3 * z["income"] + 0.5 * (x["problem"] == "depression") - 0.2,
        0.4 * z["deprivation"] - 0.3 * z["ill"] + 0.3 * z["age"],
        -0.2 * z["phq9"] - 0.2 * z["gad7"],
    ]
    habits = [
        0.4 * z["hope"] - 0.2 * z["risk"],
        0.8 * z["phq9"] + 0.4 * z["medicated"],
        -0.3 * z["ill"],
        -0.4 * z["phq9"],
    ]
    shares = 0.92 * softmax(np.column_stack(habits), axis=1) + 0.02
    truth = expit(prognosis(x, z) + np.column_stack(arms))
    return Patients(covariates=with_gaps(x, rng), truth=truth, shares=shares)


def thresholds(n: int, rng: np.random.Generator) -> Patients:
    """Prognosis and modification change at thresholds."""
    x = record(n, rng)
    z = standard(x)
    shared = -0.1 - 0.8 * (x["phq9"] >= 20) - 0.6 * (x["months_ill"] > 24) + 0.3 * z["hope"]
    shared = shared + 0.5 * ((x["age"] > 25) & (x["age"] < 50))
    arms = [
        1.1 * ((x["gad7"] >= 13) & (x["trauma"] == 0)) - 0.5,
        1.2 * (x["phq9"] >= 18) - 0.6 * (x["age"] < 30) - 0.3,
        1.0 * ((x["income"] > 1500) & (z["sleep"] > -0.5)) - 0.4,
    ]
    truth = expit(shared.to_numpy()[:, None] + np.column_stack(arms))
    return Patients(covariates=with_gaps(x, rng), truth=truth, shares=np.full(3, 1 / 3))


def rare_arms(n: int, rng: np.random.Generator) -> Patients:
    """Six arms, of which two are rare."""
    x = record(n, rng)
    z = standard(x)
    arms = [
        0.3 * z["gad7"] - 0.25 * z["ill"],
        0.35 * z["hope"] + 0.4 * z["trauma"],
        0.4 * z["phq9"] - 0.3 * z["income"],
        -0.35 * z["deprivation"] + 0.3 * z["age"],
        0.3 * z["bmi"] - 0.3 * z["sleep"],
        0 * z["age"],
    ]
    logits = prognosis(x, z) + 1.1 * np.column_stack(arms) + np.array([0.1, 0.0, 0.1, 0.0, -0.1, -0.2])
    shares = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    return Patients(covariates=with_gaps(x, rng), truth=expit(logits), shares=shares)


def two_families(n: int, rng: np.random.Generator) -> Patients:
    """Six arms in two families that share modifiers; the link is not a logit."""
    x = record(n, rng)
    z = standard(x)
    talking = 0.5 * z["hope"] + 0.35 * z["income"] - 0.3 * z["risk"]
    drugs = 0.55 * z["phq9"] + 0.3 * z["sleep"] - 0.25 * z["visits"]
    arms = [talking + 0.15 * z["gad7"], talking, talking - 0.15 * z["age"]]
    arms += [drugs, drugs + 0.2 * z["ill"], drugs - 0.1 * z["bmi"]]
    rate = -0.5 + 0.6 * prognosis(x, z) + 0.7 * np.column_stack(arms)
    truth = -np.expm1(-np.exp(rate))
    return Patients(covariates=with_gaps(x, rng), truth=truth, shares=np.full(6, 1 / 6))


def constant(n: int, rng: np.random.Generator) -> Patients:
    """Arms differ by a constant on the logit scale."""
    x = record(n, rng)
    truth = expit(1.2 * prognosis(x, standard(x)) + np.array([0.15, 0.05, 0.0, -0.1, -0.2]))
    return Patients(covariates=with_gaps(x, rng), truth=truth, shares=np.full(5, 0.2))


RECORDS = tuple(
    Process(name=name, about=about, arms=tuple("abcdef"[:n_arms]), make=make, modified=name != "constant")
    for name, about, n_arms, make in (
        ("dense", "every number modifies a little", 5, dense),
        ("sparse", "one strong modifier, one weak", 4, sparse),
        ("indication", "moderate modifiers, routine data", 4, indication),
        ("thresholds", "thresholds and interactions", 3, thresholds),
        ("rare_arms", "six arms, two of them rare", 6, rare_arms),
        ("two_families", "six arms in two families", 6, two_families),
        ("constant", "arms differ by a constant", 5, constant),
    )
)
