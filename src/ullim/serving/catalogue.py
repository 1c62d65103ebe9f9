"""The bundles a service offers, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ullim import bundle
from ullim.errors import BundleError
from ullim.inference import models
from ullim.types import LABELS_KO


@dataclass(frozen=True, slots=True)
class Offered:
    """One bundle.

    Attributes:
        name: What a request calls it.
        folder: Where it lies.
        manifest: What it says.
        version: Twelve digits of its manifest's SHA-256, which covers every file of the bundle.
        card: Its card, in Markdown.
    """

    name: str
    folder: Path
    manifest: bundle.Manifest
    version: str
    card: str

    def summary(self) -> dict[str, Any]:
        """Return what a list of models says of it."""
        manifest = self.manifest
        return {
            "name": self.name,
            "title": manifest.title,
            "version": self.version,
            "labels": [{"name": n, "en": n, "ko": LABELS_KO.get(n, n)} for n in manifest.emotions],
            "licence": manifest.licence,
            "n_speakers_trained": sum(corpus.speakers for corpus in manifest.trained_on),
        }

    def facts(self) -> dict[str, Any]:
        """Return all a client may want to know before it trusts the model."""
        plain = self.manifest.model_dump(mode="json")
        kept = ("window", "decision", "reject_threshold", "calibration", "intended_use", "created")
        return {
            **self.summary(),
            **{name: plain[name] for name in kept},
            "features": [f"{spec.name}-{spec.version}" for spec in self.manifest.inputs],
            "trained_on": plain["trained_on"],
            "figures": plain["figures"],
            "card": self.card,
        }


def catalogue(wanted: Sequence[str]) -> Mapping[str, Offered]:
    """Load the manifests of the bundles to serve, the default first.

    Args:
        wanted: Names or folders; none means every installed bundle.

    Raises:
        BundleError: One is missing or damaged, or two have one name.
    """
    names = list(wanted) or sorted(models.names(), key=lambda name: name != models.DEFAULT)
    found: dict[str, Offered] = {}
    for given in names:
        folder = models.find(given)
        name = given if given in models.names() else folder.resolve().name
        if name in found:
            raise BundleError(f"two of the models are called {name!r}", code="exists")
        manifest = bundle.load(folder).manifest
        digest = hashlib.sha256((folder / bundle.MANIFEST).read_bytes()).hexdigest()
        card = (folder / bundle.CARD).read_text(encoding="utf-8")
        found[name] = Offered(name, folder.resolve(), manifest, digest[:12], card)
    if not found:
        raise BundleError(
            "there is no model to serve; give one with --model FOLDER", code="not_found"
        )
    return found
