"""Fit methods of EconML, CausalML and stochtree for `peers.py`, in an environment that has them.

This script does not import the rest of the benchmark. Its first line of output lists the available methods;
then it reads requests, one JSON line each: {"folder", "method", "seed"}. The folder contains data.npz
(matrix, arm codes and y of the patients to learn from, new_matrix of the others); the result is effects.npy
in the same folder, of shape (n_new, n_arms): differences from the first arm. Every fit runs in a separate
forked process.
"""

import importlib.metadata
import json
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

SMALL = {
    "n_estimators": 150,
    "learning_rate": 0.03,
    "num_leaves": 8,
    "min_child_samples": 20,
    "reg_lambda": 5.0,
    "subsample": 0.8,
    "subsample_freq": 1,
    "colsample_bytree": 0.5,
    "n_jobs": 1,
    "verbosity": -1,
}
TREES_IN_FOREST = 400
CHAIN = {"num_gfr": 0, "num_burnin": 150, "num_mcmc": 100}  # of the draws after the burn-in, every second


def classifier(seed: int) -> LGBMClassifier:
    return LGBMClassifier(random_state=seed, **SMALL)


def regressor(seed: int) -> LGBMRegressor:
    return LGBMRegressor(random_state=seed, **SMALL)


def propensity() -> LogisticRegression:
    return LogisticRegression(C=0.1, max_iter=1000)


def fit_econml(model: Any, x: np.ndarray, codes: np.ndarray, y: np.ndarray) -> Callable[..., np.ndarray]:
    """Fit; return a function of new covariates that gives the differences of other arms from the first."""
    model.fit(y, codes, X=x)
    return lambda new: np.asarray(model.const_marginal_effect(new)).reshape(len(new), -1)


