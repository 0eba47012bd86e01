// Draws the grid of layers and experts on a canvas: colours, ranks, labels, the chosen cells.
import { Places } from "/web/cluster_places.js";

const LABEL_PX = 11;

/** The smallest of 1, 2, 5, 10, ... (or of powers of two) steps of which keep labels apart. */
function labelStep(pitch, apart, factors) {
  let step = 1;
  for (let i = 0; step * pitch < apart; ++i) step *= factors[i % factors.length];
  return step;
}

function parse(color) {
  return color.match(/[\d.]+/g).slice(0, 3).map(Number);
}

/** The colours that the style sheet has for this theme, read where the legend shows them. */
function coloursOf(legend) {
  const style = (selector) => getComputedStyle(legend.querySelector(selector));
  const heat = [...legend.querySelectorAll(".ramp i")];
  return {
    heat: heat.map((node) => parse(getComputedStyle(node).backgroundColor)),
    bad: style(".swatch.uncovered").color,
    badSoft: style(".swatch.uncovered").backgroundColor,
    silent: style(".swatch.silent").backgroundColor,
    faint: getComputedStyle(legend).color,
    text: getComputedStyle(document.body).color,
    accent: style(".ramp").color,
    font: getComputedStyle(document.body).fontFamily,
  };
}

/** 256 colours along the ramp's stops. */
function rampOf(stops) {
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    const mix = stops[low].map((c, k) => Math.round(c + (at - low) * (stops[low + 1][k] - c)));
    return `rgb(${mix.join(" ")})`;
  });
}

/** A pattern of size pixels: stripes for what is bad, dots for what is not known. */
function patternOf(context, size, ground, ink, dots) {
  const tile = new OffscreenCanvas(size, size);
  const brush = tile.getContext("2d");
  brush.fillStyle = ground;
  brush.fillRect(0, 0, size, size);
  brush.strokeStyle = brush.fillStyle = ink;
  brush.lineWidth = size / 5;
  if (dots) {
    brush.fillRect(size / 4, size / 4, size / 4, size / 4);
  } else {
    for (const shift of [-size, 0, size]) {
      brush.moveTo(shift - 1, size + 1);
      brush.lineTo(shift + size + 1, -1);
    }
    brush.stroke();
  }
  return context.createPattern(tile, "repeat");
}

export class Grid {
  constructor(canvas, legend) {
    Object.assign(this, { canvas, legend });
    this.context = canvas.getContext("2d");
  }

  /** `shown`: {cluster, kind, scale, pinned, pointed}; the last two are cells or null. */
  draw(shown) {
    const ratio = devicePixelRatio || 1;
    const places = new Places(shown.cluster, this.canvas.parentElement.clientWidth, ratio);
    this.places = places;
    this.colours = coloursOf(this.legend);
    this.resize(places);
    this.drawCells(shown);
    this.drawRuns();
    this.drawLabels(shown.cluster);
    if (shown.pointed) this.drawMark(shown.pointed, this.colours.faint);
    if (shown.pinned) this.drawMark(shown.pinned, this.colours.text);
  }

