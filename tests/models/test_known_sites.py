"""Known services: recovery of planted services, what is kept of them, and the three kinds of prediction."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from treatsel.errors import InputError, TreatselWarning
from treatsel.models import DropoutMixture, HierarchicalClassifier, StackedClassifier
from treatsel.models.hierarchical import _screening
from treatsel.models.hierarchical._known_sites import _hidden

ARMS = ["A", "B", "C", "D"]


class Services:
    """A process with planted services: effects of the service and of the service by arm."""

    def __init__(self, seed, *, n_services=12, site=0.4, site_by_arm=0.4):
        self.rng = np.random.default_rng([seed, 31])
        self.effects = site * self.rng.normal(size=(n_services, 1))
        self.effects = self.effects + site_by_arm * self.rng.normal(size=(n_services, 4))
        self.modifiers = 0.2 * self.rng.normal(size=(4, 5))

    def draw(self, n):
        """Return X (with the service), y, and the true probabilities under each arm."""
        z = self.rng.normal(size=(n, 5))
        service, arm = self.rng.integers(0, len(self.effects), n), self.rng.integers(0, 4, n)
        logits = -0.3 + (z @ [0.5, -0.4, 0.2, 0, 0])[:, None] + z @ self.modifiers.T + self.effects[service]
        X = pd.DataFrame(z, columns=list("abcde")).assign(
            arm=np.array(ARMS)[arm], service=[f"S{number}" for number in service]
        )
        truth = expit(logits)
        return X, (self.rng.random(n) < truth[np.arange(n), arm]).astype(int), truth


@pytest.fixture(scope="module")
def planted():
    process = Services(0)
    X, y, _ = process.draw(1500)
    return process, X, y, HierarchicalClassifier(groups="service").fit(X, y)


def rmse(p, truth):
    return float(np.sqrt(np.mean((np.asarray(p) - truth) ** 2)))


@pytest.mark.parametrize("kind", [HierarchicalClassifier, StackedClassifier])
def test_known_services_are_predicted_better_and_chosen_better(kind):
    better, covered, gained, sizes = [], [], [], []
    for seed in range(4):
        process = Services(seed)
        X, y, _ = process.draw(1000)
        model = kind(groups="service").fit(X, y)
        sizes.append(model.prior_["site x arm"])
        new, _, truth = process.draw(2000)
        table = {name: model.predict_by_arm(new, service=name) for name in ("known", "new")}
        better.append(rmse(table["known"], truth) / rmse(table["new"], truth))
        rows = np.arange(len(truth))
        chosen = {name: truth[rows, each.to_numpy().argmax(axis=1)].mean() for name, each in table.items()}
        gained.append(chosen["known"] - chosen["new"])
        draws = model.predict_draws(new.head(300), service="known")
        lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
        covered.append(((lower <= truth[:300]) & (truth[:300] <= upper)).mean())
    assert np.mean(better) < 0.85
    assert np.mean(gained) > 0.005
    assert 0.3 < np.mean(sizes) < 0.5  # of 0.4
    assert 0.85 < np.mean(covered) < 0.99


def test_without_differences_between_services_little_is_lost():
    lost = []
    for seed in range(4):
        process = Services(seed, site=0.0, site_by_arm=0.0)
        X, y, _ = process.draw(1000)
        model = HierarchicalClassifier(groups="service").fit(X, y)
        new, _, truth = process.draw(2000)
        lost.append(rmse(model.predict_by_arm(new), truth) - rmse(model.predict_by_arm(new, "new"), truth))
    assert np.mean(lost) < 0.01


def test_the_interval_is_narrowest_for_the_average_and_widest_for_a_new_service(planted):
    _, X, _, model = planted
    width = {}
    for name in ("known", "average", "new"):
        draws = model.predict_draws(X.head(200), service=name)
        width[name] = np.ptp(np.quantile(draws, [0.025, 0.975], axis=0), axis=0)
    assert width["average"].mean() < width["known"].mean() < width["new"].mean()


@pytest.mark.parametrize("service", ["known", "average", "new"])
def test_probabilities_are_the_means_of_the_draws(planted, service):
    _, X, _, model = planted
    p = model.predict_by_arm(X.head(300), service=service).to_numpy()
    np.testing.assert_allclose(model.predict_draws(X.head(300), service=service).mean(axis=0), p, atol=0.03)
    assert np.abs(model.predict_draws(X.head(300), service=service).mean(axis=0) - p).mean() < 0.01


def test_a_service_that_is_not_known_is_new(planted):
    _, X, _, model = planted
    new = model.predict_by_arm(X.head(20), service="new")
    for unknown in ("another", None, np.nan, 7):
        pd.testing.assert_frame_equal(model.predict_by_arm(X.head(20).assign(service=unknown)), new)
    pd.testing.assert_frame_equal(model.predict_by_arm(X.head(20).drop(columns="service")), new)
    known = model.predict_by_arm(X.head(20))
    pd.testing.assert_frame_equal(model.predict_by_arm(X.head(20).assign(service=X["service"] + " ")), known)
    assert (known - new).abs().to_numpy().max() > 0.02
    with pytest.raises(InputError, match="service"):
        model.predict_by_arm(X, service="mine")


def test_numbers_of_services_are_matched_by_their_text():
    process = Services(1, n_services=5)
    X, y, _ = process.draw(400)
    X["service"] = X["service"].str[1:].astype(int)
    model = HierarchicalClassifier(groups="service").fit(X, y)
    expected = model.predict_by_arm(X)
    for kind in (float, str, object):
        pd.testing.assert_frame_equal(model.predict_by_arm(X.astype({"service": kind})), expected)
    assert model.additive().sites.labels == ("0", "1", "2", "3", "4")


def test_services_of_few_patients_are_not_known():
    process = Services(2, n_services=6)
    X, y, _ = process.draw(600)
    X.loc[X.index[:9], "service"], X.loc[X.index[9:19], "service"] = "nine", "ten"
    labels = HierarchicalClassifier(groups="service").fit(X, y).additive().sites.labels
    assert "ten" in labels
    assert "nine" not in labels
    one = HierarchicalClassifier(groups="service").fit(X.assign(service="only"), y)
    assert one.additive().sites is None
    none = HierarchicalClassifier(groups="service").fit(X.assign(service=np.arange(600) // 6), y)
    assert none.additive().sites.labels == ()
    differ = none.predict_by_arm(X, "average") - none.predict_by_arm(X, "new")
    assert differ.abs().to_numpy().max() > 0


@pytest.mark.parametrize(
    ("counts", "hidden"),
    [
        ((20, 20, 20, 20), (0, 0, 0, 0)),
        ((0, 20, 20, 20), (1, 0, 0, 0)),  # nobody received it: nothing to hide
        ((3, 20, 9, 30), (1, 0, 1, 0)),
        ((3, 4, 20, 30), (1, 1, 1, 0)),  # seven patients are too few to be a group
        ((4, 4, 4, 30), (1, 1, 1, 0)),
        ((48, 3), (1, 1)),  # the rest of two arms would be the rare one
        ((3, 2, 1, 4), (1, 1, 1, 1)),
    ],
)
def test_what_the_kept_effects_leave_is_a_group(counts, hidden):
    np.testing.assert_array_equal(_hidden(np.array(counts, dtype=float)), np.array(hidden, dtype=bool))


def test_outcomes_under_a_rare_arm_cannot_be_told_from_the_effects_of_a_site():
    """With two arms, the effect under all arms minus that under the frequent one would give the rare one."""
    process = Services(3, n_services=6, site_by_arm=1.0)
    X, y, _ = process.draw(900)
    X, y = X[X["arm"].isin(["A", "B"])], pd.Series(y)[X["arm"].isin(["A", "B"])]
    at = X.index[(X["service"] == "S0") & (X["arm"] == "B")]
    found = {}
    for n in (3, 12):
        kept = X.drop(index=at[n:])
        for outcome in (0, 1):
            values = y.where(~y.index.isin(at), outcome)[kept.index]
            sites = HierarchicalClassifier(groups="service").fit(kept, values).additive().sites
            found[n, outcome] = sites.intercept[0] - sites.intercept[-1]
    for outcome in (0, 1):  # three patients: one effect for both arms
        assert np.ptp(found[3, outcome]) < 0.05
    assert np.ptp(found[12, 0] - found[12, 1]) > 0.5


def test_a_screened_model_knows_its_services(monkeypatch):
    monkeypatch.setattr(_screening, "MAX_TERMS", 12)
    process = Services(5, n_services=4)
    X, y, _ = process.draw(400)
    noise = pd.DataFrame(process.rng.normal(size=(400, 12)), X.index, [f"n{j}" for j in range(12)])
    with pytest.warns(TreatselWarning, match="more than can be fitted"):
        model = HierarchicalClassifier(groups="service").fit(pd.concat([X, noise], axis=1), y)
    table = pd.concat([X, noise], axis=1)
    assert model.additive().sites.coefficients.shape == model.additive().coefficients.shape
    assert (model.predict_by_arm(table) - model.predict_by_arm(table, "new")).abs().to_numpy().max() > 0.01


def test_services_that_look_alike_are_one():
    process = Services(6, n_services=3)
    X, y, _ = process.draw(300)
    spaced = X["service"].where(np.arange(300) % 2 == 0, X["service"] + " ")
    one, other = (
        HierarchicalClassifier(groups="service").fit(each, y) for each in (X, X.assign(service=spaced))
    )
    pd.testing.assert_frame_equal(one.predict_by_arm(X), other.predict_by_arm(X))
    assert other.additive().sites.labels == ("S0", "S1", "S2")
    hidden = X.assign(service=X["service"].replace({"S0": "a\nb"}))
    sites = HierarchicalClassifier(groups="service").fit(hidden, y).additive().sites
    assert sites.labels == ("S1", "S2")


def test_an_average_over_dropout_knows_the_services_of_both_models():
    process = Services(4, n_services=6)
    X, y, _ = process.draw(1200)
    lost = (process.rng.random(1200) < expit(-0.8 + 0.5 * X["a"])).astype(int)
    y = np.where((lost == 1) & (process.rng.random(1200) < 0.85), 0, y)  # dropouts fare much worse
    y = np.where((lost == 1) & (process.rng.random(1200) < 0.6), np.nan, y)
    whole = X.assign(dropout=lost)
    model = DropoutMixture(HierarchicalClassifier(groups="service"), process="dropout").fit(whole, y)
    for service in ("known", "average", "new"):
        chance = model.dropout_.predict_by_arm(X, service=service).to_numpy()
        both = (X.assign(dropout=value) for value in (0, 1))
        each = [model.outcome_.predict_by_arm(rows, service=service).to_numpy() for rows in both]
        expected = (1 - chance) * each[0] + chance * each[1]
        p = model.predict_by_arm(X, service=service).to_numpy()
        assert np.abs(p - expected).mean() < 0.01
        assert np.abs(p - expected).max() < 0.1
        away = pd.DataFrame(p - expected).groupby(X["service"].to_numpy()).mean()
        assert away.abs().to_numpy().max() < 0.01  # at no service under no arm
    draws = model.predict_draws(X.head(200), service="known")
    np.testing.assert_allclose(draws.mean(axis=0), model.predict_by_arm(X.head(200)).to_numpy(), atol=0.05)
