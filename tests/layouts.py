"""Small trees in the exact layout and encoding that owners of corpora publish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def touch(file: Path) -> Path:
    """Make an empty file: loaders read names and tables, never sound."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return file


def write(file: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write text as it stands, line ends and all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))
    return file


def savee(root: Path) -> None:
    for speaker in ("DC", "JE", "KL"):
        for code in ("a", "d", "f", "h", "n", "sa", "su"):
            for sentence in ("01", "04"):
                touch(root / "AudioData" / speaker / f"{code}{sentence}.wav")
    write(root / "AudioData" / "Info.txt", "Speakers\n")
    touch(root / "AudioData" / "DC" / "x01.wav")
    touch(root / "AudioData" / "XX" / "a01.wav")


def tess(root: Path) -> None:
    folders = {
        "OAF": ("angry", "disgust", "Fear", "happy", "neutral", "Pleasant_surprise", "Sad"),
        "YAF": ("angry", "disgust", "fear", "happy", "neutral", "pleasant_surprised", "sad"),
    }
    for speaker, names in folders.items():
        for folder in names:
            emotion = "ps" if "surprise" in folder else folder.lower()
            for word in ("back", "bite"):
                # The one misnamed file of the owner's archive.
                odd = (speaker, word, emotion) == ("OAF", "bite", "neutral")
                prefix = "OA" if odd else speaker
                touch(root / f"{speaker}_{folder}" / f"{prefix}_{word}_{emotion}.wav")


RATED = (
    # localid, queryType, clipName, respEmo, respLevel
    ("7", 1, "1001_DFA_ANG_XX", "A", "80"),
    ("8", 1, "1001_DFA_ANG_XX", "N", "45"),
    ("7", 1, "1001_DFA_ANG_XX", "D", "10"),  # shown again
    ("9", 2, "1001_DFA_ANG_XX", "D", "61"),
    ("9", 3, "1001_DFA_ANG_XX", "H", "20"),
    ("8", 1, "1040_ITH_SAD_X", "S", "NA"),
    ("8", 1, "1091_WSI_FEA_HI", "F", "5"),  # a clip that is not there
)


def finished_responses() -> str:
    columns = (
        "localid", "pos", "ans", "ttr", "queryType", "numTries", "clipNum", "questNum", "subType",
        "clipName", "sessionNums", "respEmo", "respLevel", "dispEmo", "dispVal", "dispLevel",
    )  # fmt: skip
    lines = [",".join(f'"{name}"' for name in ("", *columns))]
    for number, (rater, query, clip, letter, level) in enumerate(RATED, start=1):
        lines.append(
            f'"{number}",{rater},{number},"{letter}_{level}",2381,{query},0,{number},1,4,"{clip}",'
            f'1,"{letter}",{level},"A","XX",50'
        )
    return "\n".join([*lines, ""])


def tabulated_votes() -> str:
    header = (
        '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote",'
        '"meanEmoResp","meanAngerResp","meanDisgustResp","meanFearResp","meanHappyResp",'
        '"meanNeutralResp","meanSadResp","medianEmoResp"'
    )
    return "\n".join(
        [
            header,
            '"100062",2,1,0,0,0,0,"1001_DFA_ANG_XX",3,0.67,"A",57,47.5,70,-1,-1,-1,-1,61',
            '"200062",0,0,0,3,0,0,"1001_DFA_ANG_XX",3,1,"H",57,-1,-1,-1,50,-1,-1,61',
            '"103000",0,0,0,0,0,1,"1040_ITH_SAD_X",1,1,"S",57,-1,-1,-1,-1,-1,12,61',
            "",
        ]
    )


def cremad(root: Path) -> None:
    for actor in ("1001", "1002", "1076"):
        for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"):
            touch(root / "AudioWAV" / f"{actor}_DFA_{emotion}_XX.wav")
    touch(root / "AudioWAV" / "1001_IEO_ANG_HI.wav")
    touch(root / "AudioWAV" / "1040_ITH_SAD_X.wav")
    touch(root / "AudioMP3" / "1001_DFA_ANG_XX.mp3")
    touch(root / "AudioWAV" / "1001_DFA_JOY_XX.wav")
    write(
        root / "VideoDemographics.csv",
        '"ActorID","Age","Sex","Race","Ethnicity"\n'
        '1001,51,"Male","Caucasian","Not Hispanic"\n1002,21,"Female","Asian","Hispanic"\n',
    )


