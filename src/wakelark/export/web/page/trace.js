// The score of the last seconds as a curve, with the threshold and where it fired.

const SECONDS = 12;

export class Trace {
  #points = []; // [time in s, score, whether it fired]
  #threshold = 0.5;
  #waiting = false;

  constructor(canvas) {
    this.canvas = canvas;
    this.span = SECONDS;
    const draw = () => this.#ask();
    new ResizeObserver(draw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  /** Show so many seconds, from nothing. */
  clear(span = SECONDS) {
    this.#points = [];
    this.span = span;
    this.#ask();
  }

  set threshold(value) {
    this.#threshold = value;
    this.#ask();
  }

  add(time, score, fired) {
    this.#points.push([time, score, fired]);
    while (this.#points[0][0] < time - this.span) this.#points.shift();
    this.#ask();
  }

  #ask() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#draw();
    });
  }

  #draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const scale = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const newest = this.#points.at(-1)?.[0] ?? 0;
    const begin = Math.max(0, newest - this.span);
    const x = (time) => 8 + ((time - begin) / this.span) * (width - 16);
    const y = (score) => height - 12 - score * (height - 26);

    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = colour("soft");
    pen.strokeStyle = colour("soft");
    pen.setLineDash([4, 4]);
    pen.beginPath();
    pen.moveTo(8, y(this.#threshold));
    pen.lineTo(width - 8, y(this.#threshold));
    pen.stroke();
    pen.setLineDash([]);
    pen.fillText("threshold", 10, y(this.#threshold) - 5);
    // The curve comes last: a detection must not be hidden.
    if (this.#points.length) this.#drawCurve(pen, colour, x, y, newest);
  }

  #drawCurve(pen, colour, x, y, newest) {
    const curve = new Path2D();
    this.#points.forEach(([time, score], index) => curve[index ? "lineTo" : "moveTo"](x(time), y(score)));
    const area = new Path2D(curve);
    area.lineTo(x(newest), y(0));
    area.lineTo(x(this.#points[0][0]), y(0));
    pen.fillStyle = colour("accent");
    pen.globalAlpha = 0.16;
    pen.fill(area);
    pen.globalAlpha = 1;
    pen.strokeStyle = colour("accent");
    pen.lineWidth = 2;
    pen.lineJoin = "round";
    pen.stroke(curve);
    pen.fillStyle = colour("good");
    for (const [time, score, fired] of this.#points) {
      if (!fired) continue;
      pen.beginPath();
      pen.arc(x(time), y(score), 5, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}
