// Where sound comes from: the microphone into a recording, files, and the microphone live.

import { fit, id, say, token } from "./dom.js";
import { clock, t } from "./i18n.js";
import { canListen, openMicrophone, toWav } from "./microphone.js";
import { Stream } from "./stream.js";

// Longer recordings come as files. A service takes 32 MiB: five minutes of 48 kHz are 29 MB, but
// of 96 kHz twice that.
const MOST_S = 300;
const MOST_BYTES = 30e6;

/** Make the tabs of the page work by pointer and by arrow keys. */
export function tabs(onLeave) {
  const all = [...document.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    for (const one of all) {
      const chosen = one === tab;
      if (!chosen && one.getAttribute("aria-selected") === "true") onLeave(one.id);
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      id(one.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  all.forEach((tab, at) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = all[(to + all.length) % all.length];
      choose(next);
      next.focus();
    });
  });
}

/** Files by the file dialogue and by dropping them. */
export function upload(onFiles) {
  const input = id("files");
  const drop = id("drop");
  input.addEventListener("change", () => {
    onFiles([...input.files]);
    input.value = ""; // so that the same file may be chosen again
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    onFiles([...event.dataTransfer.files]);
  });
}

/** A button that is idle, busy, or on; `work` holds what start gives and stop takes. */
class Switch {
  constructor(name, { start, stop, onError }) {
    Object.assign(this, { name, start, stop, onError, state: "off", work: null });
    this.button = id(name);
    this.button.addEventListener("click", () => this.toggle());
    this.render();
  }

  async toggle() {
    if (this.state === "on") await this.turnOff();
    else if (this.state === "off") await this.turnOn();
  }

  async turnOn() {
    if (!canListen()) {
      this.onError({ detail: t("error_insecure") });
      return;
    }
    this.unwanted = false;
    await this.change("busy", "on", async () => {
      this.work = await this.start();
    });
    if (this.unwanted) await this.turnOff();
  }

  async turnOff() {
    this.unwanted = true; // also where it is just being turned on
    if (this.state !== "on") return;
    await this.change("busy", "off", () => this.stop(this.work));
  }

  async change(meanwhile, then, act) {
    this.set(meanwhile);
    try {
      await act();
      this.set(then);
    } catch (error) {
      this.set("off");
      this.onError(error);
    }
  }

  set(state) {
    this.state = state;
    this.render();
  }

  render() {
    this.button.classList.toggle("on", this.state === "on");
    // Not `disabled`, which would take the focus away from the keyboard.
    this.button.setAttribute("aria-disabled", String(this.state === "busy"));
    const word = { off: `${this.name}_start`, on: `${this.name}_stop`, busy: "record_busy" }[this.state];
    id(`${this.name}-text`).textContent = t(word);
  }
}

/** The recorder; gives a WAV blob to `onRecording`. */
export function recorder({ onRecording, onError }) {
  const level = new Level(id("record-level"));
  const time = id("record-time");
  const control = new Switch("record", {
    async start() {
      const pieces = [];
      let samples = 0;
      level.clear();
      let microphone = null;
      microphone = await openMicrophone(
        (piece, peak) => {
          pieces.push(piece);
          samples += piece.length;
          level.add(peak);
          const rate = microphone?.samplingRate ?? 48_000;
          const seconds = samples / rate;
          const most = Math.min(MOST_S, MOST_BYTES / (2 * rate));
          time.textContent = `${clock(seconds)} / ${clock(most, 0)}`;
          if (seconds >= most) control.turnOff();
        },
        () => lost(control, onError),
      );
      return { microphone, pieces };
    },
    async stop({ microphone, pieces }) {
      await microphone.stop();
      level.clear();
      time.textContent = "";
      if (pieces.length === 0) throw { detail: t("error_short") };
      onRecording(toWav(pieces, microphone.samplingRate));
    },
    onError,
  });
  return control;
}

/** Live mode: microphone to WebSocket to view. */
export function live({ view, asked, onError }) {
  const control = new Switch("live", {
    async start() {
      let stream = null;
      let microphone = null;
      microphone = await openMicrophone(
        (piece, peak) => {
          view.hear(peak, piece.length / (microphone?.samplingRate ?? 48_000));
          stream?.send(piece);
        },
        () => lost(control, onError),
      );
      const question = asked();
      view.start(question.model);
      stream = new Stream(
        { ...question, samplingRate: microphone.samplingRate },
        {
          onEvent: (event) => {
            view.take(event);
            if (event.type === "error") {
              onError(event);
              control.turnOff();
            }
          },
          onConnection: (open) => view.connection(open),
          onGivenUp: () => {
            onError({ code: "unreachable" });
            control.turnOff();
          },
        },
      );
      return { microphone, stream };
    },
    async stop({ microphone, stream }) {
      await microphone.stop();
      await stream.stop();
      view.stop();
      if (view.segments.length === 0) say(t("live_empty"));
    },
    onError,
  });
  return control;
}

function lost(control, onError) {
  onError({ detail: t("error_lost") });
  control.turnOff();
}

/** A row of bars that runs while recording. */
class Level {
  constructor(canvas) {
    this.canvas = canvas;
    this.peaks = [];
  }

  add(peak) {
    this.peaks.push(peak);
    this.draw();
  }

  clear() {
    this.peaks = [];
    this.draw();
  }

  draw() {
    if (!this.canvas.clientWidth) return;
    const { context, width, height } = fit(this.canvas);
    const step = 4;
    const shown = this.peaks.slice(-Math.floor(width / step));
    context.fillStyle = token("--ink");
    shown.forEach((peak, index) => {
      const tall = Math.max(2, Math.sqrt(peak) * height);
      context.fillRect(width - (shown.length - index) * step, (height - tall) / 2, 2.5, tall);
    });
  }
}