def fit_dr_linear(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from econml.dr import LinearDRLearner

    ridge = LogisticRegression(solver="newton-cholesky")
    outcome = GridSearchCV(ridge, {"C": np.logspace(-4, 1, 6)}, scoring="neg_log_loss", cv=3)
    model = LinearDRLearner(
        model_propensity=propensity(),
        model_regression=outcome,
        discrete_outcome=True,
        min_propensity=0.01,
        cv=3,
        random_state=seed,
    )
    return fit_econml(model, x, codes, y)


def fit_dr_trees(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from econml.dr import DRLearner

    model = DRLearner(
        model_propensity=propensity(),
        model_regression=classifier(seed),
        model_final=regressor(seed),
        discrete_outcome=True,
        min_propensity=0.01,
        cv=3,
        random_state=seed,
    )
    return fit_econml(model, x, codes, y)


def fit_causal_forest(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from econml.dml import CausalForestDML

    model = CausalForestDML(
        model_y=classifier(seed),
        model_t=propensity(),
        discrete_outcome=True,
        discrete_treatment=True,
        n_estimators=TREES_IN_FOREST,
        inference=False,
        cv=3,
        n_jobs=1,
        random_state=seed,
    )
    return fit_econml(model, x, codes, y)


def fit_econml_x(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from econml.metalearners import XLearner

    model = XLearner(models=regressor(seed), propensity_model=propensity())
    return fit_econml(model, x, codes, y)


def against_first(probability: np.ndarray) -> dict[str, np.ndarray]:
    """Return, for each other arm, its probability among patients of that arm and of the first."""
    pairs = probability / (probability + probability[:, [0]])
    return {name_of(k): pairs[:, k] for k in range(1, probability.shape[1])}


def name_of(code: int) -> str:
    """Return the name of an arm; names sort in the order of the codes."""
    return f"arm{code:02d}"


def fit_causalml_x(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from causalml.inference.meta import BaseXClassifier

    assignment = propensity().fit(x, codes)
    model = BaseXClassifier(
        outcome_learner=classifier(seed), effect_learner=regressor(seed), control_name=name_of(0)
    )
    model.fit(x, names(codes), y, p=against_first(assignment.predict_proba(x)))
    return lambda new: model.predict(new, p=against_first(assignment.predict_proba(new)), verbose=False)


def fit_causalml_t(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from causalml.inference.meta import BaseTClassifier

    model = BaseTClassifier(learner=classifier(seed), control_name=name_of(0))
    model.fit(x, names(codes), y)
    return lambda new: model.predict(new, verbose=False)


def fit_uplift_forest(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from causalml.inference.tree import UpliftRandomForestClassifier

    model = UpliftRandomForestClassifier(
        control_name=name_of(0),
        n_estimators=100,
        min_samples_leaf=20,
        random_state=seed,
        n_jobs=1,
    )
    model.fit(x, names(codes), y.astype(int))
    return lambda new: np.asarray(model.predict(new))


def chain_options(seed: int) -> dict[str, Any]:
    """Return the options of a chain for a 0/1 outcome with a probit link."""
    from stochtree import OutcomeModel

    probit = OutcomeModel(outcome="binary", link="probit")
    return {"outcome_model": probit, "random_seed": seed + 1, "keep_every": 2, "num_threads": 1}


def fit_bart(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """Bayesian additive regression trees, one model per arm (T-learner).

    One model with the arms as columns finds hardly any difference between arms: few of its splits use them.
    """
    from stochtree import BARTModel

    models = []
    for code in range(codes.max() + 1):
        model, own = BARTModel(), codes == code
        model.sample(x[own], y[own], general_params=chain_options(seed), **CHAIN)
        models.append(model)

    def effects(new: np.ndarray) -> np.ndarray:
        options = {"type": "mean", "terms": "y_hat", "scale": "probability"}
        p = np.column_stack([model.predict(new, **options) for model in models])
        return p[:, 1:] - p[:, :1]

    return effects


def fit_bcf(x: np.ndarray, codes: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """Bayesian causal forest: one forest for prognosis and one for the effects of all arms but the first.

    The propensities, from a logistic regression, are further covariates.
    """
    from scipy.special import ndtr
    from stochtree import BCFModel

    assignment, model = propensity().fit(x, codes), BCFModel()
    options = {**chain_options(seed), "propensity_covariate": "none"}
    arms = np.eye(codes.max() + 1)[:, 1:]

    def widened(matrix: np.ndarray) -> np.ndarray:
        return np.column_stack([matrix, assignment.predict_proba(matrix)[:, 1:]])

    model.sample(widened(x), arms[codes], y, general_params=options, **CHAIN)

    def effects(new: np.ndarray) -> np.ndarray:
        terms = model.predict(widened(new), np.tile(arms[0], (len(new), 1)), terms=["mu", "tau"])
        prognosis = terms["mu_hat"]
        modified = terms["tau_hat"].reshape(*prognosis.shape, -1)  # patients, draws, other arms
        return (ndtr(prognosis[..., None] + modified) - ndtr(prognosis)[..., None]).mean(axis=1)

    return effects


def names(codes: np.ndarray) -> np.ndarray:
    return np.array([name_of(code) for code in codes])


METHODS: dict[str, tuple[str, Callable[..., Any]]] = {
    "EconML DRLearner, linear": ("econml", fit_dr_linear),
    "EconML DRLearner, LightGBM": ("econml", fit_dr_trees),
    "EconML CausalForestDML": ("econml", fit_causal_forest),
    "EconML XLearner": ("econml", fit_econml_x),
    "CausalML X-learner": ("causalml", fit_causalml_x),
    "CausalML T-learner": ("causalml", fit_causalml_t),
    "CausalML uplift forest": ("causalml", fit_uplift_forest),
    "stochtree BART, by arm": ("stochtree", fit_bart),
    "stochtree BCF": ("stochtree", fit_bcf),
}


def available() -> dict[str, str]:
    """Import the libraries, once for all fits; return the version of each installed one."""
    versions = {}
    try:
        import econml.dml
        import econml.dr
        import econml.metalearners  # noqa: F401

        versions["econml"] = importlib.metadata.version("econml")
    except ImportError as error:
        print(f"EconML cannot be imported: {error}", file=sys.stderr)
    try:
        import causalml.inference.meta
        import causalml.inference.tree  # noqa: F401

        versions["causalml"] = importlib.metadata.version("causalml")
    except ImportError as error:
        print(f"CausalML cannot be imported: {error}", file=sys.stderr)
    try:
        import stochtree  # noqa: F401

        versions["stochtree"] = importlib.metadata.version("stochtree")
    except ImportError as error:
        print(f"stochtree cannot be imported: {error}", file=sys.stderr)
    return versions


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Fit and predict; write the effects, return time and memory."""
    warnings.simplefilter("ignore")
    folder = Path(request["folder"])
    with np.load(folder / "data.npz") as data:
        x, codes, y, new = (data[name] for name in ("matrix", "codes", "y", "new_matrix"))
    np.random.seed(request["seed"])  # noqa: NPY002 # the libraries use this global generator
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    effects_of = METHODS[request["method"]][1](x, codes, y, request["seed"])
    fitted = time.perf_counter()
    effects = effects_of(new)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    np.save(folder / "effects.npy", np.column_stack([np.zeros(len(new)), effects]))
    return {
        "fit_seconds": fitted - started,
        "predict_seconds": ended - fitted,
        "peak_mb": (peak - before) / 1024,
    }


def in_fork(request: dict[str, Any]) -> dict[str, Any]:
    """Serve a request in a forked process; return its answer or its error."""
    answer = Path(request["folder"]) / "answer.json"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            reply = serve(request)
        except Exception:
            reply = {"error": traceback.format_exc()}
        answer.write_text(json.dumps(reply))
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads(answer.read_text()) if answer.exists() else {"error": "the process died"}


def main() -> None:
    """Answer requests until the input ends; output of the libraries goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    versions = available()
    methods = [name for name, (library, _) in METHODS.items() if library in versions]
    print(json.dumps({"methods": methods, "versions": versions}), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(in_fork(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
