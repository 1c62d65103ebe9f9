"""How windows become one answer and a timeline: the rule a recipe states and a bundle carries."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Decision(BaseModel):
    """A decision rule.

    Attributes:
        rule: ``mean_probability`` averages the windows in which somebody speaks.
        ambiguity_margin: Two labels this close at the top make the answer ambiguous.
        coverage: Share of held-out speech that is to be answered; training sets the bundle's
            threshold so that the least confident rest is called uncertain.
        smoothing_s: A moment of the timeline is told by the windows centred within this many
            seconds of it, the nearer the more.
        min_speech_s: Speech that a recording must hold to be answered, in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Literal["mean_probability"] = "mean_probability"
    ambiguity_margin: float = Field(0.02, ge=0.0, lt=1.0)
    coverage: float = Field(0.9, gt=0.0, le=1.0)
    smoothing_s: float = Field(2.0, gt=0.0)
    min_speech_s: float = Field(0.2, ge=0.0)
