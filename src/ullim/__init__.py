"""ullim (울림): speech emotion recognition people can trust and ship.

>>> import ullim
>>> predictor = ullim.load()  # the bundle that comes with ullim
>>> predictor.predict(ullim.demo_clip()).status
'ok'
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ullim._version import __version__

if TYPE_CHECKING:
    from ullim.inference.predictor import Predictor
    from ullim.types import Prediction

# ONNX Runtime from 1.29 on gives the machine a number as soon as it is imported and reports the
# models it runs to its maker. Nothing of ullim's does; who wants that sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["__version__", "demo_clip", "load", "predict"]


def load(model: str | Path | None = None) -> Predictor:
    """Load a bundle for prediction.

    Args:
        model: Name of ``ullim models list``, or a bundle's folder; None for the default bundle.

    Raises:
        BundleError: There is no such bundle, or it is damaged.
    """
    # Imported here so that `import ullim` costs nothing until something is predicted.
    from ullim.inference.models import find
    from ullim.inference.predictor import Predictor

    return Predictor.from_folder(find(model))


def predict(source: Any, *, sampling_rate: int | None = None) -> Prediction:
    """Predict with the default bundle, loaded once per process; see ``Predictor.predict``."""
    global _default
    if _default is None:
        _default = load()
    return _default.predict(source, sampling_rate=sampling_rate)


_default: Predictor | None = None


def demo_clip() -> Path:
    """Return the path of the bundled demonstration clip; its speech is synthesised."""
    return Path(__file__).parent / "data" / "demo.flac"
