// A drawn head that moves as the chosen movement does. Its angles are those of the mesh engine, see
// tools/make_pose_previews.py.

const SHOWN = 1.3; // the head is small here, so its angles are drawn larger than they are
const BACK_MS = 400; // the loop fades from its end to its beginning
const circle = (cx, cy, cz, rx, ry, from = 0, to = 1) =>
  Array.from({ length: 25 }, (_, k) => {
    const angle = 2 * Math.PI * (from + ((to - from) * k) / 24);
    return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle), cz];
  });
/** Lines of the head: x to the right, y down, z to the viewer; the head is about one unit high. */
const HEAD = [
  circle(0, 0, 0, 0.36, 0.48),
  circle(-0.15, -0.06, 0.3, 0.055, 0.035),
  circle(0.15, -0.06, 0.3, 0.055, 0.035),
  circle(-0.15, -0.12, 0.31, 0.09, 0.06, 0.56, 0.94),
  circle(0.15, -0.12, 0.31, 0.09, 0.06, 0.56, 0.94),
  [[-0.02, -0.04, 0.36], [-0.05, 0.1, 0.47], [0.02, 0.13, 0.44]],
  circle(0, 0.21, 0.32, 0.11, 0.05, 0, 0.5),
];
const BODY = [[[-0.13, 0.42, 0], [-0.15, 0.58, 0], [-0.5, 0.7, 0]], [[0.13, 0.42, 0], [0.15, 0.58, 0], [0.5, 0.7, 0]]];
const NECK = 0.4;

let previews = null;

/** Shows the movement `number()` on `canvas` while it is in view. */
export class PosePreview {
  constructor(canvas, number) {
    Object.assign(this, { canvas, number, timer: 0 });
    this.quiet = matchMedia("(prefers-reduced-motion: reduce)");
    new IntersectionObserver(([{ isIntersecting }]) => this.run(isIntersecting)).observe(canvas);
  }

  async run(visible) {
    cancelAnimationFrame(this.timer);
    this.timer = 0;
    if (!visible) return;
    previews ??= fetch("/studio/poses.json").then((answer) => answer.json());
    const { rate, angles } = await previews;
    const step = (now) => {
      this.draw(angles[this.number()] ?? angles[0], (now / 1000) * rate, rate);
      if (!this.quiet.matches) this.timer = requestAnimationFrame(step);
    };
    cancelAnimationFrame(this.timer);
    step(0);
  }

  draw(track, at, rate) {
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    const pen = canvas.getContext("2d");
    pen.setTransform(0.82 * canvas.height, 0, 0, 0.82 * canvas.height, canvas.width / 2, 0.47 * canvas.height);
    pen.lineWidth = 0.028;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = "#9db0b5";
    stroke(pen, BODY);
    pen.strokeStyle = "#58cbd6";
    stroke(pen, HEAD.map((line) => turned(line, anglesAt(track, at, rate))));
  }
}

/** Return pitch, yaw and roll in radians at frame `at` of the loop. */
function anglesAt(track, at, rate) {
  const k = at % track.length;
  const own = between(track, k);
  const left = ((track.length - k) / rate) * 1000;
  const share = left < BACK_MS ? 1 - left / BACK_MS : 0;
  return own.map((angle, axis) => ((angle * (1 - share) + track[0][axis] * share) * SHOWN * Math.PI) / 180);
}

function between(track, k) {
  const [low, high] = [track[Math.floor(k)], track[Math.min(track.length - 1, Math.floor(k) + 1)]];
  return low.map((angle, axis) => angle + (high[axis] - angle) * (k % 1));
}

function turned(line, [pitch, yaw, roll]) {
  return line.map(([x, y, z]) => {
    const down = y - NECK;
    const [y1, z1] = [down * Math.cos(pitch) + z * Math.sin(pitch), z * Math.cos(pitch) - down * Math.sin(pitch)];
    const x1 = x * Math.cos(yaw) + z1 * Math.sin(yaw);
    return [x1 * Math.cos(roll) - y1 * Math.sin(roll), y1 * Math.cos(roll) + x1 * Math.sin(roll) + NECK];
  });
}

function stroke(pen, lines) {
  for (const [[x0, y0], ...rest] of lines) {
    pen.beginPath();
    pen.moveTo(x0, y0);
    rest.forEach(([x, y]) => pen.lineTo(x, y));
    pen.stroke();
  }
}
