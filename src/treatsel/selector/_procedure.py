"""How a selector fits the model of one outcome, as a procedure that can be repeated in resamples.

Only what the predictions depend on is repeated: encoding, screening, prior variances, averaging, folds and
trees, and the treatment of lost outcomes. The checks of the data, the baseline, cross-fitted performance, the
assignment model and the background of explanations are not: no prediction rests on them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from treatsel._checks import FloatArray, check_choice
from treatsel._stats.folds import seed_of
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.selector._fit import knows, model_of, priors_by_outcome
from treatsel.selector._fitting import PatientData, Treatment
from treatsel.selector._input import DevelopmentData, development_of
from treatsel.selector._lost import Missing


@dataclass(frozen=True, eq=False, repr=False)
class Procedure:
    """The fit of one outcome's model to checked development data.

    `data`, `process`: the patients, and their columns observed after the start that are used; `unfitted` and
    `treatment`: the model, and what it does with lost outcomes, as decided with all patients; `site`: the
    column of sites that predictions take into account, if there is one.
    """

    data: PatientData
    process: pd.DataFrame
    unfitted: Any
    treatment: Treatment
    seed: int
    site: str | None

    @classmethod
    def of(cls, selector: Any, data: DevelopmentData, name: str, names: list[str]) -> "Procedure":
        """Return the procedure of a selector for one of the outcomes `names`."""
        missing = Missing.of(selector.missing, names)
        if name in missing.shifts:
            raise InputError(
                "missing has a shift, which is an assumption of a sensitivity analysis and not learned from "
                "patients. Leave it out of the selector that is refitted."
            )
        y, groups, persons = data.outcomes[name], data.groups, data.persons
        process = missing.used(data.process.drop(columns=name, errors="ignore"), data.sessions)
        site, therapist = (None if each is None else str(each.name) for each in (groups, data.therapists))
        priors = priors_by_outcome(selector.priors, names).get(name)
        unfitted = model_of(selector.estimator, selector.arm, site, therapist, priors, keep_therapists=False)
        treatment = Treatment.of(unfitted, process, y, data.received, imputes=bool(missing.interim))
        score = data.scores.get(name)
        patients = PatientData(data.clean, y, score, groups, data.therapists, data.clusters, selector.arm)
        is_person = groups is not None and persons is not None and groups.name == persons.name
        return cls(
            data=patients,
            process=process,
            unfitted=unfitted,
            treatment=treatment,
            seed=seed_of(selector.random_state) or 0,
            site=None if is_person else site,
        )

    def fit(self, counts: FloatArray) -> Any:
        """Return a model fitted to a resample; `counts`: how often each patient was drawn."""
        rows = np.flatnonzero(counts)
        with threadpool_limits(limits=1, user_api="blas"):
            return self.treatment.model(
                self.data.take(rows),
                clone(self.unfitted),
                self.process.iloc[rows],
                self.seed,
                np.asarray(counts, dtype=np.float64)[rows],
            )

    def predict(self, model: Any) -> pd.DataFrame:
        """Return the by-arm table of a fitted model for all patients, at their own sites."""
        table, sites = self.data.X, self.data.groups
        if self.site is not None and sites is not None and knows(self.unfitted, "groups"):
            table = table.assign(**{self.site: sites})
        by_arm: pd.DataFrame = model.predict_by_arm(table)
        return by_arm


class Repeatable:
    """Adds the procedure to an estimator with the parameters of a selector."""

    def procedure(self, cohort: Cohort, outcome: str | None = None) -> Procedure:
        """Return how the model of one outcome (None: the first) is fitted to a cohort, to be repeated.

        See `treatsel.validation.instability`. The selector itself is not fitted or changed.

        Raises
        ------
        InputError
            If the cohort does not fit the selector, has no such outcome, or `missing` has a shift.
        """
        names = list(getattr(self, "outcomes_", cohort.codebook.outcomes))
        name = check_choice("outcome", names[0] if outcome is None else outcome, names)
        unfitted = clone(self).set_params(codebook=None, arm=str(cohort.codebook.arm))
        y = cohort.frame[[each for each in names if each in cohort.frame]]
        return Procedure.of(unfitted, development_of(unfitted, cohort, y), name, names)
