// Charts as SVG: drawn at the size of their place, so that text keeps its size; read by mouse, finger, keys and ear.

import { h, s, spoken, table } from "./dom.js";
import { isNumber } from "./format.js";
import { labelEvery, share, ticks } from "./scales.js";

const HEIGHT = 260;
const MARGIN = { top: 12, right: 8, bottom: 26, left: 58 };
const LETTER_WIDTH = 7.5;
const LABEL_WIDTH = 64;

/**
 * Bars over time. `points` are { start, value } with null for a bin without a value (hatched, not zero);
 * `text` puts them into words: unit, value, missing, axis, tick (where ticked), bin, summary. Returns an element that draws itself when it has a width.
 */
export function barsOverTime({ title, points, text }) {
  const readout = h("p", { class: "readout", role: "status" });
  const place = h("div", {
    class: "plot", tabindex: "0", role: "group", "aria-label": `${title}. Left and right arrow keys read the bars.`,
  });
  const chart = { points, text, place, readout, chosen: null };
  place.addEventListener("keydown", (event) => onKey(chart, event));
  place.addEventListener("pointermove", (event) => choose(chart, binAt(chart, event)));
  place.addEventListener("pointerleave", () => choose(chart, null));
  place.addEventListener("blur", () => choose(chart, null));
  place.addEventListener("choose", ({ detail }) => choose(chart, detail));
  new ResizeObserver(([entry]) => draw(chart, entry.contentRect.width)).observe(place);
  choose(chart, null);
  const rows = points.map((point) => [text.bin(point.start), valueText(chart, point)]);
  return h("div", { class: "chart" }, readout, place,
    h("details", {}, h("summary", {}, "Show as a table"), table(title, ["Time", text.unit], rows)));
}

const valueText = ({ text }, { value }) => (isNumber(value) ? text.value(value) : text.missing);

function draw(chart, width) {
  if (width < 1) return;
  const values = chart.points.map((point) => (isNumber(point.value) ? point.value : 0));
  const scale = ticks(Math.max(...values));
  const left = leftOf(scale.map(chart.text.axis));
  const inner = width - left - MARGIN.right;
  const top = scale.at(-1);
  const step = inner / chart.points.length;
  const y = (value) => MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * (1 - value / top);
  Object.assign(chart, { left, step });
  const svg = s("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    hatching(),
    scale.map((value) => gridLine(chart, value, y(value), width)),
    chart.points.map((point, index) => bar(point, left + index * step, step, y)),
    timeLabels(chart, inner, step));
  chart.place.replaceChildren(svg);
  chart.marks = [...svg.querySelectorAll(".bin")];
  choose(chart, chart.chosen);
}

/** How far from the left the bars begin, so that the longest label beside them is read whole. */
const leftOf = (labels) => Math.max(MARGIN.left, 12 + LETTER_WIDTH * Math.max(...labels.map((label) => label.length)));

