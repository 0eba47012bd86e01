// Where each cell of the grid of layers and experts lies on the canvas.

const CELL_HEIGHT = { min: 6, max: 52 };
const GRID_HEIGHT = 470; // what many layers share
const CELL_WIDTH_MIN = 2; // below that experts run downwards
const CELL_DOWNWARDS = 3;
const SPACE_MAX = 10;
const MARGIN = { side: 40, top: 30, bottom: 20 };

/** How a length is divided among experts, with some space between runs of them. */
function divide(length, experts, runs) {
  const space = Math.min(SPACE_MAX, (0.12 * length) / runs);
  return { space, cell: (length - space * Math.max(runs - 1, 0)) / experts };
}

/** Places of all cells, in pixels of the device. */
export class Places {
  /** `width` in CSS pixels, `ratio` of the device's to those. */
  constructor(cluster, width, ratio) {
    const { experts } = cluster;
    const layers = cluster.layers.length;
    Object.assign(this, { runs: cluster.runs(), width, ratio });
    const wide = Math.max(width - MARGIN.side - 1, 1);
    const { cell } = divide(wide, experts, this.runs.length);
    this.downwards = cell < CELL_WIDTH_MIN && experts > layers;
    const most = this.downwards ? wide : Math.max(GRID_HEIGHT, CELL_HEIGHT.min * layers);
    const across = Math.min(most / layers, CELL_HEIGHT.max);
    const along = this.downwards ? experts * CELL_DOWNWARDS : wide;
    const divided = divide(along, experts, this.runs.length);
    this.space = divided.space * ratio;
    this.along = divided.cell * ratio; // a cell's pitch over experts
    this.across = across * ratio; // and over layers
    this.left = MARGIN.side * ratio;
    this.top = MARGIN.top * ratio;
    const height = this.downwards ? along : across * layers;
    this.height = MARGIN.top + height + (this.downwards ? 4 : MARGIN.bottom);
    this.runOf = new Uint16Array(experts);
    this.runs.forEach(({ begin, end }, i) => this.runOf.fill(i, begin, end));
  }

  /** [from, to) of an expert or of experts [begin, end) of one run, along its axis. */
  span(begin, end = begin + 1) {
    const from = (this.downwards ? this.top : this.left) + this.runOf[begin] * this.space;
    return [Math.round(from + begin * this.along), Math.round(from + end * this.along)];
  }

  /** [from, to) of a row of the layer with this number, along the other axis. */
  layerSpan(layer) {
    const from = this.downwards ? this.left : this.top;
    return [Math.round(from + layer * this.across), Math.round(from + (layer + 1) * this.across)];
  }

  /** [x, y, width, height] without the gaps between cells. */
  box(layer, expert) {
    const [a0, a1] = this.span(expert);
    const [b0, b1] = this.layerSpan(layer);
    const [a, b] = [this.gap(this.along), this.gap(this.across)];
    const [length, breadth] = [Math.max(a1 - a0 - a, 1), Math.max(b1 - b0 - b, 1)];
    return this.downwards ? [b0, a0, breadth, length] : [a0, b0, length, breadth];
  }

  gap(pitch) {
    if (pitch >= 20 * this.ratio) return Math.round(3 * this.ratio);
    return pitch >= 5 ? 1 : 0;
  }

  /** The cell at a point in CSS pixels, null between and outside of them. */
  at(x, y, cluster) {
    const [a, b] = this.downwards ? [y, x] : [x, y];
    const start = this.downwards ? this.left : this.top;
    const layer = Math.floor((b * this.ratio - start) / this.across);
    if (layer < 0 || layer >= cluster.layers.length) return null;
    for (const { begin, end } of this.runs) {
      const [from, to] = this.span(begin, end);
      const inside = a * this.ratio - from;
      if (inside < 0 || a * this.ratio >= to) continue;
      return { layer, expert: Math.min(begin + Math.floor(inside / this.along), end - 1) };
    }
    return null;
  }
}
