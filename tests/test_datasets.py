import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from treatsel import outcome
from treatsel.datasets import (
    ARMS,
    _files,
    _generator,
    _mechanism,
    _population,
    load_synthetic,
    make_cohort,
    synthetic_path,
    write_cohort,
    write_synthetic,
)
from treatsel.errors import InputError, TreatselError

NHS = Path(__file__).parents[2] / "shared" / "data" / "nhs_tt_therapy_outcomes.csv"
THERAPY = {
    "Cognitive Behaviour Therapy (CBT)": "cbt",
    "Counselling for Depression": "counselling",
    "Interpersonal Psycho therapy (IPT)": "ipt",
    "Brief psychodynamic psychotherapy": "psychodynamic",
    "Guided Self Help (Book)": "guided_self_help",
    "Guided Self Help (Computer)": "guided_self_help",
}
SCORES = ("phq9_start", "phq9_last", "gad7_start", "gad7_last")


@pytest.fixture(scope="module")
def large():
    return make_cohort(40_000, sites=150, random_state=7)


def of_received(simulated, name):
    frame, table = simulated.cohort.frame, simulated.truth[name]
    return table.to_numpy()[np.arange(len(frame)), table.columns.get_indexer(frame["arm"])]


def encoded(simulated):
    frame = pd.get_dummies(simulated.cohort.X, drop_first=True).astype(float)
    frame["both"] = frame["phq9_start"] * frame["gad7_start"]
    return (frame - frame.mean()) / frame.std()


# --- the shipped files


