// How far the figures can be trusted, in one line: green when all was seen, amber with the reasons when not.

import { h } from "./dom.js";
import { duration, isNumber, moment, percent } from "./format.js";

const SEEN_ENOUGH = 0.999;

const lengthSeconds = ({ start, end }) => (new Date(end) - new Date(start)) / 1000;

/** Whether nothing at all was scraped in the window, so that nothing is known of it and zeros mean nothing. */
export const nothingScraped = ({ scraped_ratio: ratio, gaps }) => gaps.length > 0 && !(ratio > 0);

/** The longest gap in words, and how many more there are. */
function gapsText(gaps) {
  const longest = gaps.reduce((best, gap) => (lengthSeconds(gap) > lengthSeconds(best) ? gap : best));
  const more = gaps.length > 1 ? `, and ${gaps.length - 1} shorter` : "";
  return `Not scraped for ${duration(lengthSeconds(longest))} from ${moment(longest.start, "zoned")}${more}.`;
}

/** The reasons for doubt, as sentences; none when the window was seen whole and everything had a price. */
export function doubts(trust) {
  const { gaps } = trust;
  const found = [];
  if (!isNumber(trust.scraped_ratio)) found.push("It is not known how much of the time was scraped.");
  else if (trust.scraped_ratio < SEEN_ENOUGH) {
    found.push(`${percent(trust.scraped_ratio)} of the time was scraped.`);
  }
  if (gaps.length > 0) found.push(gapsText(gaps));
  if (trust.resets > 0) found.push(`Restarts that lost counts: ${trust.resets}.`);
  if (trust.unpriced_ratio > 0) found.push(`${percent(trust.unpriced_ratio)} of the requests had no price and count as nothing.`);
  if (trust.repaired_ratio > 0) {
    found.push(`${percent(trust.repaired_ratio)} of the time has no recorded totals and was summed from raw samples.`);
  }
  return found;
}

/** The line itself, and behind it what the service has to say in its own words. */
export function trustLine(trust, said) {
  const notes = [...trust.warnings, trust.source && `Summed from ${trust.source}.`].filter(Boolean);
  return [nothingScraped(trust) ? unknown(said) : line(doubts(trust), said), trust.warnings.length > 0
    && h("details", {}, h("summary", {}, "Details"), h("ul", {}, notes.map((note) => h("li", {}, note))))];
}

const unknown = (said) => h("p", { class: "unsure" }, h("b", {}, "Nothing is known. "),
  `No exporter was scraped ${said}; `, h("code", {}, "asahi-obs doctor"), " says what to do.");

function line(found, said) {
  if (found.length === 0) {
    return h("p", { class: "sure" }, h("b", {}, "Complete. "),
      `All scrapes arrived ${said}, no gaps, and every request had a price.`);
  }
  return h("p", { class: "unsure" }, h("b", {}, "Read with care. "), found.join(" "));
}
