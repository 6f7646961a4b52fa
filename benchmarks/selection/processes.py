"""Simulated processes whose true probabilities are known; outcome 1 is the good one.

`PROCESSES` may be used during development of a method; `HELD_BACK` only for the final evaluation.
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy.special import expit, logit, softmax

from benchmarks.selection.process import Patients, Process
from treatsel.datasets import make_cohort

THERAPIES = ("cbt", "ipt", "ssri", "usual_care")
THREE = ("cbt", "ipt", "ssri")
FAMILIES = ("cbt", "counselling", "ipt", "mirtazapine", "snri", "ssri")
LIVING = np.array(["alone", "family", "partner", "shared"], dtype=object)


def clinic(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw 21 covariates of a clinic: correlated scores, counts, yes/no, a category."""
    distress = rng.standard_normal(n)

    def score(mean: float, sd: float, loading: float) -> np.ndarray:
        return mean + sd * (loading * distress + np.sqrt(1 - loading**2) * rng.standard_normal(n))

    return pd.DataFrame(
        {
            "age": rng.normal(42, 14, n).clip(18, 85).round(),
            "female": (rng.random(n) < 0.62).astype(float),
            "severity": score(17, 4, 0.8).clip(5, 27).round(),
            "anxiety": score(13, 4, 0.6).clip(0, 21).round(),
            "impairment": score(20, 8, 0.6).clip(0, 40).round(),
            "support": score(50, 15, -0.3).clip(12, 84).round(),
            "optimism": score(15, 4, -0.4),
            "sleep": score(0, 1, 0.4),
            "pain": score(0, 1, 0.2),
            "neuroticism": score(25, 7, 0.5),
            "education": rng.normal(13, 3, n).clip(8, 21).round(),
            "episodes": rng.poisson(1.8, n).astype(float),
            "comorbid": rng.poisson(1.2, n).astype(float),
            "alcohol": rng.lognormal(1, 0.9, n),
            "chronic": (rng.random(n) < 0.35).astype(float),
            "trauma": (rng.random(n) < 0.3).astype(float),
            "employed": (rng.random(n) < 0.55).astype(float),
            "living": rng.choice(LIVING, size=n, p=[0.3, 0.2, 0.4, 0.1]),
            "noise_1": rng.standard_normal(n),
            "noise_2": rng.standard_normal(n),
            "noise_3": (rng.random(n) < 0.2).astype(float),
        }
    )


CENTERS = {
    "age": (42, 14),
    "severity": (17, 4),
    "anxiety": (13, 4),
    "impairment": (20, 8),
    "support": (50, 15),
    "optimism": (15, 4),
    "neuroticism": (25, 7),
    "education": (13, 3),
    "episodes": (1.8, 1.3),
    "female": (0.62, 0.49),
    "chronic": (0.35, 0.48),
    "trauma": (0.3, 0.46),
    "employed": (0.55, 0.5),
}


