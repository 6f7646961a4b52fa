"""Many patients: chunks and Dask give what one frame in one process gives."""

import os
import pickle
import signal
import threading
import time
import warnings

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster
from joblib import parallel_config
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel import scale
from treatsel._jobs import ATTEMPTS, results_of
from treatsel.additive import Trees
from treatsel.datasets import make_cohort
from treatsel.errors import CohortError, InputError, TreatselWarning, UnsupportedModelError
from treatsel.metrics.resampled._percentile import bootstrap
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, PooledClassifier, Priors
from treatsel.scale import _frames, _trees
from treatsel.validation import bootstrap_optimism, internal_external_cv

N = 900
NAMES = ["patient_id", "age", "phq9_start", "employment", "arm", "dropout"]
RIDGE = PooledClassifier(LogisticRegression(C=1.0))


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(N, missing=0.05, random_state=1).cohort


@pytest.fixture(scope="module")
def fitted(cohort):
    book = cohort.codebook.subset(NAMES)
    unfitted = ts.TreatmentSelector(estimator=RIDGE, codebook=book, random_state=0)
    return unfitted.fit(cohort.frame[[*book.covariates, "arm"]], cohort.y["dropout"])


@pytest.fixture(scope="module")
def selector(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("scale") / "m.treatsel"
    ts.save_model(fitted, path, intended_use="Tests.")
    return ts.load_model(path)


@pytest.fixture(scope="module")
def patients(cohort):
    return cohort.frame.reset_index()[NAMES]


@pytest.fixture(scope="module")
def by_arm(selector, patients):
    return selector.predict_by_arm(patients)


def assert_same(found, expected):
    assert list(found.columns) == list(expected.columns)
    assert found.index.tolist() == expected.index.tolist()
    np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())
    assert (found.dtypes == np.float64).all()


# --- chunks


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_chunks_give_the_same_bits(selector, patients, by_arm, monkeypatch, n_jobs):
    monkeypatch.setattr(_frames, "CHUNK", 200)
    seen = []
    record = lambda done, total: seen.append((done, total))  # noqa: E731
    with parallel_config(backend="threading"):
        found = scale.predict_in_chunks(selector, patients, n_jobs=n_jobs, progress=record)
    assert_same(found, by_arm)
    assert seen == [(min(200 * i, N), N) for i in range(1, 6)]


