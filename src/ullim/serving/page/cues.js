// The seven voice cues: where each lies against neutral speech, and the service's own sentences.

import { h } from "./dom.js";
import { t } from "./i18n.js";

const CUES = ["speech_rate", "pitch_average", "pitch_range", "intensity", "voice_quality", "pitch_changes", "articulation"];
const DEGREES = ["alike", "slight", "clear", "strong"];
// Beyond this many spreads a difference is drawn at the end of its line.
const FAR = 5;

/** Return the voice cues of a recording: `words` as sentences, `profile` as marks on seven lines. */
export function cuesView(cues) {
  const words = cues?.words ?? [];
  const differences = cues?.profile?.differences ?? [];
  if (words.length === 0) return [h("p", { class: "hint" }, t("cues_none"))];
  return [
    differences.length > 0 ? lines(differences) : null,
    h("ul", { class: "cue-words" }, words.map((line) => h("li", {}, upper(line)))),
  ];
}

function lines(differences) {
  return h(
    "ul",
    { class: "cues", role: "list" },
    h(
      "li",
      { class: "cue-scale", "aria-hidden": "true" },
      h("span", {}),
      h("span", {}, ["less", "same", "more"].map((key) => h("span", {}, t(`cue_${key}`)))),
    ),
    CUES.map((cue) => {
      const known = differences.filter((one) => one.cue === cue && one.z !== null);
      const greatest = known.map((one) => DEGREES.indexOf(one.degree)).sort((a, b) => b - a)[0];
      return h(
        "li",
        {},
        h("span", { class: "cue-name" }, t(`cue_${cue}`)),
        h("span", { class: "cue-line", "aria-hidden": "true" }, known.map((one) => mark(one.z))),
        h("span", { class: "cue-degree" }, t(known.length ? `degree_${DEGREES[greatest]}` : "degree_unknown")),
      );
    }),
  );
}

function mark(z) {
  const place = 50 + (50 * Math.max(-FAR, Math.min(FAR, z))) / FAR;
  return h("i", { style: { "inset-inline-start": `${place}%` } });
}

function upper(line) {
  return line.charAt(0).toUpperCase() + line.slice(1);
}
