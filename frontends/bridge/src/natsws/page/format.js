// Figures as people read them.

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

// Decimal units, three digits at most.
export function bytes(count) {
  if (!Number.isFinite(count)) return "";
  let unit = 0;
  while (count >= 999.5 && unit < UNITS.length - 1) {
    count /= 1000;
    unit++;
  }
  return `${unit > 0 && count < 9.95 ? count.toFixed(1) : Math.round(count)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  const [s, m, h] = [seconds, seconds / 60, seconds / 3600].map(Math.floor);
  if (m < 1) return `${s} s`;
  if (h < 1) return `${m} min`;
  return h < 48 ? `${h} h ${m % 60} min` : `${Math.floor(h / 24)} days`;
}

export const percent = (share) => (Number.isFinite(share) ? `${share < 9.95 ? share.toFixed(1) : Math.round(share)} %` : "");

export const number = (count) => count.toLocaleString("en");

export const clock = (date) => date.toTimeString().slice(0, 8);

// The beginning of a text, marked where it was cut.
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);