  resize({ width, height, ratio }) {
    const { canvas } = this;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
      Object.assign(canvas, { width: w, height: h });
      canvas.style.height = `${height}px`;
    }
    this.context.clearRect(0, 0, w, h);
    this.font = `${Math.round(LABEL_PX * ratio)}px ${this.colours.font}`;
  }

  drawCells({ cluster, kind, scale: { end } }) {
    const { context, places, colours } = this;
    const values = cluster.values(kind);
    const ramp = rampOf(colours.heat);
    const tile = Math.max(4, Math.round(6 * places.ratio));
    this.patterns = {
      uncovered: patternOf(context, tile, colours.badSoft, colours.bad, false),
      silent: patternOf(context, tile, colours.silent, colours.faint, true),
    };
    const round = Math.min(places.along, places.across) >= 14 * places.ratio;
    for (let expert = 0; expert < cluster.experts; ++expert) {
      const pattern = this.patterns[cluster.states[expert]];
      for (let layer = 0; layer < cluster.layers.length; ++layer) {
        const part = end > 0 ? values[layer * cluster.experts + expert] / end : 0;
        context.fillStyle = pattern ?? ramp[Math.round(255 * Math.min(part, 1))];
        const box = places.box(layer, expert);
        if (round) this.fillRound(box);
        else context.fillRect(...box);
      }
    }
  }

  fillRound(box) {
    this.context.beginPath();
    this.context.roundRect(...box, 4 * this.places.ratio);
    this.context.fill();
  }

  /** Above (or beside) each run of experts a bar, and the names of the ranks that hold it. */
  drawRuns() {
    const { context, places, colours } = this;
    const { ratio, downwards } = places;
    context.font = this.font;
    for (const { begin, end, ranks } of places.runs) {
      const [from, to] = places.span(begin, end);
      const length = Math.max(to - from - places.gap(places.along), 1);
      const alive = ranks.some(({ state }) => ["ACTIVE", "SUSPECT", "DRAINING"].includes(state));
      context.fillStyle = alive ? colours.accent : colours.bad;
      const [at, thick] = [(downwards ? places.left : places.top) - 7 * ratio, 3 * ratio];
      if (downwards) context.fillRect(at, from, thick, length);
      else context.fillRect(from, at, length, thick);
      const name = this.nameOf(begin, end, ranks, downwards ? 30 * ratio : length);
      if (name === "" || (downwards && length < 14 * ratio)) continue;
      context.fillStyle = alive ? colours.text : colours.bad;
      context.textAlign = downwards ? "right" : "left";
      context.textBaseline = downwards ? "middle" : "bottom";
      if (downwards) context.fillText(name, at - 4 * ratio, (from + to) / 2);
      else context.fillText(name, from, at - 3 * ratio);
    }
  }

  /** The longest name that fits. */
  nameOf(begin, end, ranks, length) {
    const numbers = ranks.map(({ rank }) => rank).join(", ");
    const rank = ranks.length === 0 ? "no rank" : `rank${ranks.length > 1 ? "s" : ""} ${numbers}`;
    const experts = end - begin === 1 ? `expert ${begin}` : `experts ${begin}–${end - 1}`;
    const names = [`${rank} · ${experts}`, rank, numbers];
    return names.find((name) => this.context.measureText(name).width <= length) ?? "";
  }

  drawLabels({ layers, experts }) {
    const { context, places, colours } = this;
    const { ratio, downwards } = places;
    context.font = this.font;
    context.fillStyle = colours.faint;
    const byLayer = labelStep(places.across, (downwards ? 24 : 15) * ratio, [2, 2.5, 2]);
    for (let layer = 0; layer < layers.length; layer += byLayer) {
      const middle = (places.layerSpan(layer)[0] + places.layerSpan(layer)[1]) / 2;
      context.textAlign = downwards ? "center" : "right";
      context.textBaseline = downwards ? "bottom" : "middle";
      if (downwards) context.fillText(layers[layer], middle, places.top - 6 * ratio);
      else context.fillText(layers[layer], places.left - 8 * ratio, middle);
    }
    context.textAlign = "left";
    context.textBaseline = "bottom";
    context.fillText("layer", 0, places.top - 10 * ratio);
    if (downwards) return;
    context.textAlign = "center";
    context.textBaseline = "top";
    const byExpert = labelStep(places.along, 26 * ratio, [2]);
    for (let expert = 0; expert < experts; expert += byExpert) {
      const [from, to] = places.span(expert);
      context.fillText(expert, (from + to) / 2, places.height * ratio - 16 * ratio);
    }
  }

  drawMark({ layer, expert }, colour) {
    const { context, places } = this;
    const [x, y, width, height] = places.box(layer, expert);
    const line = Math.max(1, Math.round(2 * places.ratio));
    context.lineWidth = line;
    context.strokeStyle = colour;
    context.beginPath();
    context.roundRect(x - line, y - line, width + 2 * line, height + 2 * line, 4 * places.ratio);
    context.stroke();
  }

  /** The cell under a pointer event. */
  at(event, cluster) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return this.places?.at(event.clientX - left, event.clientY - top, cluster) ?? null;
  }

  /** How an arrow key moves: [layers, experts]. */
  step(key) {
    const moves = {
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
    };
    const move = moves[key];
    return move && this.places?.downwards ? [move[1], move[0]] : move;
  }
}
