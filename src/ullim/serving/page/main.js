// Brings the page together: choices, sources, and the list of results.

import { listModels, onTokenNeeded, predict, showModel } from "./api.js";
import { button, h, id, say } from "./dom.js";
import { csvOfAll, jsonOf, save } from "./downloads.js";
import { lang, LANGUAGES, setLanguage, t, wordsOf } from "./i18n.js";
import { LiveView } from "./live-view.js";
import { markdown } from "./markdown.js";
import { Result } from "./result.js";
import { live, recorder, tabs, upload } from "./sources.js";

const INCLUDE = ["timeline", "waveform", "picture", "cues"];
const LIMITS = ["limit_acted", "limit_people", "limit_wrong", "limit_consent", "limit_kept"];

const state = { models: [], results: [], recordings: 0, names: new Map(), asking: Promise.resolve(), stop: new AbortController() };
const remember = (key, value) => {
  try {
    localStorage.setItem(`ullim-${key}`, value);
  } catch {
    // A browser that forbids storage has the choice made anew each time.
  }
};
const remembered = (key) => {
  try {
    return localStorage.getItem(`ullim-${key}`);
  } catch {
    return null;
  }
};

/** The word for a label, in the language of the page; labels of a person's own model are shown as
 * they are. */
function nameOf(label) {
  if (!label) return t("silence");
  const names = state.names.get(label);
  const name = names?.[lang()] ?? names?.en ?? label;
  return upper(name);
}

function upper(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function notice(error) {
  const words = typeof error === "string" ? error : wordsOf(error);
  id("notice").replaceChildren(
    h("p", { class: "notice error" }, words, button(t("close"), clearNotice, { class: "quiet" })),
  );
}

function clearNotice() {
  id("notice").replaceChildren();
}

// -- choices ---------------------------------------------------------------------------------

async function loadModels() {
  try {
    const { default: first, models } = await listModels();
    state.models = models;
    for (const model of models) for (const label of model.labels) state.names.set(label.name, label);
    if (models.length === 0) notice(t("no_models"));
    const wanted = remembered("model");
    const chosen = models.some((model) => model.name === wanted) ? wanted : first;
    id("model").replaceChildren(
      ...models.map((model) => h("option", { value: model.name, selected: model.name === chosen }, model.name)),
    );
    id("model").disabled = models.length === 0;
    showModelChoice();
  } catch (error) {
    id("notice").replaceChildren(
      h("p", { class: "notice error" }, wordsOf(error), button(t("retry"), () => { clearNotice(); loadModels(); })),
    );
  }
}

function chosenModel() {
  return state.models.find((model) => model.name === id("model").value) ?? null;
}

function showModelChoice() {
  const model = chosenModel();
  id("about-model").disabled = !model;
  id("model-facts").replaceChildren(
    ...(model ? [h("span", {}, upper(model.title)), " ", h("span", {}, t("model_licence", { licence: model.licence }))] : []),
  );
  const ticked = new Set(chosenLabels() ?? []);
  id("labels").replaceChildren(
    ...(model?.labels ?? []).map((label) =>
      h("label", {}, h("input", { type: "checkbox", value: label.name, checked: ticked.has(label.name) }), nameOf(label.name)),
    ),
  );
}

function chosenLabels() {
  const ticked = [...id("labels").querySelectorAll("input:checked")].map((one) => one.value);
  return ticked.length >= 2 ? ticked : null;
}

async function showCard() {
  const model = chosenModel();
  if (!model) return;
  const body = id("card-body");
  body.removeAttribute("lang");
  body.replaceChildren(t("record_busy"));
  id("card").showModal();
  try {
    const { card } = await showModel(model.name);
    body.replaceChildren(...markdown(card ?? "", 3));
    body.lang = "en"; // cards are written in English, whatever the page speaks
    body.scrollTop = 0;
  } catch (error) {
    body.replaceChildren(wordsOf(error));
  }
}

// -- asking ----------------------------------------------------------------------------------

function ask(blob, name) {
  clearNotice();
  const question = {
    name,
    model: id("model").value || null,
    labels: chosenLabels(),
    lang: lang(),
    include: INCLUDE,
    signal: state.stop.signal,
  };
  const words = h("span", {}, t("listening", { name }));
  const waiting = h("li", { class: "result waiting" }, h("span", { class: "spinner", "aria-hidden": "true" }), words);
  id("list").prepend(waiting);
  showResults();
  say(words.textContent);
  waiting.scrollIntoView({ block: "nearest" });
  // One after the other: the service is shared, and the first answers come soonest that way.
  state.asking = state.asking.then(async () => {
    let prediction;
    try {
      prediction = await predict(blob, question, (seconds) => {
        words.textContent = t("waiting", { seconds: Math.ceil(seconds) });
      });
    } catch (error) {
      if (error.name === "AbortError") return;
      const { code, detail, title, status, message } = error;
      prediction = { status: "error", error: { code, detail, title, status, message } };
    }
    show(waiting, blob, { ...prediction, file: name });
  });
}

function show(waiting, blob, prediction) {
  if (!waiting.isConnected) return; // cleared meanwhile
  const result = new Result(blob, prediction, nameOf, { onRemove: remove });
  result.lang = lang();
  waiting.replaceWith(result.element);
  state.results.push(result);
  // Alone it is shown whole; among others all but the first are a line each.
  result.setOpen(state.results.length === 1 || prediction.status === "error");
  showResults();
  // On a phone the answer would otherwise begin below what is seen.
  const low = result.element.getBoundingClientRect().top > 0.5 * window.innerHeight;
  if (low && !document.querySelector(".waiting")) result.element.scrollIntoView({ block: "start" });
  say(t("announce_result", { name: prediction.file, words: result.words() }));
}

function remove(result) {
  result.close();
  state.results = state.results.filter((one) => one !== result);
  showResults();
  id("main").focus();
}

function clear() {
  state.stop.abort();
  state.stop = new AbortController();
  for (const result of state.results) result.close();
  state.results = [];
  id("list").replaceChildren();
  showResults();
  id("main").focus();
}

function showResults() {
  id("results").hidden = id("list").childElementCount === 0;
  const answers = state.results.filter((one) => one.prediction.status !== "error").map((one) => one.prediction);
  id("all-buttons").replaceChildren(
    ...(answers.length > 1
      ? [
          h("span", { class: "hint" }, t("save_all")),
          button(t("save_json"), () => save("ullim.json", "application/json", jsonOf(answers))),
          button(t("save_csv"), () => save("ullim.csv", "text/csv", csvOfAll(answers))),
        ]
      : []),
    ...(state.results.length > 1 ? [button(t("clear"), clear)] : []),
  );
}

/** The service words the cues and the picture: after a change of language it is asked for them. */
async function reword(result) {
  const { prediction, blob } = result;
  if (result.lang === lang() || prediction.status === "error" || prediction.status === "no_speech") return;
  const wanted = lang();
  try {
    const asked = { name: prediction.file, model: prediction.model, labels: null, lang: wanted, include: ["cues", "picture"] };
    const { cues, picture } = await predict(blob, asked);
    if (lang() !== wanted) return;
    result.prediction = { ...prediction, cues, picture };
    result.lang = wanted;
    result.render();
  } catch {
    // The answer stands in its first language.
  }
}

// -- the page --------------------------------------------------------------------------------

function speak(language) {
  setLanguage(language);
  document.title = `ullim 울림 · ${t("title")}`;
  id("limits-list").replaceChildren(...LIMITS.map((key) => h("li", {}, t(key))));
  for (const input of document.querySelectorAll("[name=language]")) input.checked = input.value === lang();
}

function askForToken() {
  const dialog = id("token");
  const input = id("token-input");
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? input.value.trim() : null), { once: true });
  });
}

