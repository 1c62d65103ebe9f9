"""Bundles: what training writes and everything else reads.

A bundle is a folder: ``bundle.json`` (a :class:`Manifest`), one or more ONNX graphs, and
``card.md``. There is no pickle in it. Loading checks the schema version, the hash of every file and
the version of every feature, so that a bundle is never fed other inputs than it was trained on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ullim._manifest import (
    SCHEMA_VERSION,
    Calibration,
    Combine,
    Figure,
    GraphSpec,
    InputSpec,
    Manifest,
    TrainedOn,
)
from ullim.errors import BundleError
from ullim.features import Feature
from ullim.registry import components

__all__ = [
    "CARD",
    "MANIFEST",
    "SCHEMA_VERSION",
    "Bundle",
    "Calibration",
    "Combine",
    "Figure",
    "GraphSpec",
    "InputSpec",
    "Manifest",
    "TrainedOn",
    "check_target",
    "load",
    "swap",
    "write",
]

MANIFEST = "bundle.json"
CARD = "card.md"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was checked.

    Attributes:
        folder: Where it lies.
        manifest: What it says.
        features: Its inputs, ready to compute, by name.
    """

    folder: Path
    manifest: Manifest
    features: Mapping[str, Feature]


def write(
    folder: str | Path,
    manifest: Manifest,
    graphs: Mapping[str, bytes],
    card: str,
    *,
    replace: bool = False,
) -> Path:
    """Write a bundle: whole, or not at all.

    Args:
        folder: Where to; it must not exist unless ``replace``.
        manifest: Its ``files`` are filled in here.
        graphs: Contents of each graph file.
        card: Text of ``card.md``.
        replace: Whether an existing bundle may be replaced.

    Raises:
        BundleError: The folder exists, or is no bundle and would be replaced.
    """
    folder = Path(folder)
    check_target(folder, replace=replace)
    contents = {**graphs, CARD: card.encode()}
    for name in contents:
        if not _is_plain(name):
            raise BundleError(
                f"{folder}: {name!r} cannot name a file of a bundle; give a plain name without "
                "folders",
                code="bad_name",
            )
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    manifest = manifest.model_copy(update={"files": hashes})
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        # A temporary folder is private; a bundle is to be read like any other file.
        part.chmod(0o755)
        for name, data in contents.items():
            (part / name).write_bytes(data)
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (part / MANIFEST).write_text(text + "\n", encoding="utf-8")
        load(part)
        swap(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def check_target(folder: Path, *, replace: bool) -> None:
    """Refuse a folder that a bundle must not be written to.

    Raises:
        BundleError: It exists, and may not be replaced or is no bundle.
    """
    if not folder.exists():
        return
    if not replace:
        raise BundleError(
            f"{folder} exists; give another folder, or --force to replace it", code="exists"
        )
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).is_file()):
        raise BundleError(
            f"{folder} is not a bundle and is left alone; give another folder", code="exists"
        )


def swap(part: Path, folder: Path) -> None:
    """Put a finished folder in the place of another, which is lost only when that worked."""
    if not folder.exists():
        part.replace(folder)
        return
    old = part.with_name(part.name + ".old")
    folder.replace(old)
    try:
        part.replace(folder)
    except OSError:
        old.replace(folder)
        raise
    shutil.rmtree(old)


def _is_plain(name: str) -> bool:
    return name not in {"", ".", ".."} and not {"/", "\\", "\0"} & set(name)


def load(folder: str | Path) -> Bundle:
    """Read and check a bundle.

    Raises:
        BundleError: It is missing, damaged, or written for other versions; the message says which.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(
            f"{folder} is not a bundle: it holds no {MANIFEST}; `ullim models list` shows the "
            "bundles there are",
            code="not_found",
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{path} is not readable JSON ({error}); copy the whole folder again", code="damaged"
        ) from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has bundle schema {version!r} and this ullim reads {SCHEMA_VERSION}; "
            "install the ullim it was written with, or train it anew",
            code="schema_version",
        )
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise BundleError(f"{path} is not as it should be: {problems}", code="damaged") from error
    _check_files(folder, manifest)
    features = {spec.name: _feature(folder, spec) for spec in manifest.inputs}
    for graph in manifest.graphs:
        if not set(graph.inputs) <= features.keys():
            raise BundleError(
                f"{folder}: {graph.file} takes {', '.join(graph.inputs)} and the bundle's inputs "
                f"are {', '.join(features)}; copy the whole folder again, or train it anew",
                code="damaged",
            )
    return Bundle(folder, manifest, features)


def _check_files(folder: Path, manifest: Manifest) -> None:
    listed = set(manifest.files)
    for name in [CARD, *(graph.file for graph in manifest.graphs)]:
        if name not in listed:
            raise BundleError(
                f"{folder}: {name} is needed but has no hash in {MANIFEST}; copy the whole folder "
                "again, or train it anew",
                code="damaged",
            )
    for name, expected in manifest.files.items():
        file = folder / name
        if not _is_plain(name) or not file.is_file():
            raise BundleError(
                f"{folder} lacks its file {name}; copy the whole folder again", code="damaged"
            )
        if hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise BundleError(
                f"{file} is not the file the bundle was written with (SHA-256 differs); copy the "
                "whole folder again, or train it anew",
                code="damaged",
            )


def _feature(folder: Path, spec: InputSpec) -> Feature:
    known = components("features")
    if spec.name not in known:
        raise BundleError(
            f"{folder} needs the feature {spec.name!r}, which is not installed; there are: "
            f"{', '.join(known)}",
            code="unknown_feature",
        )
    cls = known[spec.name]
    if cls.version != spec.version:
        raise BundleError(
            f"{folder} was trained on {spec.name}-{spec.version} and this ullim computes "
            f"{spec.name}-{cls.version}; install the ullim it was written with, or train it anew",
            code="feature_version",
        )
    try:
        feature: Feature = cls(**spec.parameters)
    except ValidationError as error:
        raise BundleError(
            f"{folder}: parameters of {spec.name} are wrong: {error}", code="damaged"
        ) from error
    return feature
