// What each card asks and shows. `uses` names the choices it depends on; `ask(api, state)` returns its data;
// `show(data, state)` returns elements, or null when there is nothing to show, and `empty(state, data)` then says why.

import { budgetItem, byUrgency, sharedWarnings } from "./budgets.js";
import { meter, outlook, rows, stacked } from "./charts.js";
import { h, spoken, table } from "./dom.js";
import {
  ago, axisDollars, change, columnPercent, compact, count, dollars, duration, isNumber, milliseconds, moment, percent, plural, roughDollars, sentence, signedDollars,
  words,
} from "./format.js";
import { share } from "./scales.js";
import { METRICS, trendChart } from "./trend.js";
import { nothingScraped, trustLine } from "./trust.js";

const HOURLY = { bin: "hour", intervals: 24, tick: "time", said: "by hour, last 24 hours", span: "in the last 24 hours" };
export const PERIODS = {
  hour: { said: "in the last hour", trend: HOURLY },
  day: { said: "in the last 24 hours", trend: HOURLY },
  week: { said: "in the last 7 days", trend: { bin: "hour", intervals: 168, tick: "weekday", said: "by hour, last 7 days", span: "in the last 7 days" } },
  month: { said: "in the last 30 days", trend: { bin: "day", intervals: 30, tick: "day", said: "by day, last 30 days", span: "in the last 30 days" } },
};
export const GROUPS = { model: "model", task_type: "task", user: "user", tier: "cache tier" };
const HORIZON_DAYS = 30;
const MOST_ROWS = 8;
const MOST_FINDINGS = 4;
const MOST_BUDGETS = 6;
const MOST_LETTERS = 12;

const byValue = (amounts) => Object.entries(amounts).sort(([, a], [, b]) => b - a);
/** Why there is nothing to show: where nothing was scraped it is not known what was. */
const nothing = (words, said, { trust: known }) => (nothingScraped(known) ? `Not known: nothing was scraped ${said}.` : `${words} ${said}.`);
const noTraffic = ({ period }, data) => nothing("No requests", PERIODS[period].said, data);
/** Whether no request had a price, so that zero dollars say nothing. */
const unpriced = ({ trust: known }) => known.unpriced_ratio >= 1;
const breakdown = (parameters) => (api) => api.get("analytics/cost-breakdown", { group_by: "model", ...parameters });
const headline = (text) => h("p", { class: text.length > MOST_LETTERS ? "big long" : "big" }, text);
const big = (text, ...notes) => [headline(text), h("p", { class: "note" }, ...notes)];
const good = (text) => h("p", { class: "note good" }, text);

const spend = (id, parameters, said) => ({
  id,
  uses: [],
  ask: breakdown(parameters),
  empty: (state, data) => nothing("No requests", said, data),
  show: (data) => data.requests > 0 && [
    ...(unpriced(data) ? big("No price", `${compact(data.requests)} requests`)
      : big(dollars(data.total_cost), `${compact(data.requests)} requests, ${dollars(data.cost_per_request)} each`)),
    data.savings > 0 && good(`Saved ${dollars(data.savings)}`),
  ],
});

const saved = {
  id: "saved",
  uses: ["period"],
  ask: async (api, { period }) => {
    const [compared, { requests }] = await Promise.all([api.get("analytics/baseline", { period }), breakdown({ period })(api)]);
    return { ...compared, requests };
  },
  empty: (state, data) => (data.requests > 0 ? `No dollars: requests ${PERIODS[state.period].said} had no price or cost nothing.`
    : noTraffic(state, data)),
  show: (data) => data.baseline_cost > 0 && big(
    dollars(data.savings), `${percent(data.savings_pct / 100)} of the ${dollars(data.baseline_cost)} baseline`),
};

const trust = {
  id: "trust",
  uses: ["period"],
  ask: (api, { period }) => breakdown({ period })(api),
  empty: () => "",
  show: (data, { period }) => trustLine(data.trust, PERIODS[period].said),
};

const trend = {
  id: "trend",
  uses: ["period", "show"],
  ask: (api, { period, show }) => {
    const { bin, intervals } = PERIODS[period].trend;
    return api.get("analytics/trends", { metric: show, period: bin, intervals });
  },
  empty: ({ period }, data) => nothing("Nothing to draw", PERIODS[period].trend.span, data),
  show: (data, { period, show }) => trendChart(data, METRICS[show], PERIODS[period].trend),
};

