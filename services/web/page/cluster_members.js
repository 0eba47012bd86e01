// One card for each expert rank, and the table of the other members.
import { sum } from "/web/cluster_data.js";
import { count, percent, putInto, rate, seconds } from "/web/cluster_figures.js";
import { make } from "/web/inline_text.js";

const byId = (id) => document.getElementById(id);

function badge(state) {
  const node = make("span", "badge", state);
  node.dataset.state = state;
  return node;
}

function expertsOf(begin, end) {
  if (begin === end) return "no experts";
  return end - begin === 1 ? `expert ${begin}` : `experts ${begin}–${end - 1}`;
}

function workOf(state, member) {
  if (!member) return [];
  const words = [`${count(member.queued_rows)} rows queued`];
  if (member.oldest_work_s >= 1) words.push(`the oldest ${seconds(member.oldest_work_s)}`);
  if (["SUSPECT", "LOST"].includes(state)) words.push(`silent ${seconds(member.silent_s)}`);
  return words;
}

/** Changed in place: what is selected in it stays. */
class RankCard {
  constructor(rank) {
    const bar = (name) => {
      const node = make("progress", name);
      node.max = 1;
      return node;
    };
    this.state = badge("");
    this.share = bar("share");
    this.loading = bar("loading");
    this.figures = make("span", "figures");
    this.more = make("span", "figures");
    const name = make("h3", "", `Rank ${rank}`);
    const head = make("div", "card-head", name, this.state);
    this.node = make("li", "card", head, this.share, this.loading, this.figures, this.more);
    this.loading.setAttribute("aria-label", `Rank ${rank}: weights read`);
    this.share.setAttribute("aria-label", `Rank ${rank}: share of the pairs`);
  }

  show({ state, member, begin, end, load }, value, all, kind) {
    this.state.dataset.state = state;
    putInto(this.state, state);
    const loading = state === "LOADING";
    const read = member?.load_progress ?? 0;
    this.loading.hidden = !loading;
    this.loading.value = read;
    this.share.hidden = loading;
    this.share.value = all > 0 ? value / all : 0;
    const pairs = kind === "rates" ? `${rate(value)} pairs/s` : `${count(value)} pairs`;
    const share = load ? `${percent(value, all)} · ${pairs}` : "no figures";
    putInto(this.figures, loading ? `${percent(read, 1)} of its weights read` : share);
    putInto(this.more, [expertsOf(begin, end), ...workOf(state, member)].join(" · "));
  }
}

const cards = [];

export function showRanks(cluster, kind) {
  const values = new Map(cluster.ofRanks(kind).map(({ rank, value }) => [rank, value]));
  const all = sum([...values.values()]);
  while (cards.length > cluster.ranks.length) cards.pop().node.remove();
  for (const rank of cluster.ranks) {
    if (cards.length <= rank.rank) {
      cards.push(new RankCard(rank.rank));
      byId("ranks").append(cards.at(-1).node);
    }
    cards[rank.rank].show(rank, values.get(rank.rank) ?? 0, all, kind);
  }
}

export function showMembers({ status }) {
  const others = status.members.filter(({ role }) => role !== "expert");
  const rows = others.map((member) => {
    const figures = [count(member.queued_rows), seconds(member.silent_s), member.version];
    return make(
      "tr",
      "",
      make("td", "", member.role),
      make("td", "right", `${member.index}`),
      make("td", "", badge(member.state)),
      ...figures.map((words) => make("td", "right", words)),
    );
  });
  byId("members").replaceChildren(...rows);
}