def test_shipped_files_are_reproduced_byte_for_byte(tmp_path):
    command = [sys.executable, "-m", "treatsel.datasets", str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written = sorted((tmp_path / "new").iterdir())
    assert {path.name for path in written} == set(_files.FILES) - {"README.md"}
    assert sorted(done.stdout.splitlines()) == list(map(str, written))
    for path in written:
        assert path.read_bytes() == synthetic_path(path.name).read_bytes(), path.name


def test_shipped_files_are_small():
    assert sum(synthetic_path(name).stat().st_size for name in _files.FILES) < 1.5e6


def test_readme_names_every_column_and_the_seeds():
    text = synthetic_path("README.md").read_text(encoding="utf-8")
    columns = load_synthetic().cohort.codebook.fields
    assert not [field.name for field in columns if f"`{field.name}`" not in text]
    assert all(f"random_state={options['random_state']}" in text for options in _files.SHIPPED.values())


@pytest.mark.parametrize("which", list(_files.SHIPPED))
def test_shipped_cohort_is_what_make_cohort_gives(which):
    loaded, made = load_synthetic(which), make_cohort(**_files.SHIPPED[which])
    pd.testing.assert_frame_equal(loaded.cohort.frame, made.cohort.frame)
    pd.testing.assert_frame_equal(loaded.propensity, made.propensity, check_index_type=False)
    for name, table in made.truth.items():
        pd.testing.assert_frame_equal(loaded.truth[name], table, rtol=0, atol=6e-7, check_index_type=False)
    assert loaded.cohort.codebook == made.cohort.codebook


def test_cohorts_share_no_patient_and_no_service():
    development, external = load_synthetic("development").cohort, load_synthetic("external").cohort
    assert not set(development.groups) & set(external.groups)
    assert not set(development.frame.index) & set(external.frame.index)
    for column in ("age", "phq9_start", "gad7_start"):
        assert external.frame[column].mean() > development.frame[column].mean()


def test_synthetic_path_prefers_the_installed_package(tmp_path, monkeypatch):
    installed = tmp_path / "treatsel"
    (installed / "_synthetic").mkdir(parents=True)
    (installed / "_synthetic" / "codebook.yaml").write_text("fields: []")
    monkeypatch.setattr(_files, "__file__", str(installed / "datasets" / "_files.py"))
    assert synthetic_path("codebook.yaml") == installed / "_synthetic" / "codebook.yaml"
    with pytest.raises(InputError, match="neither in the installed package nor in a checkout"):
        synthetic_path("external.csv")


def test_errors_of_files_are_treatsel_errors(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Did you mean 'external.csv'\?"):
        synthetic_path("externa.csv")
    with pytest.raises(InputError, match="which is 'validation'"):
        load_synthetic("validation")
    with pytest.raises(InputError, match="Cannot create the folder"):
        write_synthetic(tmp_path / "file")
    with pytest.raises(InputError, match="Cannot write"):
        write_cohort(make_cohort(50, random_state=0), tmp_path / "nowhere" / "patients.csv")


# --- documented behavior of make_cohort


def test_seed_decides_everything():
    first, second, other = (make_cohort(200, missing=0.1, random_state=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.cohort.frame, second.cohort.frame)
    pd.testing.assert_frame_equal(first.truth["recovery"], second.truth["recovery"])
    assert not first.truth["recovery"].equals(other.truth["recovery"])
    generator = make_cohort(200, missing=0.1, random_state=np.random.default_rng(3))
    pd.testing.assert_frame_equal(first.cohort.frame, generator.cohort.frame)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_cohort(60)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_shape_and_roles():
    simulated = make_cohort(300, sites=["north", "south"], weekly_scores=True, random_state=0)
    cohort = simulated.cohort
    assert len(simulated) == len(cohort) == 300
    assert set(cohort.groups) == {"north", "south"}
    assert cohort.codebook.outcomes == ("recovery", "dropout")
    assert cohort.codebook["recovery"].event_is_good is True
    assert cohort.codebook["dropout"].event_is_good is False
    assert list(cohort.audit) == ["ethnicity"]
    after = {"phq9_last", "gad7_last", *(f"phq9_w{week}" for week in range(1, 13))}
    assert set(cohort.codebook.names("session_score")) == after
    assert list(cohort.process) == ["sessions_attended"]
    assert len(cohort.codebook.covariates) == 15
    for table in (*simulated.truth.values(), simulated.propensity):
        assert list(table) == list(ARMS)
        assert table.index.equals(cohort.frame.index)
        assert ((table > 0) & (table < 1)).all(axis=None)


def test_all_patients_are_at_caseness_and_recovery_is_the_nhs_definition(large):
    frame = large.cohort.frame
    assert ((frame["phq9_start"] >= 10) | (frame["gad7_start"] >= 8)).all()
    again = outcome.nhs_recovery(*(frame[name] for name in SCORES))
    assert again.to_numpy() == pytest.approx(frame["recovery"].to_numpy(), nan_ok=True)
    assert (frame["phq9_last"].isna() == frame["recovery"].isna()).all()
    assert frame["dropout"].notna().all()


def test_missing_cells_have_the_requested_share():
    frame = make_cohort(20_000, missing=0.2, random_state=2).cohort.frame
    gaps = frame.isna().mean()
    assert gaps[list(_population.MAY_BE_MISSING)].to_numpy() == pytest.approx(0.2, abs=0.012)
    rest = frame.columns.difference([*_population.MAY_BE_MISSING, "phq9_last", "gad7_last", "recovery"])
    assert not frame[rest].isna().any(axis=None)
    young = frame["age"] <= 30
    assert frame["employment"][young].isna().mean() > frame["employment"][~young].isna().mean() + 0.05
    assert (
        abs(frame["living_alone"][young].isna().mean() - frame["living_alone"][~young].isna().mean()) < 0.02
    )


def test_weekly_scores_stop_with_the_last_session_and_end_at_the_last_score():
    frame = make_cohort(2000, weekly_scores=True, random_state=5).cohort.frame
    weeks = frame[[f"phq9_w{week}" for week in range(1, 13)]].set_axis(range(1, 13), axis=1)
    assert (weeks.notna().sum(axis=1) == frame["sessions_attended"].clip(upper=12)).all()
    done = frame[(frame["dropout"] == 0) & (frame["sessions_attended"] <= 12) & frame["phq9_last"].notna()]
    final = [weeks.loc[patient, int(s)] for patient, s in done["sessions_attended"].items()]
    assert final == done["phq9_last"].tolist()
    assert np.corrcoef(weeks[4].dropna(), frame["phq9_last"][weeks[4].notna()].fillna(0))[0, 1] > 0.4


def test_routine_assignment_is_confounded_but_overlaps():
    routine = make_cohort(20_000, assignment="routine", random_state=1)
    frame, propensity = routine.cohort.frame, routine.propensity
    assert propensity.min(axis=None) >= 0.01
    assert propensity.sum(axis=1).to_numpy() == pytest.approx(1)
    start = frame.groupby("arm")["phq9_start"].mean()
    assert start["medication"] - start["guided_self_help"] > 2
    received = pd.get_dummies(frame["arm"])[list(ARMS)].to_numpy()
    for column, arm in enumerate(ARMS):  # the propensity is calibrated
        high = propensity[arm] > propensity[arm].median()
        assert received[high, column].mean() == pytest.approx(propensity[arm][high].mean(), abs=0.015)


def test_randomized_assignment_is_independent_of_covariates(large):
    frame = large.cohort.frame
    assert frame["arm"].value_counts(normalize=True).to_numpy() == pytest.approx(1 / 6, abs=0.006)
    start = frame.groupby("arm")["phq9_start"].mean()
    assert start.max() - start.min() < 0.25


def test_arms_without_a_given_share_are_left_out():
    simulated = make_cohort(4000, assignment={"cbt": 3, "medication": 1, "ipt": 0}, random_state=1)
    assert list(simulated.truth["recovery"]) == ["cbt", "medication"]
    assert simulated.cohort.codebook["arm"].enum == ("cbt", "medication")
    assert (simulated.cohort.received == "cbt").mean() == pytest.approx(0.75, abs=0.02)
    assert simulated.propensity.iloc[0].tolist() == [0.75, 0.25]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 10}, "n is 10; it must be a whole number from 50"),
        ({"n": 100.0}, "n is 100.0"),
        ({"n": True}, "n is True"),
        ({"n": 10**7}, "from 50 to 1e"),
        ({"assignment": "random"}, "assignment is 'random'"),
        ({"assignment": {"cbt": 1, "emdr": 1}}, "unknown key 'emdr'"),
        ({"assignment": {"cbt": -1}}, "share of 'cbt'"),
        ({"assignment": {"cbt": float("nan")}}, "share of 'cbt'"),
        ({"assignment": {"cbt": 0}}, "no arm a share above 0"),
        ({"assignment": {}}, "no arm a share above 0"),
        ({"heterogeneity": "realstic"}, "Did you mean 'realistic'"),
        ({"sites": 0}, "sites is 0"),
        ({"sites": "S01"}, "number of services"),
        ({"sites": []}, "number of services"),
        ({"sites": ["a", "a"]}, "1 duplicate"),
        ({"sites": True}, "number of services"),
        ({"missing": 0.9}, "missing is 0.9; it must be a number from 0 to 0.5"),
        ({"missing": float("nan")}, "missing is nan"),
        ({"shift": 10}, "shift is 10"),
        ({"random_state": "seed"}, "random_state is a str"),
        ({"random_state": -1}, "random_state is a int"),
    ],
    ids=str,
)
def test_errors_for_bad_options_list_the_allowed_values(options, message):
    with pytest.raises(InputError, match=message):
        make_cohort(**{"n": 60, **options})


