"""The errors ullim raises on purpose.

::

    UllimError
    ├── AudioError           a recording cannot be used
    ├── CorpusError          a corpus is absent, incomplete or not what it claims
    ├── FeatureError         a feature cannot be computed as asked
    ├── RecipeError          a recipe, protocol or override is wrong
    ├── TrainingError        the data does not allow the training asked for
    ├── BundleError          a bundle is missing, damaged or of another version
    ├── MissingExtraError    an optional dependency is not installed (also an ImportError)
    └── NotFittedError       an estimator was used before ``fit``
                             (also a ValueError and an AttributeError, as scikit-learn's is)

Every message says what was given, what is allowed and what to do next. ``code`` is a short stable
word for programs; the message is for people and may be reworded.
"""

from __future__ import annotations


class UllimError(Exception):
    """Base of all errors a user of ullim is expected to handle.

    Attributes:
        code: Stable identifier of the cause, for example ``"too_short"``.
    """

    default_code = "ullim_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class AudioError(UllimError):
    """A recording cannot be read, or holds nothing usable."""

    default_code = "audio"


class CorpusError(UllimError):
    """A corpus is absent, incomplete or not laid out as its owner publishes it."""

    default_code = "corpus"


class FeatureError(UllimError):
    """A feature cannot be computed from this input or with these parameters."""

    default_code = "feature"


class RecipeError(UllimError):
    """A recipe, a protocol or an override of either is wrong."""

    default_code = "recipe"


class TrainingError(UllimError):
    """The data does not allow the training that was asked for."""

    default_code = "training"


class BundleError(UllimError):
    """A bundle is missing, damaged, or written for another version."""

    default_code = "bundle"


class MissingExtraError(UllimError, ImportError):
    """An optional dependency is not installed.

    >>> raise MissingExtraError("training", extra="train")
    Traceback (most recent call last):
        ...
    ullim.errors.MissingExtraError: training needs packages that are not installed: \
pip install "ullim[train]"
    """

    default_code = "missing_extra"

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(
            f'{what} needs packages that are not installed: pip install "ullim[{extra}]"'
        )
        self.extra = extra


class NotFittedError(UllimError, ValueError, AttributeError):
    """An estimator was asked to predict before it was fitted."""

    default_code = "not_fitted"
