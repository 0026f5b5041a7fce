// Listens for a phrase: audio in chunks of any size in, detections out. The contract is docs/porting.md of wakelark;
// wakelark.runtime.detector is the same in Python. No page is needed: only ONNX Runtime Web, in the folder ort/.

import * as ort from "./ort/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // several threads would need two HTTP headers that plain servers do not send
ort.env.wasm.wasmPaths = { wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href };

export const SAMPLE_RATE = 16000;
const FORMAT_VERSION = 2;
const BLOCK_S = 2; // long arrays are worked off in blocks, so that memory does not grow with them
const LOUDEST_FLOAT = 16; // floats beyond this are wrongly scaled, not loud
const INAUDIBLE = 1e-8; // squares of smaller samples are denormal numbers, with which processors are slow

/** Something cannot work: the message says what, and what to do. */
export class WakelarkError extends Error {
  name = "WakelarkError";
}

/** Follows one stream of 16 kHz mono audio. Calls may overlap: they are worked off in their order. */
export class Detector {
  #session;
  #state;
  #primed;
  #pending;
  #recent;
  #quietSteps;
  #refractorySteps;
  #gate;
  #steps;
  #turn = Promise.resolve();

  /** Use `Detector.load`. */
  constructor(session, card) {
    this.#session = session;
    this.card = card;
    this.threshold = card.threshold;
    this.lastScore = 0;
    this.ignoredChunks = 0;
    this.#refractorySteps = Math.max(1, Math.ceil(card.refractory_s / this.stepSeconds - 1e-9));
    this.#gate = card.gate_db === 0 ? null : new VoiceGate(card.gate_db, card.gate_hold_s, card.step_samples);
  }

  /**
   * Load a model and its card, `url` + ".json".
   * @param {string|URL} url of the .onnx file
   * @param {{preset?: string, threshold?: number}} options a preset of the card, or a threshold; not both
   * @returns {Promise<Detector>}
   */
  static async load(url, { preset, threshold } = {}) {
    const address = new URL(url, globalThis.location?.href ?? import.meta.url);
    const cardAddress = new URL(address);
    cardAddress.pathname += ".json";
    const [card, model] = await Promise.all([
      fetched(cardAddress).then((answer) => answer.json()),
      fetched(address).then((answer) => answer.arrayBuffer()),
    ]);
    return Detector.of(new Uint8Array(model), card, { preset, threshold });
  }

  /** As `load`, of a model (Uint8Array) and a card (object) that are at hand. */
  static async of(model, card, { preset, threshold } = {}) {
    if (card.format_version !== FORMAT_VERSION || card.sample_rate !== SAMPLE_RATE) {
      throw new WakelarkError(`the card has format ${card.format_version}; this module reads ${FORMAT_VERSION}: export again`);
    }
    if (preset !== undefined && threshold !== undefined) {
      throw new WakelarkError(`give a threshold or the preset "${preset}", not both`);
    }
    const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    const detector = new Detector(session, card);
    if (preset !== undefined) detector.usePreset(preset);
    if (threshold !== undefined) detector.setThreshold(threshold);
    await detector.#warmUp();
    detector.#clear();
    return detector;
  }

  get phrase() {
    return this.card.phrase;
  }

  /** Seconds of audio per score. */
  get stepSeconds() {
    return this.card.step_samples / SAMPLE_RATE;
  }

  /** Audio scored since it was loaded or reset, in whole steps. */
  get seconds() {
    return (this.#steps * this.card.step_samples) / SAMPLE_RATE;
  }

  /** Fire at the threshold of "strict", "normal" or "sensitive". */
  usePreset(name) {
    const found = this.card.presets.find((preset) => preset.name === name);
    if (!found) {
      const names = this.card.presets.map((preset) => preset.name).join(", ") || "none";
      throw new WakelarkError(`no preset "${name}" in the card; there are: ${names}`);
    }
    this.threshold = found.threshold;
  }

  /** Fire at this smoothed score, above 0 and at most 1. */
  setThreshold(value) {
    if (!(value > 0 && value <= 1)) throw new WakelarkError(`threshold ${value} must be above 0 and at most 1`);
    this.threshold = value;
  }

  /** What was detected in a chunk: `[{time, score, phrase}]`, time in seconds of audio since loading or reset. */
  async process(chunk) {
    return (await this.steps(chunk)).filter((step) => step.detection).map((step) => step.detection);
  }

  /** The raw score of every step that the chunk completes. The same stream as `process`: call one of them per chunk. */
  async score(chunk) {
    return (await this.steps(chunk)).map((step) => step.score);
  }

  /** The smoothed score, which decides, after every step that the chunk completes. */
  async follow(chunk) {
    return (await this.steps(chunk)).map((step) => step.decisive);
  }

  /** All of it: `[{score, decisive, detection}]`, detection null where there was none. */
  steps(chunk) {
    const audio = asFloats(chunk); // a copy: the caller may use its array again at once
    return this.#queue(() => this.#take(audio));
  }

  /** Forget all audio: as just loaded. */
  reset() {
    return this.#queue(() => this.#clear());
  }

  /** Give the model's memory back; the detector cannot be used any more. */
  release() {
    return this.#queue(() => this.#session.release());
  }

  #queue(work) {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {}); // the caller hears of it; the next call is not held up by it
    return result;
  }

