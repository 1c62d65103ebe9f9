// The language of the page: which it is, its words, its numbers.

import { STRINGS } from "./strings.js";

export const LANGUAGES = Object.keys(STRINGS);

let language = "en";

/** Return the language in use, `en` or `ko`. */
export function lang() {
  return language;
}

/** Use a language from here on, and say it in every element that names a string. */
export function setLanguage(name) {
  language = LANGUAGES.includes(name) ? name : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-i18n]")) {
    element.textContent = t(element.dataset.i18n);
  }
}

/** Return the words of a key, with `{name}` filled in. */
export function t(key, values = {}) {
  const words = STRINGS[language][key] ?? STRINGS.en[key];
  if (words === undefined) throw new Error(`no words for ${key}`);
  return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Return a probability as whole percent. */
export function percent(p) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(p);
}

/** Return seconds as `m:ss.d`. */
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.round(Math.max(0, seconds) * scale);
  const minutes = Math.floor(whole / (60 * scale));
  const rest = ((whole - minutes * 60 * scale) / scale).toFixed(digits);
  return `${minutes}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
}

/** Return what to say of an error: ours by its code, or else what the service says. */
export function wordsOf(error) {
  if (`code_${error.code}` in STRINGS.en) return t(`code_${error.code}`);
  if (error.name === "NotAllowedError") return t("error_denied");
  if (error.name === "NotFoundError") return t("error_no_microphone");
  if (error.name === "NoSoundError") return t("error_no_sound");
  if (error.code === "unreachable") return t("error_unreachable");
  if (error.code === "bad_answer" && !error.detail) return t("error_bad_answer", error);
  return error.detail || error.title || t("error_unexpected", { detail: error.message ?? error.code });
}
