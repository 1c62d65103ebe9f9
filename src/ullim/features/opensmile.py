"""openSMILE's feature sets, for comparison: an extra under its owner's research licence."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from ullim.errors import MissingExtraError
from ullim.features import Feature
from ullim.types import FloatArray

Set = Literal[
    "gemaps-v01b", "egemaps-v02", "emobase", "is09", "is10", "is11", "is12", "is13", "compare-2016"
]

# Name within the library, and how many functionals the set has.
_SETS: dict[Set, tuple[str, int]] = {
    "gemaps-v01b": ("GeMAPSv01b", 62),
    "egemaps-v02": ("eGeMAPSv02", 88),
    "emobase": ("emobase", 988),
    "is09": ("IS09", 384),
    "is10": ("IS10", 1582),
    "is11": ("IS11", 4368),
    "is12": ("IS12", 6125),
    "is13": ("IS13", 6373),
    "compare-2016": ("ComParE_2016", 6373),
}


class OpenSmile(Feature):
    """Functionals of a whole clip by openSMILE, with the configuration files it ships.

    Values it cannot compute (it answers NaN for clips of a few frames) are 0. The licence of
    openSMILE allows research and private use; a model that takes this feature cannot be used
    without it.

    Attributes:
        set: Which of its sets.

    Reference: Eyben, Wöllmer & Schuller, openSMILE, ACM Multimedia 2010. The sets: Schuller et
    al., Interspeech challenges 2009 to 2013 and 2016; Eyben et al., GeMAPS, IEEE Transactions on
    Affective Computing 7(2), 2016.
    """

    version = "v1"
    unit = "mixed: as openSMILE's names say"
    level = "clip"
    library = "opensmile"

    name: Literal["opensmile"] = "opensmile"
    set: Set = "egemaps-v02"

    @property
    def n_features(self) -> int:
        """Functionals of the set."""
        return _SETS[self.set][1]

    @property
    def min_samples(self) -> int:
        """A tenth of a second."""
        return self.sampling_rate // 10

    def _extract(self, signal: FloatArray) -> FloatArray:
        smile = _smile(_SETS[self.set][0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on clips of a few frames, answered below
            values = smile.process_signal(signal, self.sampling_rate).to_numpy(dtype=np.float32)
        return np.asarray(np.nan_to_num(values[:1], nan=0.0, posinf=0.0, neginf=0.0))


@lru_cache(maxsize=4)
def _smile(name: str) -> Any:
    try:
        import opensmile
    except ImportError as error:
        raise MissingExtraError("openSMILE's features", extra="opensmile") from error
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[name],
        feature_level=opensmile.FeatureLevel.Functionals,
    )
