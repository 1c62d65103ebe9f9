"""The report: whole, self-contained, escaped, in two languages; charts; the command."""

from __future__ import annotations

import base64
import json
import re
import struct
import sys
import zlib
from html import escape
from html.parser import HTMLParser
from string import Formatter

import numpy as np
import pytest
import soundfile

from ullim.evaluation.calibration import threshold_over_folds
from ullim.evaluation.predictions import read_run
from ullim.evaluation.report import Clip, Facts, charts, media_wanted, render
from ullim.evaluation.report.blocks import Bullets, Heading, Table, Text, to_html, to_markdown
from ullim.evaluation.report.corpus import most_confident_mistakes
from ullim.evaluation.report.words import Words, keys

VOID = {"meta", "img", "path", "rect", "circle", "polyline"}
# Closing these is left to the browser, as HTML allows.
LAZY = {"tr", "td", "th", "thead", "tbody", "li"}


class Checked(HTMLParser):
    """Collects tags, addresses and text; fails on tags that do not pair."""

    def __init__(self, page):
        super().__init__()
        self.open, self.addresses, self.seen, self.text = [], [], set(), []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.addresses += [v for k, v in attributes if k in {"src", "href", "data", "action"}]
        assert not [k for k, _ in attributes if k.startswith("on")]
        if tag not in VOID | LAZY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID | LAZY:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)

    def handle_data(self, data):
        self.text.append(data)


def clip():
    levels = np.random.default_rng(0).normal(-40, 10, (30, 20))
    return Clip(b"not really audio", "audio/flac", 1.5, levels, 8000.0)


@pytest.fixture
def finished(make_run):
    folder = make_run(
        "toy",
        reported=[
            {
                "metric": "weighted_accuracy",
                "value": 70.0,
                "protocol": "random",
                "source": "Somebody <1999>",
            }
        ],
    )
    curve = {
        "train_loss": [2.0, 1.5, 1.2],
        "validation_loss": [2.1, 1.8, 1.9],
        "validation_unweighted_average_recall": [0.3, 0.4, 0.5],
    }
    shorter = {key: values[:2] for key, values in curve.items()}
    (folder / "history.json").write_text(json.dumps({"1": [curve], "2": [shorter, {}]}))
    return read_run(folder)


@pytest.mark.parametrize("language", ["en", "ko"])
class TestPage:
    def test_is_whole_and_needs_nothing_beside_it(self, finished, language):
        html, text = render(finished, language=language, draws=200)
        page = Checked(html)
        assert {"h1", "h2", "table", "svg", "details"} <= page.seen
        assert not page.seen & {"script", "link", "iframe", "object"}
        assert page.addresses == []
        assert "http" not in html.replace("http-equiv", "")
        assert "url(" not in html
        assert f'<html lang="{language}">' in html
        assert "width=device-width" in html
        assert "@media print" in html
        assert "nan" not in " ".join(page.text).lower().split()
        assert text.startswith("# toy: speaker-kfold")

    def test_tells_what_it_must(self, finished, language):
        html, text = render(finished, language=language, draws=200)
        t = Words(language)
        for key in (
            "what",
            "whom",
            "leakage",
            "figures",
            "by_class",
            "confidence",
            "by_speaker",
            "by_gender",
            "by_fold",
            "mistakes",
            "curves",
            "repeat",
            "how",
            "reported",
        ):
            assert f">{t(key)}</h" in html, key
            assert f"# {t(key)}" in text or key == "curves", key
        assert "ullim run toy --protocol speaker-kfold --out toy" in html
        assert t("label") in html
        assert t.label("anger") in html
        assert "x1, x2" in html
        assert "(x3 ~ x4)" in html
        assert "WA 70.0%, random" in html
        assert "text overlap: 3" in html, "what the audit adds later is told too"
        assert t("few_speakers", n=8, few=10) in html

    def test_another_split_for_each_seed(self, make_run, language):
        folder = make_run("toy", seeds=(0, 1))
        alike, _ = render(read_run(folder), language=language, draws=200)
        t = Words(language)
        assert t("times_seeds", k=2) in alike
        table = folder / "predictions.csv"
        lines = table.read_text(encoding="utf-8").splitlines()
        table.write_text("\n".join(lines[:-40]) + "\n", encoding="utf-8")
        drawn, _ = render(read_run(folder), language=language, draws=200)
        assert t("answers_seeds", k=2, answers=str(len(lines) - 41)) in drawn

    def test_names_are_escaped(self, finished, language):
        html, text = render(finished, language=language, draws=200)
        assert "Invented &lt;toy&gt;" in html
        assert "Somebody &lt;1999&gt;" in html
        assert "<toy>" not in html
        assert "<toy>" not in text

    def test_sound_is_there_only_when_handed_in(self, finished, language):
        wanted = media_wanted(finished)["emodb"]
        assert len(wanted) == len(set(wanted)) == 10
        facts = Facts(clips={"emodb": {wanted[0]: clip(), "not-a-mistake": clip()}})
        html, _ = render(finished, language=language, facts=facts, draws=200)
        page = Checked(html)
        assert [address.split(";")[0] for address in page.addresses] == [
            "data:image/png",
            "data:audio/flac",
        ]
        assert escape(Words(language)("listen")) in html
        assert base64.b64decode(page.addresses[1].split(",")[1]) == b"not really audio"


