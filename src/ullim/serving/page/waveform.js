// The waveform of one recording, coloured by what was heard, with a strip of names below it; a
// slider to a screen reader and to the keyboard.

import { colourOf, fit, h, token } from "./dom.js";
import { clock, t } from "./i18n.js";
import { segmentWords } from "./parts.js";

const STEP_S = 1;
const PAGE_S = 10;

export class Waveform {
  /**
   * @param {Object} prediction One of the service's, with `waveform` and `timeline`.
   * @param {(label: string|null) => string} nameOf The word for a label.
   * @param {{onSeek: (s: number) => void, onToggle: () => void}} listeners
   */
  constructor(prediction, nameOf, listeners) {
    this.prediction = prediction;
    this.nameOf = nameOf;
    this.listeners = listeners;
    this.duration_s = prediction.duration_s || 1;
    this.position_s = 0;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.cursor = h("span", { class: "cursor", "aria-hidden": "true" });
    this.slider = h(
      "div",
      {
        class: "wave",
        role: "slider",
        tabindex: "0",
        "aria-label": `${t("waveform", { name: prediction.file })}. ${t("waveform_keys")}`,
        "aria-valuemin": "0",
        "aria-valuemax": this.duration_s.toFixed(1),
        on: {
          pointerdown: (event) => this.drag(event),
          pointermove: (event) => event.buttons === 1 && this.drag(event),
          keydown: (event) => this.key(event),
        },
      },
      this.canvas,
      this.cursor,
    );
    this.element = h("div", { class: "wave-box" }, this.slider, this.strip());
    this.move(0);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.slider);
  }

  /** Stop watching the size. */
  close() {
    this.resized.disconnect();
  }

  /** Show a position. */
  move(seconds) {
    this.position_s = Math.min(Math.max(0, seconds), this.duration_s);
    const segment = segmentAt(this.prediction.timeline ?? [], this.position_s);
    this.cursor.style.setProperty("inset-inline-start", `${(100 * this.position_s) / this.duration_s}%`);
    this.slider.setAttribute("aria-valuenow", this.position_s.toFixed(1));
    this.slider.setAttribute(
      "aria-valuetext",
      t("position", {
        time: clock(this.position_s),
        total: clock(this.duration_s),
        label: segmentWords(segment, this.nameOf),
      }),
    );
  }

  strip() {
    return h(
      "div",
      { class: "strip", "aria-hidden": "true" },
      (this.prediction.timeline ?? []).map((segment) =>
        h(
          "span",
          {
            class: `piece ${segment.label ? segment.status : "none"}`,
            dataset: { emotion: segment.label ?? "silent" },
            title: `${clock(segment.start_s)}–${clock(segment.end_s)} ${segmentWords(segment, this.nameOf)}`,
            style: { "flex-grow": String(segment.end_s - segment.start_s) },
          },
          h("span", { class: "piece-name" }, segment.label ? `${this.nameOf(segment.label)}${segment.status === "uncertain" ? "?" : ""}` : ""),
        ),
      ),
    );
  }

  draw() {
    const { context, width, height } = fit(this.canvas);
    drawWaveform(context, this.prediction, { width, height });
  }

  drag(event) {
    if (event.button !== 0 && event.type === "pointerdown") return;
    this.slider.setPointerCapture?.(event.pointerId);
    const box = this.slider.getBoundingClientRect();
    this.listeners.onSeek(((event.clientX - box.left) / box.width) * this.duration_s);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const to = {
      ArrowRight: this.position_s + STEP_S,
      ArrowUp: this.position_s + STEP_S,
      ArrowLeft: this.position_s - STEP_S,
      ArrowDown: this.position_s - STEP_S,
      PageUp: this.position_s + PAGE_S,
      PageDown: this.position_s - PAGE_S,
      Home: 0,
      End: this.duration_s,
    }[event.key];
    if (to !== undefined) this.listeners.onSeek(Math.min(Math.max(0, to), this.duration_s));
    else if (event.key === " ") this.listeners.onToggle();
    else return;
    event.preventDefault();
  }
}

/** Return the stretch of a timeline that a time lies in. */
export function segmentAt(timeline, seconds) {
  return timeline.find((one) => seconds >= one.start_s && seconds < one.end_s) ?? timeline.at(-1);
}

/** Draw the waveform of a prediction from (0, 0) into a box, on the page or in a saved picture. */
export function drawWaveform(context, prediction, { width, height, colour = colourOf, line = token("--line") }) {
  const { peaks = [], hop_s: hop = 1 } = prediction.waveform ?? {};
  const middle = height / 2;
  context.fillStyle = line;
  context.fillRect(0, middle - 0.5, width, 1);
  if (peaks.length === 0) return;
  const loudest = peaks.reduce((most, [low, high]) => Math.max(most, -low, high), 0.02);
  const bar = 2;
  const step = 3;
  const duration_s = prediction.duration_s || peaks.length * hop;
  const timeline = prediction.timeline ?? [];
  let segment = 0;
  for (let x = 0; x + bar <= width; x += step) {
    const start_s = (x / width) * duration_s;
    const first = Math.min(Math.floor(start_s / hop), peaks.length - 1);
    const last = Math.max(first + 1, Math.floor((((x + step) / width) * duration_s) / hop));
    let [low, high] = [0, 0];
    for (const [down, up] of peaks.slice(first, last)) {
      low = Math.min(low, down);
      high = Math.max(high, up);
    }
    while (segment < timeline.length - 1 && start_s >= timeline[segment].end_s) segment += 1;
    context.fillStyle = colour(timeline[segment]?.label ?? (timeline.length ? null : prediction.label));
    const top = middle - (high / loudest) * (middle - 2);
    const bottom = middle - (low / loudest) * (middle - 2);
    context.beginPath();
    context.roundRect(x, Math.min(top, middle - 1), bar, Math.max(2, bottom - top), 1);
    context.fill();
  }
}