  #clear() {
    this.#state = this.#primed;
    this.#pending = new Float32Array(0);
    this.#recent = [];
    this.#quietSteps = this.#refractorySteps;
    this.#steps = 0;
    this.lastScore = 0;
    this.ignoredChunks = 0;
    this.#gate?.reset();
  }

  async #warmUp() {
    this.#primed = new Float32Array(this.card.state_size);
    if (this.card.warm_up_samples === 0) return;
    const { state } = await this.#run(new Float32Array(this.card.warm_up_samples), this.#primed);
    this.#primed = state;
  }

  async #take(audio) {
    if (audio === null) {
      this.ignoredChunks += 1;
      return [];
    }
    const size = this.card.step_samples;
    const block = Math.max(1, Math.floor(BLOCK_S / this.stepSeconds)) * size;
    const steps = [];
    for (let start = 0; start < audio.length; start += block) {
      const whole = joined(this.#pending, audio.subarray(start, start + block));
      const end = Math.floor(whole.length / size) * size;
      this.#pending = whole.slice(end);
      if (end === 0) continue;
      const { scores, state } = await this.#run(whole.subarray(0, end), this.#state);
      this.#state = state;
      scores.forEach((score, index) => {
        steps.push(this.#decide(score, whole.subarray(index * size, (index + 1) * size)));
      });
    }
    return steps;
  }

  // The live rule: the rising edge of the smoothed score, armed again after a refractory time below the threshold.
  #decide(score, audio) {
    this.#steps += 1;
    const counted = this.#gate && !this.#gate.isOpen(audio) ? 0 : score;
    this.#recent.push(counted);
    if (this.#recent.length > this.card.smoothing_steps) this.#recent.shift();
    const decisive = this.#recent.reduce((sum, value) => sum + value, 0) / this.#recent.length;
    this.lastScore = decisive;
    if (decisive < this.threshold) {
      this.#quietSteps += 1;
      return { score, decisive, detection: null };
    }
    const fires = this.#quietSteps >= this.#refractorySteps;
    this.#quietSteps = 0;
    return { score, decisive, detection: fires ? { time: this.seconds, score: decisive, phrase: this.phrase } : null };
  }

  async #run(audio, state) {
    const result = await this.#session.run({
      audio: new ort.Tensor("float32", audio.slice(), [1, audio.length]),
      state: new ort.Tensor("float32", state, [1, state.length]),
    });
    const scores = Float32Array.from(result.scores.data);
    const next = Float32Array.from(result.new_state.data);
    if (scores.length * this.card.step_samples !== audio.length || next.length !== this.card.state_size) {
      throw new WakelarkError("the model is not the one that its card describes: export again");
    }
    if (!scores.every(Number.isFinite)) {
      throw new WakelarkError("the model gave a score that is not a finite number: export again");
    }
    return { scores, state: next };
  }
}

/** A score counts only where speech-like sound stood out from the background a moment ago. */
class VoiceGate {
  constructor(gateDb, holdSeconds, stepSamples) {
    this.gateDb = gateDb;
    this.frames = Math.max(1, roundHalfEven(stepSamples / SAMPLE_RATE / 0.02));
    this.size = Math.floor(stepSamples / this.frames);
    this.holdSteps = Math.max(1, Math.ceil((holdSeconds * SAMPLE_RATE) / stepSamples - 1e-9));
    this.riseDb = (3 * this.size) / SAMPLE_RATE;
    const binHz = SAMPLE_RATE / this.size;
    this.bins = [];
    for (let bin = Math.ceil(300 / binHz); bin <= Math.floor(3400 / binHz); bin += 1) this.bins.push(bin);
    const at = Array.from({ length: this.size }, (_, index) => (2 * Math.PI * index) / this.size);
    this.cosines = Float64Array.from(at, Math.cos);
    this.sines = Float64Array.from(at, Math.sin);
    this.window = this.cosines.map((value) => 0.5 - 0.5 * value);
    this.scale = 2 / (this.size * this.window.reduce((sum, value) => sum + value * value, 0));
    this.reset();
  }

