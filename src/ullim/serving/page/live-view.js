// Live mode: what is heard now, the last seconds as a moving waveform, and what was heard so far.

import { button, colourOf, fit, h, id, say, token } from "./dom.js";
import { clock, t } from "./i18n.js";
import { bars, reason, swatch, timelineRow, timelineTable, verdict } from "./parts.js";
import { csvOfTimeline, jsonOf, save } from "./downloads.js";

const SHOWN_S = 15;
// Enough for the seconds shown, at two a second and more.
const MOST_PARTIALS = 60;

export class LiveView {
  /** @param {(label: string|null) => string} nameOf The word for a label. */
  constructor(nameOf) {
    this.nameOf = nameOf;
    this.reset();
    this.now = h("div", { class: "live-now" });
    this.canvas = h("canvas", { class: "live-wave", role: "img" });
    this.said = h("div", { class: "live-said" });
    id("live-view").replaceChildren(this.now, this.canvas, this.said);
    this.render();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  reset() {
    Object.assign(this, { peaks: [], piece_s: 0, length_s: 0, segments: [], partials: [], partial: null, voice: false });
    Object.assign(this, { running: false, connected: true, labels: null });
  }

  /** Begin anew. */
  start(model) {
    this.reset();
    this.model = model;
    this.running = true;
    this.render();
    const frame = () => {
      this.draw();
      if (this.running) requestAnimationFrame(frame);
    };
    frame();
  }

  stop() {
    this.running = false;
    this.partial = null;
    this.render();
  }

  /** Take in how loud a piece of sound was. */
  hear(peak, seconds) {
    this.piece_s = seconds;
    this.length_s += seconds;
    this.peaks.push(peak);
    if (this.peaks.length * seconds > SHOWN_S) this.peaks.shift();
  }

  connection(open) {
    this.connected = open;
    this.renderNow();
  }

  /** Take in an event of the service. */
  take(event) {
    if (event.type === "voice") {
      this.voice = Boolean(event.active);
    } else if (event.type === "partial") {
      this.partial = event;
      this.partials = [...this.partials.slice(-MOST_PARTIALS), event];
    } else if (event.type === "final") {
      this.partial = null;
      this.segments.push(event);
      say(`${clock(event.start_s)}: ${verdict(event, this.nameOf)}`);
      this.addSaid(event);
    } else {
      return;
    }
    this.renderNow();
  }

  render() {
    this.canvas.setAttribute("aria-label", t("live_level"));
    this.renderNow();
    this.renderSaid();
    this.draw();
  }

  renderNow() {
    const shown = this.partial ?? (this.running ? this.segments.at(-1) : null);
    const sure = shown?.status === "ok";
    let words = t("live_idle");
    if (this.running) words = t(this.connected ? (this.voice ? "live_hears" : "live_quiet") : "live_reconnecting");
    // Bars that change places several times a second cannot be read: they keep the model's order.
    this.labels ??= shown?.scores && Object.keys(shown.scores).length > 0 ? Object.keys(shown.scores) : null;
    this.now.replaceChildren(
      h("p", { class: "caption" }, words),
      shown
        ? h(
            "div",
            { class: "answer" },
            h(
              "div",
              { class: "verdict" },
              h("p", { class: "big" }, sure ? swatch(shown.label) : null, verdict(shown, this.nameOf)),
              h("p", { class: "why" }, reason(shown, this.nameOf)),
            ),
            this.labels && shown.scores
              ? bars({}, this.nameOf, this.labels.map((label) => [label, shown.scores[label] ?? 0]))
              : null,
          )
        : "",
    );
  }

  renderSaid() {
    if (this.segments.length === 0) {
      this.said.replaceChildren();
      return;
    }
    this.said.replaceChildren(
      h("h3", {}, t("live_said")),
      timelineTable(this.segments, this.nameOf),
      h(
        "div",
        { class: "buttons" },
        h("span", { class: "hint" }, t("save")),
        button(t("save_json"), () => save("live.json", "application/json", jsonOf(this.heard()))),
        button(t("save_csv"), () => save("live.csv", "text/csv", csvOfTimeline(this.heard()))),
      ),
    );
  }

  /** Add a row, so that what has the focus keeps it. */
  addSaid(event) {
    const rows = this.said.querySelector("tbody");
    if (!rows) {
      this.renderSaid();
      return;
    }
    rows.append(timelineRow(event, this.nameOf));
    const box = rows.closest(".wide");
    box.scrollTop = box.scrollHeight;
  }

  heard() {
    const timeline = this.segments.map(({ type, segment, ...heard }) => heard);
    return { file: "live", model: this.model, timeline };
  }

  draw() {
    if (!this.canvas.clientWidth) return;
    const { context, width, height } = fit(this.canvas);
    context.fillStyle = token("--line");
    context.fillRect(0, height / 2 - 0.5, width, 1);
    if (this.peaks.length === 0) return;
    const first_s = this.length_s - this.peaks.length * this.piece_s;
    const step = Math.max(2, (width * this.piece_s) / SHOWN_S);
    // The newest stands at the right edge.
    const left = width - this.peaks.length * step;
    const colours = new Map();
    this.peaks.forEach((peak, index) => {
      const label = this.labelAt(first_s + index * this.piece_s);
      if (!colours.has(label)) colours.set(label, colourOf(label));
      const tall = Math.max(2, Math.sqrt(peak) * (height - 4));
      context.fillStyle = colours.get(label);
      context.beginPath();
      context.roundRect(left + index * step, (height - tall) / 2, Math.max(1, step - 1.5), tall, 1);
      context.fill();
    });
  }

  labelAt(seconds) {
    const over = (one) => seconds >= one.start_s && seconds < one.end_s;
    // What is final counts; before that, the latest of the partial answers over that moment.
    return (this.segments.findLast(over) ?? this.partials.findLast(over))?.label ?? null;
  }
}