class TestContent:
    def test_figures_are_those_of_the_summary(self, make_run):
        from ullim.evaluation.summary import refresh

        folder = make_run("a", n_speakers=12)
        refresh(read_run(folder), draws=2000)
        run = read_run(folder)
        _, text = render(run)
        recall = run.metrics["corpora"]["emodb"]["unweighted_average_recall"]
        assert (
            f"| UA | {recall['value']:.1%} | {recall['low']:.1%} to {recall['high']:.1%} |" in text
        )

    def test_mistakes_are_the_surest_wrong_answers(self, make_run):
        part = read_run(make_run("a", seeds=(0, 1))).of("emodb")
        found = most_confident_mistakes(part, 5)
        assert not found.correct.any()
        assert len(set(found.id.tolist())) == 5
        wrong = part.take(~part.correct)
        assert found.confidence[0] == wrong.confidence.max()
        assert np.all(np.diff(found.confidence) <= 0)

    def test_a_run_without_mistakes(self, make_run):
        html, _ = render(read_run(make_run("a", skill=1.0)), draws=200)
        assert "There are none." in html

    def test_genders_come_from_the_corpus_where_the_run_has_none(self, make_run):
        run = read_run(make_run("a", genders=False))
        html, _ = render(run, draws=200)
        assert "give --corpus emodb=PATH" in html
        genders = dict.fromkeys(run.of("emodb").id.tolist(), "female")
        html, text = render(run, facts=Facts(genders={"emodb": genders}), draws=200)
        assert "give --corpus" not in html
        assert "| female | 96 | 8 |" in text

    @pytest.mark.parametrize(
        ("status", "warning"), [("method-only", "another corpus"), ("needs-weights", "weights")]
    )
    def test_a_status_stands_where_the_figure_stands(self, status, warning, make_run):
        html, _ = render(read_run(make_run("a", status=status)), draws=200)
        assert re.search(rf"<p class=warning>[^<]*{warning}", html)

    def test_shared_speakers_are_a_warning(self, make_run):
        folder = make_run("a")
        details = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        details["speaker_independent"] = False
        (folder / "run.json").write_text(json.dumps(details), encoding="utf-8")
        html, _ = render(read_run(folder), draws=200)
        assert "<p class=warning>Speakers are on both sides" in html

    @pytest.mark.parametrize(
        "shape",
        [
            {"n_speakers": 1, "each": 3, "folds": 1},
            {"n_speakers": 130, "each": 2, "folds": 130},
            {"labels": ("neutral", "anger"), "seeds": (0, 1, 10)},
            {"skill": 0.0},
        ],
        ids=["one speaker", "many speakers", "seeds", "all wrong"],
    )
    def test_odd_runs(self, shape, make_run):
        html, text = render(read_run(make_run("a", **shape)), draws=200)
        page = " ".join(Checked(html).text)
        assert "nan" not in re.findall(r"[a-z]+", page.lower())
        assert "None" not in text

    def test_threshold_of_each_fold_comes_from_the_others(self):
        folds = ["a"] * 4 + ["b"] * 4
        confidence = np.array([0.9, 0.8, 0.4, 0.3, 0.95, 0.7, 0.6, 0.2])
        correct = np.array([True, True, False, False, True, False, False, False])
        # From b: only 0.95 is right often enough, and nothing in a reaches it. From a: 0.8.
        threshold, coverage, accuracy = threshold_over_folds(confidence, correct, folds, 1.0)
        assert threshold == pytest.approx((0.95 + 0.8) / 2)
        assert coverage == pytest.approx(1 / 8)
        assert accuracy == 1.0
        assert threshold_over_folds(confidence, correct, ["a"] * 8, 1.0) is None
        assert threshold_over_folds(confidence, ~correct & False, folds, 0.9) is None


class TestWords:
    @pytest.mark.parametrize("key", keys())
    def test_both_languages_take_the_same_fields(self, key):
        english, korean = (
            {field for _, field, _, _ in Formatter().parse(text) if field} for text in keys()[key]
        )
        assert english == korean
        assert keys()[key][1].strip()

    def test_labels(self):
        assert Words("ko").labels(["anger", "no_speech", "mine"]) == "화남, 음성 없음, mine"
        assert Words("en").labels(["no_speech"]) == "no speech"


class TestBlocks:
    def test_everything_is_escaped(self):
        evil = "<script>alert('x')</script>|\n# y"
        blocks = [
            Heading(evil, 1),
            Text(evil),
            Bullets([evil]),
            Table([evil], [[evil]], folded=evil),
        ]
        page = Checked(to_html(blocks, language="en"))
        assert "script" not in page.seen
        text = to_markdown(blocks)
        assert "<script" not in text
        assert text.count("\\|") == 5
        assert not re.search(r"^# y", text, re.MULTILINE)


