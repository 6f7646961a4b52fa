"""`Explanations`: SHAP values of a fitted model, for records and for tables."""

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from treatsel._checks import check_choice
from treatsel.additive import SERVICES, Explainer, positions_of
from treatsel.explanation import Explanation, arms_at
from treatsel.fitted import _records, _tables
from treatsel.fitted._data import Inputs, ModelData
from treatsel.fitted._options import date_or_none
from treatsel.predictions import digest, plain

if TYPE_CHECKING:
    import pandas as pd


class Explanations(ModelData):
    """The method `explain` of `FittedModel`."""

    def explain(
        self,
        X: Any,
        *,
        arm: Any = None,
        contrast: tuple[Any, Any] | None = None,
        outcome: str | None = None,
        scale: str = "logit",
        background: "pd.DataFrame | None" = None,
        on_invalid: str = "raise",
        date: datetime.date | str | None = None,
        service: str = "known",
    ) -> Explanation:
        """Explain predictions by SHAP values; see `treatsel.explain` for their meaning.

        The first call for an outcome prepares the background, which takes seconds if there are thousands of
        trees: a service should explain one record at start-up.

        Parameters
        ----------
        X : mapping of str to value; or DataFrame, or list of mappings
            Covariates by name; None for an unknown value.
        arm, contrast
            The arm to be explained; or two arms, whose difference (first minus second) is explained. Give
            exactly one of the two.
        outcome : str, optional
            Name of the outcome; None: the first.
        scale : {"logit", "probability"}
            Unit of the attributions.
        background : DataFrame, optional
            Rows of covariates that represent the population; default: the model's own summary.
        on_invalid : {"raise", "flag"}
            As in `predict`; with "flag", the values that `predict` would use are explained.
        date : date or str, optional
            As in `predict`.
        service : {"known", "average", "new"}
            As in `predict`.

        Returns
        -------
        Explanation

        Raises
        ------
        InputError, CohortError
            As in `predict`; also if an option is invalid, the model has no background, or (for a model that
            is not a sum of terms) as in `treatsel.explain`.
        AdditivityError
            If the attributions do not add up to the model's prediction.
        """
        name, positions = self.outcome_named(outcome), positions_of(arm, contrast, scale, self.arms)
        check_choice("on_invalid", on_invalid, ("raise", "flag"))
        check_choice("service", service, SERVICES)
        model, day, is_record = self.models[name], date_or_none(date), self.is_record(X)
        way: Any = _records if is_record and model is not None else _tables
        given: Inputs = way.inputs(self, X, name, on_invalid, day, service)
        rows = None if background is None else _tables.background_of(background)
        named = arms_at(positions, self.arms)
        if model is None:
            options = {**named, "scale": scale, "model_id": self.model_id}
            found = _tables.explain(self, given, name, rows, **options)
        else:
            reference = self.references[name] if rows is None else model.encoding.encode(rows)
            sites = {} if model.sites is None or given.sites is None else model.sites.shown(given.sites)
            attributions, base, prediction = Explainer.of(model, reference).explain(
                given.matrix,
                positions,
                scale,
                compiled=self.compiled and is_record,
                sites=given.sites if sites else None,
            )
            found = Explanation(
                patients=given.patients,
                covariates=(*model.encoding.names, *sites),
                attributions=attributions,
                base_value=base,
                predictions=prediction,
                inputs={**given.values, **sites},
                **named,
                outcome=name,
                scale=scale,
                model_id=self.model_id,
            )
        pair = named["contrast"]
        chosen = {
            "arm": plain(named["arm"]),
            "contrast": None if pair is None else [plain(each) for each in pair],
            "outcome": name,
            "scale": scale,
            "background_sha256": None if rows is None else digest(rows),
        }
        return replace(
            found,
            flags=given.flags,
            audit=self.audit("explanation", given.sha256, on_invalid, day, service, **chosen),
            titles=self.codebook.titles,
            units={field.name: field.unit for field in self.codebook.fields if field.unit},
        )
