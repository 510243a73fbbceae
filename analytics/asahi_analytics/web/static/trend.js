// The chart over time: which metric can be shown, and how its values and bins read.

import { barsOverTime } from "./charts.js";
import { axisDollars, columnPercent, compact, count, dollars, isNumber, milliseconds, moment, percent } from "./format.js";

const SECONDS_PER_DAY = 86_400;
const money = { unit: "Dollars", value: dollars, axis: axisDollars };
const ratio = { unit: "Share", value: (value) => columnPercent(value, 2), axis: (value) => percent(value) };
const time = { unit: "Milliseconds", value: milliseconds, axis: milliseconds };
const points = { unit: "Points", value: (value) => value.toFixed(2), axis: (value) => value.toFixed(1) };

/** By the API's name: the words for the heading, the texts, and whether bins add up. */
export const METRICS = {
  cost: { name: "Spend", texts: money, adds: true },
  savings: { name: "Savings", texts: money, adds: true },
  cost_per_request: { name: "Cost per request", texts: money },
  requests: { name: "Requests", texts: { unit: "Requests", value: count, axis: compact }, adds: true },
  hit_rate: { name: "Cache hit rate", texts: ratio },
  error_rate: { name: "Error rate", texts: ratio },
  latency_p95: { name: "Latency, 95th percentile", texts: time },
  quality: { name: "Quality score", texts: points },
};

function summary({ texts, adds }, known) {
  const most = known.reduce((best, point) => (point.value > best.value ? point : best));
  const peak = `at most ${texts.value(most.value)} (${moment(most.timestamp)})`;
  return adds ? `${texts.value(known.reduce((sum, { value }) => sum + value, 0))} in all, ${peak}` : peak;
}

/** The chart of an answer of /analytics/trends; null when no bin has a value above zero. */
export function trendChart(data, metric, { tick, said }) {
  const known = data.points.filter(({ value }) => isNumber(value));
  if (!known.some(({ value }) => value > 0)) return null;
  const milli = 1000 * data.interval_seconds;
  const endShape = data.interval_seconds < SECONDS_PER_DAY ? "time" : "full";
  return barsOverTime({
    title: `${metric.name} ${said}`,
    points: data.points.map(({ timestamp, value }) => ({ start: timestamp, value })),
    text: {
      ...metric.texts,
      missing: metric.adds ? "not scraped" : "no value",
      tick: (start) => moment(start, tick),
      ticked: (start) => tick !== "weekday" || new Date(start).getHours() === 0,
      bin: (start) => `${moment(start)} – ${moment(new Date(start).getTime() + milli, endShape)}`,
      summary: summary(metric, known),
    },
  });
}
