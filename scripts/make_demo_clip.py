"""Make the bundled demo clip, ``src/ullim/data/demo.flac``.

The speech is synthesised by espeak-ng (https://github.com/espeak-ng/espeak-ng) from sentences
written for it: nobody said them, and nothing of a corpus is in the clip, so it may ship with the
package. Six sentences, three in English and three in Korean, change in speed, pitch and level, so
that a timeline has something to show. They are not acted emotions: whatever label a model gives
them says nothing about its accuracy.

The same version of espeak-ng makes the same file, bit for bit.

Run ``python scripts/make_demo_clip.py``; it needs ``espeak-ng`` on the path
(``apt-get install espeak-ng``).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ullim.audio import read
from ullim.types import FloatArray

SAMPLING_RATE = 16_000
PAUSE_S = 0.3
MAX_BYTES = 400_000
TARGET = Path(__file__).parents[1] / "src" / "ullim" / "data" / "demo.flac"


@dataclass(frozen=True)
class Phrase:
    """One sentence and how it is said.

    Attributes:
        manner: For the report only.
        voice: espeak-ng's name of the voice.
        text: What is said.
        words_per_minute: Speed.
        pitch: 0 to 99; 50 is the voice's own.
        peak_db: Level of the loudest sample, in dBFS.
    """

    manner: str
    voice: str
    text: str
    words_per_minute: int
    pitch: int
    peak_db: float


PHRASES = (
    Phrase("neutral", "en-us", "The next train leaves at nine.", 175, 45, -9),
    Phrase("fast, high, loud", "en-us", "I can't believe it, we won!", 225, 85, -1),
    Phrase("slow, low, quiet", "en-us", "Nobody came today.", 120, 15, -20),
    Phrase("neutral", "ko", "열차는 아홉 시에 출발합니다.", 175, 45, -9),
    Phrase("fast, high, loud", "ko", "와, 우리가 정말 이겼어!", 225, 85, -1),
    Phrase("slow, low, quiet", "ko", "아무도 오지 않았어.", 120, 15, -20),
)


def spoken(phrase: Phrase, program: str) -> FloatArray:
    """Return one phrase as float32 ``(samples,)`` at 16 kHz, without the silence around it."""
    command = [program, "-v", phrase.voice, "-s", str(phrase.words_per_minute)]
    command += ["-p", str(phrase.pitch), "--stdout", phrase.text]
    samples = read(subprocess.run(command, check=True, capture_output=True).stdout, SAMPLING_RATE)
    peak = np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > peak / 200)
    samples = samples[loud[0] : loud[-1] + 1]
    return samples * np.float32(10 ** (phrase.peak_db / 20) / peak)


def main() -> None:
    """Write the clip and print what is in it."""
    program = shutil.which("espeak-ng")
    if program is None:
        sys.exit("espeak-ng is not installed; it is needed: apt-get install espeak-ng")
    # A faint hiss, as of a quiet room: digital silence between phrases exists in no recording.
    hiss = np.random.default_rng(0)
    pause = np.zeros(round(PAUSE_S * SAMPLING_RATE), np.float32)
    parts, position_s = [pause], PAUSE_S
    for phrase in PHRASES:
        samples = spoken(phrase, program)
        duration_s = len(samples) / SAMPLING_RATE
        rms_db = 20 * np.log10(np.sqrt(np.mean(samples**2)))
        print(
            f"{position_s:6.2f} s  {duration_s:5.2f} s  {rms_db:6.1f} dBFS RMS  "
            f"{phrase.voice:5}  {phrase.manner}"
        )
        parts += [samples, pause]
        position_s += duration_s + PAUSE_S
    clip = np.concatenate(parts)
    clip += 1e-4 * hiss.standard_normal(len(clip), np.float32)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(TARGET, clip.clip(-1, 1), SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    size_bytes = TARGET.stat().st_size
    print(f"{TARGET.name}: {len(clip) / SAMPLING_RATE:.2f} s, {size_bytes} bytes")
    if size_bytes > MAX_BYTES:
        sys.exit(f"{TARGET.name} has {size_bytes} bytes; at most {MAX_BYTES} are allowed")


if __name__ == "__main__":
    main()
