// The microphone as pieces of 16-bit mono samples, for recording and for live mode alike.

const WAIT_MS = 5000;

/** Return whether this page may ask for a microphone: browsers allow it on HTTPS and localhost. */
export function canListen() {
  return Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);
}

/**
 * Open the microphone.
 *
 * @param {(piece: Int16Array, peak: number) => void} onPiece Called with about 43 ms at 48 kHz.
 * @param {() => void} [onLost] The microphone was unplugged, or its permission withdrawn.
 * @returns {Promise<{samplingRate: number, stop: () => Promise<void>}>}
 */
export async function openMicrophone(onPiece, onLost = () => {}) {
  // What browsers do for telephone calls flattens the very loudness and timbre that are asked about.
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const context = new AudioContext();
  const closeAll = async () => {
    for (const track of stream.getTracks()) track.stop();
    if (context.state !== "closed") await inTime(context.close()).catch(() => {});
  };
  try {
    await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
    await inTime(context.resume());
  } catch (error) {
    await closeAll();
    throw error;
  }
  const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  let ended = () => {};
  const end = new Promise((resolve) => {
    ended = resolve;
  });
  capture.port.onmessage = ({ data }) => {
    if (data.samples.length > 0) onPiece(...toInt16(data.samples));
    if (data.last) ended();
  };
  context.createMediaStreamSource(stream).connect(capture);
  for (const track of stream.getTracks()) track.addEventListener("ended", onLost);
  return {
    samplingRate: context.sampleRate,
    async stop() {
      capture.port.postMessage("end");
      await Promise.race([end, new Promise((resolve) => setTimeout(resolve, 500))]);
      await closeAll();
    },
  };
}

/** Fail where the browser's sound does not follow: Firefox waits without end for an output. */
function inTime(work) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(Object.assign(new Error("no sound"), { name: "NoSoundError" })), WAIT_MS);
  });
  return Promise.race([work, late]);
}

function toInt16(samples) {
  const piece = new Int16Array(samples.length);
  let peak = 0;
  for (let i = 0; i < samples.length; i += 1) {
    const value = Math.max(-1, Math.min(1, samples[i]));
    peak = Math.max(peak, Math.abs(value));
    piece[i] = Math.round(value * 32767);
  }
  return [piece, peak];
}

/** Return a WAV file of pieces of 16-bit mono samples. */
export function toWav(pieces, samplingRate) {
  const bytes = 2 * pieces.reduce((sum, piece) => sum + piece.length, 0);
  const header = new DataView(new ArrayBuffer(44));
  const words = (at, text) => [...text].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
  words(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  words(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // mono
  header.setUint32(24, samplingRate, true);
  header.setUint32(28, samplingRate * 2, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  words(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...pieces], { type: "audio/wav" });
}
