// How far the figures can be trusted, in one line: green when all was seen, amber with the reasons when not.

import { h } from "./dom.js";
import { duration, isNumber, moment, percent } from "./format.js";

const SEEN_ENOUGH = 0.999;

function gapText(gap) {
  const seconds = (new Date(gap.end) - new Date(gap.start)) / 1000;
  return `${duration(seconds)} from ${moment(gap.start)}`;
}

/** The reasons for doubt, as sentences; none when the window was seen whole and everything had a price. */
export function doubts(trust) {
  const gaps = trust.gaps ?? [];
  const found = [];
  if (!isNumber(trust.scraped_ratio)) found.push("It is not known how much of the time was scraped.");
  else if (trust.scraped_ratio < SEEN_ENOUGH) {
    found.push(`${percent(trust.scraped_ratio)} of the time was scraped.`);
  }
  if (gaps.length > 0) {
    const more = gaps.length > 1 ? `, and ${gaps.length - 1} more` : "";
    found.push(`Not scraped for ${gapText(gaps[0])}${more}.`);
  }
  if (trust.unpriced_ratio > 0) found.push(`${percent(trust.unpriced_ratio)} of the requests had no price and count as nothing.`);
  if (trust.repaired_ratio > 0) found.push(`${percent(trust.repaired_ratio)} of the time was repaired from raw samples.`);
  return [...found, ...(trust.warnings ?? [])];
}

/** The line itself. */
export function trustLine(trust, said) {
  const found = doubts(trust);
  if (found.length === 0) {
    return h("p", { class: "sure" }, h("b", {}, "Complete. "),
      `All scrapes arrived ${said}, no gaps, and every request had a price.`);
  }
  const [first, ...rest] = found;
  return h("p", { class: "unsure" }, h("b", {}, "Read with care. "), [first, ...rest].join(" "));
}
