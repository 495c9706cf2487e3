"""Real tuning problems that run on a CPU: data sets and models of scikit-learn."""

import math
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from wildloop.examples.digits import train as digits

EPOCHS = 5
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A search space and what a configuration is worth; `evaluate` returns None on a failure."""

    name: str
    metric: str
    direction: Literal["max", "min"]
    space: dict[str, Any]
    evaluate: Callable[[Values], float | None]


def remembered(problem: Problem) -> Problem:
    """The problem, with a configuration that is tried again not trained again."""
    known: dict[str, float | None] = {}

    def evaluate(values: Values) -> float | None:
        key = repr(sorted(values.items()))
        if key not in known:
            known[key] = problem.evaluate(values)
        return known[key]

    return replace(problem, evaluate=evaluate)


@cache
def _digits() -> Any:
    return digits.load_data()


def digits_mlp(values: Values) -> float | None:
    """Validation accuracy of the example's network after five epochs; None if it diverged."""
    train_x, train_y, val_x, val_y = _digits()
    arguments = Namespace(
        lr=values["lr"],
        momentum=values["momentum"],
        weight_decay=values["weight-decay"],
        batch_size=values["batch-size"],
    )
    rng = np.random.default_rng(0)
    model = digits.initial_weights(rng, train_x.shape[1], values["hidden"], 10)
    velocity = [np.zeros_like(part) for part in model]
    for _ in range(EPOCHS):
        loss = digits.train_epoch(model, velocity, train_x, train_y, rng, arguments)
        if not math.isfinite(loss):
            return None
    return float((digits.forward(model, val_x)[1].argmax(axis=1) == val_y).mean())


@cache
def _breast_cancer() -> Any:
    return load_breast_cancer(return_X_y=True)


def breast_cancer_svm(values: Values) -> float | None:
    """Balanced accuracy of a support vector machine, three-fold cross-validation."""
    x, y = _breast_cancer()
    scalers = {"none": FunctionTransformer(), "standard": StandardScaler(), "range": MinMaxScaler()}
    machine = SVC(
        C=values["C"],
        gamma=values["gamma"],
        kernel=values["kernel"],
        degree=2,
        class_weight="balanced" if values["balanced"] else None,
        # A linear machine on raw data may not converge at all.
        max_iter=20_000,
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    model = make_pipeline(scalers[values["scaler"]], machine)
    return float(cross_val_score(model, x, y, cv=folds, scoring="balanced_accuracy").mean())


@cache
def _diabetes() -> Any:
    return load_diabetes(return_X_y=True)


def diabetes_gbr(values: Values) -> float | None:
    """Root mean squared error of gradient boosting, three-fold cross-validation."""
    x, y = _diabetes()
    model = GradientBoostingRegressor(
        learning_rate=values["learning-rate"],
        n_estimators=values["trees"],
        max_depth=values["depth"],
        subsample=values["subsample"],
        min_samples_leaf=values["leaf"],
        max_features=values["features"],
        random_state=0,
    )
    folds = KFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(model, x, y, cv=folds, scoring="neg_root_mean_squared_error")
    return -float(scores.mean())


PROBLEMS = (
    Problem(
        name="digits, network",
        metric="accuracy",
        direction="max",
        space={
            "lr": {"low": 1e-4, "high": 1.0, "log": True},
            "hidden": [16, 32, 64, 128],
            "momentum": {"low": 0.0, "high": 0.99},
            "weight-decay": {"low": 1e-6, "high": 1e-1, "log": True},
            "batch-size": {"low": 8, "high": 256, "log": True, "int": True},
        },
        evaluate=digits_mlp,
    ),
    Problem(
        name="breast cancer, SVM",
        metric="balanced accuracy",
        direction="max",
        space={
            "C": {"low": 1e-3, "high": 1e3, "log": True},
            "gamma": {"low": 1e-5, "high": 10.0, "log": True},
            "kernel": ["rbf", "poly", "sigmoid"],
            "scaler": ["none", "standard", "range"],
            "balanced": [True, False],
        },
        evaluate=breast_cancer_svm,
    ),
    Problem(
        name="diabetes, boosting",
        metric="RMSE",
        direction="min",
        space={
            "learning-rate": {"low": 1e-3, "high": 1.0, "log": True},
            "trees": {"low": 10, "high": 200, "log": True, "int": True},
            "depth": {"low": 1, "high": 6, "int": True},
            "subsample": {"low": 0.3, "high": 1.0},
            "leaf": {"low": 1, "high": 60, "log": True, "int": True},
            "features": {"low": 0.1, "high": 1.0},
        },
        evaluate=diabetes_gbr,
    ),
)
