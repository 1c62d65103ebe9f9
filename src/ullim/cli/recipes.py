"""``ullim recipes``: the recipes that come with ullim."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ullim.cli.console import note, print_json, print_table
from ullim.cli.recipe_options import Overrides, Profile, require_training
from ullim.errors import RecipeError

app = typer.Typer(no_args_is_help=True, help="List and show recipes.")


@app.command("list")
def list_recipes(
    tag: Annotated[
        str | None, typer.Option("--tag", help="Only those with this tag, as `run --all-of` takes.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes that come with ullim, with what was measured of them."""
    from ullim.recipes import recipe_fields, task_fields

    recipes = [
        {
            "name": name,
            "title": fields["title"],
            "tags": fields.get("tags", []),
            "corpora": [part["name"] for part in task_fields(fields["task"])["corpora"]],
            "protocols": [protocol["name"] for protocol in fields["protocols"]],
            "measured": fields.get("measured", []),
        }
        for name, fields in recipe_fields(tag).items()
    ]
    if json:
        print_json(recipes)
        return
    rows = [
        (
            recipe["name"],
            recipe["title"],
            ", ".join(recipe["corpora"]),
            ", ".join(recipe["protocols"]),
            _measured(recipe["measured"]),
        )
        for recipe in recipes
    ]
    print_table(None, ("name", "title", "corpora", "protocols", "UA measured, %"), rows)
    if any("(random" in row[-1] for row in rows):
        note("random: speakers are on both sides, so the figure says nothing about new ones")


def _measured(figures: Sequence[dict[str, Any]]) -> str:
    """Return what was measured, of profiles only where the recipe as it stands was not."""

    def of(figure: dict[str, Any]) -> tuple[str, str]:
        return figure["corpus"], figure["protocol"]

    whole = {of(figure) for figure in figures if figure.get("profile", "full") == "full"}
    several = len({figure["corpus"] for figure in figures}) > 1
    told = []
    for figure in figures:
        profile = figure.get("profile", "full")
        if profile != "full" and of(figure) in whole:
            continue
        corpus = f"{figure['corpus']}, " if several else ""
        shown = "" if profile == "full" else f", {profile}"
        told.append(f"{figure['value']} ({corpus}{figure['protocol']}{shown})")
    return "; ".join(told)


@app.command("tasks")
def list_tasks(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the subsets of corpora that papers use; a recipe says ``task: NAME``."""
    from ullim.recipes import task_fields, task_paths

    tasks = [task_fields(name) for name in task_paths()]
    if json:
        print_json(tasks)
        return
    rows = [
        (
            task["name"],
            task["title"],
            ", ".join(part["name"] for part in task["corpora"]),
            task["expected_count"],
            ", ".join(task["labels"]),
        )
        for task in tasks
    ]
    print_table(None, ("name", "title", "corpora", "utterances", "labels"), rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name of `ullim recipes list`, or a YAML file.")],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="With every default written out; needs ullim[train].")
    ] = False,
    overrides: Overrides = None,
    profile: Profile = "full",
) -> None:
    """Print a recipe as it is written; copy it, edit it, run it."""
    if resolved or overrides or profile != "full":
        require_training()
        from ullim.recipes.schema import load_recipe

        sys.stdout.write(load_recipe(name, overrides=overrides or (), profile=profile).to_yaml())
        return
    from ullim.recipes import recipe_path

    source = recipe_path(name)
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{source} is not readable YAML; give a recipe's text file") from error
    sys.stdout.write(text)
