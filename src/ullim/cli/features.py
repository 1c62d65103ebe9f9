"""``ullim features``: what features there are, those of a recording, and those kept on disk."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ullim.cli.console import StageProgress, complain, note, print_json, print_table
from ullim.errors import FeatureError, UllimError

if TYPE_CHECKING:
    from ullim.features import Feature
    from ullim.types import FloatArray

app = typer.Typer(no_args_is_help=True, help="List, compute and keep features.")
cache_app = typer.Typer(no_args_is_help=True, help="Show, clear and verify the features kept.")
app.add_typer(cache_app, name="cache")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_SUFFIXES = (".npy", ".npz", ".csv")


@app.command("list")
def list_features(json: Json = False) -> None:
    """List the features ullim computes, with their defaults."""
    from ullim import registry

    rows = []
    for name, cls in registry.components("features").items():
        needs = cls.needs()
        feature = None if needs else cls()
        rows.append(
            {
                "name": name,
                "version": cls.version,
                "level": cls.level,
                "values": feature and feature.n_features,
                "every_s": feature.hop_s if feature and feature.level == "frame" else None,
                "parameters": feature.identity()["parameters"] if feature else _defaults(cls),
                "needs": list(needs),
            }
        )
    if json:
        print_json(rows)
        return
    print_table(
        None,
        ("name", "version", "level", "values", "every s", "parameters"),
        [
            [
                *list(row.values())[:3],
                "" if row["values"] is None else row["values"],
                "" if row["every_s"] is None else f"{row['every_s']:g}",
                " ".join(
                    [f"{key}=..." for key in row["needs"]]
                    + [f"{key}={_plain(value)}" for key, value in row["parameters"].items()]
                ),
            ]
            for row in rows
        ],
    )


@app.command()
def extract(
    paths: Annotated[list[str], typer.Argument(help="Audio files, or folders of them.")],
    feature: Annotated[
        str, typer.Option("--feature", "-f", help="A name of `ullim features list`.")
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over its defaults, e.g. n_mels=40.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="X.npy (one file), X.npz (an array for each file) or X.csv."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files at the same time.")] = 1,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Compute all anew, and keep none.")
    ] = False,
) -> None:
    """Compute a feature of recordings; without --out, print the shape and range of each."""
    from ullim.cli.predict import expand
    from ullim.features.batch import extract_files
    from ullim.features.cache import FeatureStore

    asked = make_feature(feature, settings or ())
    files = expand(paths)
    _check_out(out, len(files))
    with StageProgress() as progress:
        results = extract_files(
            [Path(file) for file in files],
            asked,
            store=None if no_cache else FeatureStore(),
            jobs=jobs,
            progress=lambda done, total: progress(feature, done, total),
        )
    failed = [result for result in results if isinstance(result, UllimError)]
    for error in failed:
        complain(str(error))
    arrays = {
        file: result
        for file, result in zip(files, results, strict=True)
        if not isinstance(result, UllimError)
    }
    if out is None:
        print_table(
            None,
            ("file", "frames", "values", "least", "mean", "greatest"),
            [
                (file, *a.shape, f"{a.min():.4g}", f"{a.mean():.4g}", f"{a.max():.4g}")
                for file, a in arrays.items()
            ],
        )
    elif arrays:
        _write(out, arrays, asked)
        note(f"written to {out}: {len(arrays)} of {len(files)} files")
    if failed:
        raise typer.Exit(1)


def make_feature(name: str, settings: Sequence[str]) -> Feature:
    """Return a feature by name with ``key=value`` texts over its defaults.

    Raises:
        FeatureError: A setting is not of that form, or the feature refuses it.
        UllimError: There is no such feature.
    """
    import yaml
    from pydantic import ValidationError

    from ullim import registry

    cls = registry.component("features", name)
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            equals = ""
        if not equals or not key:
            raise FeatureError(
                f"--set takes key=value, for example n_mels=40, and was given {setting!r}",
                code="bad_setting",
            )
    try:
        feature: Feature = cls(**values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or name}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        known = ", ".join(key for key in cls.model_fields if key != "name")
        raise FeatureError(
            f"{name} cannot be made so: {problems}; it takes {known}", code="bad_setting"
        ) from error
    return feature


def _check_out(out: Path | None, n_files: int) -> None:
    if out is None:
        return
    check_target(out, _SUFFIXES)
    if out.suffix == ".npy" and n_files != 1:
        raise FeatureError(
            f"{out} holds one array and there are {n_files} files; give --out X.npz or X.csv",
            code="bad_out",
        )


def check_target(out: Path, suffixes: Sequence[str]) -> None:
    """Raise the error for a file to write that has another suffix, or no folder to lie in."""
    if out.suffix not in suffixes:
        raise FeatureError(
            f"--out ends in {', '.join(suffixes)} and was given {out}", code="bad_out"
        )
    if not out.parent.is_dir():
        raise FeatureError(f"there is no folder {out.parent} to write {out.name} to")


def _write(out: Path, arrays: dict[str, FloatArray], feature: Feature) -> None:
    import numpy as np

    part = out.with_name(f".{out.name}.part")
    try:
        if out.suffix == ".csv":
            with part.open("w", encoding="utf-8", newline="") as text:
                csv.writer(text).writerows(_rows(arrays, feature))
        else:
            with part.open("wb") as file:
                if out.suffix == ".npy":
                    np.save(file, next(iter(arrays.values())), allow_pickle=False)
                else:
                    # np.savez takes names as arguments, and a file may be called anything.
                    with zipfile.ZipFile(file, "w") as archive:
                        for name, values in arrays.items():
                            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                                np.lib.format.write_array(member, values, allow_pickle=False)
        part.replace(out)
    except OSError as error:
        raise FeatureError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _rows(arrays: dict[str, FloatArray], feature: Feature) -> Iterator[list[Any]]:
    frames = feature.level == "frame"
    yield [
        "file",
        *(["time_s"] if frames else []),
        *(f"{feature.name}_{value}" for value in range(feature.n_features)),
    ]
    for file, values in arrays.items():
        for frame, row in enumerate(values):
            time_s = [f"{frame * feature.hop_s:.6g}"] if frames else []
            yield [file, *time_s, *(f"{value:.7g}" for value in row)]


@cache_app.command("show")
def show_cache(json: Json = False) -> None:
    """Show where features are kept and how many there are."""
    from ullim.features.cache import FeatureStore

    store = FeatureStore()
    kept = store.summary()
    if json:
        rows = [dict(zip(("feature", "items", "bytes"), row, strict=True)) for row in kept]
        print_json({"folder": str(store.folder), "features": rows})
        return
    rows_ = [(name, items, f"{n_bytes / 1e6:.1f}") for name, items, n_bytes in kept]
    print_table(None, ("feature", "items", "MB"), rows_)
    note(f"{store.folder}; ULLIM_CACHE names another")


@cache_app.command("clear")
def clear_cache(
    feature: Annotated[
        str | None, typer.Option("--feature", "-f", help="Only this feature.")
    ] = None,
) -> None:
    """Forget the features kept."""
    from ullim.features.cache import FeatureStore

    store = FeatureStore()
    note(f"{store.clear(feature)} items removed from {store.folder}")


@cache_app.command("verify")
def verify_cache(json: Json = False) -> None:
    """Check every item kept; those that are damaged are forgotten and computed anew when needed."""
    from ullim.features.cache import FeatureStore

    counts = FeatureStore().verify()
    if json:
        print_json(counts)
        return
    print_table(None, tuple(counts), [list(counts.values())])


def _defaults(cls: type[Feature]) -> dict[str, Any]:
    return {
        key: field.default
        for key, field in cls.model_fields.items()
        if key != "name" and not field.is_required()
    }


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