def test_columns_may_be_stored_as_arrow_and_in_any_order(selector, patients, by_arm, monkeypatch):
    monkeypatch.setattr(_frames, "CHUNK", 400)
    arrow = patients.convert_dtypes(dtype_backend="pyarrow")
    assert all(isinstance(kind, pd.ArrowDtype) for kind in arrow.dtypes)
    categories = patients.assign(employment=patients["employment"].astype("category"))
    coded = pa.Table.from_pandas(categories)
    for stored in (arrow, arrow[NAMES[::-1]], categories, patients.astype({"age": "Float32"})):
        assert_same(selector.predict_by_arm(stored), by_arm)
        assert_same(scale.predict_in_chunks(selector, stored), by_arm)
    assert_same(scale.predict_in_chunks(selector, coded), by_arm)
    unnamed = coded.drop_columns(["patient_id"])
    assert scale.predict_in_chunks(selector, unnamed).index.equals(pd.RangeIndex(N))


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([f"p{i}" for i in range(N)]),
        pd.Index([f"p{i}" for i in range(N)], name="patient_id"),
        pd.RangeIndex(7, 7 + 3 * N, 3, name="row"),
        pd.MultiIndex.from_product([["a", "b", "c"], range(N // 3)], names=["site", "number"]),
    ],
    ids=["unnamed", "named", "counted", "two levels"],
)
def test_chunks_keep_the_index_of_an_arrow_table(selector, patients, monkeypatch, index):
    monkeypatch.setattr(_frames, "CHUNK", 400)
    table = pa.Table.from_pandas(patients.drop(columns="patient_id").set_axis(index))
    expected = selector.predict_by_arm(table)
    pd.testing.assert_index_equal(expected.index, index, exact=False)
    found = scale.predict_in_chunks(selector, table)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    part = table.slice(1, N - 1)  # pandas' metadata of a range index no longer match
    pd.testing.assert_frame_equal(scale.predict_in_chunks(selector, part), selector.predict_by_arm(part))


@pytest.mark.parametrize(
    "X", [None, {"age": 30}, [{"age": 30}], pa.array([1])], ids=lambda X: type(X).__name__
)
def test_chunks_refuse_what_is_not_a_table(selector, X):
    with pytest.raises(InputError, match=f"a DataFrame or an Arrow table; it is a {type(X).__name__}"):
        scale.predict_in_chunks(selector, X)


def test_chunks_refuse_what_the_whole_frame_would(selector, patients, monkeypatch):
    monkeypatch.setattr(_frames, "CHUNK", 400)
    with pytest.raises(CohortError, match="Column 'age' is missing"):
        scale.predict_in_chunks(selector, patients.drop(columns="age"))
    with pytest.raises(InputError, match="no rows"):
        scale.predict_in_chunks(selector, patients.head(0))
    twice = pd.concat([patients, patients.head(2)], ignore_index=True)
    with pytest.raises(InputError, match="2 duplicates"):
        scale.predict_in_chunks(selector, twice)
    with pytest.raises(InputError, match="outcome is 'relapse'"):
        scale.predict_in_chunks(selector, patients, "relapse")


def test_a_selector_survives_pickle_bit_for_bit(fitted, selector, patients):
    few = patients.head(20)
    for original in (fitted, selector):
        copy = pickle.loads(pickle.dumps(original))
        assert_same(copy.predict_by_arm(patients), original.predict_by_arm(patients))
        pd.testing.assert_frame_equal(
            copy.predict(few).to_frame(), original.predict(few).to_frame(), check_exact=True
        )


# --- joblib


def test_results_are_in_the_order_of_the_calls():
    assert results_of(pow, lambda: ((base, 2) for base in range(5)), n_jobs=2) == [0, 1, 4, 9, 16]


def test_calls_that_were_cancelled_are_made_again():
    from concurrent.futures import CancelledError

    seen = []

    def lose(number, n_times):
        seen.append(number)
        if seen.count(number) <= n_times:
            raise CancelledError
        return -number

    assert results_of(lose, lambda: [(1, 0), (2, 2), (3, 0)], n_jobs=None) == [-1, -2, -3]
    assert seen.count(1) == 1
    with pytest.raises(CancelledError):
        results_of(lose, lambda: [(4, ATTEMPTS)], n_jobs=None)


# --- Dask: one cluster of processes for all


@pytest.fixture(scope="module")
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "silence_logs": 50}
    # even without a dashboard there is a web server: at any free port, as test runs may be concurrent
    options |= {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
    with LocalCluster(**options) as local, Client(local) as client:
        client.run(_import)
        yield client


def _import():
    import treatsel.validation  # noqa: F401


def test_dask_gives_the_same_bits(cluster, selector, patients, by_arm):
    ddf = dd.from_pandas(patients, npartitions=4)
    lazy = scale.predict_dask(selector, ddf[ddf["age"] >= 0])  # drops patients of unknown age
    found = lazy.compute()
    assert_same(found, by_arm.loc[patients.set_index("patient_id")["age"] >= 0])
    assert lazy.index.name == found.index.name == "patient_id"
    assert (lazy.dtypes == found.dtypes).all()
    unnamed = dd.from_pandas(patients.drop(columns="patient_id"), npartitions=3)
    assert_same(scale.predict_dask(selector, unnamed, "dropout").compute(), by_arm.reset_index(drop=True))


def test_an_index_that_is_not_an_id_may_have_duplicates(selector, patients, by_arm):
    repeated = patients.drop(columns="patient_id").set_axis(np.arange(len(patients)) // 2)
    found = scale.predict_dask(selector, dd.from_pandas(repeated, npartitions=2)).compute()
    np.testing.assert_array_equal(found.to_numpy(), by_arm.to_numpy())
    assert found.index.tolist() == repeated.index.tolist()
    named = dd.from_pandas(repeated.assign(patient_id=patients["patient_id"].to_numpy()), npartitions=2)
    assert_same(scale.predict_dask(selector, named).compute(), by_arm)
    twice = scale.predict_dask(selector, dd.from_pandas(patients.assign(patient_id="one"), npartitions=1))
    with pytest.raises((InputError, CohortError), match=r"duplicate|Each patient"):
        twice.compute()


def test_dask_partitions_may_be_empty(cluster, selector, patients, by_arm):
    ddf = dd.from_pandas(patients, npartitions=4)
    first = ddf[ddf["patient_id"] == patients["patient_id"][0]]
    assert_same(scale.predict_dask(selector, first).compute(), by_arm.head(1))


def test_dask_misses_columns_before_any_work(selector, patients):
    ddf = dd.from_pandas(patients.drop(columns=["age", "employment"]), npartitions=2)
    with pytest.raises(CohortError, match="'age' is missing") as caught:
        scale.predict_dask(selector, ddf)
    assert [fault.column for fault in caught.value.faults] == ["age", "employment"]


@pytest.fixture(scope="module")
def work(cohort):
    """Each kind of parallel work, as a function that returns its numbers, and the numbers themselves."""
    seen = cohort.y["dropout"].notna()
    X, y = cohort.X.loc[seen, ["age", "phq9_start", "arm"]], cohort.y.loc[seen, "dropout"]
    sites, p = cohort.groups[seen], np.linspace(0.2, 0.8, int(seen.sum()))

    def internal():
        with warnings.catch_warnings(action="ignore", category=TreatselWarning):
            return internal_external_cv(RIDGE, X, y, sites, event_is_good=False).predictions

    def crossed():
        unfitted = ts.TreatmentSelector(estimator=RIDGE, event_is_good=False, random_state=0)
        return unfitted.fit(X, y).performance_["dropout"]["value"]

    tasks = {
        "internal-external": internal,
        "cross-fitting": crossed,
        "optimism": lambda: bootstrap_optimism(RIDGE, X, y, resamples=20).resamples[["bootstrap", "test"]],
        "bootstrap": lambda: bootstrap(y.to_numpy(), p, n_resamples=40).draws,
    }
    return {name: (task, task().to_numpy()) for name, task in tasks.items()}


NAMES_OF_WORK = ["internal-external", "cross-fitting", "optimism", "bootstrap"]


@pytest.mark.parametrize("name", NAMES_OF_WORK)
def test_joblib_on_dask_equals_local(cluster, work, name):
    task, expected = work[name]
    with parallel_config(backend="dask"):
        found = task()
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=0, atol=1e-9)


def _kill_one(client, when):
    """Kill a worker after a delay; return the thread that does it, and a list that then contains its id."""
    pids, killed = list(client.run(os.getpid).values()), []

    def kill():
        deadline = time.monotonic() + 20
        while not when() and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(pids[0])

    thread = threading.Thread(target=kill)
    thread.start()
    return thread, killed


def _slowly(call):
    """Return the call with a pause before it, so that a worker can be killed during it."""

    def slow(*given):
        time.sleep(0.1)
        return call(*given)

    return slow


def test_a_killed_worker_loses_nothing_under_joblib(cluster, work, monkeypatch):
    from treatsel.validation.studies import _bootstrap_refits

    task, expected = work["optimism"]
    monkeypatch.setattr(_bootstrap_refits, "_resample", _slowly(_bootstrap_refits._resample))
    started = time.monotonic()
    cluster.wait_for_workers(2)
    thread, killed = _kill_one(cluster, lambda: time.monotonic() > started + 0.7)
    with parallel_config(backend="dask"):
        found = task()
    assert killed, "the work was done before the worker died"
    thread.join()
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=0, atol=1e-9)