function start() {
  const first = navigator.language?.startsWith("ko") ? "ko" : "en";
  const wanted = remembered("language");
  speak(LANGUAGES.includes(wanted) ? wanted : first);
  const view = new LiveView(nameOf);
  const listening = live({
    view,
    asked: () => ({ model: id("model").value || null, labels: chosenLabels() }),
    onError: notice,
  });
  const recording = recorder({
    onRecording: (blob) => ask(blob, `${t("recording_name", { n: (state.recordings += 1) })}.wav`),
    onError: notice,
  });
  tabs((left) => {
    if (left === "tab-record") recording.turnOff();
    if (left === "tab-live") listening.turnOff();
  });
  upload((files) => files.forEach((file) => ask(file, file.name)));
  for (const input of document.querySelectorAll("[name=language]")) {
    input.addEventListener("change", () => {
      speak(input.value);
      remember("language", lang());
      showModelChoice();
      for (const one of [recording, listening, view, ...state.results]) one.render();
      showResults();
      state.results.forEach(reword);
    });
  }
  id("model").addEventListener("change", () => {
    remember("model", id("model").value);
    showModelChoice();
  });
  id("about-model").addEventListener("click", showCard);
  for (const close of document.querySelectorAll("[data-close]")) {
    close.addEventListener("click", () => close.closest("dialog").close());
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const result of state.results) result.waveform?.draw();
    view.draw();
  });
  onTokenNeeded(askForToken);
  loadModels();
}

start();
