// Plays a recording through Web Audio: no address of a blob is needed, so the strictest
// Content-Security-Policy holds. One recording sounds at a time.

let sounding = null;
let context = null;

export class Player {
  /**
   * @param {Blob} blob The recording; decoded when first played.
   * @param {{onMove: (s: number) => void, onState: (playing: boolean) => void}} listeners
   */
  constructor(blob, listeners) {
    this.blob = blob;
    this.listeners = listeners;
    this.position_s = 0;
    this.buffer = null;
    this.source = null;
  }

  get playing() {
    return this.source !== null;
  }

  /** Return the position, while it plays too. */
  now_s() {
    if (!this.playing) return this.position_s;
    return Math.min(this.startedFrom_s + context.currentTime - this.startedAt_s, this.buffer.duration);
  }

  /** Move; goes on playing if it did. */
  async seek(seconds) {
    const playing = this.playing;
    this.halt();
    this.position_s = Math.max(0, seconds);
    this.listeners.onMove(this.position_s);
    if (playing) await this.play();
  }

  async toggle() {
    if (this.playing) this.pause();
    else await this.play();
  }

  /** Play from the position; raises where the browser cannot decode the recording. */
  async play() {
    context ??= new AudioContext();
    await context.resume();
    this.buffer ??= await context.decodeAudioData(await this.blob.arrayBuffer());
    if (this.playing || this.closed) return; // or was, while it was being decoded
    sounding?.pause();
    sounding = this;
    if (this.position_s >= this.buffer.duration - 0.05) this.position_s = 0;
    const source = new AudioBufferSourceNode(context, { buffer: this.buffer });
    source.connect(context.destination);
    source.onended = () => {
      if (this.source !== source) return;
      this.position_s = this.buffer.duration;
      this.source = null;
      this.listeners.onMove(this.position_s);
      this.listeners.onState(false);
    };
    this.startedFrom_s = this.position_s;
    this.startedAt_s = context.currentTime;
    source.start(0, this.position_s);
    this.source = source;
    this.listeners.onState(true);
    this.follow();
  }

  pause() {
    if (!this.playing) return;
    this.position_s = this.now_s();
    this.halt();
    this.listeners.onState(false);
  }

  /** Stop for good and forget the sound. */
  close() {
    this.pause();
    this.closed = true;
    this.buffer = null;
    if (sounding === this) sounding = null;
  }

  halt() {
    const source = this.source;
    this.source = null;
    source?.stop();
  }

  follow() {
    if (!this.playing) return;
    this.listeners.onMove(this.now_s());
    requestAnimationFrame(() => this.follow());
  }
}
