"""Ensembles of decision trees over one vector per clip.

A tree asks on which side of a threshold a value lies, so rows are taken as the feature gives them:
standardising would change nothing but the rounding, and that moves values over thresholds.

The graphs are written by skl2onnx and onnxmltools. With skl2onnx 1.20, onnxmltools 1.16,
scikit-learn 1.9 and xgboost 3.2, forests and boosters of 500 trees on the MFCC statistics of EMO-DB
and RAVDESS gave equal labels, and probabilities within 1.3e-6, for all clips. A converter of ours
would only be faster: theirs take as long as the fit of a forest.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.ensemble import RandomForestClassifier

from ullim.errors import MissingExtraError
from ullim.models import ML_OPSET, OPSET, Classical, Fragment


class _Trees(Classical):
    standardised: ClassVar[bool] = False
    targets: ClassVar[Literal["shares", "labels"]] = "labels"
    gives: ClassVar[Literal["logits", "probabilities"]] = "probabilities"

    n_trees: int = Field(500, ge=1)
    calibrate: bool = True

    @property
    def calibrated(self) -> bool:
        return self.calibrate


class RandomForest(_Trees):
    """Random forest, as scikit-learn's defaults have it but for the number of trees.

    Attributes:
        n_trees: How many.
        calibrate: Whether a temperature is fitted on inner folds; otherwise its probabilities are
            the trees' mean, as published systems have it.
    """

    name: Literal["random-forest"] = "random-forest"

    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return the classifier; the seed draws rows and features."""
        return RandomForestClassifier(self.n_trees, random_state=seed)

    def fragment(self, fitted: RandomForestClassifier) -> Fragment:
        """Return it as skl2onnx writes it.

        Raises:
            MissingExtraError: It is not installed.
        """
        try:
            from skl2onnx import to_onnx
        except ImportError as error:
            raise MissingExtraError("exporting a random forest", extra="train") from error
        example = np.zeros((1, fitted.n_features_in_), np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = to_onnx(
                fitted,
                example,
                options={"zipmap": False},
                target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            )
        return _fragment(model)


class XGBoost(_Trees):
    """Gradient-boosted trees by the library of that name.

    Attributes:
        n_trees: Rounds; each fits a tree for every class.
        calibrate: Whether a temperature is fitted on inner folds.
        max_depth: Splits from a root to a leaf.
        learning_rate: Share of each round's trees that counts.
    """

    name: Literal["xgboost"] = "xgboost"
    max_depth: int = Field(6, ge=1)
    learning_rate: float = Field(0.05, gt=0.0, le=1.0)

    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return the classifier; with these parameters nothing in it is drawn.

        Raises:
            MissingExtraError: xgboost is not installed.
        """
        try:
            from xgboost import XGBClassifier
        except ImportError as error:
            raise MissingExtraError("the model xgboost", extra="train") from error
        return _AnyLabels(
            XGBClassifier(
                n_estimators=self.n_trees,
                max_depth=self.max_depth,
                learning_rate=self.learning_rate,
                n_jobs=1,
                random_state=seed,
            )
        )

    def fragment(self, fitted: _AnyLabels) -> Fragment:
        """Return it as onnxmltools writes it.

        Raises:
            MissingExtraError: It is not installed.
        """
        try:
            from onnxmltools import convert_xgboost
            from onnxmltools.convert.common.data_types import FloatTensorType
        except ImportError as error:
            raise MissingExtraError("exporting xgboost", extra="train") from error
        width = fitted.inner.n_features_in_
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Its newest operator set is older than ours; trees are of ai.onnx.ml and the same.
            model = convert_xgboost(
                fitted.inner,
                initial_types=[(Fragment.input, FloatTensorType([None, width]))],
                target_opset=15,
            )
        return _fragment(model)


class _AnyLabels:
    """A classifier that insists on labels 0, 1, 2 …, given some that leave out a few."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        self.classes_, places = np.unique(y, return_inverse=True)
        self.inner.fit(X, places, sample_weight=sample_weight)
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        return np.asarray(self.inner.predict_proba(X), dtype=np.float64)


def _fragment(model: Any) -> Fragment:
    """Return the graph of a converted classifier: one input, labels and probabilities out."""
    from onnx import numpy_helper

    graph = model.graph
    renamed = {graph.input[0].name: Fragment.input, graph.output[1].name: Fragment.output}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    return Fragment(list(graph.node), constants)
