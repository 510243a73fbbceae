// The arithmetic of axes; no elements here.

/** Round steps (1, 2, 2.5, 5 × 10ⁿ) from zero to at least `largest`, about `wanted` of them. */
export function ticks(largest, wanted = 4) {
  if (!(largest > 0)) return [0, 1];
  const rough = largest / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
  const steps = Math.ceil(largest / step - 1e-9);
  return Array.from({ length: steps + 1 }, (_, index) => index * step);
}

/** Every how many of `bins` bins a label fits when `width` pixels are there and one needs `each` of them. */
export function labelEvery(bins, width, each) {
  const fitting = Math.max(1, Math.floor(width / each));
  return Math.max(1, Math.ceil(bins / fitting));
}

/** The share of `part` in `whole` as 0-1; nothing of nothing is zero. */
export const share = (part, whole) => (whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0);
