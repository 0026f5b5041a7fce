// Everything on the page can be read without this script. It shows another model, moves the threshold, and plays.
// It works nothing out: every figure was worked out when the page was written, and is looked up here.
"use strict";
const choices = [...document.querySelectorAll(".switch input")];
const blocks = [...document.querySelectorAll(".of")];
const showModel = () => {
  const chosen = choices.find((choice) => choice.checked);
  for (const block of blocks) block.hidden = chosen !== undefined && block.dataset.model !== chosen.value;
};
for (const choice of choices) choice.addEventListener("change", showModel);
showModel();

for (const dial of document.querySelectorAll(".dial")) {
  const { start, columns } = JSON.parse(dial.querySelector("script").textContent);
  const block = dial.parentElement;
  const slider = dial.querySelector("input");
  const buttons = [...dial.querySelectorAll("[data-stop]")];
  const shown = [...dial.querySelectorAll("[data-show]")];
  const here = block.querySelector(".det .here");
  const drop = here.querySelector("line");
  const bottom = Number(drop.getAttribute("y2")) + columns.y[start];
  const across = block.querySelector(".scores .here");
  const show = () => {
    const at = Number(slider.value);
    for (const place of shown) place.textContent = columns[place.dataset.show][at];
    for (const button of buttons) button.setAttribute("aria-pressed", String(Number(button.dataset.stop) === at));
    here.setAttribute("transform", `translate(${columns.x[at]} ${columns.y[at]})`);
    drop.setAttribute("y2", String(bottom - columns.y[at]));
    across.setAttribute("transform", `translate(${columns.across[at]} 0)`);
    slider.setAttribute(
      "aria-valuetext",
      `${columns.threshold[at]}: misses ${columns.missed[at]}, ${columns.alarms[at]} false alarms per hour`,
    );
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      slider.value = button.dataset.stop;
      show();
    });
  }
  slider.addEventListener("input", show);
  slider.value = String(start);
  show();
}

for (const clip of document.querySelectorAll(".clip:has(audio)")) {
  const audio = clip.querySelector("audio");
  const button = clip.querySelector(".play");
  const label = button.querySelector(".out");
  const seen = clip.querySelector(".seen");
  const head = seen.querySelector(".playhead");
  const name = clip.querySelector(".what").textContent;
  const state = () => {
    const playing = !audio.paused;
    clip.classList.toggle("playing", playing);
    label.textContent = `${playing ? "Stop" : "Play"} ${name}`;
    head.hidden = !playing;
  };
  const follow = () => {
    if (audio.paused) return;
    const share = Math.min(1, audio.currentTime / Number(seen.dataset.seconds));
    head.style.left = `${100 * share}%`;
    requestAnimationFrame(follow);
  };
  const playFrom = (second) => {
    audio.currentTime = second;
    audio.play().catch(state); // stopped before it began
  };
  button.addEventListener("click", () => (audio.paused ? playFrom(0) : audio.pause()));
  seen.addEventListener("click", (event) => {
    const box = seen.getBoundingClientRect();
    playFrom(((event.clientX - box.left) / box.width) * Number(seen.dataset.seconds));
  });
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    state();
    follow();
  });
  audio.addEventListener("pause", state);
  audio.addEventListener("ended", state);
  state();
}

// On paper nothing can be unfolded: what the verdict and the data say is shown whole, and folded again afterwards.
const unfolded = [];
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("header details, #data details, #health details, main > details")) {
    if (!fold.open) unfolded.push(fold);
    fold.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const fold of unfolded.splice(0)) fold.open = false;
});