function hatching() {
  return s("defs", {}, s("pattern", { id: "gap", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    s("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "hatch" })));
}

function gridLine(chart, value, y, width) {
  return s("g", { class: "grid" },
    s("line", { x1: chart.left, x2: width - MARGIN.right, y1: y, y2: y }),
    s("text", { x: chart.left - 8, y: y + 4, "text-anchor": "end" }, chart.text.axis(value)));
}

function bar({ value }, x, step, y) {
  const gap = Math.min(3, step * 0.25);
  const size = { x: x + gap / 2, width: Math.max(1, step - gap) };
  if (!isNumber(value)) {
    return s("rect", { class: "bin gap", ...size, y: MARGIN.top, height: y(0) - MARGIN.top, fill: "url(#gap)" });
  }
  const height = value > 0 ? Math.max(1, y(0) - y(value)) : 0;
  return s("rect", { class: "bin", ...size, y: y(0) - height, height, rx: Math.min(2, size.width / 3) });
}

function timeLabels({ points, text, left }, inner, step) {
  const places = points.map(({ start }, index) => ({ start, x: left + (index + 0.5) * step }))
    .filter(({ start }) => text.ticked(start));
  const every = labelEvery(places.length, inner, LABEL_WIDTH);
  return places.filter((_, index) => index % every === 0).map(({ start, x }) => s("text", {
    class: "tick", x, y: HEIGHT - 8, "text-anchor": "middle",
  }, text.tick(start)));
}

function binAt(chart, event) {
  const x = event.clientX - chart.place.getBoundingClientRect().left - chart.left;
  const index = Math.floor(x / chart.step);
  return index >= 0 && index < chart.points.length ? index : null;
}

function onKey(chart, event) {
  const last = chart.points.length - 1;
  const moves = { ArrowLeft: -1, ArrowRight: 1 };
  const ends = { Home: 0, End: last };
  if (event.key in ends) choose(chart, ends[event.key]);
  else if (event.key in moves) {
    const from = chart.chosen ?? (moves[event.key] > 0 ? -1 : last + 1);
    choose(chart, Math.min(last, Math.max(0, from + moves[event.key])));
  } else return;
  event.preventDefault();
}

function choose(chart, index) {
  chart.chosen = index;
  chart.place.dataset.chosen = index ?? "";
  chart.marks?.forEach((mark, at) => mark.classList.toggle("chosen", at === index));
  const point = index === null ? null : chart.points[index];
  chart.readout.replaceChildren(point
    ? h("span", {}, h("b", {}, valueText(chart, point)), ` ${chart.text.bin(point.start)}`)
    : h("span", { class: "muted" }, chart.text.summary));
}

/** One row per item: name, bar, value; `items` are { name, value, shown, note, kind }, longest bar first in value. */
export function rows(title, items) {
  const largest = Math.max(...items.map((item) => item.value), 0);
  return h("ul", { class: "rows", "aria-label": title }, items.map((item) => h("li", {},
    h("span", { class: "name", title: item.name }, item.name),
    h("span", { class: "value" }, item.shown, item.note ? h("small", {}, item.note) : null),
    meter(share(item.value, largest), item.kind))));
}

/** A bar that is filled to `ratio`; decoration, the number beside it says the same. */
export function meter(ratio, kind = "") {
  return s("svg", { class: `meter ${kind}`, width: "100%", height: 8, "aria-hidden": "true", preserveAspectRatio: "none", viewBox: "0 0 100 8" },
    s("rect", { class: "track", width: 100, height: 8 }),
    s("rect", { class: "fill", width: ratio > 0 ? Math.max(0.5, 100 * ratio) : 0, height: 8 }));
}

/**
 * What is spent of a budget on one line: the part spent, the band of the forecast, a mark where the budget ends and one
 * where an even plan would be by now. Decoration, the words beside it say the same.
 */
export function budgetBar({ budget, spent, planned, forecast_total: total, forecast_low: low, forecast_high: high }) {
  const whole = 1.04 * Math.max(budget, spent, isNumber(high) ? high : 0);
  const x = (value) => 100 * share(value, whole);
  const band = isNumber(total)
    ? s("rect", { class: "band", x: x(low), width: Math.max(0.6, x(high) - x(low)), y: 2, height: 12 }) : null;
  return s("svg", { class: "budget", width: "100%", height: 16, viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "track", width: 100, y: 4, height: 8 }),
    isNumber(total) ? s("rect", { class: "ahead", x: x(spent), width: Math.max(0, x(total) - x(spent)), y: 4, height: 8 }) : null,
    s("rect", { class: spent < budget ? "fill" : "fill over", width: x(spent), y: 4, height: 8 }),
    band,
    s("line", { class: "plan", x1: x(planned), x2: x(planned), y1: 4, y2: 12 }),
    s("line", { class: "limit", x1: x(budget), x2: x(budget), y1: 0, y2: 16 }));
}

/** Parts of a whole side by side; `parts` are { name, value, kind }. */
export function stacked(title, parts) {
  const whole = parts.reduce((sum, part) => sum + part.value, 0);
  let x = 0;
  const pieces = parts.map((part) => {
    const width = 100 * share(part.value, whole);
    const piece = s("rect", { class: part.kind, x, width, height: 20 }, s("title", {}, part.name));
    x += width;
    return piece;
  });
  return h("div", { class: "stacked" }, spoken(title),
    s("svg", { width: "100%", height: 20, viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, pieces));
}

/**
 * What was and what is to come on one line of days: `past` values, then `ahead` as { mean, low, high } with its band,
 * from zero to a round number that is written over it; `ends` are the first day, today and the last in words.
 * The line is decoration: the words beside it say the same. Null where there is nothing to draw.
 */
export function outlook(past, ahead, { axis, ends }) {
  const most = Math.max(...past.filter(isNumber), ...ahead.map(({ high }) => high), 0);
  if (!(most > 0)) return null;
  const scale = ticks(most);
  const top = scale.at(-1);
  const x = (day) => (100 * (day + 0.5)) / (past.length + ahead.length);
  const y = (value) => 60 * (1 - value / top);
  const at = (day, value) => `${x(day).toFixed(2)},${y(value).toFixed(2)}`;
  const later = ahead.map((day, index) => ({ ...day, at: past.length + index }));
  const line = past.map((value, day) => (isNumber(value) ? at(day, value) : null)).filter(Boolean);
  const band = [...later.map((day) => at(day.at, day.high)), ...later.reverse().map((day) => at(day.at, day.low))];
  const today = x(past.length - 0.5);
  return h("div", { class: "outlook" },
    h("p", { class: "scale" }, `${axis(top)} a day`),
    s("svg", { width: "100%", height: 96, viewBox: "0 0 100 60", preserveAspectRatio: "none", "aria-hidden": "true" },
      scale.map((value) => s("line", { class: "base", x1: 0, x2: 100, y1: y(value), y2: y(value) })),
      s("line", { class: "today", x1: today, x2: today, y1: 0, y2: 60 }),
      s("polygon", { class: "range", points: band.join(" ") }),
      s("polyline", { class: "was", points: line.join(" ") }),
      s("polyline", { class: "will", points: later.reverse().map((day) => at(day.at, day.mean)).join(" ") })),
    h("p", { class: "scale ends" }, ends.map((end) => h("span", {}, end))));
}
