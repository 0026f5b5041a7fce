// Recordings to 16 kHz mono samples.

import { SAMPLE_RATE } from "./wakelark.js";

/** Int16Array of a 16 kHz mono WAV as it is; Float32Array of anything else that the browser can decode. */
export async function readAudio(buffer) {
  const plain = plainWav(buffer);
  if (plain) return plain;
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, SAMPLE_RATE).decodeAudioData(buffer);
  } catch (error) {
    throw new Error("This file is no audio that this browser can decode; try a WAV file.", { cause: error });
  }
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    sound.getChannelData(channel).forEach((sample, index) => (mono[index] += sample / sound.numberOfChannels));
  }
  return mono.map((sample) => Math.min(1, Math.max(-1, sample)));
}

// The samples of a 16-bit, 16 kHz, mono WAV file; null for any other file.
function plainWav(buffer) {
  const view = new DataView(buffer);
  const name = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 44 || name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  let fits = false;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (name(at) === "fmt " && at + 24 <= buffer.byteLength) {
      const [kind, channels] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
      fits = kind === 1 && channels === 1 && view.getUint32(at + 12, true) === SAMPLE_RATE && view.getUint16(at + 22, true) === 16;
    }
    if (name(at) === "data") {
      if (!fits) return null;
      const count = Math.floor(Math.min(size, buffer.byteLength - at - 8) / 2);
      return Int16Array.from({ length: count }, (_, index) => view.getInt16(at + 8 + 2 * index, true));
    }
    at += 8 + size + (size % 2);
  }
  return null;
}
