// The service's WebSocket: sound goes out as it comes, answers come back; a lost connection is
// taken up again under the same session, with what was spoken meanwhile.

import { storedToken, streamAddress } from "./api.js";

const WAITS_MS = [300, 1000, 2000, 4000, 8000];
// About ten seconds of 48 kHz; what is older than the service can still use is dropped.
const MOST_WAITING = 240;
const END_MS = 8000;

export class Stream {
  /**
   * @param {{samplingRate: number, model: string|null, labels: string[]|null, lang: string}} asked
   * @param {{onEvent: (event: Object) => void, onConnection: (open: boolean) => void,
   *   onGivenUp: () => void}} listeners
   */
  constructor(asked, listeners) {
    Object.assign(this, { asked, listeners });
    this.waiting = [];
    this.session = null;
    this.failures = 0;
    this.state = "open";
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
    this.connect();
  }

  connect() {
    this.ready = false;
    const socket = new WebSocket(streamAddress());
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      const token = storedToken();
      const start = {
        type: "start",
        format: "pcm16",
        sampling_rate: this.asked.samplingRate,
        model: this.asked.model ?? undefined,
        labels: this.asked.labels ?? undefined,
        lang: this.asked.lang,
        session: this.session ?? undefined,
        token: token ?? undefined,
      };
      socket.send(JSON.stringify(start));
    };
    socket.onmessage = ({ data }) => this.receive(socket, data);
    socket.onclose = () => this.lost(socket);
  }

  receive(socket, data) {
    if (socket !== this.socket || typeof data !== "string") return;
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (event.type === "ready") {
      this.ready = true;
      this.failures = 0;
      this.session = event.session ?? this.session;
      this.listeners.onConnection(true);
      for (const piece of this.waiting.splice(0)) socket.send(piece);
      if (this.state === "stopping") socket.send('{"type":"stop"}');
      return;
    }
    this.listeners.onEvent(event);
    // An error ends the session: reconnecting would only meet it again.
    if (event.type === "end" || event.type === "error") this.finish();
  }

  lost(socket) {
    if (socket !== this.socket || this.state === "closed") return;
    this.ready = false;
    if (this.failures >= WAITS_MS.length) {
      this.finish();
      this.listeners.onGivenUp();
      return;
    }
    this.listeners.onConnection(false);
    this.timer = setTimeout(() => this.connect(), WAITS_MS[this.failures]);
    this.failures += 1;
  }

  /** Send a piece of 16-bit samples. */
  send(piece) {
    if (this.state !== "open") return;
    if (this.ready) {
      this.socket.send(piece);
    } else {
      this.waiting.push(piece);
      if (this.waiting.length > MOST_WAITING) this.waiting.shift();
    }
  }

  /** Say that nothing follows; resolves when the service has said its last word. */
  async stop() {
    if (this.state === "open") {
      this.state = "stopping";
      if (this.ready) this.socket.send('{"type":"stop"}');
      const late = setTimeout(() => this.finish(), END_MS);
      await this.ended;
      clearTimeout(late);
    }
  }

  finish() {
    if (this.state === "closed") return;
    this.state = "closed";
    clearTimeout(this.timer);
    this.socket.close();
    this.end();
  }
}
