// A small graph of the last values.

import { byId } from "./element.js";

const VALUES = 45;
const HEIGHT = 20;

export class Graph {
  #values = [];
  #ceiling;
  #headroom;
  node = byId("graph").content.firstElementChild.cloneNode(true);

  // What fills it at least; more grows it, with so much above the largest.
  constructor(ceiling, headroom = 1) {
    this.#ceiling = ceiling;
    this.#headroom = headroom;
  }

  push(value) {
    this.#values.push(value);
    if (this.#values.length > VALUES) this.#values.shift();
    const top = Math.max(this.#ceiling, this.#headroom * Math.max(...this.#values));
    const left = VALUES - this.#values.length;
    const points = this.#values.map((at, i) => `${left + i} ${(HEIGHT - 1 - (HEIGHT - 2) * (at / top || 0)).toFixed(1)}`);
    const [area, line] = this.node.querySelectorAll("path");
    line.setAttribute("d", `M${points.join("L")}`);
    area.setAttribute("d", `M${left} ${HEIGHT}L${points.join("L")}L${VALUES - 1} ${HEIGHT}Z`);
  }
}