const where = {
  id: "breakdown",
  uses: ["period", "by"],
  ask: (api, { period, by }) => breakdown({ period, group_by: by })(api),
  empty: noTraffic,
  show: (data, { by }) => data.requests > 0 && breakdownRows(data, by),
};

function breakdownRows(data, by) {
  const { breakdown: parts, total_cost: total } = data;
  const names = byValue(parts);
  const shown = names.slice(0, MOST_ROWS).map(([name, value]) => (
    { name: labelName(name, by), value, ...priced(value, total, data.unpriced_requests?.[name]) }));
  const rest = names.slice(MOST_ROWS).reduce((sum, [, value]) => sum + value, 0);
  const more = names.length - MOST_ROWS;
  return [
    rows(`Dollars by ${GROUPS[by]}`, shown),
    more > 0 && h("p", { class: "note" }, `${more} more: ${dollars(rest)}`),
    h("p", { class: "sum" }, "Total ", h("b", {}, unpriced(data) ? "not known: no request had a price" : dollars(total))),
  ];
}

/** Dollars and their share; of a model whose requests had no price there are none to show. */
function priced(value, total, without) {
  if (value === 0 && without > 0) return { shown: "no price", note: `${compact(without)} requests` };
  return { shown: dollars(value), note: columnPercent(share(value, total)) };
}

function labelName(name, by) {
  if (by !== "tier") return name;
  return name === "none" ? "No cache: a model answered" : `Cache tier ${name}`;
}

const savings = {
  id: "savings",
  uses: ["period"],
  ask: saved.ask,
  empty: saved.empty,
  show: (data) => data.baseline_cost > 0 && savingsParts(data),
};

function savingsParts(data) {
  const phases = byValue(data.savings_by_phase);
  const parts = [
    { name: "Spent", value: data.actual_cost, kind: "part-0" },
    ...phases.map(([phase, value], index) => ({ name: `Saved by ${words(phase)}`, value, kind: `part-${1 + (index % 6)}` })),
  ];
  const legend = table("Parts of the baseline", ["Part", "Dollars", "Share"], parts.map(({ name, value, kind }) => [
    h("span", {}, h("i", { class: `key ${kind}` }), name), dollars(value), columnPercent(share(value, data.baseline_cost))]));
  return [
    stacked("What was spent and what was saved, as parts of the baseline", parts),
    legend,
    h("p", { class: "sum" }, "Baseline ", h("b", {}, dollars(data.baseline_cost)), `, what ${data.baseline_model} would have cost`),
    isNumber(data.cache_contribution_pct)
      && h("p", { class: "note" }, `The caches made ${percent(data.cache_contribution_pct / 100)} of the savings.`),
  ];
}

const cache = {
  id: "cache",
  uses: ["period"],
  ask: (api, { period }) => api.get("analytics/cache-performance", { period }),
  empty: ({ period }, data) => nothing("No cache was asked", PERIODS[period].said, data),
  show: (data) => Object.values(data.tiers).some(wasUsed) && cacheTiers(data),
};

/** Whether a tier was asked, or answered requests of which no look-up was told. */
function wasUsed({ hits, misses, requests_served: served }) {
  return hits + misses + served > 0;
}

