"""The words of an audit, in English and in Korean."""

from __future__ import annotations

from typing import Literal

Lang = Literal["en", "ko"]

# Each entry: English, Korean.
_WORDS: dict[str, tuple[str, str]] = {
    # headings
    "title": ("Audit of {name}: {title}", "{name} 점검: {title}"),
    "verdicts": ("Verdicts", "판정"),
    "clean": ("The clips as they are", "원래 클립"),
    "robustness": ("Under each condition", "조건별 결과"),
    "groups": ("For whom", "집단별 결과"),
    "asked": ("What was asked", "점검 내용"),
    # columns
    "mark": ("mark", "항목"),
    "measured": ("measured", "측정값"),
    "limit": ("passes", "합격 기준"),
    "verdict": ("verdict", "판정"),
    "where": ("where", "조건"),
    "why": ("why", "이유"),
    "condition": ("condition", "조건"),
    "level": ("level", "정도"),
    "lost": ("UA lost", "UA 손실"),
    "same": ("same label", "같은 레이블"),
    "moved": ("confidence moves", "신뢰도 변화"),
    "silent": ("no answer", "무응답"),
    "over": ("overconfidence", "과신"),
    "corpus": ("corpus", "코퍼스"),
    "group": ("group", "집단"),
    "clips": ("clips", "클립"),
    "speakers": ("speakers", "화자"),
    # verdicts
    "pass": ("pass", "합격"),
    "fail": ("fail", "불합격"),
    "not measured": ("not measured", "측정 안 함"),
    "narrow": ("{verdict}, narrowly", "{verdict}(근소)"),
    "narrow_note": (
        "*narrowly*: the 95 % interval reaches across the limit, so other speakers could have "
        "turned the verdict.",
        "*근소*: 95 % 구간이 기준을 걸치므로 다른 화자였다면 판정이 바뀔 수 있습니다.",
    ),
    "tally": (
        "{passed} of {judged} measured marks passed; {unmeasured} not measured.",
        "측정한 {judged}개 항목 중 {passed}개 합격, {unmeasured}개는 측정하지 않음.",
    ),
    # what comes first
    "trained": (
        "**No figure here is an accuracy on people the model never heard.** Its weights were "
        "fitted on {corpora}, the very clips it is asked about. Read each figure against the "
        "model's own figure on clean clips; how well it does on new speakers stands under Figures "
        "on its card. Gaps and overconfidence are likely to be larger on new speakers.",
        "**여기의 수치는 모델이 들어 보지 못한 사람에 대한 정확도가 아닙니다.** 이 모델의 가중치는 "
        "점검에 쓴 {corpora}의 클립으로 학습되었습니다. 각 수치는 같은 모델이 깨끗한 클립에서 낸 "
        "수치와 비교해서만 읽으십시오. 새로운 화자에 대한 성능은 모델 카드의 Figures에 있습니다. "
        "집단 차이와 과신은 새로운 화자에서 더 클 가능성이 높습니다.",
    ),
    "unheard": (
        "The model was not trained on {corpora}: figures on them are of speakers it never heard, "
        "as far as its manifest tells.",
        "이 모델은 {corpora}로 학습되지 않았습니다. 이 코퍼스의 수치는 매니페스트에 따르면 들어 "
        "보지 못한 화자의 것입니다.",
    ),
    "unstated": (
        "**The model does not say what it was trained on**, so it may have heard these very clips.",
        "**이 모델은 무엇으로 학습했는지 밝히지 않으므로** 점검에 쓴 클립을 이미 들었을 수 "
        "있습니다.",
    ),
    "part": (
        "Only {n} of {available} clips were asked about.",
        "{available}개 클립 중 {n}개만 점검했습니다.",
    ),
    "few": (
        "{n} speakers: intervals over fewer than {limit} hang on who they happen to be.",
        "화자 {n}명: {limit}명 미만의 구간은 화자가 누구인지에 크게 좌우됩니다.",
    ),
    # under the tables
    "clean_note": (
        "UA (mean recall of the emotions) with its 95 % interval over speakers: {ua}. WA (share of "
        "clips that are right): {wa}. Guessing would give a UA of {chance}. A clip is answered "
        "among the emotions its corpus has; no answer counts as wrong.",
        "UA(감정별 재현율의 평균)와 화자 기준 95 % 구간: {ua}. WA(맞힌 클립의 비율): {wa}. "
        "무작위로 답하면 UA는 {chance}입니다. 각 클립은 그 코퍼스에 있는 감정 중에서 답하며, "
        "무응답은 오답으로 셉니다.",
    ),
    "gap": (
        "{kind}: largest gap {gap}; other groupings of the same speakers reach it with p = {p} and "
        "stay under {chance} in 95 % of cases.",
        "{kind}: 가장 큰 차이 {gap}. 같은 화자를 무작위로 다시 묶으면 p = {p}로 이만큼 벌어지고 "
        "95 %는 {chance} 아래입니다.",
    ),
    "gap_untold": (
        "{kind}: largest gap {gap}; {reason}.",
        "{kind}: 가장 큰 차이 {gap}. {reason}.",
    ),
    "speaker_gap": (
        "speaker: best and weakest lie {gap} apart; clips dealt to speakers by chance reach that "
        "with p = {p} and stay under {chance} in 95 % of cases.",
        "화자: 가장 좋은 화자와 가장 나쁜 화자의 차이 {gap}. 클립을 화자에게 무작위로 나누면 "
        "p = {p}로 이만큼 벌어지고 95 %는 {chance} 아래입니다.",
    ),
    "across": (
        "Groups of {kind} are different corpora too: other rooms, actors and sentences.",
        "{kind} 집단은 서로 다른 코퍼스이기도 합니다. 녹음실, 배우, 문장이 모두 다릅니다.",
    ),
    "left_out_labels": (
        "left out, since the model does not tell them apart: {labels}",
        "모델이 구별하지 않아 제외: {labels}",
    ),
    "mapped": ("counted as others: {labels}", "다른 레이블로 셈: {labels}"),
    "unreadable": ("could not be read: {counts}", "읽을 수 없음: {counts}"),
    "command": ("command", "명령"),
    # why nothing was measured
    "left_out": ("its conditions were left out", "해당 조건을 점검하지 않음"),
    "few_clips": ("too few clips", "클립이 너무 적음"),
    "chance": ("no better than guessing on clean clips", "깨끗한 클립에서도 무작위 수준임"),
    "no_answers": ("no clip was answered", "답한 클립이 없음"),
    "one_group": ("fewer than two groups of two speakers", "화자 2명 이상인 집단이 둘이 안 됨"),
    "few_speakers": (
        "too few speakers to tell a gap from chance",
        "화자가 너무 적어 우연과 구별할 수 없음",
    ),
    "other_labels": (
        "the groups come from corpora with other emotions",
        "집단마다 코퍼스의 감정 목록이 다름",
    ),
    "few_clips_per_speaker": ("too few clips of each speaker", "화자별 클립이 너무 적음"),
    # what passes
    "agreement": ("labels that stay ≥ {limit}", "유지된 레이블 ≥ {limit}"),
    "confidence_change": ("mean change ≤ {limit}", "평균 변화 ≤ {limit}"),
    "loss": ("UA lost ≤ {limit}", "UA 손실 ≤ {limit}"),
    "not_answered": ("clips without an answer ≤ {limit}", "무응답 클립 ≤ {limit}"),
    "overconfidence": ("confidence over accuracy ≤ {limit}", "정확도를 넘는 신뢰도 ≤ {limit}"),
    "gap_limit": ("gap of UA ≤ {limit}, or p ≥ 0.05", "UA 차이 ≤ {limit} 또는 p ≥ 0.05"),
    "weakest": (
        "UA under everybody's ≤ {limit}, or p ≥ 0.05",
        "전체 UA와의 차이 ≤ {limit} 또는 p ≥ 0.05",
    ),
    # marks
    "tiny-shift-agreement": ("tiny shifts: labels", "미세한 변화: 레이블"),
    "tiny-shift-confidence": ("tiny shifts: confidence", "미세한 변화: 신뢰도"),
    "light-noise": ("light noise", "약한 소음"),
    "loud-noise": ("loud noise", "강한 소음"),
    "small-room": ("small room", "작은 방"),
    "large-room": ("large room", "큰 방"),
    "telephone": ("telephone", "전화"),
    "compression": ("compression", "압축"),
    "quiet": ("quiet", "작은 소리"),
    "too-loud": ("too loud", "과입력"),
    "speed": ("speed", "속도"),
    "one-second": ("one second only", "1초만"),
    "confidence-under-change": ("confidence under change", "변화 속의 신뢰도"),
    "speech-lost": ("speech lost", "놓친 음성"),
    "gender-gap": ("gender gap", "성별 차이"),
    "age-gap": ("age gap", "나이 차이"),
    "language-gap": ("language gap", "언어 차이"),
    "weakest-speaker": ("weakest speaker", "가장 약한 화자"),
    # families of conditions
    "white-noise": ("white noise", "백색 소음"),
    "babble": ("babble", "여러 사람의 말소리"),
    "room": ("room", "잔향"),
    "mp3": ("MP3", "MP3"),
    "opus": ("Opus", "Opus"),
    "gain": ("gain", "음량"),
    "clipping": ("clipping", "클리핑"),
    "truncation": ("loudest part only", "가장 큰 부분만"),
    "tiny-shift": ("tiny shift", "미세한 변화"),
    # groups
    "gender": ("gender", "성별"),
    "age": ("age", "나이"),
    "language": ("language", "언어"),
    "speaker": ("speaker", "화자"),
    "female": ("female", "여성"),
    "male": ("male", "남성"),
    "other": ("other", "기타"),
    # pictures
    "axis_ua": ("UA, %", "UA, %"),
    "clean_line": ("clean", "원래 클립"),
    "legend": (
        "dashed: clean clips with their 95 % interval; dotted: guessing",
        "파선: 원래 클립과 95 % 구간, 점선: 무작위",
    ),
    "each_speaker": ("each speaker", "화자 각각"),
}


def say(key: str, lang: Lang, **values: object) -> str:
    """Return a word or phrase, filled in.

    >>> say("fail", "ko")
    '불합격'
    """
    return _WORDS[key][lang == "ko"].format(**values)


def called(name: str, lang: Lang) -> str:
    """Return the word for a name that may have none, such as a language's code."""
    return say(name, lang) if name in _WORDS else name
