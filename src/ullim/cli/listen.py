"""``ullim listen``: the microphone in a terminal."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ullim.cli.console import read_by_others
from ullim.cli.listen_microphone import BLOCK_S, list_microphones, microphone
from ullim.cli.listen_screen import screen_for
from ullim.cli.predict import Language
from ullim.errors import UllimError
from ullim.types import FloatArray

_FILE_RATE = 16_000


def listen(
    file: Annotated[
        Path | None,
        typer.Option(help="Hear a recording as if it were the microphone, as fast as it was."),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="With --file: as fast as this machine can.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Name or folder of a bundle; see `ullim models list`."),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Answer only among these, separated by commas.")
    ] = None,
    reject_below: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Call answers under this confidence uncertain."),
    ] = None,
    lang: Annotated[Language, typer.Option(help="Language of the labels.")] = Language.EN,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Write every event as a line of JSON.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Number or part of the name of the microphone.")
    ] = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="List the microphones and stop.")
    ] = False,
) -> None:
    """Listen to the microphone and show how it sounds, phrase by phrase, until Ctrl-C.

    A phrase is answered about 0.3 s after it has ended; see docs/streaming.md.
    """
    if list_devices:
        list_microphones()
        return
    if fast and file is None:
        raise UllimError("--fast belongs to --file: a microphone cannot be hurried", code="usage")
    if file is not None and device is not None:
        raise UllimError("--device is for a microphone, and --file is none", code="usage")
    import ullim
    from ullim.inference.stream import Stream

    predictor = ullim.load(model)
    chosen = None if labels is None else [name.strip() for name in labels.split(",")]
    predictor.columns(chosen)
    rate, blocks = microphone(device) if file is None else (_FILE_RATE, _played(file, fast=fast))
    stream = Stream(predictor, rate, labels=chosen, reject_below=reject_below)
    with read_by_others(), screen_for(json_lines, lang) as screen, closing(blocks):
        lost: UllimError | None = None
        try:
            for block in blocks:
                screen.show(stream.push(block), stream.duration_s, block)
        except KeyboardInterrupt:  # how a microphone ends
            pass
        except UllimError as error:  # what was said until then is answered all the same
            lost = error
        screen.show(stream.finish(), stream.duration_s, None)
        if lost is not None:
            raise lost


def _played(file: Path, *, fast: bool) -> Generator[FloatArray, None, None]:
    """Yield a recording in blocks, each when a microphone would have."""
    from ullim import audio

    began = time.monotonic()
    heard = 0
    for part in audio.stream(file, _FILE_RATE, block_s=1.0):
        step = part.size if fast else round(BLOCK_S * _FILE_RATE)
        for start in range(0, part.size, step):
            block = part[start : start + step]
            heard += block.size
            if not fast:
                time.sleep(max(0.0, began + heard / _FILE_RATE - time.monotonic()))
            yield block
