"""Write src/ullim/corpora/hashes/NAME.txt from a copy of a corpus that is known to be good.

Usage: python scripts/write_hashes.py FOLDER NAME...

FOLDER holds one folder for each NAME. Only unaltered copies may be measured: a resampled or lossy
one would make every good copy look changed. Hashes that are known already are kept where the copy
lacks the recording, so that parts of a corpus add up.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ullim import registry
from ullim.corpora.check import known_digests, listen

HASHES = Path(__file__).resolve().parent.parent / "src" / "ullim" / "corpora" / "hashes"
HEAD = "# id, SHA-256 (12 digits) of rate, channels and samples; written by scripts/write_hashes.py"


def main() -> int:
    """Write one file for each corpus named."""
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        utterances = registry.component("corpora", name)().load(folder / name)
        digests = known_digests(name)
        with ThreadPoolExecutor(2) as pool:
            for utterance, heard in zip(utterances, pool.map(listen, utterances), strict=True):
                digests[utterance.id] = heard.digest
        lines = [HEAD, *(f"{key}\t{digest}" for key, digest in sorted(digests.items()))]
        HASHES.mkdir(exist_ok=True)
        (HASHES / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{name}: {len(utterances)} measured, {len(digests)} known")
    return 0


if __name__ == "__main__":
    sys.exit(main())