@pytest.mark.parametrize("seed", range(5))
def test_smallest_cohort_with_most_gaps(seed):
    try:
        simulated = make_cohort(50, missing=0.5, sites=60, weekly_scores=True, shift=-3, random_state=seed)
    except TreatselError as error:  # pragma: no cover
        pytest.fail(str(error))
    assert simulated.cohort.X.notna().any().all()


# --- the true probabilities are correct


def test_bivariate_normal_cdf_is_the_integral_of_its_conditional():
    a, b = (
        grid.ravel() for grid in np.meshgrid([-3.1, -1, 0, 0.4, 2.5, np.inf], [-2.0, -0.3, 0.8, 3, np.inf])
    )
    rho = 0.85

    def density(first, below):
        return norm.pdf(first) * norm.cdf((below - rho * first) / np.sqrt(1 - rho**2))

    expected = [quad(density, -9, min(x, 9), args=(y,), epsabs=1e-13)[0] for x, y in zip(a, b, strict=True)]
    assert _mechanism.bivariate_normal_cdf(a, b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["recovery", "dropout"])
def test_truth_is_the_frequency_overall_by_arm_and_by_tenth(name):
    frequency, truth, arm = [], [], []
    for seed, assignment in enumerate(["randomised", "routine"]):
        simulated = _treated(60_000, assignment=assignment, shift=float(seed), seed=seed)
        frequency.append(simulated["frame"][name])
        truth.append(simulated[name])
        arm.append(simulated["frame"]["arm"])
    table = pd.DataFrame(
        {"y": np.concatenate(frequency), "p": np.concatenate(truth), "arm": np.concatenate(arm)}
    )
    tenth = pd.qcut(table["p"], 10, labels=False)
    for groups in (np.zeros(len(table)), table["arm"], tenth):
        for _, rows in table.groupby(groups):  # patients of one therapist resemble each other: SE x 1.5
            error = 1.5 * np.sqrt((rows["p"] * (1 - rows["p"])).sum()) / len(rows)
            assert abs(rows["y"].mean() - rows["p"].mean()) < 3.7 * error


