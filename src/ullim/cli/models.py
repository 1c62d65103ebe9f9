"""``ullim models``: the bundles on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ullim.cli.console import note, print_json, print_table
from ullim.errors import BundleError

app = typer.Typer(no_args_is_help=True, help="List, show, add and remove models.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the models `ullim predict --model` takes by name."""
    from ullim import bundle
    from ullim.inference import models

    rows = []
    for name, folder in models.names().items():
        try:
            manifest = bundle.load(folder).manifest
        except BundleError as error:
            note(f"{name}: {error}")
            continue
        rows.append(
            {
                "name": name,
                "title": manifest.title,
                "emotions": list(manifest.emotions),
                "licence": manifest.licence,
                "folder": str(folder),
            }
        )
    if json:
        print_json(rows)
        return
    print_table(
        None,
        ("name", "title", "emotions", "licence of the weights"),
        [(r["name"], r["title"], ", ".join(r["emotions"]), r["licence"]) for r in rows],
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name or folder of a model.")],
    json: Json = False,
) -> None:
    """Print a model's card, or with --json its manifest."""
    from ullim import bundle
    from ullim.inference import models

    loaded = bundle.load(models.find(name))
    if json:
        print_json(loaded.manifest.model_dump(mode="json"))
        return
    sys.stdout.write((loaded.folder / bundle.CARD).read_text(encoding="utf-8"))


@app.command()
def add(
    folder: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    name: Annotated[
        str | None, typer.Option(help="Its name here; the folder's by default.")
    ] = None,
) -> None:
    """Check a bundle and copy it to this user's models."""
    from ullim.inference import models

    target = models.add(folder, name)
    note(f"added {target.name}; try: ullim predict FILE --model {target.name}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Name of a model that was added.")]) -> None:
    """Remove a model that was added."""
    from ullim.inference import models

    models.remove(name)
    note(f"removed {name}")
