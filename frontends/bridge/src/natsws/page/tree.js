// A tree as WAI-ARIA has it: one stop for the tab key, arrows within.

import { element } from "./element.js";

export class Tree {
  #root;
  #chosen;
  #nodes = [];
  // Those that are not as they begin.
  #turned = new Set();
  #current;

  // `chosen(key)` when a node is clicked or Enter is pressed.
  constructor(root, chosen) {
    this.#root = root;
    this.#chosen = chosen;
    root.addEventListener("click", (event) => this.#click(event));
    root.addEventListener("keydown", (event) => this.#key(event));
  }

  // `{ key, label: [elements or texts], kind, open, below: [nodes] }`, the first ones of them up to `most`.
  draw(nodes, most) {
    this.#nodes = nodes;
    this.most = most;
    const had = this.#root.contains(document.activeElement);
    let left = most;
    const item = (node, level) => {
      left--;
      const open = this.#isOpen(node);
      const made = element("li", {
        role: "treeitem", class: node.kind, tabindex: -1, "data-key": node.key, "aria-level": level,
        "aria-expanded": node.below.length > 0 && String(open), "aria-selected": String(node.key === this.#current),
      }, element("div", { class: "label" }, ...node.label));
      if (open) {
        const group = element("ul", { role: "group" });
        for (const child of node.below) if (left > 0) group.append(item(child, level + 1));
        made.append(group);
      }
      return made;
    };
    this.#root.replaceChildren(...nodes.flatMap((node) => (left > 0 ? [item(node, 1)] : [])));
    const items = this.#items();
    const current = items.find(({ dataset }) => dataset.key === this.#current) ?? items[0];
    if (current) current.tabIndex = 0;
    if (had) current?.focus({ preventScroll: true });
  }

  #isOpen(node) {
    return node.below.length > 0 && node.open !== this.#turned.has(node.key);
  }

  #items() {
    return [...this.#root.querySelectorAll("[role=treeitem]")];
  }

  #turn(key) {
    if (!this.#turned.delete(key)) this.#turned.add(key);
    this.draw(this.#nodes, this.most);
  }

  #go(item) {
    if (!item) return;
    this.#items().forEach((other) => (other.tabIndex = -1));
    this.#current = item.dataset.key;
    item.tabIndex = 0;
    item.focus();
  }

  #choose(item) {
    this.#items().forEach((other) => other.setAttribute("aria-selected", String(other === item)));
    this.#chosen(item.dataset.key);
  }

  #click({ target }) {
    const item = target.closest("[role=treeitem]");
    if (!item) return;
    this.#go(item);
    this.#choose(item);
    if (item.hasAttribute("aria-expanded")) this.#turn(item.dataset.key);
  }

  #key(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
    const items = this.#items();
    const at = items.indexOf(item);
    const open = item.getAttribute("aria-expanded");
    const keys = {
      ArrowDown: () => this.#go(items[at + 1]),
      ArrowUp: () => this.#go(items[at - 1]),
      Home: () => this.#go(items[0]),
      End: () => this.#go(items.at(-1)),
      ArrowRight: () => (open === "false" ? this.#turn(item.dataset.key) : open === "true" && this.#go(items[at + 1])),
      ArrowLeft: () => (open === "true" ? this.#turn(item.dataset.key) : this.#go(item.parentElement.closest("[role=treeitem]"))),
      Enter: () => this.#choose(item),
      " ": () => this.#choose(item),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}
