// Files made in the browser from answers that are already here.

import { h } from "./dom.js";
import { clock, percent, t } from "./i18n.js";
import { bitmapOf, ranked } from "./parts.js";
import { drawWaveform } from "./waveform.js";

/** Let the browser save something under a name. */
export function save(name, type, content) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = h("a", { href: address, download: name.replace(/[\\/:*?"<>|]/g, "_") });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const DRAWN = new Set(["picture", "waveform"]);

/** Return answers as JSON, without the drawing data. */
export function jsonOf(answers) {
  return `${JSON.stringify(answers, (key, value) => (DRAWN.has(key) ? undefined : value), 2)}\n`;
}

/** Return a timeline as CSV, a row for each stretch. */
export function csvOfTimeline(prediction) {
  const timeline = prediction.timeline ?? [];
  const labels = labelsOf(timeline);
  const rows = timeline.map((one) => [
    prediction.file,
    one.start_s,
    one.end_s,
    one.status ?? (one.label ? "ok" : "no_speech"),
    one.label ?? "",
    one.confidence ?? one.scores?.[one.label] ?? "",
    ...labels.map((label) => one.scores?.[label] ?? ""),
  ]);
  return csv([["file", "start_s", "end_s", "status", "label", "confidence", ...labels], ...rows]);
}

/** Return one row for each recording. */
export function csvOfAll(predictions) {
  const labels = labelsOf(predictions);
  const rows = predictions.map((one) => [
    one.file,
    one.model ?? "",
    one.duration_s ?? "",
    one.status,
    one.label ?? "",
    one.confidence ?? "",
    ...labels.map((label) => one.scores?.[label] ?? ""),
  ]);
  return csv([["file", "model", "duration_s", "status", "label", "confidence", ...labels], ...rows]);
}

function labelsOf(answers) {
  return [...new Set(answers.flatMap((one) => Object.keys(one.scores ?? {})))];
}

function csv(rows) {
  // With the mark at its head, spreadsheets read the Korean of file names as UTF-8.
  return `\uFEFF${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

function cell(value) {
  let text = String(value);
  // A spreadsheet would take such a name for a formula.
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const WIDTH = 1200;
const EDGE = 56;
const INK = "#1d2027";
const SOFT = "#5b6070";
const LINE = "#d9d9d2";

/** Save an answer as a PNG: the verdict, the waveform with its names, the bars, the spectrogram. */
export async function savePicture(name, prediction, nameOf, words) {
  const bitmap = prediction.picture?.png_base64 ? await bitmapOf(prediction.picture.png_base64) : null;
  const scores = ranked(prediction.scores ?? {});
  const inner = WIDTH - 2 * EDGE;
  const barsTop = 430;
  const pictureTop = barsTop + scores.length * 38 + 24;
  const pictureHeight = bitmap ? Math.min(260, (bitmap.height * inner) / bitmap.width) : 0;
  const canvas = h("canvas", { width: WIDTH, height: pictureTop + pictureHeight + EDGE });
  const context = canvas.getContext("2d");
  const family = getComputedStyle(document.body).fontFamily;
  const write = (text, x, y, size, { colour = INK, weight = 400, align = "left", most } = {}) => {
    context.font = `${weight} ${size}px ${family}`;
    context.fillStyle = colour;
    context.textAlign = align;
    context.fillText(text, x, y, most);
  };
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  write(prediction.file, EDGE, 76, 34, { weight: 650, most: inner - 120 });
  write("ullim", WIDTH - EDGE, 76, 26, { colour: SOFT, align: "right" });
  write(words, EDGE, 122, 25, { colour: SOFT, most: inner });

  const colour = (label) => lightColour(label);
  context.save();
  context.translate(EDGE, 150);
  drawWaveform(context, prediction, { width: inner, height: 170, colour, line: LINE });
  context.restore();
  for (const segment of prediction.timeline ?? []) {
    const x = EDGE + (inner * segment.start_s) / prediction.duration_s;
    const width = (inner * (segment.end_s - segment.start_s)) / prediction.duration_s;
    context.fillStyle = colour(segment.label);
    context.fillRect(x, 332, Math.max(1, width - 2), 6);
    if (segment.label && width > 70) write(nameOf(segment.label), x, 362, 20, { most: width - 8 });
  }
  write(clock(0), EDGE, 392, 18, { colour: SOFT });
  write(clock(prediction.duration_s), WIDTH - EDGE, 392, 18, { colour: SOFT, align: "right" });

  scores.forEach(([label, p], row) => {
    const y = barsTop + row * 38;
    write(nameOf(label), EDGE, y + 22, 22, { most: 190 });
    context.fillStyle = "#efeeea";
    context.fillRect(EDGE + 200, y + 4, inner - 300, 22);
    context.fillStyle = colour(label);
    context.fillRect(EDGE + 200, y + 4, Math.max(2, (inner - 300) * p), 22);
    write(percent(p), WIDTH - EDGE, y + 22, 22, { align: "right" });
  });
  if (bitmap) context.drawImage(bitmap, EDGE, pictureTop, inner, pictureHeight);
  write(
    `${t("model")}: ${prediction.model ?? ""} · ${new Date().toISOString().slice(0, 10)}`,
    EDGE,
    canvas.height - 20,
    18,
    { colour: SOFT },
  );
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  save(name, "image/png", blob);
}

/** The picture is on white whatever the screen: the light colours are kept as `--light-…`. */
function lightColour(label) {
  const styles = getComputedStyle(document.documentElement);
  return styles.getPropertyValue(`--light-${label ?? "silent"}`).trim() || styles.getPropertyValue("--light-neutral").trim();
}