def test_a_killed_worker_loses_nothing_of_a_frame(cluster, selector, patients, by_arm):
    cluster.wait_for_workers(2, timeout=60)
    ddf = dd.from_pandas(patients, npartitions=30).map_partitions(_slowly(lambda part: part), meta=patients)
    future = cluster.compute(scale.predict_dask(selector, ddf))
    started = time.monotonic()
    thread, killed = _kill_one(cluster, lambda: time.monotonic() > started + 0.7)
    thread.join()
    assert killed
    assert not future.done()
    assert_same(future.result(timeout=60), by_arm)


# --- the hierarchical model from partitions


@pytest.fixture(scope="module")
def development():
    cohort = make_cohort(1500, missing=0.05, heterogeneity="strong", random_state=2).cohort
    names = ["age", "phq9_start", "employment", "arm", "dropout"]
    table = cohort.frame[names].assign(site=cohort.groups).dropna(subset="dropout")
    return table.reset_index(drop=True)


@pytest.mark.parametrize("groups", [None, "site"])
def test_a_fit_from_partitions_equals_the_local_one(cluster, development, groups):
    table = development if groups else development.drop(columns="site")
    X = table.drop(columns="dropout")
    local = HierarchicalClassifier(groups=groups).fit(X, table["dropout"])
    parts = dd.from_pandas(table, npartitions=5)
    parts = dd.concat([parts, parts[parts["age"] < 0]])  # and an empty one
    found = scale.fit_hierarchical_dask(parts, "dropout", groups=groups)
    ours, expected = found.additive(), local.additive()
    assert ours.encoding.features == expected.encoding.features
    for name in ("intercept", "coefficients", "coefficient_draws"):
        np.testing.assert_allclose(getattr(ours, name), getattr(expected, name), rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.predict_by_arm(X), local.predict_by_arm(X), rtol=0, atol=1e-8)
    pd.testing.assert_series_equal(found.prior_, local.prior_, rtol=0, atol=1e-8)
    pd.testing.assert_frame_equal(found.modification_, local.modification_, rtol=0, atol=1e-8)
    assert (found.prior_[["site", "site x arm"]] > 0).all() == bool(groups)
    np.testing.assert_allclose(found.predict_proba(X), local.predict_proba(X), rtol=0, atol=1e-8)


