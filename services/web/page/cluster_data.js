// What answers of /cluster/status say about every expert, and the rates between two of them.

const SMOOTHED_OVER_S = 1;
const RATE_MIN = 0.05; // pairs/s; less than that is left over from smoothing
const HOLDING = ["ACTIVE", "SUSPECT", "DRAINING"];
const BELOW_END = 0.99; // of all cells
const BEST_FIRST = [...HOLDING, "LOADING", "LOST"];

/** How many pairs a rank has computed, as it said last, and how fast. */
class RankLoad {
  take({ first, count, pairs }, layers, now) {
    const counts = new Float64Array(layers * count);
    for (let i = 0; i < counts.length; ++i) {
      counts[i] = pairs[Math.floor(i / count)]?.[i % count] ?? 0;
    }
    const same = this.first === first && this.counts?.length === counts.length;
    if (!same) {
      this.rates = new Float64Array(counts.length);
      this.measured = false;
    } else if (now > this.at) {
      this.measure(counts, now - this.at);
    }
    Object.assign(this, { first, count, counts, at: now });
  }

  measure(counts, seconds) {
    const { counts: old, rates } = this;
    const began = counts.some((value, i) => value < old[i]); // anew: it counts from 0
    const weight = this.measured ? 1 - Math.exp(-seconds / SMOOTHED_OVER_S) : 1;
    counts.forEach((value, i) => {
      const rate = (value - (began ? 0 : old[i])) / seconds;
      rates[i] += weight * (rate - rates[i]);
      if (rates[i] < RATE_MIN) rates[i] = 0;
    });
    this.measured = true;
  }
}

export const sum = (values) => values.reduce((all, value) => all + value, 0);

/** Largest over mean; 0 where there is nothing to compare. */
export function imbalance(values) {
  const all = sum(values);
  return all > 0 ? (Math.max(...values) * values.length) / all : 0;
}

/**
 * The cluster as its last answer says. Cells are [layers, experts], row by row; an expert is
 * "known", "silent" (held, but no rank that holds it said its counts) or "uncovered".
 */
export class Cluster {
  constructor() {
    this.loads = new Map(); // rank -> RankLoad
    this.layers = [];
    this.experts = 0;
  }

  /** `now`: seconds of a clock that never goes back. */
  take(status, now) {
    if (status.layers.join() !== this.layers.join() || status.experts !== this.experts) {
      this.loads.clear();
    }
    Object.assign(this, { status, layers: status.layers, experts: status.experts });
    const answered = new Set();
    for (const load of status.loads) {
      if (!this.loads.has(load.rank)) this.loads.set(load.rank, new RankLoad());
      this.loads.get(load.rank).take(load, this.layers.length, now);
      answered.add(load.rank);
    }
    this.ranks = this.ranksOf(status, answered);
    this.holders = Array.from({ length: this.experts }, (_, expert) =>
      this.ranks.filter(({ begin, end }) => begin <= expert && expert < end),
    );
    this.states = this.holders.map((ranks) => {
      const holding = ranks.filter(({ state }) => HOLDING.includes(state));
      if (holding.length === 0) return "uncovered";
      return holding.some(({ load }) => load) ? "known" : "silent";
    });
    this.fillCells();
  }

  /** One for each rank there should be or is: the best of its members, and what it said. */
  ranksOf(status, answered) {
    const members = new Map();
    const worse = (a, b) => BEST_FIRST.indexOf(a.state) - BEST_FIRST.indexOf(b.state);
    for (const member of status.members.filter(({ role }) => role === "expert").sort(worse)) {
      if (!members.has(member.index)) members.set(member.index, member);
    }
    const count = Math.max(status.expert_ranks, ...[...members.keys()].map((index) => index + 1));
    return Array.from({ length: count }, (_, rank) => {
      const member = members.get(rank);
      const { begin, end } = member?.experts ?? { begin: 0, end: 0 };
      const load = answered.has(rank) ? this.loads.get(rank) : null;
      return { rank, member, state: member?.state ?? "ABSENT", begin, end, load };
    });
  }

  fillCells() {
    const { layers, experts } = this;
    this.rates = new Float64Array(layers.length * experts);
    this.totals = new Float64Array(layers.length * experts);
    this.measured = false;
    for (const { load } of this.ranks.filter((rank) => rank.load)) {
      this.measured ||= load.measured;
      for (let i = 0; i < load.counts.length; ++i) {
        const expert = load.first + (i % load.count);
        if (expert >= experts) continue;
        const cell = Math.floor(i / load.count) * experts + expert;
        this.rates[cell] += load.rates[i];
        this.totals[cell] += load.counts[i];
      }
    }
  }

  /** "rates" or "totals" of all cells. */
  values(kind) {
    return this[kind];
  }

  /** Where the scale of colours ends: the largest value, or where the last of 100 parts begins. */
  scale(kind) {
    const sorted = this[kind].toSorted();
    const largest = sorted.at(-1) ?? 0;
    const end = sorted[Math.ceil(BELOW_END * sorted.length) - 1] || largest;
    return { end, isLargest: end === largest };
  }

  ofLayer(kind, layer) {
    return this[kind].subarray(layer * this.experts, (layer + 1) * this.experts);
  }

  /** Of each rank that answered; of one layer if that is named: [{rank, value}]. */
  ofRanks(kind, layer) {
    return this.ranks
      .filter(({ load }) => load)
      .map(({ rank, load }) => {
        const all = kind === "rates" ? load.rates : load.counts;
        const own = [layer * load.count, (layer + 1) * load.count];
        return { rank, value: sum(layer === undefined ? all : all.subarray(...own)) };
      });
  }

  imbalance(kind, layer) {
    return imbalance(this.ofRanks(kind, layer).map(({ value }) => value));
  }

  /** Runs of experts that the same ranks hold: [{begin, end, ranks}]. */
  runs() {
    const runs = [];
    this.holders.forEach((ranks, expert) => {
      const key = ranks.map(({ rank }) => rank).join();
      if (runs.at(-1)?.key === key) runs.at(-1).end = expert + 1;
      else runs.push({ key, begin: expert, end: expert + 1, ranks });
    });
    return runs;
  }
}

/** "3, 8–11" of [3, 8, 9, 10, 11]. */
export function ranges(ids) {
  const runs = [];
  for (const id of ids) {
    if (runs.at(-1)?.[1] === id - 1) runs.at(-1)[1] = id;
    else runs.push([id, id]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}
