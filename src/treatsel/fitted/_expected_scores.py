"""Expected scores behind an outcome by arm, and what an arm adds to them, in points of the score."""

from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import FloatArray, check_arm, check_choice, check_level
from treatsel.additive import SERVICES
from treatsel.codebook import Target
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.fitted._data import ModelData
from treatsel.fitted._tables import BLOCK, read_with_sites
from treatsel.predictions import FLAG_COLUMNS, scope_of

if TYPE_CHECKING:
    import pandas as pd


class ExpectedScores(ModelData):
    """Adds the expected scores of a model that was fitted to a score."""

    def predict_score_by_arm(
        self,
        X: Any,
        outcome: str | None = None,
        *,
        change: bool = False,
        on_invalid: str = "raise",
        service: str = "known",
    ) -> "pd.DataFrame":
        """Return the expected score behind an outcome under each arm, such as the PHQ-9 at the end.

        Parameters
        ----------
        X : DataFrame, mapping, or list of mappings
            Covariates by name.
        outcome : str, optional
            Name of the outcome; None: the first. The codebook must derive it from one score (`score` and
            `target`).
        change : bool
            Whether to subtract the score at the start (`start` in the codebook), a covariate: negative if
            the score falls. NaN where it is missing.
        on_invalid, service
            As in `predict`.

        Returns
        -------
        DataFrame of shape (n_patients, n_arms)
            In the unit of the score. The intervals are quantiles of `predict_score_draws`.

        Raises
        ------
        UnsupportedModelError
            If the model was not fitted to one score, or has been recalibrated since.
        InputError
            With `change`, if the codebook names no score at the start.
        """
        import pandas as pd

        name = self.outcome_named(outcome)
        scorer = self._scored(name)
        check_choice("service", service, SERVICES)
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        clean, found = read_with_sites(self, X, on_invalid, service)
        logits = scorer.logit(scorer.encoding.encode(clean), scorer.sites_of(clean, service))
        values = scorer.score.expected(logits) - self._at_start(clean, name, change)[:, None]
        table = pd.DataFrame(values, index=clean.index, columns=pd.Index(self.arms))
        flags = {column: found[column].to_numpy(dtype=object) for column in FLAG_COLUMNS}
        if on_invalid == "flag":
            table.loc[scope_of(clean.index, flags)] = np.nan
        return table

    def predict_score_draws(
        self, X: Any, outcome: str | None = None, *, change: bool = False, service: str = "known"
    ) -> FloatArray:
        """Return posterior draws of `predict_score_by_arm`, shape (n_draws, n_patients, n_arms)."""
        name = self.outcome_named(outcome)
        scorer = self._scored(name)
        check_choice("service", service, SERVICES)
        clean = read_with_sites(self, X, "raise", service)[0]
        values = scorer.score.expected(scorer.logit_draws(clean, service))
        values -= self._at_start(clean, name, change)[:, None, None]
        return np.moveaxis(values, -1, 0)

    def predict_score_benefit(
        self,
        X: Any,
        outcome: str | None = None,
        *,
        comparator: Any = None,
        level: float = 0.95,
        service: str = "known",
    ) -> "pd.DataFrame":
        """Return by how many points of the score each arm is expected to be better than another arm.

        Parameters
        ----------
        X : DataFrame, mapping, or list of mappings
            Covariates by name.
        outcome : str, optional
            As in `predict_score_by_arm`.
        comparator : label, optional
            The arm to compare with; None: the default arm.
        level : float
            Level of the intervals, which are quantiles of the differences between posterior draws.
        service : {"known", "average", "new"}
            As in `predict`.

        Returns
        -------
        DataFrame of shape (n_patients * (n_arms - 1), 4)
            By patient and arm, without the comparator: `value`, `lower` and `upper`, positive where the
            arm is better, and `p_better`, the posterior probability that it is.

        Raises
        ------
        UnsupportedModelError
            As in `predict_score_by_arm`, or if the model has no posterior draws.
        InputError
            If the comparator is not an arm of the model.
        """
        import pandas as pd

        name, level = self.outcome_named(outcome), check_level(level)
        reference = check_arm("comparator", self.default_arm if comparator is None else comparator, self.arms)
        k = self.arms.index(reference)
        arms = [arm for arm in self.arms if arm != reference]
        others = [self.arms.index(arm) for arm in arms]
        scorer, better = self._scored(name), self._better(name)
        check_choice("service", service, SERVICES)
        clean = read_with_sites(self, X, "raise", service)[0]
        logits = scorer.logit(scorer.encoding.encode(clean), scorer.sites_of(clean, service))
        expected = scorer.score.expected(logits)
        parts = []
        for start in range(0, len(clean), BLOCK):
            rows = slice(start, start + BLOCK)
            drawn = scorer.score.expected(scorer.logit_draws(clean.iloc[rows], service))
            drawn = better * (drawn[:, others] - drawn[:, [k]])
            bounds = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=2)
            value = better * (expected[rows][:, others] - expected[rows][:, [k]])
            parts.append(np.stack([value, *bounds, (drawn > 0).mean(axis=2)], axis=-1).reshape(-1, 4))
        index = pd.MultiIndex.from_product([clean.index, arms], names=[clean.index.name, "arm"])
        columns = ["value", "lower", "upper", "p_better"]
        return pd.DataFrame(np.concatenate(parts), index, columns)

    def _scored(self, outcome: str) -> Any:
        """Return the additive model of an outcome that was fitted to one score."""
        scorer = self.models[outcome]
        if scorer is None or scorer.score is None:
            raise UnsupportedModelError(
                f"The model of {outcome!r} has no expected score. It needs an outcome that the codebook "
                "derives from one score (score and target), and a hierarchical or stacked model that was "
                "fitted to a cohort and not recalibrated."
            )
        return scorer

    def _better(self, outcome: str) -> int:
        """Return 1 if higher scores are better, and -1 if lower ones are."""
        rises = Target.parse(self.codebook[outcome].target).sign in (">", ">=")
        return 1 if rises == self.event_is_good[outcome] else -1

    def _at_start(self, clean: "pd.DataFrame", outcome: str, change: bool) -> FloatArray:
        """Return the score at the start of each patient; 0 if no change is asked for."""
        if not change:
            return np.zeros(len(clean))
        start = self.codebook[outcome].start
        if start is None or start not in clean:
            raise InputError(
                f"The codebook names no covariate as the score at the start (start) of {outcome!r}."
            )
        return clean[start].to_numpy(dtype=float)
