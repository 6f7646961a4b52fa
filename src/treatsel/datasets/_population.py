"""Services and baseline covariates of simulated patients, with missing values.

Directions and sizes of associations that have no citation in `treatsel.datasets` are assumptions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, ndtr

from treatsel._checks import FloatArray

IntArray = npt.NDArray[np.int64]

GENDERS = ("female", "male", "other")
ETHNICITIES = ("white", "asian", "black", "mixed", "other")
EMPLOYMENT = ("employed", "unemployed", "long_term_sick", "student", "retired", "home_or_carer")
FORMATS = ("no_preference", "self_help", "talking_therapy", "medication")

# First scores of all treated patients, before the entry criterion (NHS England 2023-25, depression)
PHQ9_START, GAD7_START, START_CORRELATION = (15.3, 5.65), (12.4, 5.4), 0.72
PHQ9_CASE, GAD7_CASE = 10, 8

# Columns with missing values; True: missing more often in young and in severely ill patients
MAY_BE_MISSING = {
    "wsas_start": True,
    "deprivation_decile": False,
    "employment": True,
    "chronicity_months": True,
    "previous_episodes": False,
    "long_term_condition": False,
    "living_alone": False,
    "preferred_format": False,
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Services:
    """The services, and where each patient is treated: `of_patient` holds positions in `names`."""

    names: tuple[str, ...]
    of_patient: IntArray
    affluence: FloatArray  # of each service's area, on the normal scale behind the deprivation decile

    def __len__(self) -> int:
        return len(self.names)


def draw_services(rng: np.random.Generator, n: int, names: tuple[str, ...]) -> Services:
    """Distribute patients over services of unequal size."""
    size = np.exp(0.4 * rng.standard_normal(len(names)))
    of_patient = choose(rng, np.tile(np.log(size), (n, 1)))
    return Services(names=names, of_patient=of_patient, affluence=0.4 * rng.standard_normal(len(names)))


def draw_patients(
    rng: np.random.Generator, services: Services, *, shift: float, caseness_only: bool
) -> pd.DataFrame:
    """Draw complete baseline covariates as numbers and labels."""
    n = len(services.of_patient)
    phq, gad = _draw_scores(rng, n, shift, caseness_only)
    severity, anxiety = standardize_scores(phq, gad)
    below = [0.0, 0.18, 0.35, 0.55, 0.75, 0.91, 1.0]  # cumulative shares at the ages in the next line
    age = np.floor(np.interp(rng.random(n), below, [18, 26, 33, 42, 54, 66, 90]) + 5 * shift).clip(18, 90)
    decade = (age - 40) / 10
    gender = choose(rng, _constant(n, [0.67, 0.32, 0.01]))
    ethnicity = choose(rng, _constant(n, [0.80, 0.08, 0.05, 0.04, 0.03]))
    affluence = services.affluence[services.of_patient] - 0.2 * severity - 0.3 * shift
    affluence += np.array([0.06, -0.3, -0.4, -0.2, -0.3])[ethnicity] + 0.87 * rng.standard_normal(n)
    decile = np.ceil(10 * ndtr(affluence)).clip(1, 10)
    chronic = 1.1 * rng.standard_normal(n) + 0.1 * decade + 0.15 * severity + 0.15 * shift
    episodes = np.floor(rng.standard_exponential(n) * (1.6 + 0.15 * decade + 0.3 * severity).clip(0.5))
    episodes = episodes.clip(max=10)
    prior = _yes(rng, -0.5 + 0.35 * episodes.clip(max=4))
    return pd.DataFrame(
        {
            "age": age,
            "gender": _label(GENDERS, gender),
            "ethnicity": _label(ETHNICITIES, ethnicity),
            "phq9_start": phq,
            "gad7_start": gad,
            "wsas_start": whole_score(20.3 + 5.8 * severity + 7 * rng.standard_normal(n), 40),
            "deprivation_decile": decile,
            "employment": _label(EMPLOYMENT, choose(rng, _employment(age, decile, severity))),
            "chronicity_months": np.rint(np.exp(np.log(18) + chronic)).clip(1, 360),
            "previous_episodes": episodes,
            "comorbidity_count": choose(
                rng, np.outer(np.ones(n), [0, -0.5, -1.5, -2.7]) + np.outer(anxiety, [0, 0.2, 0.4, 0.6])
            ).astype(float),
            "long_term_condition": _yes(rng, -1.0 + 0.35 * decade + 0.15 * severity - 0.05 * (decile - 5.5)),
            "living_alone": _yes(rng, -1.2 + 0.12 * decade + 0.1 * severity),
            "prior_treatment": prior,
            "medication_at_start": _yes(rng, -0.5 + 0.3 * severity + 0.4 * prior + 0.1 * decade),
            "preferred_format": _label(FORMATS, choose(rng, _constant(n, [0.45, 0.12, 0.33, 0.10]))),
        }
    )


def blank_cells(rng: np.random.Generator, patients: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return the table with `share` of the cells missing in each column of ``MAY_BE_MISSING``.

    The first patient keeps all values, so that no column is ever empty.
    """
    severity, _ = standardize_scores(patients["phq9_start"], patients["gad7_start"])
    tendency = np.exp(0.5 * (patients["age"].to_numpy() <= 30) + 0.2 * severity)
    blanked = patients.copy()
    for column, depends in MAY_BE_MISSING.items():
        chance = share * tendency / tendency.mean() if depends else np.full(len(patients), share)
        blank = rng.random(len(patients)) < chance.clip(max=0.95)
        blank[0] = False
        blanked[column] = patients[column].mask(blank)
    return blanked


