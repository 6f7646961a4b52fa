"""Effects of therapists that are kept on request: shrinkage, coverage, which are kept, and their moments."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from treatsel.errors import InputError
from treatsel.models import DropoutMixture, HierarchicalClassifier, StackedClassifier
from treatsel.models.hierarchical import _therapist_effects
from treatsel.models.hierarchical._evidence import find_mode

ARMS = np.array(list("ABC"))


def simulate(seed, sd, *, n=1800, n_sites=8, per_arm=3):
    """Return X, y and the planted effects by site and therapist; each therapist gives one arm."""
    rng = np.random.default_rng([seed, 17])
    X = pd.DataFrame(rng.standard_normal((n, 3)), columns=list("abc"))
    arm, site = rng.integers(0, 3, n), rng.integers(0, n_sites, n)
    therapist = 3 * rng.integers(0, per_arm, n) + arm
    of_site = 0.3 * rng.standard_normal((n_sites, 1)) + 0.2 * rng.standard_normal((n_sites, 3))
    own = sd * rng.standard_normal((n_sites, 3 * per_arm))
    logits = -0.3 + 0.6 * X["a"] + 0.2 * (arm == 1) + of_site[site, arm] + own[site, therapist]
    y = (rng.random(n) < expit(logits)).astype(float)
    X["arm"], X["site"] = ARMS[arm], site
    X["therapist"] = [f"T{number}" for number in therapist]
    planted = {(str(s), f"T{t}"): own[s, t] for s in range(n_sites) for t in range(3 * per_arm)}
    return X, y, planted


def kept(X, y, kind=HierarchicalClassifier, **options):
    columns = {"groups": "site", "therapists": "therapist", "keep_therapists": True}
    return kind(**columns | options).fit(X, y).therapist_effects_


def truth_of(found, planted):
    return np.array([planted[key] for key in zip(found["site"], found["therapist"], strict=True)])


@pytest.mark.parametrize("sd", [0.2, 0.5])
def test_planted_effects_are_recovered_with_shrinkage(sd):
    covered, slopes, correlations, ratios = [], [], [], []
    for seed in range(12):
        X, y, planted = simulate(seed, sd)
        found = kept(X, y)
        truth, effect = truth_of(found, planted), found["effect"].to_numpy()
        covered.append((np.abs(effect - truth) < 1.96 * found["sd"]).mean())
        slopes.append(np.cov(truth, effect)[0, 1] / effect.var(ddof=1))
        correlations.append(np.corrcoef(truth, effect)[0, 1])
        ratios.append(np.sqrt(np.mean((effect - truth) ** 2)) / truth.std())
    # Two standard errors over these seeds are 0.02. Over 60 others, intervals cover 0.962 (SE 0.006) at an SD
    # of 0.2, 0.938 (0.006) at 0.45 and 0.939 (0.005) at 0.8; with the true variances 0.94 to 0.95.
    assert np.mean(covered) == pytest.approx(0.95, abs=0.025)
    assert np.mean(slopes) == pytest.approx(1, abs=0.2)  # of the truth on the shrunken effect
    assert np.mean(correlations) > (0.35 if sd < 0.3 else 0.6)
    assert np.mean(ratios) < 1  # nearer to the truth than no effect at all


def test_without_effects_they_are_near_0():
    X, y, _ = simulate(3, 0.0)
    found = kept(X, y)
    assert found["effect"].abs().max() < 0.3
    assert (found["effect"].abs() < 1.96 * found["sd"]).all()


def test_predictions_are_the_same_and_nothing_is_kept_by_default():
    X, y, _ = simulate(4, 0.5, n=900)
    columns = {"groups": "site", "therapists": "therapist"}
    plain = HierarchicalClassifier(**columns).fit(X, y)
    assert plain.therapist_effects_ is None
    asked = HierarchicalClassifier(**columns, keep_therapists=True).fit(X, y)
    pd.testing.assert_frame_equal(asked.predict_by_arm(X), plain.predict_by_arm(X))
    with pytest.raises(InputError, match="keep_therapists=True needs the column of the therapists"):
        HierarchicalClassifier(keep_therapists=True).fit(X.drop(columns=["site", "therapist"]), y)


def caseloads(*sizes, others=0):
    """Return X and y of one arm and site each; `others` have no therapist."""
    rng = np.random.default_rng(5)
    labels = [f"T{number}" for number, size in enumerate(sizes) for _ in range(size)] + [None] * others
    X = pd.DataFrame({"a": rng.standard_normal(len(labels)), "therapist": labels, "arm": "A"})
    twin = X.assign(arm="B", a=rng.standard_normal(len(X)), therapist=None)
    X = pd.concat([X, twin], ignore_index=True)
    return X, (np.arange(len(X)) % 2).astype(float)


@pytest.mark.parametrize(
    ("sizes", "others", "names"),
    [
        ((14, 15, 40), 0, ["T1", "T2"]),  # 14 are not kept, 15 are
        ((14, 14, 14), 0, []),
        ((15, 16, 40), 0, ["T0", "T1", "T2"]),
        ((15, 16, 40), 9, ["T1", "T2"]),  # the effect of 9 others would follow from the three
        ((15, 16, 40), 10, ["T0", "T1", "T2"]),
        ((3, 15, 40), 0, ["T2"]),
        ((3, 15, 40), 7, ["T1", "T2"]),
    ],
)
def test_15_cases_are_needed_and_few_others_are_protected(sizes, others, names):
    X, y = caseloads(*sizes, others=others)
    found = kept(X, y, groups=None)
    assert found["therapist"].tolist() == names
    assert found["n"].tolist() == [sizes[int(name[1:])] for name in names]
    assert found["site"].isna().all()
    assert list(found) == ["site", "therapist", "arm", "n", "effect", "sd"]


def test_weights_count_patients_and_only_those_above_0():
    X, y = caseloads(14, 20, 30)
    some = np.where(X["therapist"] == "T1", np.arange(len(X)) % 2, 1.0)  # 10 of the 20
    options = {"therapists": "therapist", "keep_therapists": True}
    found = HierarchicalClassifier(**options).fit(X, y, sample_weight=some).therapist_effects_
    assert found["therapist"].tolist() == ["T2"]
    twice = np.where(X["therapist"] == "T0", 2.0, 1.0)
    found = HierarchicalClassifier(**options).fit(X, y, sample_weight=twice).therapist_effects_
    assert dict(zip(found["therapist"], found["n"], strict=True)) == {"T0": 28, "T1": 20, "T2": 30}


def test_the_same_label_at_two_sites_is_two_therapists():
    X, y, planted = simulate(6, 0.8, n=1200, n_sites=4)
    found = kept(X, y)
    same = found[found["therapist"] == "T0"]
    assert same["site"].tolist() == ["0", "1", "2", "3"]
    assert np.corrcoef(truth_of(found, planted), found["effect"])[0, 1] > 0.7


def test_results_do_not_depend_on_labels_or_order():
    X, y, _ = simulate(7, 0.5, n=900, n_sites=3)
    found = kept(X, y)
    order = np.random.default_rng(0).permutation(len(X))
    other = X.assign(
        arm=X["arm"].map({"A": "Z", "B": "X", "C": "Y"}),
        site=X["site"].map({0: "north", 1: "east", 2: "west"}),
        therapist=X["therapist"].map(lambda label: f"Dr {label}"),
    )
    again = kept(other.iloc[order], y[order])
    back = {"Z": "A", "X": "B", "Y": "C", "north": "0", "east": "1", "west": "2"}
    keys = ["site", "therapist", "arm"]
    for name in keys:
        again[name] = [back.get(label, label.removeprefix("Dr ")) for label in again[name]]
    again = again.sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(again, found, rtol=1e-5, atol=1e-5, check_dtype=False)


def test_few_therapists_and_a_single_site():
    X, y, _ = simulate(8, 0.5, n=600, n_sites=1)
    assert set(kept(X, y)["site"]) == {"0"}
    empty = kept(X.assign(therapist="only"), y)
    assert empty.empty
    assert list(empty) == ["site", "therapist", "arm", "n", "effect", "sd"]


def test_the_moments_are_those_of_the_whole_quadratic_approximation(monkeypatch):
    """Means and variances equal those of the inverse of the dense matrix of second derivatives."""
    X, y, _ = simulate(9, 0.6, n=400, n_sites=3, per_arm=2)
    seen = {}

    def spy(hierarchy, patients, which):
        seen.update(hierarchy=hierarchy, patients=patients)
        return np.zeros(len(which)), np.ones(len(which))

    monkeypatch.setattr(_therapist_effects, "_moments", spy)
    kept(X, y)
    patients, component = seen["patients"], seen["hierarchy"].components[0]
    layout = seen["hierarchy"].averaged.layout
    prior = layout.prior(replace(component.scales, therapist=0.5, site=0.3, site_by_arm=0.2))
    mode = find_mode(patients, component.mode.state, prior, tol=1e-12)
    k, n_caseloads = patients.n_arms, patients.n_caseloads
    design = np.concatenate([block for block, _ in patients.blocks()])
    logits = np.einsum("np,np->n", design, mode.state.by_arm[patients.arms])
    logits += mode.state.sites[patients.sites, patients.arms] + mode.state.therapists[patients.caseloads]
    own = np.eye(k)[patients.arms]
    layers = [design, *(design * own[:, [arm]] for arm in range(k))]
    place, load = patients.sites * k + patients.arms, patients.caseloads
    matrix = np.column_stack([*layers, np.eye(3 * k)[place], np.eye(n_caseloads)[load]])
    curve = expit(logits) * expit(-logits)
    active = np.concatenate([(prior.terms > 0).ravel(), np.ones(3 * k + n_caseloads, dtype=bool)])
    of_terms = np.where(prior.terms > 0, 1 / np.maximum(prior.terms, 1e-9) ** 2, 0).ravel()
    precision = np.diag(np.concatenate([of_terms, np.zeros(3 * k), np.full(n_caseloads, 1 / 0.5**2)]))
    inverse = np.linalg.inv(prior.site_covariance())
    for site in range(3):
        at = len(of_terms) + k * site
        precision[at : at + k, at : at + k] = inverse
    whole = precision + (matrix * curve[:, None]).T @ matrix
    variance = np.diag(np.linalg.inv(whole[np.ix_(active, active)]))[-n_caseloads:]
    found = _therapist_effects._variance(mode, prior, np.arange(n_caseloads))
    np.testing.assert_allclose(found, variance, rtol=1e-6)
    gradient = np.bincount(load, y[:] - expit(logits), n_caseloads)
    np.testing.assert_allclose(mode.state.therapists, 0.5**2 * gradient, atol=1e-5)


def test_the_stack_keeps_those_of_its_hierarchical_model():
    X, y, _ = simulate(10, 0.5, n=600, n_sites=3)
    pd.testing.assert_frame_equal(kept(X, y, StackedClassifier), kept(X, y))


def test_a_score_says_more_of_them():
    X, y, planted = simulate(11, 0.5)
    rng = np.random.default_rng(0)
    depth = np.where(y == 1, rng.exponential(1, len(y)), -rng.exponential(1, len(y)))
    model = HierarchicalClassifier(groups="site", therapists="therapist", keep_therapists=True)
    found = model.fit(X, y, score=depth).therapist_effects_
    assert np.corrcoef(truth_of(found, planted), found["effect"])[0, 1] > 0.4


def test_a_mixture_adds_what_a_therapist_does_through_dropout():
    """Effects on dropout alone become effects on the outcome, of which dropouts have fewer."""
    rng = np.random.default_rng(12)
    n, n_therapists = 4000, 40
    therapist, arm = rng.integers(0, n_therapists, n), rng.integers(0, 2, n)
    planted = rng.standard_normal((n_therapists, 2))
    lost = (rng.random(n) < expit(-0.5 + planted[therapist, arm])).astype(float)
    X = pd.DataFrame({"a": rng.standard_normal(n), "arm": ARMS[arm], "lost": lost})
    X["therapist"] = therapist
    y = (rng.random(n) < expit(0.8 - 2.5 * lost + 0.3 * X["a"])).astype(float)
    y[(lost == 1) & (rng.random(n) < 0.5)] = np.nan
    estimator = HierarchicalClassifier(therapists="therapist", keep_therapists=True)
    model = DropoutMixture(estimator, process="lost").fit(X, y)
    found, alone = model.therapist_effects_, model.outcome_.therapist_effects_
    sizes = X[~np.isnan(y)].groupby(["therapist", "arm"]).size()
    n_of = [sizes[int(t), a] for t, a in zip(found["therapist"], found["arm"], strict=True)]
    assert found["n"].tolist() == n_of
    assert min(n_of) >= 15
    chance = expit(-0.5 + planted)
    rate = (1 - chance) * expit(0.8) + chance * expit(-1.7)
    truth = np.log(rate / (1 - rate))
    own = [truth[int(t), list("AB").index(a)] for t, a in zip(found["therapist"], found["arm"], strict=True)]
    assert np.corrcoef(own, found["effect"])[0, 1] > 0.85
    assert found["effect"].std() > 3 * alone["effect"].std()
    assert DropoutMixture(HierarchicalClassifier(therapists="therapist"), process="lost").fit(
        X, y
    ).therapist_effects_ is None  # fmt: skip
