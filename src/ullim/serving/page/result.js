// One recording's answer: the verdict in words, the probabilities, the waveform, the cues.

import { cuesView } from "./cues.js";
import { button, h } from "./dom.js";
import { csvOfTimeline, jsonOf, save, savePicture } from "./downloads.js";
import { clock, percent, t } from "./i18n.js";
import { bars, bitmapOf, reason, swatch, timelineTable, verdict } from "./parts.js";
import { Player } from "./player.js";
import { Waveform } from "./waveform.js";

export class Result {
  /**
   * @param {Blob} blob The recording; only this page holds it, until it is removed.
   * @param {Object} prediction The service's answer.
   * @param {(label: string|null) => string} nameOf The word for a label.
   * @param {{onRemove: (result: Result) => void}} listeners
   */
  constructor(blob, prediction, nameOf, listeners) {
    Object.assign(this, { blob, prediction, nameOf, listeners });
    this.element = h("li", { class: "result" });
    this.open = new Map([["whole", true], ["cues", true]]);
    this.player = new Player(blob, {
      onMove: (seconds) => this.moved(seconds),
      onState: () => this.showPlaying(),
    });
    this.render();
  }

  /** Stop playing and let go of everything. */
  close() {
    this.player.close();
    this.waveform?.close();
    this.element.remove();
  }

  setOpen(open) {
    this.open.set("whole", open);
    this.element.querySelector("details").open = open;
  }

  /** Say it all anew, in the language of the page. */
  render() {
    this.waveform?.close();
    this.waveform = null;
    const { prediction } = this;
    const inside =
      prediction.status === "error"
        ? [this.failure()]
        : [this.answer(), this.sound(), this.table(), this.cues(), this.picture()];
    this.element.replaceChildren(
      this.folding("whole", "", this.summary(), [...inside, this.buttons()]),
    );
    this.element.querySelector(".inside").classList.toggle("flat", prediction.status === "error");
    this.showPlaying();
  }

  /** Return the verdict in one line, for the status line of screen readers. */
  words() {
    return `${verdict(this.prediction, this.nameOf)}. ${reason(this.prediction, this.nameOf)}`;
  }

  summary() {
    const { prediction } = this;
    const sure = prediction.status === "ok";
    return [
      h("h3", {}, prediction.file),
      h("span", { class: "length" }, prediction.duration_s ? `${clock(prediction.duration_s)} · ${prediction.model}` : ""),
      h(
        "span",
        { class: `chip ${prediction.status}` },
        sure ? swatch(prediction.label) : null,
        verdict(prediction, this.nameOf),
        sure ? ` ${percent(prediction.confidence)}` : null,
      ),
    ];
  }

  /** What went wrong in the language of the page, and the service's own words, which are English. */
  failure() {
    const { error } = this.prediction;
    const words = reason(this.prediction, this.nameOf);
    const detail = error.detail && error.detail !== words ? error.detail : null;
    return h("div", {}, h("p", {}, words), detail ? h("p", { class: "hint", lang: "en" }, detail) : null);
  }

  answer() {
    const { prediction } = this;
    const { status, label } = prediction;
    return h(
      "div",
      { class: "answer" },
      h(
        "div",
        { class: `verdict ${status}`, dataset: { emotion: status === "ok" ? label : "silent" } },
        status === "ok" ? h("p", { class: "caption" }, t("sounds_like")) : null,
        h("p", { class: "big" }, status === "ok" ? swatch(label) : null, verdict(prediction, this.nameOf)),
        h("p", { class: "why" }, reason(prediction, this.nameOf)),
      ),
      status === "no_speech" ? null : bars(prediction.scores ?? {}, this.nameOf),
    );
  }

  sound() {
    const { prediction } = this;
    this.waveform = new Waveform(prediction, this.nameOf, {
      onSeek: (seconds) => this.player.seek(seconds),
      onToggle: () => this.toggle(),
    });
    this.playButton = button("", () => this.toggle(), { class: "play" });
    this.clock = h("span", { class: "clock" });
    this.soundNotice = h("p", { class: "hint", role: "status" });
    this.waveform.move(this.player.now_s());
    return h(
      "div",
      { class: "sound", role: "group", "aria-label": t("timeline") },
      h("div", { class: "sound-row" }, this.playButton, this.waveform.element),
      h("div", { class: "sound-foot" }, this.clock, this.soundNotice),
    );
  }

  async toggle() {
    try {
      await this.player.toggle();
      this.soundNotice.textContent = "";
    } catch {
      this.soundNotice.textContent = t("cannot_play");
    }
  }

  moved(seconds) {
    this.waveform?.move(seconds);
    this.showTime();
  }

  showTime() {
    if (!this.clock) return;
    this.clock.textContent = `${clock(this.player.now_s())} / ${clock(this.prediction.duration_s ?? 0)}`;
  }

  showPlaying() {
    if (!this.playButton) return;
    const playing = this.player.playing;
    this.playButton.classList.toggle("playing", playing);
    this.playButton.setAttribute("aria-label", `${t(playing ? "pause" : "play")}: ${this.prediction.file}`);
    this.showTime();
  }

  table() {
    const timeline = this.prediction.timeline ?? [];
    if (timeline.length === 0) return null;
    return this.folding("table", "inner", t("timeline_table"), timelineTable(timeline, this.nameOf));
  }

  cues() {
    if (!this.prediction.cues || this.prediction.status === "no_speech") return null;
    return this.folding("cues", "inner", t("cues"), cuesView(this.prediction.cues));
  }

  picture() {
    const { picture } = this.prediction;
    if (!picture?.png_base64) return null;
    const canvas = h("canvas", { class: "picture", role: "img", "aria-label": picture.alt ?? t("picture") });
    drawPng(canvas, picture.png_base64);
    return this.folding("picture", "inner", t("picture"), [canvas, h("p", { class: "hint" }, t("picture_words"))]);
  }

  buttons() {
    const { prediction } = this;
    const base = prediction.file.replace(/\.[^.]+$/, "");
    const labelled = (kind, listener) =>
      button(t(kind), listener, { "aria-label": t("save_of", { kind: t(kind), name: prediction.file }) });
    return h(
      "div",
      { class: "buttons result-buttons" },
      prediction.status === "error"
        ? null
        : [
            h("span", { class: "hint" }, t("save")),
            labelled("save_json", () => save(`${base}.json`, "application/json", jsonOf(prediction))),
            labelled("save_csv", () => save(`${base}.csv`, "text/csv", csvOfTimeline(prediction))),
            labelled("save_picture", () => savePicture(`${base}.png`, prediction, this.nameOf, this.words())),
          ],
      button(t("remove"), () => this.listeners.onRemove(this), {
        class: "quiet last",
        "aria-label": t("remove_of", { name: prediction.file }),
      }),
    );
  }

  /** A `details` that stays open or closed when the page is said anew. */
  folding(name, kind, summary, children) {
    return h(
      "details",
      {
        class: kind,
        open: this.open.get(name) ?? false,
        on: { toggle: (event) => event.target === event.currentTarget && this.open.set(name, event.target.open) },
      },
      h("summary", {}, summary),
      h("div", { class: "inside" }, children),
    );
  }
}

/** Paint a PNG on a canvas: unlike an `img`, that needs no `data:` or `blob:` address. */
async function drawPng(canvas, base64) {
  const bitmap = await bitmapOf(base64);
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}
