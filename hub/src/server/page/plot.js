// The plot of the last minute: messages, their copies, and what was lost; one column a second.

const SECONDS = 60;
const MARGIN = { left: 34, right: 6, top: 8, bottom: 18 };

/** The figures of each second, the newest last. */
export class Minute {
  seconds = Array.from({ length: SECONDS }, () => ({ messages: 0, copies: 0, gaps: 0, drops: 0 }));

  push(second) {
    this.seconds.push(second);
    this.seconds.shift();
  }

  /** The mean of the last seconds. */
  mean(name, seconds) {
    return this.seconds.slice(-seconds).reduce((sum, second) => sum + second[name], 0) / seconds;
  }
}

/** A round number not below `most`, so that the scale does not change with every message. */
function ceiling(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 4)));
  return [1, 2, 4, 5, 10].map((factor) => factor * power).find((value) => value >= Math.max(most, 4));
}

export const short = (value) => (value >= 10_000 ? `${(value / 1000).toFixed(0)}k` : value >= 1_000 ? `${(value / 1000).toFixed(1)}k` : String(Math.round(value)));

/** Draws a minute; `pointed` is the second under the pointer, if there is one. */
export function draw(canvas, minute, pointed) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);

  const { seconds } = minute;
  const most = ceiling(Math.max(...seconds.map(({ messages, copies }) => Math.max(messages, copies))));
  const mostLost = Math.max(...seconds.map(({ gaps, drops }) => Math.max(gaps, drops)));
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  // Losses hang below the line, by the same scale, in a third of the height at most.
  const below = mostLost > 0 ? Math.max(10, Math.min(inner.height / 3, (inner.height * mostLost) / (most + mostLost))) : 0;
  const base = MARGIN.top + inner.height - below;
  const up = (value) => (value / most) * (base - MARGIN.top);
  const step = inner.width / SECONDS;

  pen.font = `11px ${style.fontFamily}`;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  pen.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    const y = Math.round(base - up(most * part)) + 0.5;
    pen.strokeStyle = colour("--line");
    pen.beginPath();
    pen.moveTo(MARGIN.left, y);
    pen.lineTo(width - MARGIN.right, y);
    pen.stroke();
    pen.fillStyle = colour("--soft");
    pen.fillText(short(most * part), MARGIN.left - 6, y);
  }
  pen.textBaseline = "alphabetic";
  for (const [ago, align] of [[60, "left"], [30, "center"], [0, "right"]]) {
    pen.textAlign = align;
    pen.fillText(ago === 0 ? "now" : `${ago} s ago`, MARGIN.left + inner.width * (1 - ago / SECONDS), height - 3);
  }

  seconds.forEach(({ messages, copies, gaps, drops }, at) => {
    const x = MARGIN.left + at * step;
    const bar = (value, part, name, down = false) => {
      if (value <= 0) return;
      const tall = Math.max(1.5, down ? (value / mostLost) * (below - 3) : up(value));
      const wide = Math.max(1, step * part - 1);
      pen.fillStyle = colour(name);
      pen.beginPath();
      const y = down ? base + 2 : base - tall;
      pen.roundRect(x + (step - wide) / 2, y, wide, tall, down ? [0, 0, 2, 2] : [2, 2, 0, 0]);
      pen.fill();
    };
    bar(copies, 0.96, "--out");
    bar(messages, 0.96, "--in");
    bar(drops, 0.96, "--dropped", true);
    bar(gaps, 0.96, "--bad", true);
  });
  if (pointed !== undefined) {
    pen.strokeStyle = colour("--ink");
    pen.strokeRect(MARGIN.left + pointed * step, MARGIN.top + 0.5, step, inner.height - 1);
  }
}

/** Which second is at this place of the canvas, if any. */
export function secondAt(canvas, x) {
  const at = Math.floor(((x - MARGIN.left) / (canvas.clientWidth - MARGIN.left - MARGIN.right)) * SECONDS);
  return at >= 0 && at < SECONDS ? at : undefined;
}