def standardize_scores(
    phq: FloatArray | pd.Series, gad: FloatArray | pd.Series
) -> tuple[FloatArray, FloatArray]:
    """Return first PHQ-9 and GAD-7 standardized by mean and SD of all treated patients."""
    return (
        (np.asarray(phq, dtype=float) - PHQ9_START[0]) / PHQ9_START[1],
        (np.asarray(gad, dtype=float) - GAD7_START[0]) / GAD7_START[1],
    )


def whole_score(value: FloatArray, most: int) -> FloatArray:
    """Round to a whole score from 0 to `most`."""
    return np.asarray(np.abs(np.rint(value).clip(0, most)))  # abs: no negative zero


def choose(rng: np.random.Generator, logits: FloatArray) -> IntArray:
    """Draw one option per row from logits of shape (n, n_options)."""
    return choose_from(rng, softmax(logits))


def choose_from(rng: np.random.Generator, probability: FloatArray) -> IntArray:
    """Draw one option per row from probabilities of shape (n, n_options)."""
    below = probability.cumsum(axis=1)[:, :-1] <= rng.random(len(probability))[:, np.newaxis]
    return np.asarray(below.sum(axis=1), dtype=np.int64)


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities, row by row."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _draw_scores(
    rng: np.random.Generator, n: int, shift: float, caseness_only: bool
) -> tuple[FloatArray, FloatArray]:
    phq, gad = np.empty(n), np.empty(n)
    wanted = np.arange(n)
    while len(wanted):  # rejection sampling: patients below caseness are drawn again
        z = rng.standard_normal((2, len(wanted)))
        z[1] = START_CORRELATION * z[0] + np.sqrt(1 - START_CORRELATION**2) * z[1]
        phq[wanted] = whole_score(PHQ9_START[0] + 1.2 * shift + PHQ9_START[1] * z[0], 27)
        gad[wanted] = whole_score(GAD7_START[0] + 0.8 * shift + GAD7_START[1] * z[1], 21)
        case = (phq[wanted] >= PHQ9_CASE) | (gad[wanted] >= GAD7_CASE)
        wanted = wanted[~case] if caseness_only else wanted[:0]
    return phq, gad


def _employment(age: FloatArray, decile: FloatArray, severity: FloatArray) -> FloatArray:
    poorer = 5.5 - decile
    return np.column_stack(
        [
            np.zeros(len(age)),
            -1.6 + 0.35 * severity + 0.12 * poorer,
            -2.4 + 0.5 * severity + 0.15 * poorer + 0.03 * (age - 40),
            np.where(age < 23, -0.1, np.where(age < 30, -2.0, -5.0)),
            (0.5 * (age - 65)).clip(-8, 5),
            -2.0 + 0.05 * poorer,
        ]
    )


def _constant(n: int, shares: list[float]) -> FloatArray:
    return np.asarray(np.tile(np.log(shares), (n, 1)), dtype=float)


def _yes(rng: np.random.Generator, logit: FloatArray) -> FloatArray:
    return np.asarray(rng.random(len(logit)) < expit(logit), dtype=float)


def _label(names: tuple[str, ...], codes: IntArray) -> npt.NDArray[np.object_]:
    return np.array(names, dtype=object)[codes]
