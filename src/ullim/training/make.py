"""From a model's parameters to the classifier that fits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ullim.decision import Decision
from ullim.errors import TrainingError
from ullim.models import Classical, Generative, Model, Network
from ullim.models.fusion import Fusion
from ullim.models.likelihood import Density, LikelihoodFusion
from ullim.training.classical import ClassicalClassifier
from ullim.training.classifier import Classifier
from ullim.training.estimator import NetworkClassifier
from ullim.training.fusion import FusionClassifier, Part
from ullim.training.generative import GenerativeClassifier
from ullim.training.options import Hardware, Training
from ullim.training.trainer import Report
from ullim.window import Window


def make_classifier(
    model: Model,
    *,
    hops: Mapping[str, float],
    classes: Sequence[str],
    training: Training = Training(),  # noqa: B008 - frozen
    window: Window = Window(),  # noqa: B008 - frozen
    seed: int = 0,
    checkpoints: Path | None = None,
    report: Report | None = None,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    decision: Decision = Decision(),  # noqa: B008 - frozen
    alone: bool = False,
) -> Classifier:
    """Return the unfitted classifier of a model.

    Args:
        model: Parameters.
        hops: Seconds from one frame to the next of each feature, by name.
        classes: Label of each target column.
        training: How its networks are fitted.
        window: How clips are cut.
        seed: Decides all chance.
        checkpoints: Folder a stopped fit is resumed from; None keeps nothing.
        report: Told of every step of a network; None tells nobody.
        hardware: What networks are fitted on.
        decision: How the windows of a network become a label; the others average.
        alone: Whether each clip is answered without the others of its speaker, as in a bundle.

    Raises:
        TrainingError: A network is given more than one feature, or a model is of no known kind.
    """
    if isinstance(model, Network):
        if len(hops) != 1:
            raise TrainingError(
                f"{model.name} takes one feature and was given {', '.join(hops) or 'none'}; a "
                "fusion says with `features` which of its members takes which"
            )
        return NetworkClassifier(
            model,
            training,
            window,
            feature_hop_s=next(iter(hops.values())),
            classes=classes,
            seed=seed,
            checkpoints=checkpoints,
            report=report,
            hardware=hardware,
            decision=decision,
        )
    if isinstance(model, Classical):
        return ClassicalClassifier(model, classes, seed, alone)
    if isinstance(model, Generative):
        return GenerativeClassifier([Density(model=model)], hops, window, classes, seed)
    if isinstance(model, LikelihoodFusion):
        return GenerativeClassifier(model.members, hops, window, classes, seed)
    if isinstance(model, Fusion):
        return FusionClassifier(
            [
                Part(
                    make_classifier(
                        member.model,
                        hops={name: hops[name] for name in member.features or hops},
                        classes=classes,
                        training=training,
                        window=window,
                        seed=seed,
                        checkpoints=checkpoints and checkpoints / f"part-{place}",
                        report=report,
                        hardware=hardware,
                        alone=alone,
                    ),
                    member.features,
                    member.weight,
                )
                for place, member in enumerate(model.members)
            ],
            model.rule,
        )
    raise TrainingError(
        f"{model.name} is neither a network, a classical model, a density nor a fusion"
    )
