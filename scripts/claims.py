"""What the published systems claim, and whether it holds on our runs.

Each claim is about two runs of ours that differ in one thing, and where they differ in another, its
row says so. ``verdicts`` compares them on the same items and words the answer, so that no sentence
on docs/results.md says more than the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from papers import numbers
from ullim.evaluation.comparison import compare
from ullim.evaluation.predictions import Run, read_run
from ullim.evaluation.report.boards import p_value

SPEAKERS = "leave-one-speaker-out"
CORPORA = {
    "EMO-DB": ("emodb", SPEAKERS),
    "emotiontts_ko": ("emotiontts-ko", SPEAKERS),
    "RAVDESS": ("ravdess", "emobox"),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing a paper says.

    Attributes:
        system: The paper's system.
        says: What helps, in words.
        better: Recipe, with ``{corpus}``, that ought to be ahead; after a dot its profile.
        worse: The one without it.
        corpora: Names of ``CORPORA`` it can be tested on.
        protocol: Another protocol than that of ``CORPORA``.
        remark: What must be known beside the answer.
    """

    system: str
    says: str
    better: str
    worse: str
    corpora: tuple[str, ...] = tuple(CORPORA)
    protocol: str | None = None
    remark: str = ""


FUSION = "svm-rf-xgb-fusion-{corpus}"
KIM = "kim2017-{corpus}"
EQUAL = "histogram-equalization-{corpus}"
END = "endtoend-"
RNN_ATTENTION = "bilstm-attention-{corpus}"
CNN_RNN = "cnn-bilstm-{corpus}"
CNN_RNN_ATTENTION = "cnn-bilstm-attention-{corpus}"
TWO = ("EMO-DB", "emotiontts_ko")

CLAIMS = (
    *(
        Claim("svm-rf-xgb-fusion", f"the fusion is better than {name} alone", FUSION, FUSION + arm)
        for name, arm in (
            ("the support vector machine", ".svm"),
            ("the random forest", ".random-forest"),
            ("XGBoost", ".xgboost"),
        )
    ),
    Claim(
        "svm-rf-xgb-fusion",
        "weights by confidence are better than soft voting",
        FUSION,
        FUSION + ".mean",
    ),
    Claim(
        "svm-rf-xgb-fusion",
        "the sum over classifiers is better than soft voting",
        FUSION + ".over-classifiers",
        FUSION + ".mean",
    ),
    Claim(
        "kim2017-selection-fusion",
        "fifteen selected pitch statistics are better than all 56",
        KIM + ".selected-pitch",
        KIM + ".pitch",
    ),
    Claim(
        "kim2017-selection-fusion",
        "fusion with cepstra is better than selected pitch alone",
        KIM,
        KIM + ".selected-pitch",
    ),
    Claim(
        "kim2017-selection-fusion",
        "fusion by likelihood is better than cepstra alone",
        KIM,
        KIM + ".cepstrum",
        remark="That likelihoods are scaled by one deviation for all classes was decided on inner "
        "folds, but looked into because a test figure on EMO-DB was poor; EMO-DB is no clean test.",
    ),
    Claim(
        "kim2017-selection-fusion",
        "fusion by likelihood is better than by parameters",
        KIM,
        KIM + ".parameters",
    ),
    Claim(
        "histogram-equalization",
        "equalisation by speaker helps",
        EQUAL + ".equalised",
        EQUAL + ".plain",
        remark="Equalised arms use the tested speaker's other clips, unlabelled.",
    ),
    Claim(
        "histogram-equalization",
        "clips at other speech rates help",
        EQUAL + ".rates",
        EQUAL + ".plain",
    ),
    Claim("histogram-equalization", "both together help", EQUAL, EQUAL + ".plain"),
    Claim(
        "histogram-equalization",
        "equalisation is better than a z-score by speaker",
        EQUAL + ".equalised",
        EQUAL + ".z-score",
    ),
    Claim(
        "mel-mean-mlp",
        "the logarithm of the mel spectrum is better than the mel spectrum (our question)",
        "mel-mean-mlp-log-{corpus}",
        "mel-mean-mlp-{corpus}",
        TWO,
    ),
    Claim(
        "wav2vec-vs-is10",
        "a perceptron is better than a support vector machine on IS10 (our question)",
        "is10-mlp-{corpus}",
        "is10-svm-{corpus}",
        TWO,
    ),
    Claim(
        "hmm-emodb",
        "states in time are better than one mixture (our question)",
        "hmm-{corpus}",
        "hmm-{corpus}.gmm",
        ("EMO-DB",),
    ),
    *(
        Claim(
            f"eom2021-{name}",
            f"after forty plain epochs, the 2D network is better than {name}",
            "eom2021-cnn2d.cpu",
            f"eom2021-{name}.cpu",
            ("RAVDESS",),
            protocol,
        )
        for protocol in ("random", "emobox")
        for name in (
            "fcn",
            "lstm",
            "bilstm",
            "cnn1d",
            "cnn1d-lstm",
            "cnn1d-bilstm",
            "cnn2d-lstm",
            "cnn2d-bilstm",
        )
    ),
    Claim(
        "eom2021-cnn2d",
        "a hundred regularised epochs are better than forty plain ones (our question)",
        "eom2021-cnn2d.regularised",
        "eom2021-cnn2d.cpu",
        ("RAVDESS",),
        "random",
        "So the order of the networks above hangs on our layers and our training too, not on the "
        "architectures alone.",
    ),
    *(
        Claim("endtoend", f"{says} (our question)", f"{END}{better}.cpu", f"{END}{worse}.cpu")
        for says, better, worse in (
            ("convolution before BiLSTM+Attention helps", CNN_RNN_ATTENTION, RNN_ATTENTION),
            ("a BiLSTM after the convolution helps", CNN_RNN, "cnn-{corpus}"),
            ("attention over the BiLSTM's frames helps", CNN_RNN_ATTENTION, CNN_RNN),
        )
    ),
    *(
        Claim(
            f"endtoend-{name}",
            f"log-mel is better than raw samples for {name} (our question)",
            f"{END}{name}-{{corpus}}.cpu",
            f"{END}waveform-{name}-{{corpus}}.cpu",
            ("EMO-DB",),
        )
        for name in ("cnn", "cnn-bilstm", "bilstm-attention", "cnn-bilstm-attention")
    ),
)