PRIORS = Priors(
    arm_contrasts={("cbt", "counselling"): (-0.2, 0.1), ("ipt", "counselling"): (0.1, 0.1)},
    modifiers={("cbt", "medication", "phq9_start"): (-0.02, 0.01)},
    prognosis={"age": (-0.02, 0.01)},
    null=0.4,
)


@pytest.mark.filterwarnings("ignore:prior_conflict")
@pytest.mark.parametrize(
    ("with_score", "priors", "groups"), [(True, None, "site"), (False, PRIORS, None), (True, PRIORS, None)]
)
def test_scores_and_priors_are_used_from_partitions(cluster, with_score, priors, groups):
    cohort = make_cohort(1500, missing=0.05, heterogeneity="strong", random_state=2).cohort
    table = cohort.frame[["age", "phq9_start", "employment", "arm", "recovery"]].assign(site=cohort.groups)
    table["score"] = cohort.scores["recovery"]
    table = table.dropna(subset="recovery").reset_index(drop=True)
    table.loc[::7, "score"] = np.nan  # of these, only the outcome is known
    table = table.drop(columns=[name for name in ("site",) if name != groups])
    X, score = table.drop(columns=["recovery", "score"]), table["score"] if with_score else None
    local = HierarchicalClassifier(groups=groups, priors=priors).fit(X, table["recovery"], score=score)
    given = table if with_score else table.drop(columns="score")
    parts = dd.from_pandas(given, npartitions=5)
    parts = dd.concat([parts, parts[parts["age"] < 0]])  # and an empty one
    options = {"groups": groups, "priors": priors, "score": "score" if with_score else None}
    found = scale.fit_hierarchical_dask(parts, "recovery", **options)
    ours, expected = found.additive(), local.additive()
    for name in ("intercept", "coefficients", "coefficient_draws"):
        np.testing.assert_allclose(getattr(ours, name), getattr(expected, name), rtol=0, atol=1e-8)
    pd.testing.assert_frame_equal(found.priors_, local.priors_, rtol=0, atol=1e-8)
    pd.testing.assert_series_equal(found.prior_, local.prior_, rtol=0, atol=1e-8)
    assert found.levels_ == local.levels_ == (12 if with_score else 2)
    assert (ours.score is None) == (expected.score is None)
    if with_score:
        np.testing.assert_allclose(ours.score.thresholds, expected.score.thresholds, rtol=0, atol=1e-8)
        np.testing.assert_allclose(ours.score.means, expected.score.means, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: -table["score"], "score contradicts y in .* patients with y = 0"),
        (
            lambda table: table["score"].astype(object).where(table.index > 1, "high"),
            "'score' has 2 values that",
        ),
        (
            lambda table: table["score"].where(table.index > 0, np.inf),
            "'score' has 1 value that are no finite",
        ),
    ],
)
def test_scores_that_do_not_fit_are_refused(cluster, development, change, message):
    table = development.drop(columns="site")
    table["score"] = table["dropout"] - 0.5 + 0.4 * np.random.default_rng(0).random(len(table))
    table["score"] = change(table)
    with pytest.raises(InputError, match=message):
        scale.fit_hierarchical_dask(dd.from_pandas(table, npartitions=2), "dropout", score="score")
    with pytest.raises(InputError, match="lacks the columns"):
        scale.fit_hierarchical_dask(dd.from_pandas(table, npartitions=2), "dropout", score="phq9")


