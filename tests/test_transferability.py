"""Transferability scores against cases computed by hand, and against other ways to compute the same."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.linear_model import BayesianRidge

from course.transferability import h_score, log_me, rank_correlation
from helpers.errors import HelpersError

LABELS = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0, 2, 2], 1.0),  # all the variance lies between the classes
        ([0, 2, 2, 4], 0.5),  # total variance 2, of the class means 1
        ([0, 2, 0, 2], 0.0),  # the classes have one mean
    ],
)
def test_h_score_of_one_feature(values, expected) -> None:
    features = torch.tensor(values, dtype=torch.float64)[:, None]
    assert h_score(features, LABELS, shrink=False) == pytest.approx(expected)


def test_h_score_adds_independent_features_and_ignores_scale() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    one, other = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    both = torch.stack([one, 100 * other], 1).double()
    assert h_score(both, labels, shrink=False) == pytest.approx(2)


def test_shrinkage_keeps_random_features_from_looking_perfect() -> None:
    features, labels = torch.randn(40, 400, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4
    assert h_score(features, labels, shrink=False) == pytest.approx(3, abs=1e-6)
    assert h_score(features, labels) < 1.5


@pytest.fixture(params=[3, 60], ids=["fewer features than images", "more features"])
def data(request):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, request.param)) + 1
    y = (x[:, 0] + 0.7 * rng.normal(size=40) > 1).astype(int)
    return x, y


def test_log_me_is_the_largest_evidence(data) -> None:
    """The targets are normal with covariance I / beta + X X' / alpha; a search over both must not find more."""
    x, y = data

    def best(target) -> float:
        def negative(logs) -> float:
            covariance = np.eye(40) / np.exp(logs[1]) + x @ x.T / np.exp(logs[0])
            return -multivariate_normal(np.zeros(40), covariance).logpdf(target)

        starts = [(0, 0), (3, 1), (2, 3)]
        return -min(minimize(negative, start, method="Nelder-Mead", options={"xatol": 1e-6}).fun for start in starts)

    expected = np.mean([best(y == 0), best(y == 1)]) / 40
    assert log_me(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected, abs=1e-3)


def test_log_me_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    none = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0)
    fits = [
        BayesianRidge(compute_score=True, fit_intercept=False, tol=1e-8, max_iter=1000, **none).fit(x, y == k)
        for k in range(3)
    ]
    expected = np.mean([fit.scores_[-1] for fit in fits]) / 50
    assert log_me(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected, abs=1e-3)


def test_both_scores_prefer_features_that_separate_the_classes() -> None:
    noise = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    useful = noise + 3 * torch.nn.functional.one_hot(labels, 5)
    for score in (h_score, log_me):
        assert score(useful, labels) > score(noise, labels)


def test_rank_correlation_and_its_interval() -> None:
    perfect = rank_correlation(range(12), [10 * i for i in range(12)])
    assert perfect.tau == pytest.approx(1)
    assert perfect.low > 0.9
    opposite = rank_correlation(range(12), [-i for i in range(12)])
    assert opposite.tau == pytest.approx(-1)
    rng = np.random.default_rng(0)
    unrelated = rank_correlation(rng.random(12), rng.random(12))
    assert unrelated.low < 0 < unrelated.high
    assert rank_correlation([1, 2, 3, 4], [1, 2, 4, 3]).tau == pytest.approx(4 / 6)  # five pairs in order, one not


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: h_score(torch.zeros(4, 2), torch.zeros(4)), "two or more classes"),
        (lambda: log_me(torch.zeros(4, 2), LABELS[:3]), "N labels"),
        (lambda: rank_correlation([1, 2], [1, 2]), "four candidates"),
        (lambda: rank_correlation([1, 2, 3, 4], [1, 2, 3]), "4 scores and 3 accuracies"),
    ],
)
def test_what_cannot_be_scored_is_refused(call, message) -> None:
    with pytest.raises(HelpersError, match=message):
        call()
