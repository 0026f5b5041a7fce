// The page: microphone or recording -> 16 kHz -> Detector -> curve and list.
// After every chunk it dispatches the event "wakelark" on the document, detail {source, audio, steps}: the samples that
// the detector was given and what it made of them. wakelark's own check listens to it.

import { Detector, Resampler, SAMPLE_RATE } from "./wakelark.js";
import { readAudio } from "./recording.js";
import { Trace } from "./trace.js";

const FLASH_MS = 1200;
const LONGEST_LIST = 50;
const part = (id) => document.getElementById(id);
const trace = new Trace(part("trace"));
const models = await (await fetch("models.json")).json();

let detector;
let microphone = null;
let busy = false;

function say(text) {
  part("state").textContent = text;
}

function fail(error) {
  part("trouble").hidden = false;
  part("trouble").textContent = error.message;
  console.error(error);
}

function setEnabled(enabled) {
  part("microphone").disabled = !enabled;
  part("file").disabled = !enabled;
  for (const input of document.querySelectorAll("fieldset input")) input.disabled = !enabled;
}

function choices(id, names, chosen, onChoice) {
  const box = part(id);
  box.hidden = names.length < 2;
  box.querySelector("div").replaceChildren(
    ...names.map((name) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      const text = document.createElement("span");
      Object.assign(input, { type: "radio", name: id, value: name, checked: name === chosen });
      input.addEventListener("change", () => onChoice(name));
      text.textContent = name;
      label.append(input, text);
      return label;
    }),
  );
}

function showThreshold() {
  trace.threshold = detector.threshold;
  part("threshold").textContent = detector.threshold.toFixed(2);
}

async function choose(name) {
  setEnabled(false);
  say("Loading the model…");
  await stopMicrophone();
  await detector?.release();
  detector = await Detector.load(models.find((model) => model.name === name).file);
  const { card } = detector;
  part("phrase").textContent = card.phrase;
  document.title = `“${card.phrase}” – wakelark`;
  const seconds = Math.round(1000 * detector.stepSeconds);
  part("about").textContent = `${card.kind} model, ${card.parameters.toLocaleString("en")} parameters, a score every ${seconds} ms. Made with wakelark ${card.wakelark_version}. The model runs in ONNX Runtime Web.`;
  choices("presets", card.presets.map((preset) => preset.name), "normal", (preset) => {
    detector.usePreset(preset);
    showThreshold();
  });
  showThreshold();
  forget();
  say("Ready");
  setEnabled(true);
}

function forget(span) {
  trace.clear(span);
  part("score").textContent = "–";
  part("detections").replaceChildren();
  part("none").hidden = false;
}

function flash(detection) {
  const live = document.querySelector(".live");
  live.classList.add("hit");
  say(`Heard “${detection.phrase}”`);
  clearTimeout(flash.timer);
  flash.timer = setTimeout(() => {
    live.classList.remove("hit");
    say(microphone ? "Listening…" : "Ready");
  }, FLASH_MS);
}

function list(detection) {
  part("none").hidden = true;
  const row = document.createElement("li");
  const what = document.createElement("span");
  const where = document.createElement("span");
  what.textContent = `“${detection.phrase}”`;
  where.textContent = `at ${detection.time.toFixed(2)} s, score ${detection.score.toFixed(3)}`;
  row.append(what, where);
  part("detections").prepend(row);
  while (part("detections").children.length > LONGEST_LIST) part("detections").lastChild.remove();
}

async function hear(source, audio) {
  const before = detector.seconds;
  const steps = await detector.steps(audio);
  steps.forEach(({ decisive, detection }, index) => {
    trace.add(before + (index + 1) * detector.stepSeconds, decisive, detection !== null);
    if (detection) {
      if (source === "microphone") flash(detection);
      list(detection);
    }
  });
  if (steps.length) part("score").textContent = steps.at(-1).decisive.toFixed(2);
  document.dispatchEvent(new CustomEvent("wakelark", { detail: { source, audio, steps } }));
}

async function startMicrophone() {
  if (!navigator.mediaDevices) {
    throw new Error("This browser gives a microphone only to pages from https:// or from localhost.");
  }
  // What these do to a voice is not what the model was trained with.
  const wanted = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
  const context = new AudioContext(); // at the device's own rate, which every browser can
  await context.audioWorklet.addModule("recorder.js");
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const resampler = new Resampler(context.sampleRate);
  await detector.reset();
  forget();
  let turn = Promise.resolve();
  recorder.port.onmessage = ({ data }) => {
    const audio = resampler.process(data);
    turn = turn.then(() => microphone && hear("microphone", audio)).catch(fail);
  };
  context.createMediaStreamSource(stream).connect(recorder);
  microphone = { stream, context };
  part("microphone").textContent = "Stop";
  part("microphone").setAttribute("aria-pressed", "true");
  say("Listening…");
}

async function stopMicrophone() {
  if (!microphone) return;
  const { stream, context } = microphone;
  microphone = null;
  for (const track of stream.getTracks()) track.stop();
  await context.close();
  part("microphone").textContent = "Listen";
  part("microphone").setAttribute("aria-pressed", "false");
  say("Ready");
}

async function scoreFile(file) {
  await stopMicrophone();
  say(`Scoring ${file.name}…`);
  const audio = await readAudio(await file.arrayBuffer());
  await detector.reset();
  forget(Math.max(1, audio.length / SAMPLE_RATE));
  await hear("file", audio);
  const found = part("detections").children.length;
  say(`${file.name}: ${found === 0 ? "not heard" : found === 1 ? "heard once" : `heard ${found} times`}`);
}

// One at a time: what the user asks for while something is under way is not started twice.
function whenFree(work) {
  return async (event) => {
    if (busy) return;
    busy = true;
    part("trouble").hidden = true;
    try {
      await work(event);
    } catch (error) {
      say("Ready");
      fail(error);
    } finally {
      busy = false;
    }
  };
}

part("microphone").addEventListener("click", whenFree(() => (microphone ? stopMicrophone() : startMicrophone())));
part("file").addEventListener(
  "change",
  whenFree(async ({ target }) => {
    if (target.files.length) await scoreFile(target.files[0]);
    target.value = "";
  }),
);
choices("models", models.map((model) => model.name), models[0].name, (name) => whenFree(() => choose(name))());
await whenFree(() => choose(models[0].name))();