def _treated(n, *, assignment="randomised", shift=0.0, seed=0, caseness_only=True):
    """Patients whose last scores were all measured, with the truth under the received arm."""
    rng = np.random.default_rng(seed)
    services = _population.draw_services(rng, n, tuple(f"S{number}" for number in range(200)))
    patients = _population.draw_patients(rng, services, shift=shift, caseness_only=caseness_only)
    mechanism = _mechanism.make_mechanism(
        rng, patients, services, assignment=assignment, heterogeneity="realistic"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_generator, "UNMEASURED", dict.fromkeys(_generator.UNMEASURED, 0.0))
        frame = _generator.treat(rng, patients, services, mechanism)
    recovery = _mechanism.true_recovery(
        mechanism, patients["phq9_start"].to_numpy(), patients["gad7_start"].to_numpy()
    )
    cell = np.arange(n), [ARMS.index(arm) for arm in frame["arm"]]
    return {"frame": frame, "recovery": recovery[cell], "dropout": mechanism.dropout[cell]}


def test_one_patient_treated_many_times_recovers_at_the_true_rate():
    rng = np.random.default_rng(11)
    services = _population.draw_services(rng, 12, ("S01", "S02"))
    twelve = _population.draw_patients(rng, services, shift=0.0, caseness_only=True)
    mechanism = _mechanism.make_mechanism(
        rng, twelve, services, assignment="randomised", heterogeneity="strong"
    )
    truth = _mechanism.true_recovery(
        mechanism, twelve["phq9_start"].to_numpy(), twelve["gad7_start"].to_numpy()
    )
    times = 40_000
    for patient in range(12):
        arm = patient % len(ARMS)
        rows = twelve.iloc[[patient] * times].reset_index(drop=True)
        repeated = _mechanism.Mechanism(
            arms=ARMS,
            left=np.repeat(mechanism.left[[patient]], times, axis=0),
            dropout=np.repeat(mechanism.dropout[[patient]], times, axis=0),
            propensity=mechanism.propensity,
            residual=mechanism.residual,
        )
        dropped = (rng.random(times) < repeated.dropout[:, arm]).astype(float)
        own_therapist, received = np.arange(times), np.full(times, arm)
        phq, gad = _mechanism.draw_last_scores(rng, repeated, rows, own_therapist, received, dropped)
        p = truth[patient, arm]
        assert abs(np.mean((phq < 10) & (gad < 8)) - p) < 4 * np.sqrt(p * (1 - p) / times)


def test_without_heterogeneity_arms_differ_by_a_constant_on_the_scale_of_m():
    rng = np.random.default_rng(0)
    services = _population.draw_services(rng, 500, ("S01",))
    patients = _population.draw_patients(rng, services, shift=0.0, caseness_only=True)
    make = {"assignment": "randomised", "heterogeneity": "none"}
    left = _mechanism.make_mechanism(rng, patients, services, **make).left
    assert np.ptp(left - left[:, [0]], axis=0) == pytest.approx(0, abs=1e-12)
    truth = make_cohort(500, heterogeneity="none", sites=1, random_state=0).truth
    for table in truth.values():  # null: the same order of arms for all patients
        order = table.to_numpy().argsort(axis=1, kind="stable")
        assert (order == order[0]).all()


@pytest.mark.parametrize(("heterogeneity", "sd"), [("none", 0), ("realistic", 0.10), ("strong", 0.25)])
def test_effect_modification_has_its_size_and_favors_no_arm(heterogeneity, sd):
    rng = np.random.default_rng(4)
    services = _population.draw_services(rng, 40_000, ("S01",))
    patients = _population.draw_patients(rng, services, shift=0.0, caseness_only=True)
    modifiers = _mechanism.HETEROGENEITY[heterogeneity] / _mechanism.MODIFIER_RMS
    modifiers = modifiers * _mechanism._modifiers(patients)
    assert modifiers.sum(axis=1) == pytest.approx(0, abs=1e-12)
    assert np.sqrt(np.mean(modifiers**2)) == pytest.approx(sd, rel=0.02)
    assert modifiers.std(axis=0) == pytest.approx(sd, rel=0.08)  # symmetric over arms
    assert np.abs(modifiers.mean(axis=0)).max() <= 0.08 * sd


@pytest.mark.slow
def test_total_spread_is_the_published_one():
    rng = np.random.default_rng(9)
    services = _population.draw_services(rng, 60_000, tuple(f"S{i}" for i in range(600)))
    patients = _population.draw_patients(rng, services, shift=0.0, caseness_only=True)
    assert _mechanism._prognosis(patients).mean() == pytest.approx(_mechanism.PROGNOSIS_MEAN, abs=0.01)
    assert _mechanism._prognosis(patients).std() == pytest.approx(_mechanism.PROGNOSIS_SD, abs=0.005)
    for heterogeneity in _mechanism.HETEROGENEITY:
        mechanism = _mechanism.make_mechanism(
            rng, patients, services, assignment="randomised", heterogeneity=heterogeneity
        )
        spread = np.sqrt(mechanism.left.var(axis=0) + mechanism.residual**2)
        assert spread == pytest.approx(0.74, abs=0.03)
        assert mechanism.left.mean(axis=0) == pytest.approx(list(_mechanism.LEFT.values()), abs=0.04)


