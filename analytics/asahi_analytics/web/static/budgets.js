// The budgets of the running month: what is spent, the band of the forecast, the pace and the day of exhaustion.

import { budgetBar } from "./charts.js";
import { h, spoken } from "./dom.js";
import { calendarDay, calendarMonth, isNumber, percent, roughDollars } from "./format.js";

const STATUS = {
  exhausted: { said: "spent", level: "critical" },
  at_risk: { said: "at risk", level: "critical" },
  watch: { said: "watch", level: "warning" },
  on_track: { said: "on track", level: "fine" },
  unknown: { said: "not known", level: "" },
};
const URGENCY = Object.keys(STATUS);
const ON_PLAN = 0.02;
const UNLIKELY = 0.05;
const CERTAIN = 1e-9;
const WATCH = 0.2;

/** The most urgent first. */
export const byUrgency = (budgets) => [...budgets].sort((a, b) => (
  URGENCY.indexOf(a.status) - URGENCY.indexOf(b.status) || b.spent_ratio - a.spent_ratio));

/** What several budgets have to say alike, to be told once. */
export const sharedWarnings = (budgets) => {
  const all = budgets.map(({ warning }) => warning).filter(Boolean);
  return [...new Set(all.filter((each, index) => all.indexOf(each) !== index))];
};

export function budgetItem(budget, shared) {
  const { said, level } = STATUS[budget.status];
  return h("li", {},
    h("p", { class: "title" }, h("span", { class: "name", title: budget.name }, budget.name),
      h("span", { class: `badge ${level}` }, spoken("Status: "), said),
      h("span", { class: "amount" }, h("b", {}, roughDollars(budget.spent)), ` of ${roughDollars(budget.budget)}`)),
    budgetBar(budget),
    h("p", {}, [spent(budget), pace(budget)].filter(Boolean).join(", "), "."),
    h("p", {}, outcome(budget)),
    isNumber(budget.forecast_total) && h("p", { class: "note" }, expected(budget)),
    budget.warning && !shared.includes(budget.warning) && h("p", { class: "note" }, budget.warning));
}

const spent = ({ spent_ratio: ratio }) => (ratio > 0 ? `${percent(ratio)} spent` : "Nothing spent");

function pace({ pace_ratio: ratio }) {
  if (!isNumber(ratio) || ratio === 0) return null;
  if (Math.abs(ratio - 1) < ON_PLAN) return "as fast as an even plan";
  if (ratio >= 2) return `${ratio.toFixed(1)} times as fast as an even plan`;
  return `${percent(Math.abs(ratio - 1), 0)} ${ratio > 1 ? "faster" : "slower"} than an even plan`;
}

const expected = (budget) => `By the end of ${calendarMonth(budget.month)}: ${roughDollars(budget.forecast_total)}; `
  + `${percent(budget.confidence, 0)} sure between ${roughDollars(budget.forecast_low)} and ${roughDollars(budget.forecast_high)}.`;

/** When the money runs out, or that it lasts. */
function outcome(budget) {
  const day = budget.exhaustion_day;
  if (budget.status === "exhausted") return `Used up on ${calendarDay(day)}.`;
  const likely = budget.overrun_probability;
  if (budget.status === "unknown") return "Whether it lasts is not known.";
  if (day) return `Runs out about ${calendarDay(day)}${around(budget)}; an overrun is ${likelihood(likely)} likely.`;
  return `${lasting(likely)}; an overrun is ${likelihood(likely)} likely.`;
}

/** A forecast is never certain, however close to 0 or 1 it comes; said as it stands in a sentence. */
const likelihood = (probability) => percent(Math.min(1 - CERTAIN, Math.max(CERTAIN, probability)), 0)
  .replace("<", "less than ").replace(">", "more than ");

function lasting(overrun) {
  if (overrun < UNLIKELY) return "Lasts the month";
  return overrun < WATCH ? "Probably lasts the month" : "May not last the month";
}

function around({ exhaustion_day: day, exhaustion_earliest: earliest, exhaustion_latest: latest }) {
  if (!earliest || earliest === latest || (earliest === day && !latest)) return "";
  return latest ? ` (${calendarDay(earliest)} to ${calendarDay(latest)})` : ` (${calendarDay(earliest)} at the earliest)`;
}