def standard(x: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers on a fixed standard scale."""
    z = x.drop(columns="living")
    for name, (center, sd) in CENTERS.items():
        z[name] = (z[name] - center) / sd
    return z


def linear_prognosis(x: pd.DataFrame, z: pd.DataFrame) -> np.ndarray:
    """Return the logit that all arms share, linear in the covariates."""
    scores = -0.4 * z["severity"] - 0.25 * z["impairment"] + 0.3 * z["optimism"]
    history = -0.25 * z["chronic"] - 0.2 * z["episodes"] + 0.2 * z["employed"] - 0.15 * z["pain"]
    return (-0.2 + scores + history - 0.3 * (x["living"] == "alone")).to_numpy()


def linear_modifiers(x: pd.DataFrame, z: pd.DataFrame) -> np.ndarray:
    """Return the deviations of cbt, ipt, ssri and usual care from it, linear in the covariates."""
    cbt = 0.25 + 0.30 * z["education"] + 0.25 * z["anxiety"] - 0.20 * z["chronic"]
    ipt = 0.15 + 0.30 * z["support"] - 0.25 * z["trauma"] + 0.4 * (x["living"] == "partner")
    ssri = 0.25 + 0.45 * z["severity"] + 0.20 * z["sleep"] - 0.25 * z["education"]
    care = -0.25 - 0.25 * z["severity"] + 0.20 * z["employed"]
    return np.column_stack([cbt, ipt, ssri, care])


def linear(n: int, rng: np.random.Generator) -> Patients:
    x = clinic(n, rng)
    z = standard(x)
    truth = expit(linear_prognosis(x, z)[:, None] + linear_modifiers(x, z))
    return Patients(covariates=x, truth=truth, shares=np.full(4, 0.25))


def confounded(n: int, rng: np.random.Generator) -> Patients:
    """Confounding by indication: severe and chronic patients receive drugs, educated patients cbt.

    Effects are as in `linear` but weaker.
    """
    x = clinic(n, rng)
    z = standard(x)
    habits = [
        0.3 + 0.6 * z["education"] - 0.4 * z["chronic"],
        -0.4 + 0.5 * z["support"] + 0.4 * z["female"],
        0.3 + 0.9 * z["severity"] + 0.5 * z["chronic"] + 0.4 * z["impairment"],
        -0.6 * z["severity"] + 0.3 * z["employed"],
    ]
    shares = 0.95 * softmax(np.column_stack(habits), axis=1) + 0.05 / 4
    truth = expit(1.3 * linear_prognosis(x, z)[:, None] + 0.8 * linear_modifiers(x, z))
    return Patients(covariates=x, truth=truth, shares=shares)


def nonlinear(n: int, rng: np.random.Generator) -> Patients:
    """Thresholds and interactions, in prognosis and in effect modification."""
    x = clinic(n, rng)
    z = standard(x)
    prognosis = (
        -0.2
        - 0.9 * (x["severity"] >= 20)
        + 0.5 * ((x["age"] > 30) & (x["age"] < 55))
        - 0.8 * ((x["trauma"] == 1) & (z["sleep"] > 0))
        - 0.3 * (x["episodes"] >= 3)
        + 0.3 * z["optimism"] * (x["employed"] == 1)
    )
    cbt = 0.9 * ((x["education"] >= 13) & (x["severity"] < 20)) - 0.5 * (x["chronic"] == 1)
    ipt = 1.1 * ((x["support"] > 55) & (x["living"] != "alone")) - 0.3
    ssri = 1.2 * ((x["severity"] >= 18) & (z["anxiety"] > 0)) - 0.5 * (x["age"] < 35)
    truth = expit(prognosis.to_numpy()[:, None] + np.column_stack([cbt, ipt, ssri]))
    return Patients(covariates=x, truth=truth, shares=np.full(3, 1 / 3))


def null(n: int, rng: np.random.Generator) -> Patients:
    """Arms differ by a constant on the logit scale: one arm is best for all patients."""
    x = clinic(n, rng)
    constant = np.array([0.15, 0.05, 0.0, -0.20])
    truth = expit(1.2 * linear_prognosis(x, standard(x))[:, None] + constant)
    return Patients(covariates=x, truth=truth, shares=np.full(4, 0.25))


def unequal(n: int, rng: np.random.Generator) -> Patients:
    """One arm is routine and one is rarely given."""
    x = clinic(n, rng)
    z = standard(x)
    truth = expit(linear_prognosis(x, z)[:, None] + linear_modifiers(x, z)[:, [2, 3, 0, 1]])
    return Patients(covariates=x, truth=truth, shares=np.array([0.70, 0.20, 0.07, 0.03]))


def sites(n: int, rng: np.random.Generator) -> Patients:
    """40 sites with random effects and random site-by-arm effects; every draw has other sites."""
    x = clinic(n, rng)
    z = standard(x)
    logits = linear_prognosis(x, z)[:, None] + linear_modifiers(x, z)[:, :3]
    where = rng.choice(40, size=n, p=rng.dirichlet(np.full(40, 3.0)))
    effect = 0.6 * rng.standard_normal((40, 1)) + 0.35 * rng.standard_normal((40, 3))
    names = np.array([f"site{number}" for number in rng.permutation(100_000)[:40]], dtype=object)
    return Patients(
        covariates=x.assign(site=names[where]),
        truth=expit(logits + effect[where]),
        expected=logits,
        shares=np.full(3, 1 / 3),
    )


@cache
def _services() -> tuple[pd.DataFrame, np.ndarray]:
    """Draw once the pool from which `weak` samples; logits are shrunk to a Bayes AUC of about .70."""
    arms = dict.fromkeys(["cbt", "counselling", "guided_self_help", "ipt"], 0.25)
    drawn = make_cohort(100_000, assignment=arms, sites=1, random_state=2)
    logits = logit(drawn.truth["recovery"][sorted(arms)].to_numpy())
    truth = expit(logits.mean() + 0.8 * (logits - logits.mean()))
    return drawn.cohort.X.drop(columns="arm").reset_index(drop=True), truth


def weak(n: int, rng: np.random.Generator) -> Patients:
    """Patients of `treatsel.datasets`: realistic, so that the accuracy of any method is limited."""
    x, truth = _services()
    chosen = rng.choice(len(x), size=n, replace=False)
    covariates = x.iloc[chosen].reset_index(drop=True)
    return Patients(covariates=covariates, truth=truth[chosen], shares=np.full(4, 0.25))


def needle(n: int, rng: np.random.Generator) -> Patients:
    """One strong modifier among 30 covariates of noise, half of which are correlated."""
    common = rng.standard_normal((n, 1))
    noise = rng.standard_normal((n, 30))
    noise[:, :15] = 0.6 * common + 0.8 * noise[:, :15]
    x = pd.DataFrame(noise, columns=[f"noise_{j}" for j in range(30)])
    x.insert(11, "marker", (rng.random(n) < 0.4).astype(float))
    x.insert(23, "severity", rng.standard_normal(n))
    sign = (2 * x["marker"] - 1).to_numpy()[:, None]
    logits = -0.1 - 0.6 * x[["severity"]].to_numpy() + sign * np.array([0.6, -0.6, 0.0]) + [0.0, 0.1, 0.1]
    return Patients(covariates=x, truth=expit(logits), shares=np.full(3, 1 / 3))


def u_shaped(n: int, rng: np.random.Generator) -> Patients:
    """Smooth U-shaped modification; heavy-tailed, correlated covariates; 15% of cells missing.

    The truth, and so the oracle, depends on the missing values.
    """
    lag = np.abs(np.subtract.outer(np.arange(14), np.arange(14)))
    normal = rng.standard_normal((n, 14)) @ np.linalg.cholesky(0.6**lag).T
    t = normal / np.sqrt(rng.chisquare(4, (n, 1)) / 4)
    x = pd.DataFrame(t, columns=[f"biomarker_{j}" for j in range(14)])
    x["smoker"] = (rng.random(n) < 0.25).astype(float)
    x["carrier"] = (rng.random(n) < 0.15 + 0.2 * (t[:, 3] > 0)).astype(float)
    bent = np.tanh(t / 2)
    prognosis = 0.8 * bent[:, 0] - 0.6 * bent[:, 5] ** 2 - 0.5 * x["smoker"].to_numpy()
    arms = [
        1.8 * bent[:, 2] ** 2 - 0.45,
        0.9 * np.cos(2.5 * bent[:, 8]) - 0.35,
        0.7 * bent[:, 2] * bent[:, 8] + 0.5 * x["carrier"].to_numpy(),
    ]
    truth = expit(prognosis[:, None] + np.column_stack(arms))
    seen = x.mask(rng.random(x.shape) < 0.15)
    return Patients(covariates=seen, truth=truth, shares=np.array([0.4, 0.3, 0.3]))


def families(n: int, rng: np.random.Generator) -> Patients:
    """Six arms, talking therapies and drugs; modifiers belong to the family; the link is not a logit."""
    x = clinic(n, rng)
    z = standard(x)
    x["referrer"] = rng.choice(np.array(list("ABCDEFG"), dtype=object), size=n)
    talking = 0.35 * z["optimism"] + 0.25 * z["education"] - 0.3 * np.log1p(x["alcohol"]) + 0.35
    drugs = 0.35 * z["severity"] + 0.25 * z["sleep"] - 0.2 * z["pain"]
    own = [0.15 * z["anxiety"], 0 * z["age"], 0.2 * z["support"]]
    own += [0.25 * z["sleep"], 0.15 * z["pain"], -0.1 * z["age"]]
    of_arm = np.column_stack([talking] * 3 + [drugs] * 3) + np.column_stack(own)
    prognosis = -0.55 - 0.25 * z["severity"] - 0.2 * z["episodes"] - 0.25 * (x["referrer"].isin(["A", "B"]))
    rate = prognosis.to_numpy()[:, None] + 0.8 * of_arm + np.array([0.1, -0.05, 0.0, -0.05, 0.05, 0.1])
    truth = -np.expm1(-np.exp(rate))
    return Patients(covariates=x, truth=truth, shares=np.array([0.25, 0.15, 0.1, 0.1, 0.15, 0.25]))


PROCESSES = (
    Process(name="linear", about="randomised, linear on the logit scale", arms=THERAPIES, make=linear),
    Process(name="confounded", about="routine data, indication", arms=THERAPIES, make=confounded),
    Process(name="nonlinear", about="thresholds and interactions", arms=THREE, make=nonlinear),
    Process(name="null", about="arms differ by a constant", arms=THERAPIES, make=null, modified=False),
    Process(name="unequal", about="shares 70/20/7/3 %", arms=THERAPIES, make=unequal),
    Process(name="sites", about="40 sites, patients of unseen sites", arms=THREE, make=sites, site="site"),
    Process(
        name="weak",
        about="synthetic services, Bayes AUC about .70",
        arms=("cbt", "counselling", "guided_self_help", "ipt"),
        make=weak,
    ),
    Process(name="needle", about="one modifier among 30 of noise", arms=THREE, make=needle),
)
HELD_BACK = (
    Process(
        name="u_shaped", about="U-shaped, heavy tails, missing cells", arms=("a", "b", "c"), make=u_shaped
    ),
    Process(name="families", about="six arms in two families", arms=FAMILIES, make=families),
)


def named(name: str) -> Process:
    """Return the process with this name."""
    return {process.name: process for process in PROCESSES + HELD_BACK}[name]
