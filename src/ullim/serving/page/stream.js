// The service's WebSocket: sound goes out as it comes, answers come back. When a connection is
// lost the session is taken up again, and what the service did not get is sent once more.

import { storedToken, streamAddress } from "./api.js";

const WAITS_MS = [300, 1000, 2000, 4000, 8000];
// What is kept to be sent again; the service waits no longer for a client to come back.
const KEPT_S = 30;
const END_MS = 8000;
// Errors after which the same session may be taken up again.
const PASSING = new Set(["idle", "slow_client"]);

export class Stream {
  /**
   * @param {{samplingRate: number, model: string|null, labels: string[]|null}} asked
   * @param {{onEvent: (event: Object) => void, onConnection: (open: boolean) => void,
   *   onGivenUp: () => void}} listeners
   */
  constructor(asked, listeners) {
    Object.assign(this, { asked, listeners });
    this.kept = []; // [first sample, piece], oldest first
    this.samples = 0;
    this.session = null;
    this.lastSegment = null;
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
    // JSON leaves out what is undefined.
    const start = {
      type: "start",
      format: "pcm16",
      sampling_rate: Math.round(this.asked.samplingRate),
      model: this.asked.model ?? undefined,
      labels: this.asked.labels ?? undefined,
      session: this.session ?? undefined,
      last_segment: this.lastSegment ?? undefined,
      token: storedToken() ?? undefined,
    };
    socket.onopen = () => socket.send(JSON.stringify(start));
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
      this.goOn(event);
    } else if (event.type === "error" && PASSING.has(event.code)) {
      socket.close();
    } else {
      if (event.type === "final" && Number.isInteger(event.segment)) this.lastSegment = event.segment;
      this.listeners.onEvent(event);
      // Any other error ends the session: coming back would only meet it again.
      if (event.type === "end" || event.type === "error") this.finish();
    }
  }

  /** Begin a connection, or go on where the service lost us. */
  goOn({ session, resumed_at_s: resumedAt = 0 }) {
    this.ready = true;
    this.failures = 0;
    this.session = session ?? null;
    this.listeners.onConnection(true);
    const from = Math.round(resumedAt * this.asked.samplingRate);
    for (const [first, piece] of this.kept) {
      if (first + piece.length > from) this.socket.send(piece.subarray(Math.max(0, from - first)));
    }
    if (this.state === "stopping") this.socket.send('{"type":"stop"}');
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
    this.kept.push([this.samples, piece]);
    this.samples += piece.length;
    while (this.samples - this.kept[0][0] > KEPT_S * this.asked.samplingRate) this.kept.shift();
    if (this.ready) this.socket.send(piece);
  }

  /** Say that nothing follows; resolves when the service has said its last word. */
  async stop() {
    if (this.state !== "open") return;
    this.state = "stopping";
    if (this.ready) this.socket.send('{"type":"stop"}');
    const late = setTimeout(() => this.finish(), END_MS);
    await this.ended;
    clearTimeout(late);
  }

  finish() {
    if (this.state === "closed") return;
    this.state = "closed";
    clearTimeout(this.timer);
    this.socket.close();
    this.end();
  }
}
