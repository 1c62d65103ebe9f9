"""Several densities, each over its own features, whose likelihoods are added."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator

from ullim import registry
from ullim.models import Generative, Model


class Density(BaseModel):
    """One of the densities.

    Attributes:
        model: Its parameters.
        features: Names of the features it takes, all vectors or all frames; none stands for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: SerializeAsAny[Generative]
    features: tuple[str, ...] = ()

    @field_validator("model", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = {
            name: model
            for name, model in registry.components("models").items()
            if issubclass(model, Generative)
        }
        name = value.get("name")
        if name not in known:
            raise ValueError(f"no density is called {name!r}; there are: {', '.join(known)}")
        return known[name](**value)


class LikelihoodFusion(Model):
    """Log-likelihoods of several densities, brought to one deviation and added.

    Deviations and weights are decided on clips of inner folds, the weights by the UA there. That is
    a fusion before any probability is formed; the mean of probabilities is ``fusion``.

    Attributes:
        members: The densities.

    Reference: Kim, Trans. KIEE 66(8), 2017 (pitch and cepstrum); its way of weighing is not public.
    """

    name: Literal["likelihood-fusion"] = "likelihood-fusion"
    members: tuple[Density, ...] = Field(min_length=2, max_length=4)