SHARED = ", speakers shared"
UNHEARD = ", unheard speakers"
_SAYS = {
    "yes": "holds",
    "no, the reverse": "is wrong here, the reverse holds,",
    "not shown": "is not shown",
    "not run": "was not run",
}


def under_shared_seeds(runs: Sequence[Run]) -> list[Run]:
    """Return runs under the seeds all of them have; as they are where they share none."""
    shared = set.intersection(*(set(run.details["seeds"]) for run in runs))
    return [run.under(sorted(shared)) for run in runs] if shared else list(runs)


def verdicts(results: Path) -> list[str]:
    """Return the section of the page, as lines; empty where nothing can be compared yet."""
    rows: list[str] = []
    answers: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for claim in CLAIMS:
        said = answers.setdefault((claim.system, claim.says, claim.remark), {})
        for corpus in claim.corpora:
            row = _row(claim, corpus, results)
            rows.append(f"| {' | '.join(row)} |")
            on = corpus
            for how in (SHARED, UNHEARD):
                on += f" with {how[2:]}" if how in row[2] else ""
            said.setdefault(row[-1], []).append(on)
    if not rows:
        return []
    sentences = []
    for (system, says, remark), said in answers.items():
        if said:
            where = "; ".join(f"{_SAYS[word]} on {', '.join(on)}" for word, on in said.items())
            sentences.append(
                f"- **{system}**: that {says} {where}.{f' {remark}' if remark else ''}"
            )
    return [
        "## What the papers claim, on our data",
        "",
        "Each row compares two runs on the same clips; the papers used other recordings, so this "
        "asks whether the idea holds here, not whether their figure was right. The difference is "
        "in points of UA with its 95 % interval, p is of the sign-flip test over speakers; neither "
        "is corrected: of twenty rows one would fall outside by luck. Neither knows of chance in "
        "training: most networks were fitted under one seed. Where each of several seeds is "
        "another random split, the second p is of the corrected resampled t-test over splits "
        "(Nadeau & Bengio 2003), and a claim holds only if both are under 0.05.",
        "",
        *sentences,
        "",
        "| system | claim | corpus | with | without | difference | p | holds here? |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _row(claim: Claim, corpus: str, results: Path) -> tuple[str, ...]:
    name, usual = CORPORA[corpus]
    protocol = claim.protocol or usual
    told = SHARED if protocol == "random" else UNHEARD if claim.protocol else ""
    folders = [
        results / f"{recipe.format(corpus=name)}_{protocol}"
        for recipe in (claim.better, claim.worse)
    ]
    if not all((folder / "metrics.json").is_file() for folder in folders):
        return (claim.system, claim.says, corpus + told, "", "", "", "", "not run")
    better, worse = under_shared_seeds([read_run(folder) for folder in folders])
    (board,), _ = compare([better, worse])
    (pair,) = board.pairs
    sign = 1 if pair.first == folders[0].name else -1
    value, low, high = (100 * sign * part for part in pair.difference)
    low, high = min(low, high), max(low, high)
    sure = max(pair.p, pair.p_splits or 0.0) < 0.05
    if low > 0 and sure:
        said = "yes"
    elif high < 0 and sure:
        said = "no, the reverse"
    else:
        said = "not shown"
    figures = {entry.run: entry.figures["unweighted_average_recall"][0] for entry in board.entries}
    told += ", transductive" if any(entry.transductive for entry in board.entries) else ""
    kinds = [numbers(run.details) for run in (better, worse)]
    told += f", {kinds[0]} beside {kinds[1]}" if kinds[0] != kinds[1] else ""
    over_splits = "" if pair.p_splits is None else f"; {p_value(pair.p_splits)}"
    return (
        claim.system,
        claim.says,
        corpus + told,
        f"{figures[folders[0].name]:.1%}",
        f"{figures[folders[1].name]:.1%}",
        f"{value:+.1f} ({low:+.1f} to {high:+.1f})",
        p_value(pair.p) + over_splits,
        said,
    )