# How the owner's transcripts are encoded, one or another for each speaker.
ESD = {
    "0001": ("gb2312", "中立", "生气", "今天下雨"),
    "0003": ("utf-16", "中立", "生气", "今天下雨"),
    "0011": ("utf-8-sig", "Neutral", "Angry", "It is raining."),
    "0016": ("cp1252", "Neutral", "Angry", "It\u2019s raining."),
    "0018": ("utf-16", "Neutral", "Angry", "It is raining."),
}


def esd(root: Path) -> None:
    folders = ("Neutral", "Angry", "Happy", "Sad", "Surprise")
    for speaker, (encoding, neutral, angry, text) in ESD.items():
        for number, folder in enumerate(folders):
            for sentence in (1, 21):
                name = f"{speaker}_{number * 350 + sentence:06}.wav"
                part = {1: "evaluation", 21: "train"}[sentence]
                # One speaker lies as in copies without parts.
                split = () if speaker == "0018" else (part,)
                touch((root / speaker / folder).joinpath(*split, name))
        lines = [
            f"{speaker}_000001\t{text}\t{neutral}",
            f"{speaker}_000351\t{text}\t{angry}",
            f"{speaker}_000021 {text} {neutral}",  # without tabs, as some lines are
            "",
        ]
        write(root / speaker / f"{speaker}.txt", "\r\n".join(lines), encoding)
    write(root / "ReadMe.txt", "0001: Chinese Female\n")


def nemo(root: Path) -> None:
    lines = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"]
    people = {"EB0": ("female", 27), "WR0": ("male", 23), "KS0": ("male", 23)}
    for speaker, (gender, age) in people.items():
        for emotion in ("anger", "fear", "happiness", "neutral", "sadness", "surprised"):
            for sentence in (2, 38):
                name = f"{speaker}_{emotion}_{sentence}.wav"
                text = "„Kot” to słowo." if sentence == 38 else "Zażółć gęślą."
                # The owner's table has spaces before the speaker.
                lines.append(
                    f"{name}\t{emotion}\t{text}\t{text}\t        {speaker}\t{gender}\t{age}"
                )
                touch(root / "samples" / name)
    write(root / "data.tsv", "\n".join([*lines, ""]))


def meld(root: Path) -> None:
    folders = {
        "train": "train_splits",
        "dev": "dev_splits_complete",
        "test": "output_repeated_splits_test",
    }
    header = (
        "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
        "StartTime,EndTime"
    )
    emotions = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")
    for split, folder in folders.items():
        lines = [header]
        for number, emotion in enumerate(emotions):
            sentiment = {"neutral": "neutral", "joy": "positive"}.get(emotion, "negative")
            speaker = ("Joey", "Phoebe", "Estelle")[number % 3]
            text = "Oh, that\x92s\x85 it" if split == "train" else "Oh, that\u2019s it"
            lines.append(
                f'{number + 1},"{text}",{speaker},{emotion},{sentiment},0,{number},8,21,'
                f'"00:16:16,059","00:16:21,731"'
            )
            touch(root / folder / f"dia0_utt{number}.mp4")
        # The archive has no clip of this row, clips of no row, and a file system's leavings.
        lines.append('99,"Gone",All,anger,negative,110,7,8,21,"00:00:00,000","00:00:01,000"')
        touch(root / folder / "dia66_utt9.mp4")
        touch(root / folder / "._dia0_utt0.mp4")
        touch(root / folder / f"final_videos_{split}dia0_utt1.mp4")
        encoding = "cp1252" if split == "dev" else "utf-8"
        write(root / f"{split}_sent_emo.csv", "\r\n".join([*lines, ""]), encoding)


IEMOCAP_HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"


def iemocap_turn(turn: str, code: str, rated: str = "") -> str:
    return (
        f"[6.2901 - 8.2357]\t{turn}\t{code}\t[2.5000, 3.5000, 2.0000]\n{rated}"
        "A-E3:\tval 3; act 2; dom  2;\t()\nA-F1:\tval 3; act 2; dom  1;\t(calm; polite)\n\n"
    )