class TestCharts:
    def test_confusion_says_shares_of_rows_and_leaves_out_empty_ones(self):
        matrix = np.array([[3.0, 1, 0], [0, 4, 0], [0, 0, 0]])
        html = charts.confusion(matrix, ["a", "b", "c"], rows="truth", columns="answered").html
        assert html.count("<rect") == 6
        assert re.findall(r'class="mid \w+"[^>]*>(\d+)<', html) == ["75", "25", "100"]
        assert "<title>a → b: 1 / 4</title>" in html

    def test_a_curve_ends_where_its_numbers_do(self):
        html = charts.lines([([(0, 0), (1, 1)], "line")], x_title="x", y_title="y").html
        ((x0, y0), (x1, y1)) = re.findall(r"([\d.]+),([\d.]+)", html.split('points="')[1])[:2]
        assert float(x0) < float(x1)
        assert float(y0) > float(y1)
        assert "-0%" not in html

    @pytest.mark.parametrize(("low", "high"), [(0, 1), (0.6, 1), (0, 2.37), (1, 28), (0, 1e-3)])
    def test_ticks_are_few_and_inside(self, low, high):
        ticks = charts._ticks(low, high)
        assert 2 <= len(ticks) <= 11
        assert min(ticks) >= low - 1e-12
        assert max(ticks) <= high + 1e-12

    def test_spectrogram_is_a_png_of_the_levels(self):
        levels = np.full((7, 3), -100.0)
        levels[6, 0] = 0.0
        address = charts.spectrogram(levels)
        png = base64.b64decode(address.removeprefix("data:image/png;base64,"))
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", png[16:24]) == (7, 3)
        start = png.index(b"IDAT") + 4
        size = struct.unpack(">I", png[start - 8 : start - 4])[0]
        rows = np.frombuffer(zlib.decompress(png[start : start + size]), np.uint8).reshape(3, 8)
        assert rows[:, 0].tolist() == [0, 0, 0], "no filter"
        expected = np.zeros((3, 7), int)
        expected[2, 6] = 255  # lowest band at the bottom, last frame at the right
        assert rows[:, 1:].tolist() == expected.tolist()


class TestCommand:
    @pytest.fixture
    def call(self, run):
        def report(*arguments):
            outcome = run("report", *arguments)
            return outcome.code, outcome.said

        return report

    def test_page_beside_the_run(self, call, make_run):
        folder = make_run("a")
        code, err = call(folder, "--lang", "ko", "--markdown", "--refresh", "--draws", "200")
        assert code == 0
        assert "report.html" in err
        assert "감정" in (folder / "report.html").read_text(encoding="utf-8")
        assert (folder / "report.md").is_file()
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert "macro_f1" in metrics["corpora"]["emodb"]

    def test_recordings_of_a_corpus(self, call, make_run, toy_corpus, tmp_path, make_speech):
        folder = make_run("a", n_speakers=3, each=6)
        root = toy_corpus("emodb")
        files = sorted((root / "wav").glob("[01]*a*.wav"))
        for file in files[1:]:
            soundfile.write(file, make_speech(0.5), 16_000)
        table = (folder / "predictions.csv").read_text(encoding="utf-8")
        ids = sorted(set(re.findall(r"\d\d-\d\d(?=,)", table)))
        for old, file in zip(ids, files, strict=False):
            table = table.replace(f",{old},", f",{file.stem},")
        (folder / "predictions.csv").write_text(table, encoding="utf-8")
        out = tmp_path / "page.html"
        code, err = call(folder, "-o", out, "-c", f"emodb={root}", "--with-audio", "--draws", "200")
        assert code == 0, err
        sounds = re.findall(r"data:audio/flac;base64,([^\"]+)", out.read_text(encoding="utf-8"))
        assert 1 <= len(sounds) <= 10
        assert all(base64.b64decode(sound).startswith(b"fLaC") for sound in sounds)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--with-audio"], "--with-audio needs the recordings"),
            (["-c", "emodb"], "--corpus takes NAME=PATH"),
            (["-c", "ravdess=x"], "this run has no corpus 'ravdess'; it has: emodb"),
            (["-c", "emodb=nowhere"], "nowhere is not a folder"),
        ],
    )
    def test_refusals(self, arguments, message, call, make_run):
        code, err = call(make_run("a"), *arguments)
        assert code == 2
        assert message in err

    def test_not_a_run(self, call, tmp_path):
        code, err = call(tmp_path)
        assert code == 2
        assert "is no finished run" in err

    def test_needs_nothing_of_the_training_extra(self, make_run):
        import subprocess

        folder = make_run("a")
        code = (
            "import sys; sys.argv = ['ullim', 'report', sys.argv[1], '--draws', '100'];"
            "from ullim.cli import main\n"
            "try: main()\nexcept SystemExit as e: assert not e.code\n"
            "bad = {'torch', 'pandas', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)\n"
            "assert not bad, bad"
        )
        subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True)
