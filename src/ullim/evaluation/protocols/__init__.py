"""Protocols: who is trained on and who is tested on."""

from __future__ import annotations

from typing import Annotated

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from ullim.errors import RecipeError
from ullim.evaluation.protocols.apart import (
    LeaveOneCorpusOut,
    LeaveOneSessionOut,
    LeaveOneSpeakerOut,
    SpeakerKfold,
    TextDisjoint,
)
from ullim.evaluation.protocols.base import (
    Fold,
    ProtocolBase,
    Rows,
    codes_of,
    on_both_sides,
    speaker_keys,
    text_key,
    text_keys,
    workable,
)
from ullim.evaluation.protocols.drawn import RandomSplit
from ullim.evaluation.protocols.listed import (
    Emobox,
    FixedFolds,
    RavdessActorKfold,
    write_folds,
)

__all__ = [
    "PROTOCOLS",
    "Emobox",
    "FixedFolds",
    "Fold",
    "LeaveOneCorpusOut",
    "LeaveOneSessionOut",
    "LeaveOneSpeakerOut",
    "Protocol",
    "ProtocolBase",
    "RandomSplit",
    "RavdessActorKfold",
    "Rows",
    "SpeakerKfold",
    "TextDisjoint",
    "codes_of",
    "on_both_sides",
    "parse_protocol",
    "speaker_keys",
    "text_key",
    "text_keys",
    "workable",
    "write_folds",
]

Protocol = Annotated[
    Emobox
    | RavdessActorKfold
    | LeaveOneSpeakerOut
    | SpeakerKfold
    | LeaveOneSessionOut
    | LeaveOneCorpusOut
    | TextDisjoint
    | FixedFolds
    | RandomSplit,
    Field(discriminator="name"),
]

PROTOCOLS: dict[str, type[ProtocolBase]] = {
    str(protocol.model_fields["name"].default): protocol
    for protocol in (
        Emobox,
        RavdessActorKfold,
        LeaveOneSpeakerOut,
        SpeakerKfold,
        LeaveOneSessionOut,
        LeaveOneCorpusOut,
        TextDisjoint,
        FixedFolds,
        RandomSplit,
    )
}


def parse_protocol(text: str) -> ProtocolBase:
    """Read a protocol's name, or its fields as YAML.

    Raises:
        RecipeError: There is none of that name, or a field is wrong or missing.

    >>> parse_protocol("{name: speaker-kfold, n_folds: 4}").n_folds
    4
    """
    try:
        stated = yaml.safe_load(text)
    except yaml.YAMLError:
        stated = None
    fields = stated if isinstance(stated, dict) else {"name": text}
    name = fields.get("name")
    if name not in PROTOCOLS:
        raise RecipeError(
            f"no protocol is called {name!r}; there are: {', '.join(PROTOCOLS)}",
            code="unknown_protocol",
        )
    try:
        protocol: ProtocolBase = TypeAdapter(Protocol).validate_python(fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, p['loc'][1:]))}: {p['msg']}" for p in error.errors())
        example = (
            "name: fixed, file: folds.csv" if name == "fixed" else "name: random, test_share: 0.2"
        )
        raise RecipeError(
            f"protocol {name}: {wrong}; state its fields, for example {{{example}}}",
            code="bad_protocol",
        ) from error
    return protocol