def iemocap(root: Path) -> None:
    words = {
        "ang": "Anger", "hap": "Happiness", "sad": "Sadness", "neu": "Neutral", "exc": "Excited",
        "sur": "Surprise", "fea": "Fear", "dis": "Disgust", "fru": "Frustration", "oth": "Other",
    }  # fmt: skip
    for dialogue in ("Ses01F_impro01", "Ses02M_script01_1"):
        session = root / f"Session{dialogue[4]}"
        table = IEMOCAP_HEADER
        text = ""
        for number, (code, word) in enumerate(words.items()):
            turn = f"{dialogue}_{'FM'[number % 2]}{number:03}"
            rated = (
                f"C-E2:\t{word};\t()\nC-E3:\t{word}; Neutral;\t(a bit, really)\nC-E4:\tOther;\t()\n"
            )
            own = "F1" if number % 2 == 0 else "M1"
            table += iemocap_turn(turn, code, f"{rated}C-{own}:\tFear;\t()\n")
            text += f"{turn} [006.2901-008.2357]: Line {number}\u2019s text.\n"
            touch(session / "sentences" / "wav" / dialogue / f"{turn}.wav")
        undecided = f"{dialogue}_F099"
        rated = "C-E2:\tSadness;\t()\nC-E3:\tFrustration;\t()\nC-E4:\tFear;\t()\n"
        table += iemocap_turn(undecided, "xxx", rated)
        touch(session / "sentences" / "wav" / dialogue / f"{undecided}.wav")
        emotions = session / "dialog" / "EmoEvaluation"
        write(emotions / f"{dialogue}.txt", table)
        # What lies beside the tables and is none.
        write(emotions / f"._{dialogue}.txt", "\x00\x05\x16\x07")
        write(emotions / "Categorical" / f"{dialogue}_e2_cat.txt", f"{undecided} :Sadness;\n")
        transcript = f"{text}F: (breathing)\n"
        write(session / "dialog" / "transcriptions" / f"{dialogue}.txt", transcript, "cp1252")


MOSEI_HEADER = (
    "HITId,WorkerId,Input.VIDEO_ID,Input.CLIP,Answer.anger,Answer.disgust,Answer.fear,"
    "Answer.happiness,Answer.sadness,Answer.sentiment,Answer.surprise"
)


def mosei(root: Path) -> None:
    raw = root / "Raw"
    lines = [MOSEI_HEADER]
    for number in range(6):
        video = ("-3g5yACwYnA", "110203", "zv0Jl4TIQDc")[number % 3]
        for worker in ("A1", "A2", "A3"):
            answers = ["0"] * 6
            answers[number] = "2"
            if worker == "A3":
                answers[0] = "1"
            anger, disgust, fear, happiness, sadness, surprise = answers
            lines.append(
                f"H{number},{worker},{video},{number},{anger},{disgust},{fear},{happiness},"
                f"{sadness},-1,{surprise}"
            )
    lines.append("H7,A1,110203,7,0,0,0,0,0,0,0")  # nobody heard anything
    lines.append("H8,A1,110203,8,1,0,0,0,0,0,0")  # ends before it starts
    lines.append("H9,A1,110203,9,1,0,0,0,0,0,0")  # is in no transcript
    lines.append("H10,A1,110203,1,,,,,,,")  # an incomplete answer
    lines.append("H11,A1,gone,0,1,0,0,0,0,0,0")  # is in no archive
    write(raw / "Labels" / "5000_batch_raw.csv", "\n".join([*lines, ""]))
    extra = [MOSEI_HEADER, "H1,A9,pom/110203,1,0,0,0,3,0,2,0", ""]
    write(raw / "Labels" / "pom_extra_sqa_mono_results.csv", "\r\n".join(extra))
    write(raw / "Labels" / "notes.csv", "a,b\n1,2\n")
    for video, clips in {
        "-3g5yACwYnA": (0, 3), "110203": (1, 4, 7), "zv0Jl4TIQDc": (2, 5), "gone": (0,),
    }.items():  # fmt: skip
        text = "".join(
            f"{video}___{clip}___{clip}.5___{clip + 3}.25___It is_ _ fine\u2019\n" for clip in clips
        )
        if video == "110203":
            text += f"{video}___8___9.0___8.0___Never.\n\n"
        write(raw / "Transcript" / "Segmented" / "Combined" / f"{video}.txt", text)
        if video != "gone":
            touch(raw / "Audio" / "Full" / "WAV_16000" / f"{video}.wav")


BUILDERS: dict[str, Callable[[Path], None]] = {
    "savee": savee,
    "tess": tess,
    "cremad": cremad,
    "esd": esd,
    "nemo": nemo,
    "meld": meld,
    "iemocap": iemocap,
    "mosei": mosei,
}
