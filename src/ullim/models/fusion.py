"""Several classifiers, each over its own features, that answer together."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator

from ullim import registry
from ullim.decision import FusionRule
from ullim.models import Model


class Member(BaseModel):
    """One of the classifiers.

    Attributes:
        model: Its parameters.
        features: Names of the features it takes; none stands for all.
        weight: Of its probabilities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: SerializeAsAny[Model]
    features: tuple[str, ...] = ()
    weight: float = Field(1.0, gt=0.0)

    @field_validator("model", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = {name: c for name, c in registry.components("models").items() if c is not Fusion}
        name = value.get("name")
        if name not in known:
            raise ValueError(f"no member is called {name!r}; there are: {', '.join(known)}")
        return known[name](**value)


class Fusion(Model):
    """Several classifiers' probabilities made one (late fusion).

    Attributes:
        members: Who answers.
        rule: How their probabilities become one: ``mean`` (soft voting), ``literal`` or
            ``over_classifiers``, see :func:`ullim.decision.fuse`. Clips that are cut into windows
            are fused window by window where they are served, and whole where they are scored,
            which is the same only for ``mean``; the others belong with whole clips.
    """

    name: Literal["fusion"] = "fusion"
    members: tuple[Member, ...] = Field(min_length=2)
    rule: FusionRule = "mean"

    @property
    def transductive(self) -> bool:
        """Whether one of its members is."""
        return any(member.model.transductive for member in self.members)
