"""Imports go one way, light rooms stay light, and what the house forbids is nowhere."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ullim

PACKAGE = Path(ullim.__file__).parent
FILES = {
    path.relative_to(PACKAGE).as_posix(): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "__pycache__" not in path.parts
}
EVERY_FILE = pytest.mark.parametrize("path", FILES.values(), ids=FILES)

BASE = {
    "errors", "types", "audio", "registry", "window", "decision", "_version", "_files", "_fonts",
}  # fmt: skip
MIDDLE = {"corpora", "features", "augment", "models", "evaluation"}
SERVED = BASE | {"features", "bundle", "inference"}

# What each room may import. Rooms of MIDDLE may not import each other.
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(BASE, BASE),
    "__main__": {"cli"},
    **{room: BASE | {room} for room in MIDDLE},
    "_manifest": BASE,
    "bundle": BASE | {"features", "_manifest", "bundle"},
    "training": BASE | (MIDDLE - {"corpora"}) | {"bundle", "training"},
    "recipes": BASE | MIDDLE | {"bundle", "training", "recipes"},
    "inference": SERVED,
    "audit": SERVED | {"augment", "corpora", "evaluation", "audit"},
    "serving": SERVED | {"serving"},
    "studio": SERVED | {"corpora", "evaluation", "studio"},
    "cluster": SERVED | MIDDLE | {"training", "recipes", "cluster"},
}
# The registry finds the rooms of MIDDLE by name; the package's front door opens inference lazily.
FRONT_DOOR = {"_version", "inference", "types"}

HEAVY = {
    "torch", "lightning", "pytorch_lightning", "sklearn", "pandas", "xgboost", "matplotlib",
    "scipy", "librosa", "transformers",
}  # fmt: skip
LIGHT_ROOMS = BASE | {
    "", "corpora", "features", "augment", "evaluation", "_manifest", "bundle", "inference", "audit",
    "serving", "studio", "cli",
}  # fmt: skip
# The verbs that train, what draws, and networks that embed, may name what training needs.
HEAVY_FILES = {
    "_fonts.py", "cli/recipe_options.py", "cli/plot.py", "corpora/_pictures.py",
    "audit/pictures.py", "features/_wav2vec.py", "features/embedding.py",
}  # fmt: skip

LEGACY_ALLOWED = {
    "default_rng", "Generator", "SeedSequence", "BitGenerator", "PCG64", "Philox",
}  # fmt: skip


def room_of(path: Path) -> str:
    """Return the first folder or module under the package; empty for its ``__init__``."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of every import, inside functions too."""
    package = ["ullim", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def rooms_imported(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] != "ullim" or len(parts) < 2:
            continue
        known = (PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()
        # `from ullim import demo_clip` and the like take what the front door offers.
        yield line, parts[1] if known else ""


def calls(path: Path) -> Iterator[tuple[int, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, node


def dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def test_the_package_is_looked_at_whole():
    assert {"errors.py", "features/spectral.py", "training/estimator.py"} <= FILES.keys()


@EVERY_FILE
def test_imports_go_one_way(path):
    room = room_of(path)
    if room == "cli":
        return
    allowed = FRONT_DOOR if room == "" else MAY_IMPORT.get(room)
    assert allowed is not None, f"{room} has no place yet: state in MAY_IMPORT what it may import"
    wrong = [
        f"line {line}: ullim.{name}"
        for line, name in rooms_imported(path)
        if name not in allowed and not (name == "" and room in {"serving", "studio", "audit"})
    ]
    assert not wrong, f"{room} may import {', '.join(sorted(allowed))}"


@EVERY_FILE
def test_light_rooms_never_import_what_only_training_needs(path):
    room = room_of(path)
    if room not in LIGHT_ROOMS or path.relative_to(PACKAGE).as_posix() in HEAVY_FILES:
        return
    heavy = [f"line {line}: {name}" for line, name in imports(path) if name.split(".")[0] in HEAVY]
    assert not heavy


@EVERY_FILE
def test_no_chance_but_generators_that_are_passed_in(path):
    named = [name for _, name in imports(path)]
    assert not [name for name in named if name.split(".")[0] == "random"]
    assert not [
        name
        for name in named
        if name.startswith("numpy.random.") and name.split(".")[2] not in LEGACY_ALLOWED
    ]
    legacy = [
        f"line {node.lineno}: {dotted(node)}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and dotted(node).startswith(("np.random.", "numpy.random."))
        and dotted(node).split(".")[2] not in LEGACY_ALLOWED
    ]
    assert not legacy


@EVERY_FILE
def test_no_print_eval_or_exec(path):
    wrong = [
        f"line {line}: {dotted(call.func)}("
        for line, call in calls(path)
        if dotted(call.func) in {"print", "eval", "exec", "builtins.print", "builtins.eval"}
    ]
    assert not wrong


@EVERY_FILE
def test_no_pickle(path):
    modules = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    wrong = [
        f"line {line}: {name}"
        for line, name in imports(path)
        # joblib runs processes here; only its dump and load are pickles.
        if name.split(".")[0] in modules - {"joblib"} or name in {"joblib.dump", "joblib.load"}
    ]
    for line, call in calls(path):
        arguments = {keyword.arg: keyword.value for keyword in call.keywords}
        if dotted(call.func) == "torch.load":
            safe = arguments.get("weights_only")
            if not (isinstance(safe, ast.Constant) and safe.value is True):
                wrong.append(f"line {line}: torch.load without weights_only=True")
        if dotted(call.func) in {"np.load", "numpy.load"}:
            unsafe = arguments.get("allow_pickle")
            if unsafe is not None and not (
                isinstance(unsafe, ast.Constant) and unsafe.value is False
            ):
                wrong.append(f"line {line}: numpy.load with allow_pickle")
        if dotted(call.func) in {"joblib.dump", "joblib.load"}:
            wrong.append(f"line {line}: {dotted(call.func)}")
    assert not wrong


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules a fresh interpreter holds after some code."""
    script = f"{code}\nimport sys\nsys.stdout.write(' '.join(sorted(sys.modules)))"
    search = [str(PACKAGE.parent), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {search!r}\n{script}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_import_ullim_loads_nothing_heavy():
    loaded = loaded_after("import ullim; assert ullim.__version__; assert ullim.demo_clip()")
    unwanted = HEAVY | {"onnxruntime", "soundfile", "soxr", "yaml", "av", "pydantic", "rich"}
    assert not loaded & unwanted


@pytest.mark.parametrize(
    "modules",
    [
        "ullim.audio, ullim.types, ullim.window",
        "ullim.corpora.ravdess, ullim.corpora.emodb, ullim.corpora.emotiontts_ko",
        "ullim.corpora.check, ullim.corpora.stats, ullim.corpora.download",
        "ullim.features.spectral",
        "ullim.augment.waveform",
        "ullim.evaluation.metrics, ullim.evaluation.protocols, ullim.evaluation.statistics, "
        "ullim.evaluation.leakage",
        "ullim.evaluation.comparison, ullim.evaluation.report, ullim.cli.report, ullim.cli.compare",
        "ullim.audit.run, ullim.audit.output, ullim.audit.card",
    ],
)
def test_light_rooms_work_without_the_training_extra(modules):
    assert not loaded_after(f"import {modules}") & HEAVY


def test_the_registry_finds_light_components_without_the_training_extra():
    code = "from ullim.registry import components\nfor kind in ('corpora', 'features', 'augment'):"
    assert not loaded_after(f"{code}\n    assert components(kind)") & HEAVY
