// The cluster page: asks for the status every second and joins what is shown.
import { Cluster } from "/web/cluster_data.js";
import { cellWords, scaleWords, showDetails, showState } from "/web/cluster_figures.js";
import { Grid } from "/web/cluster_grid.js";
import { showMembers, showRanks } from "/web/cluster_members.js";
import { AnswerError, headers, send } from "/web/gateway.js";
import { loadSettings, saveSettings } from "/web/storage.js";
import { wireTheme } from "/web/theme_button.js";

const ASK_EVERY_MS = 1000;
const ASK_AGAIN_MS = 5000; // while it fails
const ANSWER_WITHIN_MS = 10000;

const byId = (id) => document.getElementById(id);
const canvas = byId("grid");
const grid = new Grid(canvas, byId("legend"));
const cluster = new Cluster();
const view = { kind: "rates", hovered: null, focused: null, pinned: null };
let asking = false;
let again = false; // asked for while one was under way
let timer = 0;
let taken = null; // when the last answer came, as a Date
let drawing = false;

// What is shown.

function exists(cell) {
  return cell !== null && cell.layer < cluster.layers.length && cell.expert < cluster.experts;
}

const same = (a, b) => a?.layer === b?.layer && a?.expert === b?.expert;

/** Where the pointer or else the keyboard is. */
function pointedAt() {
  const cell = view.hovered ?? (document.activeElement === canvas ? view.focused : null);
  return exists(cell) ? cell : null;
}

/** The pinned cell has its figures shown; of another there are words beside it. */
function showCell(pinned, pointed) {
  const cell = pinned ?? pointed;
  byId("cell").hidden = cell === null;
  byId("unpin").hidden = pinned === null;
  if (cell !== null) showDetails(cluster, view.kind, cell);
  const other = pinned !== null && pointed !== null && !same(pinned, pointed);
  byId("pointed").hidden = !other;
  byId("pointed").textContent = other ? cellWords(cluster, view.kind, pointed) : "";
  byId("grid-keys").hidden = cell !== null;
}

function drawGrid(pinned, pointed) {
  const { kind } = view;
  const scale = cluster.scale(kind);
  grid.draw({ cluster, kind, scale, pinned, pointed });
  byId("scale").textContent = scaleWords(kind, scale);
  const extent = `${cluster.layers.length} layers of ${cluster.experts} experts`;
  canvas.setAttribute("aria-label", `Load of each expert: ${extent}`);
}

/** At most once a frame. */
function draw() {
  if (drawing || taken === null) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    for (const kind of ["rates", "totals"]) {
      byId(kind).setAttribute("aria-pressed", String(kind === view.kind));
    }
    showState(cluster, view.kind);
    showRanks(cluster, view.kind);
    showMembers(cluster);
    const pinned = exists(view.pinned) ? view.pinned : null;
    drawGrid(pinned, pointedAt());
    showCell(pinned, pointedAt());
  });
}

function notice(words) {
  const node = byId("notice");
  if (node.textContent !== words) node.textContent = words;
  node.hidden = words === "";
}

function showTrouble(problem) {
  const refused = problem?.status === 401 || problem?.status === 403;
  byId("key-form").hidden = !refused;
  byId("board").classList.toggle("stale", problem !== null);
  byId("board").hidden = taken === null;
  byId("waiting").hidden = taken !== null || problem !== null;
  if (problem === null) return notice("");
  const old = taken ? ` What is shown is of ${taken.toLocaleTimeString("en-GB")}.` : "";
  notice(`${problem.message}${old} This page asks again every 5 s.`);
}

// What is asked.

async function ask() {
  clearTimeout(timer);
  again = asking;
  if (asking) return;
  asking = true;
  let trouble = null;
  try {
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const key = loadSettings().api_key;
    const response = await send("/cluster/status", { headers: headers(key), signal });
    cluster.take(await response.json(), performance.now() / 1000);
    taken = new Date();
  } catch (problem) {
    trouble = problem instanceof AnswerError ? problem : new AnswerError(`${problem}`);
  }
  asking = false;
  showTrouble(trouble);
  draw();
  const pause = trouble ? ASK_AGAIN_MS : ASK_EVERY_MS;
  if (!document.hidden) timer = setTimeout(ask, again ? 0 : pause);
}

function saveKey(event) {
  event.preventDefault();
  saveSettings({ ...loadSettings(), api_key: byId("api_key").value.trim() });
  ask();
}

// Keys and pointers.

function pin(cell) {
  view.pinned = same(view.pinned, cell) ? null : cell;
  draw();
}

function move(key) {
  const cell = view.focused;
  const last = { layer: cluster.layers.length - 1, expert: cluster.experts - 1 };
  const [layers, experts] = grid.step(key) ?? [0, 0];
  let expert = cell.expert + experts;
  if (key === "Home") expert = 0;
  if (key === "End") expert = last.expert;
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const layer = clamp(cell.layer + layers, last.layer);
  view.focused = { layer, expert: clamp(expert, last.expert) };
}

function say(cell) {
  byId("status").textContent = exists(cell) ? cellWords(cluster, view.kind, cell) : "";
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || cluster.experts === 0) return;
  const { key } = event;
  view.focused ??= { layer: 0, expert: 0 };
  if (key === "Enter" || key === " ") pin(view.focused);
  else if (key === "Escape") pin(null);
  else if (grid.step(key) || key === "Home" || key === "End") move(key);
  else return;
  event.preventDefault();
  view.hovered = null;
  say(view.focused);
  draw();
}

function hover(cell) {
  if (same(cell, view.hovered)) return;
  view.hovered = cell;
  draw();
}

function wire() {
  canvas.addEventListener("keydown", onKey);
  canvas.addEventListener("focus", () => {
    view.focused ??= { layer: 0, expert: 0 };
    say(view.focused);
    draw();
  });
  canvas.addEventListener("blur", draw);
  canvas.addEventListener("pointermove", (event) => hover(grid.at(event, cluster)));
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("click", (event) => {
    const cell = grid.at(event, cluster);
    if (cell === null) return;
    view.focused = cell;
    pin(cell);
  });
  byId("unpin").addEventListener("click", () => {
    pin(null);
    canvas.focus();
  });
  for (const kind of ["rates", "totals"]) {
    byId(kind).addEventListener("click", () => {
      view.kind = kind;
      draw();
    });
  }
  byId("key-form").addEventListener("submit", saveKey);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else ask();
  });
  new ResizeObserver(draw).observe(canvas.parentElement);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

wireTheme(byId("theme"));
wire();
ask();
