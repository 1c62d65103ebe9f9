"""Judge the functionals by linear classifiers on speakers they were not trained on.

Prints unweighted average recall, pooled over folds, of a linear SVM and of logistic regression on
the functionals of RAVDESS (eight classes, EmoBox' folds), the plain half of emotiontts_ko (trained
on all other speakers) and EMO-DB (without boredom, leave one speaker out). Features are
standardised within each fold; the penalty is chosen by four inner folds of training speakers. What
is in the set was decided on the first two corpora; EMO-DB was looked at once, at the end.

    python benchmarks/functionals.py CORPORA [--opensmile ComParE_2016]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import GroupKFold
from sklearn.svm import SVC

from ullim import registry
from ullim.audio import read
from ullim.evaluation.protocols import Emobox
from ullim.features.functionals import Functionals
from ullim.types import FloatArray, Utterance

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
CLASSIFIERS: dict[str, Callable[[float], SVC | LogisticRegression]] = {
    "linear SVM": lambda c: SVC(kernel="linear", C=c),
    "logistic regression": lambda c: LogisticRegression(C=3 * c, max_iter=300, tol=1e-3),
}


def recall(truth: np.ndarray, said: np.ndarray) -> float:
    """Return unweighted average recall over the labels there are."""
    return float(recall_score(truth, said, average="macro", zero_division=0))


def rows_of(corpora: Path, name: str) -> list[Utterance]:
    """Return the utterances that are trained or tested on."""
    rows = registry.component("corpora", name)().load(corpora / name)
    return [row for row in rows if row.votes[0].label != "boredom"]


def test_masks(name: str, rows: list[Utterance], labels: np.ndarray) -> list[np.ndarray]:
    """Return which rows each fold tests on."""
    if name == "ravdess":
        masks = []
        for fold in Emobox().folds(rows, labels.tolist()):
            masks.append(np.isin(np.arange(len(rows)), fold.test))
        return masks
    tested = np.array([row.group in (None, "plain-to-emotional") for row in rows])
    speakers = np.array([row.speaker for row in rows])
    return [(speakers == one) & tested for one in np.unique(speakers[tested])]


def judged(
    features: np.ndarray,
    labels: np.ndarray,
    speakers: np.ndarray,
    masks: list[np.ndarray],
    make: Callable[[float], SVC | LogisticRegression],
) -> float:
    """Return recall pooled over folds."""
    said = np.empty_like(labels)
    for test in masks:
        train = ~np.isin(speakers, speakers[test])
        mean, std = features[train].mean(axis=0), features[train].std(axis=0)
        scale = np.where(std > 1e-8, std, np.inf) * np.sqrt(features.shape[1])
        x, y = (features[train] - mean) / scale, labels[train]
        # A rotation keeps every distance and leaves as many columns as rows.
        left, singular, right = np.linalg.svd(x, full_matrices=False)
        x, unseen = left * singular, ((features[test] - mean) / scale) @ right.T
        inner = list(GroupKFold(4).split(x, y, speakers[train]))
        scores = []
        for penalty in PENALTIES:
            guessed = np.empty_like(y)
            for fit, check in inner:
                guessed[check] = make(penalty).fit(x[fit], y[fit]).predict(x[check])
            scores.append(recall(y, guessed))
        best = PENALTIES[int(np.argmax(scores))]
        said[test] = make(best).fit(x, y).predict(unseen)
    tested = np.any(masks, axis=0)
    return recall(labels[tested], said[tested])


def extractor(opensmile_set: str | None) -> Callable[[FloatArray], FloatArray]:
    """Return what turns 16 kHz samples into one row: ours, or a set of openSMILE's."""
    if opensmile_set is None:
        return Functionals().extract
    import opensmile

    level = opensmile.FeatureLevel.Functionals
    smile = opensmile.Smile(opensmile.FeatureSet[opensmile_set], level)
    return lambda signal: np.nan_to_num(smile.process_signal(signal, 16_000).to_numpy())


def main() -> None:
    """Print one line per corpus and classifier."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--opensmile", metavar="SET", help="judge this set of openSMILE's instead")
    arguments = parser.parse_args()
    extract = extractor(arguments.opensmile)
    for name in ("ravdess", "emotiontts_ko", "emodb"):
        rows = rows_of(arguments.corpora, name)
        features = np.concatenate([extract(read(r.file, sampling_rate=16_000)) for r in rows])
        labels = np.array([row.votes[0].label for row in rows])
        speakers = np.array([row.speaker for row in rows])
        masks = test_masks(name, rows, labels)
        for title, make in CLASSIFIERS.items():
            found = judged(features.astype(np.float64), labels, speakers, masks, make)
            n = int(np.any(masks, axis=0).sum())
            size = features.shape[1]
            print(f"{name:14} {title:20} {size:5} features, {n:5} clips: UA {100 * found:.1f}")


if __name__ == "__main__":
    main()
