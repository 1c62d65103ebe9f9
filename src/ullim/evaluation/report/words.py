"""What the report says, in English and Korean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ullim.types import LABELS_KO, STATUS_KO

Language = Literal["en", "ko"]

# Key to English and Korean. Both take the same fields in braces.
_TEXTS: dict[str, tuple[str, str]] = {
    "title": ("{recipe}: {protocol}", "{recipe}: {protocol}"),
    "recipe": ("Recipe", "레시피"),
    "protocol": ("Protocol", "평가 방식"),
    "profile": ("Profile", "프로필"),
    "seeds": ("Seeds", "시드"),
    "seed": ("seed", "시드"),
    "labels": ("Emotions", "감정"),
    "model": ("Model", "모델"),
    "feature": ("Feature", "특징"),
    "finished": ("Finished", "완료 시각"),
    "machine": ("Machine", "실행 환경"),
    "versions": ("Versions", "버전"),
    "commit": ("Commit", "커밋"),
    "audio_hash": ("Hash of the recordings", "녹음 해시"),
    "unknown": ("unknown", "알 수 없음"),
    "corpus": ("Corpus", "코퍼스"),
    "independent": (
        "No tested speaker was trained on.",
        "평가에 쓰인 화자는 학습에 쓰이지 않았습니다.",
    ),
    "shared": (
        "Speakers are on both sides of the split: the figures say nothing about new speakers.",
        "같은 화자가 학습과 평가 양쪽에 있습니다. 이 수치는 새로운 화자에 대해 아무것도 말해 주지 "
        "않습니다.",
    ),
    "transductive": (
        "Transductive: unlabelled clips of the tested speakers were used, so these figures are not "
        "those of a system that hears one clip.",
        "평가 화자의 레이블 없는 다른 음성을 함께 썼습니다(transductive). 음성 하나만 듣는 "
        "시스템의 수치가 아닙니다.",
    ),
    "what": ("What was run", "무엇을 실행했나"),
    "whom": ("On whom", "누구의 음성인가"),
    "whom_row": (
        "{n} clips of {speakers} speakers are tested{seeds}.",
        "화자 {speakers}명의 음성 {n}개를 평가했습니다{seeds}.",
    ),
    "times_seeds": (", {k} times (seeds)", " (시드별로 {k}회)"),
    "answers_seeds": (
        ", with {answers} answers over {k} seeds, each another split",
        " (나누기를 달리한 시드 {k}개에서 답 {answers}개)",
    ),
    "absent": (
        "No tested clip has the label {labels}: left out of every mean.",
        "{labels} 레이블의 평가 음성이 없어 모든 평균에서 제외했습니다.",
    ),
    "clips": ("clips", "음성 수"),
    "speakers": ("speakers", "화자 수"),
    "gender": ("Gender", "성별"),
    "female": ("female", "여성"),
    "male": ("male", "남성"),
    "other": ("other", "기타"),
    "speaker": ("speaker", "화자"),
    "fold": ("fold", "폴드"),
    "group": ("part of the corpus", "코퍼스 구분"),
    "label": ("emotion", "감정"),
    "leakage": ("Leakage audit", "누출 점검"),
    "leak_speakers": (
        "Speakers on both sides: {n}{names}.",
        "학습과 평가에 모두 있는 화자: {n}명{names}.",
    ),
    "leak_sentences": (
        "Tested clips whose sentence was also trained on, by anybody: {share}.",
        "같은 문장을 (누구든) 학습에서 말한 평가 음성: {share}.",
    ),
    "leak_audio": (
        "Tested clips whose very recording was also trained on: {n}{names}.",
        "같은 녹음이 학습에도 있는 평가 음성: {n}개{names}.",
    ),
    "leak_copies": (
        "Tested clips with a cut, padded or re-encoded copy among the trained: {n}{names}.",
        "잘리거나 덧붙거나 다시 압축된 사본이 학습에 있는 평가 음성: {n}개{names}.",
    ),
    "leak_stretches": (
        "Tested clips that overlap a trained stretch of the same file: {n}{names}.",
        "같은 파일에서 학습한 구간과 겹치는 평가 음성: {n}개{names}.",
    ),
    "leak_short": (
        "Clips too short to be told from copies: {n}.",
        "사본인지 가리기에 너무 짧은 음성: {n}개.",
    ),
    "leak_no_speaker": (
        "Clips whose speaker is not told, who may be on both sides: {n}.",
        "화자를 알 수 없어 양쪽에 있을 수도 있는 음성: {n}개.",
    ),
    "leak_no_text": (
        "Clips whose words are not told, which may be on both sides: {n}.",
        "문장을 알 수 없어 양쪽에 있을 수도 있는 음성: {n}개.",
    ),
    "figures": ("Figures", "성능 수치"),
    "figure": ("figure", "지표"),
    "value": ("value", "값"),
    "interval": ("95% interval", "95% 신뢰구간"),
    "ends": ("{low} to {high}", "{low} ~ {high}"),
    "majority": ("majority", "최빈값 기준"),
    "prior": ("by chance", "무작위 기준"),
    "unweighted_average_recall": ("UA", "UA"),
    "weighted_accuracy": ("WA", "WA"),
    "macro_f1": ("macro-F1", "매크로 F1"),
    "weighted_f1": ("weighted F1", "가중 F1"),
    "log_loss": ("log-loss, nats ↓", "로그 손실 (nat) ↓"),
    "brier_score": ("Brier score ↓", "브라이어 점수 ↓"),
    "expected_calibration_error": ("ECE, equal count ↓", "ECE, 같은 개수 ↓"),
    "expected_calibration_error_equal_width": ("ECE, equal width ↓", "ECE, 같은 너비 ↓"),
    "area_under_roc": ("AUROC ↑", "AUROC ↑"),
    "area_under_risk_coverage": ("AURC ↓", "AURC ↓"),
    "arrows": (
        "↓ lower is better, ↑ higher. ECE is the gap between confidence and accuracy over 15 bins; "
        "AUROC is one emotion against the rest, averaged; AURC is the area under the error along "
        "the share answered.",
        "↓ 낮을수록, ↑ 높을수록 좋습니다. ECE는 15개 구간에서 확신도와 정확도의 차이, AUROC는 감정 "
        "하나와 나머지를 가르는 성능의 평균, AURC는 응답률에 따른 오류 곡선 아래 면적입니다.",
    ),
    "against": (
        "mean recall; {low} to {high}; by chance {chance}",
        "평균 재현율, {low}~{high}, 무작위 {chance}",
    ),
    "few_speakers": (
        "{n} speakers: with fewer than {few}, figures and intervals hang on who they happen to be.",
        "화자가 {n}명뿐입니다. {few}명 미만이면 수치와 신뢰구간이 어떤 화자인지에 크게 좌우됩니다.",
    ),
    "one_speaker": (
        "1 speaker: no interval can be given.",
        "화자가 1명이라 신뢰구간을 구할 수 없습니다.",
    ),
    "all_labels": (
        "Scored over the emotions this corpus offers. Where every label of the recipe may be "
        "answered, UA is {ua} and WA is {wa}.",
        "이 코퍼스에 있는 감정 안에서만 채점했습니다. 레시피의 모든 레이블을 허용하면 UA {ua}, WA "
        "{wa}입니다.",
    ),
    "reported": ("Published for this system", "이 시스템의 논문 수치"),
    "reported_row": (
        "{metric} {value}%, {protocol} ({source})",
        "{metric} {value}%, {protocol} ({source})",
    ),
    "method-only": (
        "The method was run on another corpus than the paper's: figures do not compare with it.",
        "논문과 다른 코퍼스에서 방법만 실행했습니다. 논문 수치와 비교할 수 없습니다.",
    ),
    "needs-weights": (
        "The method is about weights that were not at hand: no accuracy here speaks for it.",
        "이 방법에 필요한 가중치 없이 실행했습니다. 이 정확도는 방법의 성능이 아닙니다.",
    ),
    "by_class": ("By emotion", "감정별"),
    "recall": ("recall", "재현율"),
    "precision": ("precision", "정밀도"),
    "f1": ("F1", "F1"),
    "confusion": (
        "Confusion: rows are the truth, columns what was answered, in % of the row.",
        "혼동 행렬: 행은 정답, 열은 응답이며 행 기준 %입니다.",
    ),
    "true": ("truth", "정답"),
    "answered": ("answered", "응답"),
    "by_speaker": ("By speaker", "화자별"),
    "by_speaker_plot": (
        "Accuracy of each speaker, lowest first; the line is all of them.",
        "화자별 정확도, 낮은 순. 세로선은 전체 정확도입니다.",
    ),
    "by_speaker_table": ("All {n} speakers as a table", "화자 {n}명 전체 표"),
    "by_gender": ("By gender", "성별"),
    "no_gender": (
        "The predictions do not tell the speakers' gender; give --corpus {corpus}=PATH.",
        "예측에 화자의 성별이 없습니다. --corpus {corpus}=경로 를 주십시오.",
    ),
    "by_group": ("By part of the corpus", "코퍼스 구분별"),
    "by_fold": ("By fold", "폴드별"),
    "by_seed": ("By seed", "시드별"),
    "spread": (
        "Mean {mean} and standard deviation {sd} over {n}.",
        "{n} 평균 {mean}, 표준편차 {sd}.",
    ),
    "n_folds": ("{n} folds", "폴드 {n}개의"),
    "n_seeds": ("{n} seeds", "시드 {n}개의"),
    "lacks": ("without {labels}", "{labels} 없음"),
    "remark": ("remark", "비고"),
    "confidence": ("Confidence", "확신도"),
    "reliability": (
        "Reliability: on the dashed line, confidence is as often right as it says. Each point "
        "is as many clips as any other.",
        "신뢰도 그림: 점선 위에 있으면 확신도만큼 실제로 맞습니다. 점마다 음성 수는 같습니다.",
    ),
    "coverage_figure": (
        "Coverage and accuracy: how right the answers are when only the surest share is answered.",
        "응답률과 정확도: 가장 확신하는 일부에만 답할 때 얼마나 맞는지 보여 줍니다.",
    ),
    "sure": ("confidence", "확신도"),
    "all_rows": ("All {n} as a table", "전체 {n}개 표"),
    "accuracy": ("accuracy", "정확도"),
    "coverage": ("share answered", "응답률"),
    "threshold": ("threshold", "문턱값"),
    "wanted": ("wanted accuracy", "원하는 정확도"),
    "got": ("reached", "실제 정확도"),
    "thresholds": (
        "Each threshold was chosen on the other folds and judged on its own.",
        "문턱값은 다른 폴드에서 정하고 해당 폴드에서 확인했습니다.",
    ),
    "not_reached": ("not reached", "도달하지 못함"),
    "mistakes": ("The most confident mistakes", "가장 확신한 오답"),
    "no_mistakes": ("There are none.", "오답이 없습니다."),
    "truth_had": ("truth had", "정답의 확률"),
    "id": ("clip", "음성"),
    "listen": (
        "These recordings are the corpus owner's; pass this file on only as its licence allows.",
        "이 녹음은 코퍼스 소유자의 것입니다. 이 파일은 그 사용 허가가 허용하는 범위에서만 "
        "전달하십시오.",
    ),
    "mel_axis": ("{seconds} s, 0 to {top} kHz", "{seconds}초, 0~{top} kHz"),
    "curves": ("Learning curves", "학습 곡선"),
    "curves_text": (
        "Validation speakers come from training. Thin lines are folds and members, the thick one "
        "their mean.",
        "검증 화자는 학습 화자 중에서 골랐습니다. 가는 선은 폴드와 구성원, 굵은 선은 평균입니다.",
    ),
    "epoch": ("epoch", "에포크"),
    "train_loss": ("training loss", "학습 손실"),
    "validation_loss": ("validation loss", "검증 손실"),
    "validation_unweighted_average_recall": ("validation UA", "검증 UA"),
    "repeat": ("To repeat it", "다시 실행하려면"),
    "how": ("How to read the figures", "수치 읽는 법"),
    "how_text": (
        "UA is the mean recall over the emotions, pooled over all folds; WA is plain accuracy. "
        "Intervals are bootstrapped over speakers ({draws} draws, Student's t on the logit scale): "
        "they say how far a figure would move with other speakers of the same kind, not with "
        "another room, language or way of acting. Baselines: always answering the most frequent "
        "emotion, and answering at random with the tested shares.",
        "UA는 모든 폴드를 합쳐 구한 감정별 재현율의 평균이고, WA는 단순 정확도입니다. 신뢰구간은 "
        "화자를 다시 뽑아 구했습니다({draws}회, 로짓 척도의 스튜던트 t). 같은 부류의 다른 화자라면 "
        "수치가 얼마나 달라질지를 말하며, 다른 공간, 언어, 연기 방식까지 말해 주지는 않습니다. "
        "기준선은 가장 흔한 감정만 답하는 경우와, 평가 자료의 비율대로 무작위로 답하는 경우입니다.",
    ),
    "acted": (
        "Figures hold for clips like the tested ones. Acted emotion is what was played, not what "
        "anybody felt.",
        "이 수치는 평가한 것과 비슷한 음성에만 해당합니다. 연기된 감정은 연기한 것이지 실제로 느낀 "
        "것이 아닙니다.",
    ),
    "made": ("Made by ullim {version}.", "ullim {version}에서 만들었습니다."),
}
_ENGLISH, _KOREAN = 0, 1


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language."""

    language: Language

    def __call__(self, key: str, **fields: object) -> str:
        """Return a text with its fields filled in."""
        return _TEXTS[key][_KOREAN if self.language == "ko" else _ENGLISH].format(**fields)

    def known(self, key: str) -> str:
        """Return the text of a key, or the key itself where there is none."""
        return self(key) if key in _TEXTS else key.replace("_", " ")

    def label(self, name: str) -> str:
        """Return the name of a label."""
        if self.language == "ko":
            return LABELS_KO.get(name, STATUS_KO.get(name, name))
        return name.replace("_", " ")

    def labels(self, names: list[str] | tuple[str, ...]) -> str:
        """Return names of labels, joined."""
        return ", ".join(self.label(name) for name in names)


def keys() -> dict[str, tuple[str, str]]:
    """Return every text in both languages."""
    return dict(_TEXTS)