  reset() {
    this.background = -60;
    this.left = 0;
  }

  isOpen(step) {
    let loud = false;
    for (let frame = 0; frame < this.frames; frame += 1) {
      const level = this.level(step.subarray(frame * this.size, (frame + 1) * this.size));
      this.background = Math.min(level, this.background + this.riseDb);
      loud ||= level - this.background >= this.gateDb;
    }
    this.left = loud ? this.holdSteps : Math.max(0, this.left - 1);
    return this.left > 0;
  }

  // Of the band from 300 to 3400 Hz, in dB of full scale.
  level(frame) {
    const weighed = this.window.map((value, index) => value * frame[index]);
    let power = 0;
    for (const bin of this.bins) {
      let real = 0;
      let imaginary = 0;
      for (let index = 0; index < this.size; index += 1) {
        const turn = (bin * index) % this.size;
        real += weighed[index] * this.cosines[turn];
        imaginary -= weighed[index] * this.sines[turn];
      }
      power += real * real + imaginary * imaginary;
    }
    power *= this.scale;
    return power > 0 ? Math.max(-80, 10 * Math.log10(power)) : -80;
  }
}

/**
 * Turns a stream of another sample rate into 16 kHz, chunk by chunk, with a windowed sinc of 24 zero crossings to either
 * side. Nothing is delayed: output sample n is the input at n / 16000 s; the last few milliseconds wait for what follows.
 */
export class Resampler {
  static #CROSSINGS = 24;

  constructor(rate) {
    this.ratio = rate / SAMPLE_RATE;
    // The band that both rates have, a little less than half the lower one.
    this.cutoff = 0.95 * Math.min(1, 1 / this.ratio);
    this.reach = Math.ceil(Resampler.#CROSSINGS / this.cutoff);
    this.held = new Float32Array(this.reach); // the silence before the first sample
    this.first = -this.reach; // place in the stream of held[0]
    this.next = 0;
  }

  /** Float32Array of N samples to one of about N / ratio. */
  process(chunk) {
    if (this.ratio === 1) return chunk;
    this.held = joined(this.held, chunk);
    const end = this.first + this.held.length;
    const made = [];
    for (; this.next * this.ratio + this.reach < end; this.next += 1) made.push(this.#at(this.next * this.ratio));
    const keepFrom = Math.max(0, Math.floor(this.next * this.ratio) - this.reach - this.first);
    this.held = this.held.slice(keepFrom);
    this.first += keepFrom;
    return Float32Array.from(made);
  }

  #at(place) {
    let sum = 0;
    const last = Math.floor(place) + this.reach;
    for (let index = Math.max(this.first, Math.ceil(place) - this.reach); index <= last; index += 1) {
      const offset = index - place;
      const turn = Math.PI * offset * this.cutoff;
      const sinc = Math.abs(turn) < 1e-9 ? 1 : Math.sin(turn) / turn;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * offset) / (this.reach + 1));
      sum += (this.held[index - this.first] ?? 0) * sinc * window;
    }
    return sum * this.cutoff;
  }
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new WakelarkError(`${address.pathname} cannot be loaded: the server says ${answer.status}`);
  return answer;
}

function joined(first, second) {
  if (first.length === 0) return second;
  const both = new Float32Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

// Samples in [-1, 1]; null for a chunk that is to be left out, because it holds NaN or infinite samples.
function asFloats(chunk) {
  if (chunk instanceof Int16Array) return Float32Array.from(chunk, (value) => value / 32768);
  if (!(chunk instanceof Float32Array)) {
    throw new WakelarkError("audio must be an Int16Array, or a Float32Array in [-1, 1]");
  }
  if (!chunk.every(Number.isFinite)) return null;
  const loud = chunk.find((value) => Math.abs(value) > LOUDEST_FLOAT);
  if (loud !== undefined) {
    throw new WakelarkError(`float audio must lie in [-1, 1], but holds ${loud}; divide int16 values by 32768`);
  }
  return chunk.map((value) => (Math.abs(value) < INAUDIBLE ? 0 : Math.min(1, Math.max(-1, value))));
}

function roundHalfEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
