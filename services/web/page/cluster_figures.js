// The cluster in figures and words: its state, and one cell.
import { ranges, sum } from "/web/cluster_data.js";

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const fixed = (value, digits) => value.toFixed(digits);
export const count = (value) => whole.format(value);
export const rate = (value) => (value < 10 ? fixed(value, 1) : count(value));
export const percent = (part, all) => (all > 0 ? `${fixed((100 * part) / all, 1)} %` : "–");
const times = (value) => (value > 0 ? `${fixed(value, 2)} ×` : "–");
export const seconds = (value) => `${fixed(value, value < 10 ? 1 : 0)} s`;

/** What the last colour of the legend stands for. */
export function scaleWords(kind, { end, isLargest }) {
  if (end === 0) return "no load";
  const figure = kind === "rates" && end < 10 ? fixed(end, 1) : short.format(end);
  const unit = kind === "rates" ? "pairs/s" : end === 1 ? "pair" : "pairs";
  return isLargest
    ? `${figure} ${unit}, the busiest cell of the grid`
    : `${figure} ${unit} and more, the busiest 1 % of all cells`;
}

/** Leaves a selection alone where nothing changes. */
export function putInto(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function put(id, words) {
  putInto(byId(id), words);
}

/** "experts 3, 8–11 uncovered" */
function coverWords({ states }) {
  const missing = [...states.keys()].filter((expert) => states[expert] === "uncovered");
  if (missing.length === 0) return "all experts covered";
  return `${missing.length === 1 ? "expert" : "experts"} ${ranges(missing)} uncovered`;
}

export function showState(cluster, kind) {
  const { status } = cluster;
  byId("serving").dataset.state = status.serving ? "ACTIVE" : "LOST";
  put("serving", status.serving ? "Serving" : "Not serving");
  put("uncovered", coverWords(cluster));
  byId("uncovered").classList.toggle("bad", cluster.states.includes("uncovered"));
  put("model", status.model);
  put("epoch", `${status.epoch}`);
  put("term", `director's term ${status.term}`);
  const active = cluster.ranks.filter(({ state }) => state === "ACTIVE").length;
  put("ranks-active", `${active} of ${cluster.ranks.length}`);
  put("silent", silentWords(cluster));
  const pairs = sum(cluster.rates);
  const perToken = status.experts_per_token * cluster.layers.length;
  put("pairs", cluster.measured ? rate(pairs) : "–");
  put("tokens", cluster.measured ? `${rate(perToken > 0 ? pairs / perToken : 0)} tokens/s` : "…");
  put("total", count(sum(cluster.totals)));
  put("imbalance", times(cluster.imbalance(kind)));
  const { layers, experts: all } = cluster;
  const where = `${layers.length} layer${layers.length === 1 ? "" : "s"} of ${all} experts`;
  put("extent", `${where}, ${status.experts_per_token} per token`);
}

function silentWords({ ranks }) {
  const silent = ranks.filter(({ load }) => !load).map(({ rank }) => rank);
  if (silent.length === 0) return "active, all answer";
  return `active; no figures of ${ranges(silent)}`;
}

// One cell.

const NO_FIGURES = { uncovered: "uncovered: no rank holds it", silent: "no figures" };

function holdersOf(cluster, expert) {
  const ranks = cluster.holders[expert].map(({ rank, state }) => `rank ${rank} ${state}`);
  return ranks.length > 0 ? ranks.join(", ") : "none";
}

/** "Layer 3, expert 7: 12.3 pairs/s, rank 1 ACTIVE" */
export function cellWords(cluster, kind, { layer, expert }) {
  const value = cluster.ofLayer(kind, layer)[expert];
  const measured = kind === "rates" ? `${rate(value)} pairs/s` : `${count(value)} pairs`;
  const words = NO_FIGURES[cluster.states[expert]] ?? measured;
  const name = `Layer ${cluster.layers[layer]}, expert ${expert}`;
  return `${name}: ${words}, ${holdersOf(cluster, expert)}`;
}

export function showDetails(cluster, kind, { layer, expert }) {
  const known = cluster.states[expert] === "known";
  const own = cluster.ofLayer(kind, layer);
  const figure = (words) => (known ? words : "–");
  put("cell-title", `Layer ${cluster.layers[layer]}, expert ${expert}`);
  put("cell-ranks", holdersOf(cluster, expert));
  put("cell-replicas", `${cluster.holders[expert].filter(({ state }) => state !== "LOST").length}`);
  put("cell-rate", figure(cluster.measured ? rate(cluster.ofLayer("rates", layer)[expert]) : "…"));
  put("cell-total", figure(count(cluster.ofLayer("totals", layer)[expert])));
  put("cell-share", figure(percent(own[expert], sum(own))));
  put("cell-even", `even: ${percent(1, cluster.experts)}`);
  put("cell-layer", times(cluster.imbalance(kind, layer)));
}