# --- trees from partitions

BOOSTED = LGBMClassifier(n_estimators=12, num_leaves=7, min_child_samples=10)
SAMPLED = LGBMClassifier(n_estimators=12, num_leaves=7, subsample_for_bin=100, feature_pre_filter=False)
COARSE = LGBMClassifier(n_estimators=5, max_bin=15, reg_lambda=2.0)


@pytest.mark.parametrize("estimator", [BOOSTED, SAMPLED, COARSE], ids=["plain", "sampled bins", "coarse"])
def test_trees_from_partitions_are_those_of_the_whole_table(cluster, development, estimator):
    table = development.drop(columns="site")
    X = table.drop(columns="dropout")
    expected = ArmwiseClassifier(estimator).fit(X, table["dropout"]).additive()
    parts = dd.from_pandas(table, npartitions=5)
    parts = dd.concat([parts, parts[parts["age"] < 0]])  # and an empty one
    found = scale.fit_trees_dask(parts, "dropout", estimator)
    assert found.encoding == expected.encoding
    assert found.arms_.tolist() == expected.arms_.tolist()
    for part in Trees.ARRAYS:
        np.testing.assert_array_equal(getattr(found.trees, part), getattr(expected.trees, part))
    np.testing.assert_array_equal(found.predict_by_arm(X), expected.predict_by_arm(X))
    explained = ts.explain(found, X.head(3), arm="cbt", background=X.head(50))
    assert explained.values.abs().to_numpy().max() > 0


def test_only_one_partition_is_held():
    loaded = []

    class Task:
        def __init__(self, i):
            self.i = i

        def compute(self):
            loaded.append(self.i)
            return np.full((4, 2), float(self.i))

    rows = _trees._rows([Task(i) for i in range(3)], [4, 4, 4])
    assert [len(row) for row in rows] == [4, 4, 4]
    found = [rows[i][j][0] for i in range(3) for j in range(4)]  # as bins are sampled, row by row
    assert found == [0.0] * 4 + [1.0] * 4 + [2.0] * 4
    assert loaded == [0, 1, 2]
    assert rows[1][0:4].shape == (4, 2)
    assert loaded == [0, 1, 2, 1]


def test_what_is_not_lightgbm_is_refused(development):
    ddf = dd.from_pandas(development.drop(columns="site"), npartitions=2)
    with pytest.raises(UnsupportedModelError, match="it is a LogisticRegression"):
        scale.fit_trees_dask(ddf, "dropout", LogisticRegression())
    with pytest.raises(InputError, match="class_weight"):
        scale.fit_trees_dask(ddf, "dropout", LGBMClassifier(class_weight="balanced"))
    with dask.config.set(scheduler="sync"), pytest.raises(InputError, match="lacks the columns"):
        scale.fit_trees_dask(ddf, "remission", BOOSTED)


def test_sums_over_many_partitions_are_added_in_a_tree(monkeypatch):
    added = scale._hierarchical._added
    numbers = [np.array([float(i), 1.0]) for i in range(40)]
    total = scale._first_pass.tree([dask.delayed(number) for number in numbers], added)
    np.testing.assert_array_equal(total.compute(scheduler="sync"), [780.0, 40.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="arm"), "lacks the columns \\['arm'\\]"),
        (lambda t: t[["arm", "dropout", "site"]], "at least one covariate"),
        (lambda t: t.assign(dropout=t["dropout"].where(t.index > 4)), "5 values other than 0 and 1"),
        (lambda t: t.assign(dropout=t["dropout"] + 1), "values other than 0 and 1"),
        (lambda t: t.assign(arm=t["arm"].where(t.index > 2)), "'arm' has 3 missing values"),
        (lambda t: t.assign(site=t["site"].where(t.index > 2)), "'site' has 3 missing values"),
        (
            lambda t: t.assign(dropout=t["dropout"] * (t["arm"] != "cbt")),
            "Arm 'cbt' has .* all with the same outcome",
        ),
    ],
)
def test_partitions_that_cannot_be_fitted_are_refused(development, change, message):
    ddf = dd.from_pandas(change(development), npartitions=3)
    with dask.config.set(scheduler="sync"), pytest.raises(InputError, match=message):
        scale.fit_hierarchical_dask(ddf, "dropout", groups="site")
