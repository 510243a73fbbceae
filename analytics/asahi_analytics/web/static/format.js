// Numbers and times as people read them. What is not a finite number reads as a dash, never as NaN.

export const DASH = "–";

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

const money = (digits) => new Intl.NumberFormat("en-US", {
  style: "currency", currency: "USD", minimumFractionDigits: digits, maximumFractionDigits: digits,
});
const CENTS = money(2);
const WHOLE = money(0);
const COMPACT_MONEY = new Intl.NumberFormat("en-US", {
  style: "currency", currency: "USD", notation: "compact", maximumFractionDigits: 1,
});
const TINY = new Intl.NumberFormat("en-US", {
  style: "currency", currency: "USD", minimumSignificantDigits: 2, maximumSignificantDigits: 2, maximumFractionDigits: 20,
});
const COUNT = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** Dollars to the cent; below a cent two significant digits, so that a small price never reads as nothing. */
export function dollars(value) {
  if (!isNumber(value)) return DASH;
  return value !== 0 && Math.abs(value) < 0.01 ? TINY.format(value) : CENTS.format(value);
}

/** Dollars with their sign: +$4.00. */
export const signedDollars = (value) => (value > 0 ? `+${dollars(value)}` : dollars(value));

/** Dollars without cents from a hundred on: for estimates, where cents would pretend. */
export function roughDollars(value) {
  if (!isNumber(value)) return DASH;
  return Math.abs(value) >= 100 ? WHOLE.format(value) : dollars(value);
}

/** Dollars for an axis: $1.2K. */
export function axisDollars(value) {
  if (!isNumber(value)) return DASH;
  if (value === 0) return "$0";
  if (Math.abs(value) < 0.01) return TINY.format(value);
  return Math.abs(value) < 10 && !Number.isInteger(value) ? CENTS.format(value) : COMPACT_MONEY.format(value);
}

export const count = (value) => (isNumber(value) ? COUNT.format(value) : DASH);
export const compact = (value) => (isNumber(value) ? COMPACT.format(value) : DASH);

/** A ratio 0-1 as a percentage, as the service's own sentences have it: 5 %, 5.2 %. */
export const percent = (ratio, digits = 1) => columnPercent(ratio, digits).replace(/\.0+(?=\u00a0%$)/, "");

/** The same with all its decimals, for a column; shares close to, but not at, the ends never read as 0 or 100. */
export function columnPercent(ratio, digits = 1) {
  if (!isNumber(ratio)) return DASH;
  const smallest = 10 ** -digits;
  const value = 100 * ratio;
  if (value > 0 && value < smallest / 2) return `<${smallest}\u00a0%`;
  if (value < 100 && value > 100 - smallest / 2) return `>${(100 - smallest).toFixed(digits)}\u00a0%`;
  return `${value.toFixed(digits)}\u00a0%`;
}

/** Milliseconds: 0.8 ms, 930 ms, 1.2 s. */
export function milliseconds(value) {
  if (!isNumber(value)) return DASH;
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10000 ? 0 : 1)}\u00a0s`;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)}\u00a0ms`;
}

/** Seconds as the two largest units that matter: 45 s, 20 min, 3 h 10 min, 2 d. */
export function duration(seconds) {
  if (!isNumber(seconds)) return DASH;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.round(hours / 24)} d`;
  return minutes % 60 && hours < 12 ? `${hours} h ${minutes % 60} min` : `${Math.round(minutes / 60)} h`;
}

const SHAPES = {
  time: { hour: "2-digit", minute: "2-digit", hour12: false },
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false },
  day: { month: "short", day: "numeric" },
  weekday: { weekday: "short", day: "numeric" },
  full: { weekday: "short", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false },
};
SHAPES.zoned = { ...SHAPES.full, timeZoneName: "short" };
const FORMATS = Object.fromEntries(
  Object.entries(SHAPES).map(([name, shape]) => [name, new Intl.DateTimeFormat("en-GB", shape)]),
);

/** A moment (milliseconds or ISO text) in the reader's time zone; `shape` is one of time, clock, day, weekday, full, zoned: beside
 * the service's own sentences, which are in UTC. */
export function moment(value, shape = "full") {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? DASH : FORMATS[shape].format(date);
}

const CALENDAR = Object.fromEntries(Object.entries({
  day: { weekday: "short", day: "numeric", month: "short" }, month: { month: "long" },
}).map(([name, shape]) => [name, new Intl.DateTimeFormat("en-GB", { ...shape, timeZone: "UTC" })]));

/** A calendar day such as 2026-02-28, which is the same day for every reader. */
export const calendarDay = (text) => CALENDAR.day.format(new Date(`${text}T00:00:00Z`));

/** The name of a calendar month such as 2026-02. */
export const calendarMonth = (text) => CALENDAR.month.format(new Date(`${text}-01T00:00:00Z`));

/** A change against `before` as a signed percentage: +4.5 %. */
export function change(value, before) {
  if (!isNumber(value) || !(before > 0)) return DASH;
  const ratio = value / before - 1;
  return `${ratio < 0 ? "−" : "+"}${percent(Math.abs(ratio))}`;
}

/** How long ago, in words: just now, 20 min ago. */
export function ago(value, now = Date.now()) {
  const seconds = (now - new Date(value).getTime()) / 1000;
  if (!isNumber(seconds)) return DASH;
  return seconds < 60 ? "just now" : `${duration(seconds)} ago`;
}

/** A number of things: 1 day, 30 days. */
export const plural = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** A label value as people say it: task_type → task type; nothing → unknown. */
export const words = (name) => String(name ?? "unknown").replaceAll("_", " ");

/** The same with a capital first. */
export const sentence = (name) => words(name).replace(/^./, (first) => first.toUpperCase());
