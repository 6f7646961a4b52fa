"""What a recommendation for one patient by a model offers besides: ranks, flips, and the page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from treatsel._checks import count_of
from treatsel.errors import InputError
from treatsel.recommendation._outcomes import PatientOutcomes

if TYPE_CHECKING:
    from pathlib import Path


class OfOnePatient:
    """Methods of `Recommendations` for one patient by a model."""

    if TYPE_CHECKING:
        patients: Any
        arms: tuple[Any, ...]
        columns: Mapping[str, np.ndarray]
        outcomes: PatientOutcomes | None

    def acceptability(self, **options: Any) -> Any:
        """Return how often each arm ranks first, second, ... over draws of the model and possible weights.

        For one patient and a model; the options are those of `treatsel.preference.smaa`.
        """
        return self._outcomes.valuation.acceptability(self._outcomes.draw, self._eligible, **options)

    def flips(self) -> Any:
        """Return how much the weights must change until another arm leads; see `treatsel.preference.flips`.

        For one patient and a model. What changes of covariates would do is in `explain_recommendation`.
        """
        return self._outcomes.valuation.flips(self._outcomes.draw, self._eligible)

    def at_new_service(self) -> Any:
        """Return what the same model recommends this patient at a service that it does not know.

        For one patient and a model, with the same options. At a known service, the recommendation rests on
        the effects that the model learned of it; at a new one, on how services differ.

        Returns
        -------
        Recommendations or None
            None if the model has no effects of services, or if this recommendation is for a new or the
            average service already.

        Raises
        ------
        InputError
            If there are several patients, or no outcomes.
        """
        made = self._model_outcomes.at_new_service
        return None if made is None else made()

    @property
    def _eligible(self) -> list[Any]:
        return [arm for arm in self.arms if arm not in self.columns["excluded"][0]]

    @property
    def _outcomes(self) -> PatientOutcomes:
        found = self._model_outcomes
        if self.columns["status"][0] == "out_of_scope":
            raise InputError("The patient is out of scope, or no arm is permitted: arms are not compared.")
        return found

    @property
    def _model_outcomes(self) -> PatientOutcomes:
        if self.outcomes is None:
            raise InputError(
                "This needs the recommendation for one patient by a model: "
                f"{count_of(len(self.patients), 'patient')} here, or a copy, or a by-arm table."
            )
        return self.outcomes

    def to_html(
        self,
        path: "str | Path | None" = None,
        *,
        strings: "Mapping[str, Any] | str | Path | None" = None,
        safety_items: Sequence[str] = (),
        next_question: Any = None,
        explanation: str | Sequence[str] = (),
        follow_up: str | None = None,
        patient: str | None = None,
    ) -> str:
        """Return the page that one patient and a clinician look at together, as one self-contained HTML text.

        It shows for each permitted arm the predicted outcomes as people of 100 with intervals, what speaks
        for and against it, the order at the weights of this recommendation, at equal weights and by the first
        outcome alone, and what is not known; for the clinician, all comparisons. Sliders change the weights:
        a script in the page decides anew from the embedded draws, with the rules of `treatsel.recommend`.
        Without a script the page shows the same numbers. It loads nothing, and names no patient.

        Parameters
        ----------
        path : str or Path, optional
            File to write the page to as well.
        strings : mapping, or path of a YAML or JSON file, optional
            Words in place of the English ones in ``treatsel/page/strings.yaml``: a translation, names and
            descriptions of arms, how to say an outcome.
        safety_items : sequence of str
            Answers about safety, shown first.
        next_question : str, NextQuestion or QuestionTree, optional
            What to ask next. With `treatsel.questions.question_tree`, also what would come out with each
            answer, and what to ask then.
        explanation : str or sequence of str
            Why this recommendation, shown to the clinician.
        follow_up : str, optional
            What to do if the treatment does not work; None: a general sentence.
        patient : str, optional
            How the page names the patient; None: not at all.

        Returns
        -------
        str
            The page.

        Raises
        ------
        InputError
            If there are several patients, the recommendation was not made by a model, strings do not fit, or
            a tree of questions does not start at this recommendation.

        References
        ----------
        Trevena et al. (2013), BMC Med Inform Decis Mak 13(S2):S7 (presenting probabilities).
        Zikmund-Fisher et al. (2012), J Med Internet Res 14(4):e106 (icon arrays).
        Witteman et al. (2021), Med Decis Making 41(7), 801-820 (weighing what matters).

        Examples
        --------
        >>> import pandas as pd
        >>> from treatsel.recommendation import recommend
        >>> table = pd.DataFrame({"CBT": [0.60, 0.41], "SSRI": [0.40, 0.40]})
        >>> recommend(table).to_html()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        treatsel.errors.InputError: The page is about one patient; these recommendations are for 2. ...
        """
        from treatsel._files import write_text
        from treatsel.recommendation._page import page_text

        text = page_text(
            self,
            strings,
            safety_items=safety_items,
            next_question=next_question,
            explanation=explanation,
            follow_up=follow_up,
            patient=patient,
        )
        if path is not None:
            write_text(path, text)
        return text
