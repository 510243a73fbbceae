// Wires the page: the address holds what is chosen, each card loads by itself, everything refreshes every minute.

import { Api } from "./api.js";
import { CARDS, GROUPS, PERIODS } from "./cards.js";
import { h } from "./dom.js";
import { moment } from "./format.js";
import { METRICS } from "./trend.js";

const REFRESH_MS = 60_000;
const DEFAULTS = { period: "day", by: "model", show: "cost" };
const [BANNER] = CARDS;
const turns = new Map();
/** The message with which the line at the top failed the last time that it was asked; null when it did not. */
let told = Promise.resolve(null);

/** What is chosen, from the address; what the address does not say, or says wrongly, is the default. */
function readState() {
  const query = new URLSearchParams(location.search);
  const pick = (name, allowed) => (Object.hasOwn(allowed, query.get(name)) ? query.get(name) : DEFAULTS[name]);
  return { period: pick("period", PERIODS), by: pick("by", GROUPS), show: pick("show", METRICS) };
}

function writeState(change) {
  const query = new URLSearchParams({ ...readState(), ...change });
  history.pushState(null, "", `?${query}`);
}

function showState({ period, by, show }) {
  document.querySelector(`input[name=period][value=${period}]`).checked = true;
  document.querySelector(`input[name=by][value=${by}]`).checked = true;
  document.querySelector("select[name=show]").value = show;
  for (const place of document.querySelectorAll(".in-period")) place.textContent = PERIODS[period].said;
  document.querySelector(".in-trend").textContent = PERIODS[period].trend.said;
}

const bodyOf = (card) => document.querySelector(`#${card.id} .body`);

/** Ask and show `card`; an answer that a newer question has overtaken is dropped. */
async function load(card, api, state) {
  const section = document.getElementById(card.id);
  const turn = Symbol(card.id);
  turns.set(card, turn);
  section.setAttribute("aria-busy", "true");
  const asked = answer(card, api, state);
  if (card === BANNER) told = asked.then(({ error }) => error?.message ?? null);
  const { content, error } = await asked;
  const shown = error ? failure(card, error, card !== BANNER && error.message === await told) : content;
  if (turns.get(card) !== turn) return;
  render(card, shown, error ? "failed" : "shown");
  section.removeAttribute("aria-busy");
}

async function answer(card, api, state) {
  try {
    const data = await card.ask(api, state);
    return { content: card.show(data, state) || h("p", { class: "empty" }, card.empty(state, data)) };
  } catch (error) {
    return { error };
  }
}

/** Put `content` into the card; what the reader opened, scrolled, read in the chart or holds the focus on stays so. */
function render(card, content, status) {
  const body = bodyOf(card);
  const before = named(body);
  const held = [...before].map(([name, each]) => ({
    name, open: each.open, scrolled: each.scrollTop, chosen: each.dataset.chosen, focused: each === document.activeElement }));
  body.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  const now = named(body);
  for (const { name, open, scrolled, chosen, focused } of held) {
    const each = now.get(name);
    if (!each) continue;
    if (open) each.open = true;
    if (scrolled) each.scrollTop = scrolled;
    if (focused) each.focus({ preventScroll: true });
    if (chosen) each.dispatchEvent(new CustomEvent("choose", { detail: Number(chosen) }));
  }
  document.getElementById(card.id).dataset.status = status;
}

/** What a reader can hold, by names that stay the same when another item comes before theirs. */
function named(body) {
  const found = new Map();
  for (const each of body.querySelectorAll("details, summary, details > table, .plot, button")) {
    const item = `${each.closest("[data-key]")?.dataset.key ?? ""} ${each.localName}`;
    let number = 0;
    while (found.has(`${item} ${number}`)) number += 1;
    found.set(`${item} ${number}`, each);
  }
  return found;
}

/** What went wrong and a button to ask again; what the line at the top tells already is not told twice. */
function failure(card, error, isTold) {
  if (isTold) return h("p", { class: "empty" }, "No answer: the reason stands at the top of the page.");
  const again = () => (card === BANNER ? refresh() : load(card, new Api(), readState()));
  return h("div", { class: "failure", role: "alert" },
    h("p", {}, error.message),
    h("button", { type: "button", onclick: again }, "Try again"));
}

/** Load `cards` anew, with answers shared between them. */
async function refresh(cards = CARDS) {
  const state = readState();
  const api = new Api();
  showState(state);
  await Promise.all(cards.map((card) => load(card, api, state)));
  if (await told === null) document.getElementById("updated").textContent = `Updated ${moment(Date.now(), "clock")}`;
}

function start() {
  for (const card of CARDS) bodyOf(card).replaceChildren(h("p", { class: "loading" }, "Loading…"));
  for (const input of document.querySelectorAll(".switch input, select[name=show]")) {
    input.addEventListener("change", () => {
      writeState({ [input.name]: input.value });
      refresh(CARDS.filter(({ uses }) => uses.includes(input.name)));
    });
  }
  document.getElementById("refresh").addEventListener("click", () => refresh());
  addEventListener("popstate", () => refresh());
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  setInterval(() => document.hidden || refresh(), REFRESH_MS);
  refresh();
}

start();
