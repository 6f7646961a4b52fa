"""Exact SHAP values of an additive model's logit, for one background."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treatsel._checks import FloatArray, check_arm, check_choice, count_of
from treatsel._lazy import lazy
from treatsel.additive._model import AdditiveModel
from treatsel.additive._numeric import logistic
from treatsel.additive._scoring import score_trees
from treatsel.additive._shapley import TreeGames
from treatsel.additive._sites import Numbers
from treatsel.errors import AdditivityError, InputError

# Relative to the sum of absolute attributions if that is above 1, as it may be on the logit scale. The
# rounding error of a few hundred float64 terms is about 1e-13; any real error exceeds the tolerance.
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Explainer:
    """Explains a model's predictions; quantities that depend on the background are computed once, by `of`.

    Attributes
    ----------
    model : AdditiveModel
        The model to explain.
    reference : ndarray of shape (n_rows, n_features)
        The encoded background.
    games : TreeGames or None
        Prepared games of the trees; None for a model without trees.
    """

    model: AdditiveModel
    reference: FloatArray
    games: TreeGames | None

    @classmethod
    def of(cls, model: AdditiveModel, reference: FloatArray) -> "Explainer":
        """Prepare explanations for an encoded background, shape (n_rows, n_features).

        The last explainer is cached with the model, so that it is prepared only once.
        """
        made: Explainer | None = model.__dict__.get("_explainer")
        if made is None or not _is_same(made.reference, reference):
            games = None
            if model.trees is not None:
                games = TreeGames.of(model.trees, reference, model.encoding.sources)
            made = model.__dict__["_explainer"] = cls(model=model, reference=reference, games=games)
        return made

    @lazy
    def center(self) -> FloatArray:
        """Mean of the encoded background, shape (n_features,)."""
        return np.asarray(self.reference.mean(axis=0))

    def explain(
        self,
        matrix: FloatArray,
        arms: Sequence[int],
        scale: str,
        *,
        compiled: bool = False,
        sites: Numbers | None = None,
    ) -> tuple[FloatArray, float, FloatArray]:
        """Return attributions by source column, the base value, and the predictions.

        With numbers of sites, one more column is the attribution of the site: the difference of the logit
        from that at a new site. The base value is that of the background at a new site.

        Parameters
        ----------
        matrix : ndarray of shape (n_patients, n_features)
            Encoded patients.
        arms : sequence of one or two int
            Position of the arm, or of the two arms whose difference (first minus second) is explained.
        scale : {"logit", "probability"}
            Unit. On the probability scale, see `_rescaled`; the difference of two arms is that of their
            attributions, each along its own path.
        compiled : bool
            Whether to use the compiled kernel also for few patients.
        sites : ndarray of shape (n_patients,), optional
            Number of each patient's site, see `SiteEffects`; None: new sites.

        Raises
        ------
        AdditivityError
            If the attributions do not add up to the prediction.
        """
        if len(arms) == 1 or scale == "logit":  # the difference of two additive logits is additive
            signs = np.zeros(len(self.model.arms_))
            signs[list(arms)] = [1.0, -1.0][: len(arms)]
            values, base, logit = self._attributions(matrix, signs, compiled, sites)
            if scale == "logit":
                return values, base, logit
            start, end = float(logistic(np.array([base]))[0]), logistic(logit)
            values = _rescaled(values, base, logit)
            _check_additivity(start + values.sum(axis=1), end, np.abs(values).sum(axis=1))
            return values, start, end
        first, second = (self.explain(matrix, [k], scale, compiled=compiled, sites=sites) for k in arms)
        return first[0] - second[0], first[1] - second[1], first[2] - second[2]

    def _attributions(
        self, matrix: FloatArray, signs: FloatArray, compiled: bool, sites: Numbers | None
    ) -> tuple[FloatArray, float, FloatArray]:
        """Return attributions, base value and prediction of the signed sum of the arms' logits."""
        model, base = self.model, float(signs @ self.model.intercept)
        values = np.zeros((len(matrix), len(model.encoding.columns)))
        if model.is_linear:
            coefficients = signs @ model.coefficients
            np.add.at(values.T, model.encoding.sources, ((matrix - self.center) * coefficients).T)
            base += float(self.center @ coefficients)
        if self.games is not None and model.mixing is not None:
            weights = signs @ model.mixing
            of_trees = self.games.values(matrix, weights, compiled=compiled)
            values[:, : of_trees.shape[1]] += of_trees
            base += float(self.games.base @ weights)
        scores = None if model.trees is None else score_trees(model.trees, matrix)
        logit = model.logit_of(matrix, scores) @ signs
        if sites is not None:
            there = model.logit_of(matrix, scores, sites) @ signs
            values, logit = np.column_stack([values, there - logit]), there
        size = np.abs(base) + np.abs(values).sum(axis=1)
        _check_additivity(base + values.sum(axis=1), logit, size)
        return values, base, logit


def _is_same(one: FloatArray, other: FloatArray) -> bool:
    return one is other or np.array_equal(one, other, equal_nan=True)


def positions_of(arm: Any, contrast: Any, scale: str, arms: Sequence[Any]) -> list[int]:
    """Return the position of the arm to explain, or of the two arms of a contrast.

    Raises
    ------
    InputError
        If neither or both of arm and contrast are given, or an arm or the scale is unknown.
    """
    check_choice("scale", scale, ["logit", "probability"])
    if (arm is None) == (contrast is None):
        raise InputError("Give either arm='...' or contrast=('...', '...'): exactly one of the two.")
    wanted = (arm,) if contrast is None else tuple(contrast)
    if contrast is not None and (isinstance(contrast, str) or len(wanted) != 2 or wanted[0] == wanted[1]):
        raise InputError(f"contrast must name two different arms; it is {contrast!r}.")
    return [list(arms).index(check_arm("arm", each, arms)) for each in wanted]


def _check_additivity(total: FloatArray, prediction: FloatArray, size: FloatArray) -> None:
    off = np.abs(total - prediction) > TOLERANCE * np.maximum(1.0, size)
    if n := int(off.sum()) + int((~np.isfinite(total)).sum()):
        raise AdditivityError(
            f"The attributions of {count_of(n, 'patient')} do not add up to the model's prediction within "
            f"{TOLERANCE:g}, and are not returned. Please report this error with the type of model."
        )


def _rescaled(values: FloatArray, base: float, logit: FloatArray) -> FloatArray:
    """Return the Aumann-Shapley attributions of the probability.

    Attribution j is phi_j times the integral of p'(f) over the straight path from the base value b of the
    logit to its value f. As the logit is the sum of b and all phi_j, p' depends on the position on the path
    only, and the integral is (p(f) - p(b)) / (f - b); its limit for f = b is p (1 - p).

    References
    ----------
    Aumann & Shapley (1974), Values of Non-Atomic Games.
    Sundararajan, Taly & Yan (2017), ICML, PMLR 70, 3319-3328 (the path integral).
    """
    start, step = logistic(np.array([base])), logit - base
    # for smaller steps, the rounding error of the difference quotient exceeds the error of the derivative
    small = np.abs(step) < 1e-6
    slope = np.where(small, start * (1 - start), (logistic(logit) - start) / np.where(small, 1, step))
    return np.asarray(values * slope[:, None])
