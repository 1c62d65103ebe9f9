// The pieces that answers are shown with, in a result and in live mode alike.

import { h } from "./dom.js";
import { clock, percent, t, wordsOf } from "./i18n.js";

/** Return the answer in a word or two. */
export function verdict(prediction, nameOf) {
  return prediction.status === "ok" ? nameOf(prediction.label) : t(prediction.status);
}

/** Return what stands behind the answer, in a sentence. */
export function reason(prediction, nameOf) {
  if (prediction.status === "error") return wordsOf(prediction.error);
  if (prediction.status === "no_speech") return t("no_speech_words");
  const [, second] = ranked(prediction.scores ?? {});
  return t(`${prediction.status}_words`, {
    label: nameOf(prediction.label),
    second: second ? nameOf(second[0]) : "",
    percent: percent(prediction.confidence),
  });
}

/** Return labels and probabilities, the most probable first. */
export function ranked(scores) {
  return Object.entries(scores).sort(([, a], [, b]) => b - a);
}

/** Return a dab of an emotion's colour and pattern. */
export function swatch(label) {
  return h("span", { class: "swatch", dataset: { emotion: label ?? "silent" }, "aria-hidden": "true" });
}

/** Return the probabilities as bars with names and numbers. */
export function bars(scores, nameOf, order = ranked(scores)) {
  return h(
    "ul",
    { class: "bars", role: "list", "aria-label": t("probabilities") },
    order.map(([label, p]) =>
      h(
        "li",
        { dataset: { emotion: label } },
        h("span", { class: "bar-name" }, nameOf(label)),
        h("span", { class: "bar", "aria-hidden": "true" }, h("span", { style: { "inline-size": `${Math.max(0.6, 100 * p)}%` } })),
        h("span", { class: "bar-number" }, percent(p)),
      ),
    ),
  );
}

/** Return what was heard in a stretch. */
export function segmentWords(segment, nameOf) {
  if (!segment?.label) return t("silence");
  const label = nameOf(segment.label);
  return segment.status === "ok" || !segment.status ? label : t("unsure", { label });
}

/** Return a timeline as a table. */
export function timelineTable(timeline, nameOf) {
  return h(
    "div",
    { class: "wide", tabindex: "0", role: "group", "aria-label": t("timeline_table") },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["from", "to", "emotion", "probability"].map((key) => h("th", { scope: "col" }, t(key))))),
      h(
        "tbody",
        {},
        timeline.map((segment) => timelineRow(segment, nameOf)),
      ),
    ),
  );
}

/** Return a stretch as a row of that table. */
export function timelineRow(segment, nameOf) {
  const p = segment.confidence ?? segment.scores?.[segment.label];
  const known = segment.label && p !== undefined && p !== null;
  return h(
    "tr",
    {},
    h("td", {}, clock(segment.start_s)),
    h("td", {}, clock(segment.end_s)),
    h("td", {}, swatch(segment.label), segmentWords(segment, nameOf)),
    h("td", {}, known ? percent(p) : ""),
  );
}

/** Return the bitmap of a PNG in Base64. */
export function bitmapOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}