# --- resemblance to published data


def test_baseline_explains_and_discriminates_as_much_as_in_the_field(large):
    frame, table = large.cohort.frame, encoded(large)
    seen = frame["recovery"].notna().to_numpy()
    score, recovered = frame["phq9_last"][seen], frame["recovery"][seen]
    assert 0.16 < LinearRegression().fit(table[seen], score).score(table[seen], score) < 0.27
    fitted = LogisticRegression(max_iter=500).fit(table[seen], recovered)
    assert 0.65 < roc_auc_score(recovered, fitted.decision_function(table[seen])) < 0.72
    assert (
        0.65 < roc_auc_score(recovered, of_received(large, "recovery")[seen]) < 0.75
    )  # the best that any model can do
    decile = fitted.coef_[0][list(table).index("deprivation_decile")] / frame["deprivation_decile"].std()
    assert np.exp(-decile) == pytest.approx(0.94, abs=0.02)


def test_dropout_is_as_common_as_published_and_commoner_in_the_young(large):
    frame = large.cohort.frame
    young, one = frame["age"] <= 30, frame["sessions_attended"] == 1
    assert frame["dropout"].mean() == pytest.approx(0.45, abs=0.02)
    assert one.mean() == pytest.approx(0.29, abs=0.02)
    assert frame["dropout"][young].mean() > frame["dropout"][~young].mean() + 0.08
    assert one[young].mean() > one[~young].mean() + 0.06
    by_arm = large.truth["dropout"].mean()
    assert 0.03 < by_arm.max() - by_arm.min() < 0.12


def test_dropout_is_informative(large):
    frame = large.cohort.frame
    gone, one = frame["dropout"] == 1, frame["sessions_attended"] == 1
    missing = frame["recovery"].isna()
    shares = [missing[one].mean(), missing[gone & ~one].mean(), missing[~gone].mean()]
    assert shares == pytest.approx(list(_generator.UNMEASURED.values()), abs=0.01)
    assert frame["recovery"][~gone].mean() - frame["recovery"][gone].mean() > 0.15
    assert frame["recovery"].mean() - of_received(large, "recovery").mean() > 0.03


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not NHS.exists(), reason=f"{NHS} is absent")
def test_completers_resemble_the_published_courses_for_depression():
    treated = _treated(150_000, seed=12, caseness_only=False)["frame"]
    done = treated[treated["dropout"] == 0]
    scores = [done[name] for name in SCORES]
    done = done.assign(
        recovery=outcome.nhs_recovery(*scores), improved=outcome.reliable_improvement(*scores)
    ).set_index("arm")
    case = done.groupby(level=0)["recovery"].agg(lambda column: column.notna().mean())
    assert ((case > 0.86) & (case < 0.95)).all()
    published = pd.read_csv(NHS).query("problem == 'Depression'")
    published = published.assign(arm=published["therapy"].map(THERAPY)).dropna(subset="arm")
    assert set(published["arm"]) == set(ARMS) - {"medication"}
    for arm, rows in published.groupby("arm"):
        target = rows.apply(pd.to_numeric, errors="coerce").mul(rows["n_courses"], axis=0).sum()
        target, own = target / rows["n_courses"].sum(), done.loc[arm]
        for score, column in (("phq", "phq9"), ("gad", "gad7")):
            for when, at in (("first", "start"), ("last", "last")):
                values = own[f"{column}_{at}"]
                assert values.mean() == pytest.approx(target[f"{score}_mean_{when}"], abs=1.1), (
                    arm,
                    values.name,
                )
                assert values.std() == pytest.approx(target[f"{score}_sd_{when}"], abs=0.75), (
                    arm,
                    values.name,
                )
        assert 100 * own["recovery"].mean() == pytest.approx(target["recovery_pct"], abs=5.5), arm
        assert 100 * own["improved"].mean() == pytest.approx(target["reliable_improvement_pct"], abs=5.5), arm
    assert np.corrcoef(done["phq9_start"], done["gad7_start"])[0, 1] == pytest.approx(0.70, abs=0.03)
