// Runs beside the sound: joins the 128-sample blocks of the browser into pieces worth sending.

const SAMPLES = 2048;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(SAMPLES);
    this.filled = 0;
    this.port.onmessage = () => {
      // The last, shorter piece, and word that nothing follows.
      this.port.postMessage({ samples: this.piece.slice(0, this.filled), last: true });
      this.filled = 0;
    };
  }

  process(inputs) {
    const channels = inputs[0];
    const length = channels[0]?.length ?? 0;
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.piece[this.filled] = sum / channels.length;
      this.filled += 1;
      if (this.filled === SAMPLES) {
        this.port.postMessage({ samples: this.piece }, [this.piece.buffer]);
        this.piece = new Float32Array(SAMPLES);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