function cacheTiers(data) {
  const tiers = Object.entries(data.tiers);
  const used = tiers.map(([tier, each]) => [
    `Tier ${tier}`,
    h("span", { class: "rate" }, columnPercent(each.hit_rate), meter(each.hit_rate ?? 0, "good")),
    compact(each.hits + each.misses), milliseconds(each.avg_latency_ms)]);
  const worth = tiers.filter(([, each]) => wasUsed(each)).map(([tier, each]) => [
    `Tier ${tier}`, roughDollars(each.dollars_saved), roughDollars(each.marginal_dollars), wait(each.marginal_milliseconds)]);
  const unvalued = tiers.reduce((sum, [, each]) => sum + each.unvalued_requests, 0);
  return [
    table("Cache tiers", ["Tier", "Hit rate", "Look-ups", "Mean look-up"], used, { class: "tiers" }),
    h("p", { class: "sum" }, "All tiers ", h("b", {}, percent(data.overall_hit_rate)), " of look-ups hit, ",
      h("b", {}, percent(data.served_from_cache)), " of requests served from a cache"),
    table("What each tier is worth", ["Tier", "Saved of the baseline", "Dearer without it", "Longer waits without it"], worth, { class: "tiers" }),
    h("p", { class: "note" }, "Saved of the baseline: at the baseline model\u2019s prices. Dearer without it: at the prices of their own models; ",
      "without a tier its requests would go on to the next ones, and else to their model. ",
      "Waits are those of all requests together. ",
      unvalued > 0 && `${compact(unvalued)} requests are left out of what would be dearer: what their model would have cost is not known.`),
    isNumber(data.cost_per_thousand_requests) && h("p", { class: "sum" }, "A thousand requests cost ",
      h("b", {}, dollars(data.cost_per_thousand_requests)), ", a dollar bought ", h("b", {}, compact(data.tokens_per_dollar)), " tokens"),
  ];
}

/** Time that all requests together would have waited longer; below zero they would have waited less. */
function wait(ms) {
  if (!isNumber(ms)) return milliseconds(ms);
  const seconds = Math.abs(ms) / 1000;
  return `${ms < 0 ? "\u2212" : ""}${seconds < 60 ? milliseconds(1000 * seconds) : duration(seconds)}`;
}

const latency = {
  id: "latency",
  uses: ["period"],
  ask: (api, { period }) => api.get("analytics/latency-percentiles", { period }),
  empty: noTraffic,
  show: (data) => isNumber(data.p50) && [
    rows("Latency percentiles", ["p50", "p75", "p90", "p95", "p99"].map((name) => (
      { name, value: data[name] ?? 0, shown: milliseconds(data[name]) }))),
    h("p", { class: "note" }, `${count(data.requests)} requests; half of them took at most ${milliseconds(data.p50)}.`),
  ],
};

const forecast = {
  id: "forecast",
  uses: [],
  ask: async (api) => {
    const [ahead, month, past] = await Promise.all([
      api.get("analytics/forecast", { horizon_days: HORIZON_DAYS }),
      breakdown({ period: "month" })(api),
      api.get("analytics/trends", { metric: "cost", period: "day", intervals: HORIZON_DAYS })]);
    return { ahead, month: month.total_cost, past: past.points.map(({ value }) => value) };
  },
  empty: () => "Too little history for a forecast yet.",
  show: ({ ahead, month, past }) => isNumber(ahead.predicted_cost) && [
    headline(roughDollars(ahead.predicted_cost)),
    h("p", { class: "note" }, ahead.history_days >= HORIZON_DAYS
      && `${change(ahead.predicted_cost, month)} against the last 30 days. `, trendOf(ahead)),
    outlook(past, ahead.days, { axis: axisDollars, ends: [`${past.length} days ago`, "today", `in ${ahead.horizon_days} days`] }),
    h("p", { class: "note" }, `${percent(ahead.confidence, 0)} sure: between ${roughDollars(ahead.confidence_low)} and `
      + `${roughDollars(ahead.confidence_high)}.`),
    h("p", { class: "note" }, backTest(ahead)),
    ahead.warning && h("p", { class: "notice" }, ahead.warning),
  ],
};

function trendOf({ trend, trend_pct_per_week: pct }) {
  if (trend === "stable") return "No clear trend.";
  const pace = isNumber(pct) ? `, by ${percent(Math.abs(pct) / 100)} a week` : "";
  return `The trend is ${trend}${pace}.`;
}

function backTest({ backtest, history_days: days }) {
  if (!isNumber(backtest.mape_pct)) return `Too little history (${plural(days, "day")}) to test the forecast on.`;
  return `Tested ${plural(backtest.folds, "time")} on the past ${plural(days, "day")}: off by `
    + `${percent(backtest.mape_pct / 100)} on average, ${percent(backtest.coverage, 0)} within the interval.`;
}

