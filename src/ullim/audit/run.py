"""An audit from beginning to end: clips, answers, figures, verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ullim import __version__, bundle
from ullim.audit import figures, groups, marks
from ullim.audit.asking import Report, ask
from ullim.audit.clips import facts, select
from ullim.audit.conditions import CONDITIONS, Condition
from ullim.errors import CorpusError

SCHEMA_VERSION = 1


def audit(
    folder: Path,
    corpora: Mapping[str, Path],
    *,
    conditions: Sequence[Condition] = CONDITIONS,
    max_items: int | None = None,
    jobs: int = 1,
    seed: int = 0,
    command: str = "",
    report: Report = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Audit a bundle.

    Args:
        folder: Of the bundle.
        corpora: Where each corpus lies, by its name.
        conditions: What to do to the clips.
        max_items: How many clips to take at most, spread over corpora, speakers and labels.
        jobs: Processes. The figures do not depend on it.
        seed: Of the choice of clips and of the conditions' chance.
        command: What the user typed.
        report: Told of progress.

    Returns:
        Plain JSON types; ``docs/audit.md`` explains each.

    Raises:
        BundleError: The bundle cannot be loaded.
        CorpusError: A corpus cannot be read or shares no labels with the bundle.
    """
    manifest = bundle.load(folder).manifest
    selection = select(manifest, corpora, max_items=max_items, seed=seed)
    replies = ask(folder, selection.clips, conditions, jobs=jobs, seed=seed, report=report)
    answers = figures.collect(selection.clips, replies, manifest.emotions)
    if not answers.clips:
        raise CorpusError(
            f"none of {len(selection.clips)} clips can be read; `ullim corpora check` tells why",
            code="unreadable",
        )
    trained_on = [part.name for part in manifest.trained_on]
    found: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "model": {
            "name": manifest.name,
            "title": manifest.title,
            "created": manifest.created,
            "files": {n: h for n, h in manifest.files.items() if n != bundle.CARD},
            "trained_on": trained_on,
        },
        "ullim": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "seed": seed,
        "corpora": facts(selection, trained_on),
        "label_map": selection.label_map,
        "unreadable": dict(Counter(reply.error for reply in replies if reply.error)),
        "labels": list(answers.labels),
        "clean": figures.clean(answers),
        "conditions": [
            figures.condition(answers, number, condition)
            for number, condition in enumerate(conditions, start=1)
        ],
        "groups": {
            **{kind: groups.compare(answers, kind) for kind in groups.KINDS},
            "speaker": groups.compare_speakers(answers),
        },
    }
    return found | {"marks": marks.judge(found)}
