"""Patients of a validation cohort who may receive every arm by the rules of eligibility, and all of them."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import by_text
from treatsel._disclosure import stated
from treatsel.cohort import Cohort
from treatsel.eligibility import Rules
from treatsel.errors import InputError, TreatselWarning
from treatsel.validation._origin import EXTERNAL, Origin
from treatsel.validation._policies import Policies, policies_of
from treatsel.validation._rule import RuleInUse
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts import Caution, Severity


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Eligible:
    """Whom single arms can be compared in, and all patients to whom the rule is applied.

    A single arm for all patients is possible only where all may receive it: gains over single arms, and all
    figures of the predictions, are those of the patients who may receive every arm. The rule in use serves
    the others as well: its value, and the gain over the arms received, are estimated in all patients too.

    Attributes
    ----------
    cohort, everyone : Cohort
        Patients who may receive every arm, and all patients.
    rules : Rules or None
        The rules of eligibility.
    cautions : list of Caution
        Counts the patients who are left out.
    """

    cohort: Cohort
    everyone: Cohort
    rules: Rules | None = None
    cautions: list[Caution] = field(default_factory=list)

    @classmethod
    def of(cls, cohort: Cohort, eligibility: Rules | str | Path | None) -> "Eligible":
        """Apply the rules.

        Raises
        ------
        InputError
            If the rules do not fit the cohort, or exclude an arm for every patient.
        """
        if eligibility is None:
            return cls(cohort=cohort, everyone=cohort)
        arms = sorted(cohort.received.unique(), key=str)
        rules = Rules.of(eligibility, cohort.codebook, arms)
        may = rules.apply(cohort.frame).allowed.all(axis=1).to_numpy()
        n_out = int((~may).sum())
        if not may.any():
            raise InputError(
                f"The rules exclude an arm for all {len(may):,} patients, so that arms cannot be compared. "
                "State narrower rules, or leave the arms out that nobody may receive."
            )
        if not n_out:
            return cls(cohort=cohort, everyone=cohort, rules=rules)
        text = (
            f"The rules of eligibility exclude an arm for {stated(n_out, 'patient')} of {len(may):,}, who "
            "are left out: arms are compared in patients who may receive every one. The value of the rule in "
            "use in all patients, each with the arms that he or she may receive, is given beside it."
        )
        cautions = [Caution(Severity.PARTIAL, text)]
        return cls(cohort=cohort.take(may), everyone=cohort, rules=rules, cautions=cautions)

    @property
    def digest(self) -> str | None:
        """Digest of the rules."""
        return None if self.rules is None else self.rules.sha256

    def whole(
        self,
        origin: Origin,
        rule: RuleInUse,
        options: Mapping[str, Any],
        assignment: Any,
        origin_in: Callable[[Cohort], Origin],
    ) -> tuple[ValidationTask, Policies] | None:
        """Return the task and the policies of all patients; None if nobody is excluded from an arm.

        Also None if this is no external validation: then the model is fitted to the same patients.
        """
        if self.cohort is self.everyone or self.rules is None or origin.kind != EXTERNAL:
            return None
        origin = origin_in(self.everyone)
        if origin.kind != EXTERNAL:
            return None
        task = ValidationTask.of(origin.model, origin.cohort, **options)
        allowed: pd.DataFrame = self.rules.apply(task.cohort.frame).allowed
        arms = list(task.by_arm.columns)
        allowed = allowed.rename(columns=by_text(arms)).reindex(columns=arms, fill_value=True)
        task = rule.in_use(task, origin.model, allowed=allowed.set_axis(task.by_arm.index))
        with warnings.catch_warnings():  # the arms that cannot be received are not recommended either
            warnings.filterwarnings("ignore", r".* could not have received arm", TreatselWarning)
            return task, policies_of(task, assignment)
