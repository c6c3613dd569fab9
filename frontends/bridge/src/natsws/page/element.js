// Elements whose texts are texts: nothing that comes is ever markup.

export const byId = (id) => document.getElementById(id);

// Functions among the attributes listen to what they are called after; `undefined` and `false` are left out.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== ""));
  return made;
}

// Where there is nothing to show, why. "" takes it back.
export function note(panel, text) {
  const place = panel.querySelector(".note");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

// The number beside a panel's title.
export function count(panel, text) {
  panel.querySelector(".count").textContent = text;
}

// A list of names and values; those without a value are left out.
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return element("dl", { class: "facts" }, ...known.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
}
