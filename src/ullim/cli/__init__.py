"""The ``ullim`` command: one file per verb, each importing what it needs only when it is used."""

from __future__ import annotations

import io
import sys

import typer

from ullim.cli import (
    audit,
    compare,
    corpora,
    corpora_download,
    corpora_stats,
    features,
    features_plot,
    features_profile,
    listen,
    models,
    predict,
    recipes,
    report,
    run,
    serve,
    train,
)
from ullim.cli.console import complain, note
from ullim.errors import UllimError

app = typer.Typer(
    name="ullim",
    help="Speech emotion recognition: predict, train, reproduce, serve.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("predict")(predict.predict)
app.command("listen")(listen.listen)
app.command("audit")(audit.audit)
app.command("serve")(serve.serve)
app.command("run")(run.run)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.add_typer(models.app, name="models")
app.add_typer(recipes.app, name="recipes")
corpora.app.command("download")(corpora_download.download)
corpora.app.command("stats")(corpora_stats.stats)
app.add_typer(corpora.app, name="corpora")
features.app.command("plot")(features_plot.plot_file)
features.app.command("profile")(features_profile.profile)
app.add_typer(features.app, name="features")

_INTERRUPTED = 130
# Commands that find what they had done when they are typed again.
_GO_ON = (["run"], ["train"], ["corpora", "download"])


@app.callback()
def options(
    context: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of ullim's own errors."),
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Speech emotion recognition: predict, train, reproduce, serve."""


def main() -> None:
    """Run the command line and exit: 0 all fine, 1 some file failed, 2 wrong usage or input."""
    if "--version" in sys.argv[1:2]:
        from ullim import __version__

        sys.stdout.write(f"ullim {__version__}\n")
        return
    for stream in (sys.stdout, sys.stderr):
        # A file's name may be no text, and a terminal may not know Hangul.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except UllimError as error:
        if "--debug" in sys.argv:
            raise
        complain(str(error))
        sys.exit(2)
    except SystemExit as ending:
        # Typer makes this of Ctrl-C and says nothing.
        if ending.code == _INTERRUPTED:
            goes_on = any(sys.argv[1 : 1 + len(words)] == words for words in _GO_ON)
            note("stopped" + ("; type the same command again to go on" if goes_on else ""))
        raise