const budgets = {
  id: "budgets",
  uses: [],
  ask: (api) => api.get("analytics/budgets"),
  empty: () => [
    "No budget is set. Name a file of budgets in the service\u2019s settings (", h("code", {}, "budgets_file"),
    ") to see here how far the month\u2019s money goes."],
  show: ({ budgets: found }) => found.length > 0 && budgetList(found),
};

function budgetList(found) {
  const shared = sharedWarnings(found);
  return [
    budgetKey(),
    list(byUrgency(found).map((each) => budgetItem(each, shared)), MOST_BUDGETS, "budgets"),
    shared.map((warning) => h("p", { class: "sum" }, warning)),
  ];
}

const budgetKey = () => h("p", { class: "note keys", "aria-hidden": "true" },
  [["spent", "spent"], ["ahead", "expected"], ["band", "its interval"], ["plan", "even plan by now"], ["limit", "budget"]].map(
    ([kind, text]) => h("span", {}, h("i", { class: `mark ${kind}` }), text)));

const anomalies = {
  id: "anomalies",
  uses: [],
  ask: (api) => api.get("analytics/anomalies"),
  empty: (state, { trust: known }) => (nothingScraped(known) ? "Not known: nothing was scraped."
    : "Nothing unusual: cost, latency, errors, caches and quality behave as expected."),
  show: ({ anomalies: found, findings }) => found.length + findings.length > 0 && [
    list(found.map(anomalyItem)),
    list(findings.map((each) => h("li", { class: "note" }, each.message))),
  ],
};

const anomalyItem = (each) => h("li", { "data-key": each.id },
  h("p", { class: "title" }, badge(each.severity), sentence(each.anomaly_type),
    h("time", { datetime: each.detected_at, title: moment(each.detected_at, "zoned") }, ongoing(each))),
  h("p", {}, each.message),
  Object.keys(each.parts).length > 0 && h("details", {}, h("summary", {}, "What moved"),
    table("Parts of the change", ["Part", "Dollars"], byValue(each.parts).map(([part, value]) => [words(part), signedDollars(value)]))));

const ongoing = (each) => (each.ongoing ? `since ${moment(each.start, "zoned")}` : `ended ${ago(each.end)}`);

const recommendations = {
  id: "recommendations",
  uses: [],
  ask: (api) => api.get("analytics/recommendations"),
  empty: () => "No advice: nothing is to be gained.",
  show: ({ recommendations: found, warning }) => (found.length === 0 ? warning && h("p", { class: "empty" }, `No advice: ${warning}.`) : [
    list(found.map(adviceItem)),
    found.filter((each) => each.estimated_savings > 0).length > 1
      && h("p", { class: "note" }, "Each saving is counted by itself; some are of the same dollars: do not add them up."),
  ]),
};

const adviceItem = (each) => h("li", { "data-key": each.id },
  h("p", { class: "title" }, badge(each.priority), each.title,
    each.estimated_savings > 0 && h("b", { class: "good" }, `${roughDollars(each.estimated_savings)} a month`)),
  h("p", {}, each.action),
  each.estimated_savings > 0 && h("p", { class: "note" }, `Between ${roughDollars(each.savings_low)} and `
    + `${roughDollars(each.savings_high)} a month while days stay as they are; confidence ${each.confidence}.`),
  h("details", {}, h("summary", {}, "Why"), h("p", {}, each.description),
    each.quality_guard && h("p", { class: "note" }, each.quality_guard),
    each.evidence.map(({ statement, promql }) => h("p", { class: "note query" }, statement, h("code", {}, promql)))));

/** The first items, and the rest behind a line that says how many there are. */
function list(items, most = MOST_FINDINGS, kind = "findings") {
  const rest = items.slice(most);
  return items.length > 0 && [
    h("ul", { class: kind }, items.slice(0, most)),
    rest.length > 0 && h("details", {}, h("summary", {}, `${rest.length} more`), h("ul", { class: kind }, rest)),
  ];
}

const badge = (level) => h("span", { class: `badge ${level}` }, spoken("Level: "), level);

export const CARDS = [
  trust,
  spend("today", { window: "today" }, "today"),
  spend("month-to-date", { window: "month-to-date" }, "this month"),
  spend("last-30-days", { period: "month" }, "in the last 30 days"),
  saved, trend, forecast, budgets, where, savings, cache, latency, anomalies, recommendations,
];
