"""Models of a caller's own in an evaluation: module factories and estimators.

A factory of modules is trained by the protocol, like a model by name. An estimator of
scikit-learn, or what has its `fit`, `predict` and `get_params`, is cloned and fitted
on vectors: embeddings of texts, flattened images, propagated features of nodes.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.modules import check_factory, factory_name

__all__ = ["Estimator", "check_custom", "custom_name", "fit_estimator", "is_estimator"]

Estimator: TypeAlias = Any
"""What has `fit(x, y)`, `predict(x)` and `get_params()`, as in scikit-learn."""


def is_estimator(model: Any) -> bool:
    """Whether a model is an estimator: what is fitted, not what makes one.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> is_estimator(LogisticRegression()), is_estimator(torch.nn.Linear)
        (True, False)
    """
    names = ("fit", "predict", "get_params")
    return not isinstance(model, type) and all(hasattr(model, name) for name in names)


def check_custom(model: Any) -> None:
    """Refuse what is neither an estimator nor a factory of modules.

    Raises:
        TypeError: a class of estimators, a module that is made already, or else.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> check_custom(LogisticRegression)
        Traceback (most recent call last):
        ...
        TypeError: give an estimator, LogisticRegression(...), not its class
    """
    if isinstance(model, type) and hasattr(model, "fit") and hasattr(model, "predict"):
        raise TypeError(f"give an estimator, {model.__name__}(...), not its class")
    if not is_estimator(model):
        check_factory(model)


def custom_name(model: Any) -> str:
    """What a table calls a model: the class of an estimator, or a factory's name.

    Example:
        >>> custom_name(torch.nn.Linear)
        'Linear'
    """
    return type(model).__name__ if is_estimator(model) else factory_name(model)


def fit_estimator(
    estimator: Estimator,
    x: Any,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    seed: int = 0,
) -> Callable[[Any], Tensor]:
    """A clone of an estimator, fitted on the likeliest class of each row.

    Where it has a `random_state` that is None, that is the seed. Classes of which there
    is no row are never predicted.

    Args:
        estimator: stays as it is.
        x: `[m, d]`, features: a tensor, an array or a sparse matrix.
        targets: `[m, c]`: one-hot, soft or centered.
        weight: `[m]`, how much each row counts, where the estimator takes that.
        seed: of what it draws.

    Returns:
        Features `[b, d]` to the class of each row, `[b]`.

    Example:
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> x = torch.tensor([[0.0], [1.0]])
        >>> predict = fit_estimator(DecisionTreeClassifier(), x, torch.eye(3)[:2])
        >>> predict(torch.tensor([[0.9], [0.1]])).tolist()
        [1, 0]
    """
    y = targets.argmax(1).cpu().numpy()
    classes = np.unique(y)
    if len(classes) == 1:  # many estimators refuse to learn one class
        return lambda rows: torch.full((rows.shape[0],), int(classes[0]))
    fresh = _cloned(estimator, seeds.key(seed, "estimator") % 2**32)
    extra = {}
    if weight is not None and _takes_weights(fresh):
        extra = {"sample_weight": weight.double().cpu().numpy()}
    fresh.fit(_array(x), y, **extra)

    def predict(rows: Any) -> Tensor:
        return torch.from_numpy(np.asarray(fresh.predict(_array(rows)))).long()

    return predict


def _cloned(estimator: Estimator, seed: int) -> Any:
    if not hasattr(estimator, "set_params"):
        return copy.deepcopy(estimator)
    from sklearn.base import clone  # loads slowly

    fresh = clone(estimator)
    states = {
        name: seed
        for name, value in fresh.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return fresh.set_params(**states)


def _takes_weights(estimator: Estimator) -> bool:
    return "sample_weight" in inspect.signature(estimator.fit).parameters


def _array(x: Any) -> Any:
    """Features as estimators take them: an array, or a sparse matrix as it is."""
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else x
