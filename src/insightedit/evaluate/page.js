"use strict";
// Every text of the benchmark enters the page through textContent, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const {columns, editors, samples} = data;
const PAGE = 24;

function el(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") node.className = value;
    else if (key in node && key !== "list") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined && child !== ""));
  return node;
}

function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const spaced = word => word.replaceAll("_", " ");
const numeric = value => value === "inf" ? Infinity : value === "-inf" ? -Infinity : typeof value === "number" ? value : null;
const told = (value, digits) => value === null ? "–" : Number.isFinite(value) ? value.toFixed(digits) : value > 0 ? "∞" : "−∞";
const arrow = column => column.sign > 0 ? "↑" : column.sign < 0 ? "↓" : "";
const heading = column => `${column.title} ${arrow(column)}`.trim();
const hasValues = place => samples.some(sample => sample.of.some(one => numeric(one.v[place]) !== null));
const alive = columns.map((_, place) => hasValues(place));
const failed = one => !["ok", "unavailable"].includes(one.status);  // a network that is not there is no fault of a sample
const rivals = editors.map((_, place) => place).filter(place => !editors[place].bound);
const ranked = rivals.length ? rivals : editors.map((_, place) => place);

// --- marks: a colour and a shape for each editor, so that colour alone tells nothing -------------------------------
const SHAPES = ["M-5,0A5,5 0 1 0 5,0A5,5 0 1 0 -5,0Z", "M-4.4,-4.4H4.4V4.4H-4.4Z", "M0,-6L6,0L0,6L-6,0Z", "M0,-5.6L5.6,4.4H-5.6Z", "M0,5.6L5.6,-4.4H-5.6Z", "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"];
function mark(place, x = 0, y = 0) {
  const {bound} = editors[place], nth = bound ? editors.filter(editor => editor.bound).indexOf(editors[place]) : rivals.indexOf(place);
  const colour = bound ? "var(--bound)" : `var(--e${nth % 8})`;
  return svg("path", {d: SHAPES[nth % SHAPES.length], transform: `translate(${x} ${y})`, fill: bound ? "var(--sheet)" : colour, stroke: colour, "stroke-width": 1.6, "data-colour": colour});
}
const swatch = place => svg("svg", {class: "swatch", viewBox: "-8 -8 16 16", "aria-hidden": "true"}, mark(place));

// --- results -------------------------------------------------------------------------------------------------------
let group = data.groups[0], sorted = {column: null, down: true};
const option = (value, text) => el("option", {value}, text);
$("profile").append(...data.profiles.map((profile, place) => option(String(place), profile.title)));
$("l-profile").hidden = data.profiles.length < 2;
const profile = () => data.profiles[Number($("profile").value)];
const groupsOf = chosen => data.groups.filter(name => data.tables[name].some(row => chosen.columns.some(place => row[place])));

function cellOf(stat, column) {
  if (!stat) return el("td", {class: "soft"}, "–");
  const {mean, stderr, n, scored, infinite, best} = stat;
  const value = mean === null && infinite ? "∞" : told(mean, column.digits);
  const cell = el("td", best ? {class: "best"} : {}, best ? el("b", {}, value) : value);
  if (stderr !== null && $("errors").checked) cell.append(el("span", {class: "se"}, ` ± ${stderr.toFixed(column.digits)}`));
  if (infinite) cell.append(el("span", {class: "extra"}, `${infinite} of ${scored} are ∞`));
  if (scored < n) cell.append(el("span", {class: "extra"}, `† ${scored} of ${n}`));
  return cell;
}

function sortable(text, key, down) {
  const on = sorted.column === key;
  const button = el("button", {type: "button"}, text + (on ? (sorted.down ? " ▾" : " ▴") : ""));
  button.addEventListener("click", () => { sorted = {column: key, down: on ? !sorted.down : down}; results(); });
  const head = el("th", {scope: "col"}, button);
  if (on) head.ariaSort = sorted.down ? "descending" : "ascending";
  return head;
}

function keyOf(place) {
  if (sorted.column === "editor") return editors[place].label.toLowerCase();
  if (sorted.column === "seconds") return editors[place].seconds;
  const stat = data.tables[group][place][sorted.column];
  return !stat ? null : stat.mean === null && stat.infinite ? Infinity : stat.mean;
}

function results() {
  const shown = groupsOf(profile());
  if (!shown.includes(group)) group = shown[0];
  $("groups").replaceChildren(...(shown.length < 2 ? [] : shown).map(name => {
    const button = el("button", {type: "button"}, name, el("span", {class: "size"}, ` ${data.sizes[name]}`));
    button.ariaPressed = String(name === group);
    button.addEventListener("click", () => { group = name; results(); });
    return button;
  }));
  const order = editors.map((_, place) => place);
  if (sorted.column !== null) order.sort((a, b) => {
    const [x, y] = [keyOf(a), keyOf(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return (x < y ? -1 : x > y ? 1 : 0) * (sorted.down ? -1 : 1);
  });
  const timed = editors.some(editor => editor.seconds !== null);
  const head = el("tr", {}, sortable("Editor", "editor", false), ...profile().columns.map(place => sortable(heading(columns[place]), place, columns[place].sign >= 0)), timed ? sortable("s / sample", "seconds", false) : null);
  const body = order.map(place => el("tr", {class: editors[place].bound ? "bound" : ""}, el("th", {scope: "row"}, swatch(place), editors[place].label),
    ...profile().columns.map(column => cellOf(data.tables[group][place][column], columns[column])),
    timed ? el("td", {class: "soft"}, editors[place].seconds === null ? "–" : editors[place].seconds.toPrecision(2)) : null));
  $("results").replaceChildren(el("table", {class: "results"}, el("thead", {}, head), el("tbody", {}, ...body)));
  $("notes").replaceChildren(...[...profile().notes, ...data.notes].map(note => el("li", {}, note)));
  charts();
}

// --- by category: a row per category, a mark per editor --------------------------------------------------------------
const names = Object.keys(data.categories);
function ticks(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 3)), wide = [1, 2, 5, 10].map(k => k * step).find(k => (high - low) / k <= 4);
  const found = [];
  for (let at = Math.ceil(low / wide - 1e-9); at * wide <= high + wide * 1e-6; at += 1) found.push(at * wide);
  return [found, Math.max(0, -Math.floor(Math.log10(wide) + 1e-9))];
}

function chart(place) {
  const column = columns[place], [width, left, right, band] = [430, 112, 26, Math.max(26, 9 * editors.length + 12)];
  const spots = names.flatMap((name, row) => data.categories[name].map((cells, who) => ({row, who, stat: cells[place]}))).filter(spot => spot.stat && (spot.stat.mean !== null || spot.stat.infinite));
  const finite = spots.filter(spot => spot.stat.mean !== null);
  if (!spots.length) return null;
  const reach = spot => 1.96 * (spot.stat.stderr ?? 0), share = value => column.share ? Math.min(1, Math.max(0, value)) : value;
  const from = spot => share(spot.stat.mean - reach(spot)), to = spot => share(spot.stat.mean + reach(spot));
  let low = Math.min(...finite.map(from)), high = Math.max(...finite.map(to));
  if (!finite.length || column.share) [low, high] = [0, 1];
  if (high - low < 1e-9) [low, high] = [low - .5, high + .5];
  const pad = .04 * (high - low), endless = spots.some(spot => spot.stat.mean === null);
  const x = value => left + (value - low + pad) / (high - low + 2 * pad) * (width - left - right - (endless ? 18 : 0));
  const bottom = names.length * band + 4;
  const picture = svg("svg", {viewBox: `0 0 ${width} ${bottom + 20}`, role: "img", "aria-label": `${heading(column)} by category; numbers in report.md`});
  const [at, digits] = ticks(low, high);
  for (const value of at) picture.append(svg("line", {class: "rule", x1: x(value), x2: x(value), y1: 0, y2: bottom}), svg("text", {x: x(value), y: bottom + 14, "text-anchor": "middle"}, value.toFixed(digits)));
  names.forEach((name, row) => {
    if (row) picture.append(svg("line", {class: "rule", x1: 0, x2: width, y1: row * band + 2, y2: row * band + 2}));
    const short = name.length > 17 ? name.slice(0, 16) + "…" : name;
    picture.append(svg("text", {class: "row", x: 0, y: row * band + band / 2 + 6}, svg("title", {}, name), short));
  });
  for (const spot of spots) {
    const y = spot.row * band + 2 + band / 2 + (spot.who - (editors.length - 1) / 2) * 9, {mean, stderr, n, infinite} = spot.stat;
    const sign = mark(spot.who, mean === null ? width - right + 2 : x(mean), y), colour = sign.dataset.colour;
    if (stderr) picture.append(svg("line", {x1: x(from(spot)), x2: x(to(spot)), y1: y, y2: y, stroke: colour, "stroke-width": 2, opacity: .55}));
    sign.append(svg("title", {}, `${editors[spot.who].label}, ${names[spot.row]}: ${mean === null ? "∞" : told(mean, column.digits)}${stderr ? " ± " + stderr.toFixed(column.digits) : ""} (N = ${n}${infinite ? `, ${infinite} infinite` : ""})`));
    picture.append(sign);
    if (mean === null) picture.append(svg("text", {x: width - right + 12, y: y + 4}, "∞"));
  }
  return el("article", {class: "sheet chart"}, el("h3", {}, heading(column)), picture);
}

function charts() {
  $("charts").replaceChildren(...profile().columns.filter(place => alive[place] && columns[place].sign).map(chart).filter(Boolean));
  $("s-charts").hidden = !$("charts").children.length;
}
$("legend").append(...editors.map((editor, place) => el("li", {}, swatch(place), editor.label)), el("li", {class: "soft"}, "lines: 95 % interval of the mean"));

// --- paired comparisons ----------------------------------------------------------------------------------------------
const paired = data.paired.map(([first, second, column, group, n, difference, low, high, p]) => ({first, second, column, group: group === null ? "all samples" : data.groups[group], n, difference, low, high, p}))
  .sort((a, b) => limits(a) - limits(b));  // between editors first, then against limits
function limits(pair) { return [pair.first, pair.second].filter(place => editors[place].bound).length; }
for (const place of [...new Set(paired.map(pair => pair.column))].filter(place => columns[place].sign).sort((a, b) => a - b)) $("pair-metric").append(option(String(place), data.profiles.length > 1 ? `${columns[place].title} (${columns[place].profile})` : columns[place].title));
for (const name of new Set(paired.map(pair => pair.group))) $("pair-group").append(option(name, name));
$("s-pairs").hidden = !paired.length;

function pairs() {
  const rows = paired.filter(pair => String(pair.column) === $("pair-metric").value && pair.group === $("pair-group").value);
  const limit = Math.max(...rows.flatMap(pair => [Math.abs(pair.low), Math.abs(pair.high), Math.abs(pair.difference)]), 1e-12) * 1.06;
  const x = value => 150 + 140 * value / limit;
  const body = rows.map(pair => {
    const column = columns[pair.column], sure = pair.low > 0 || pair.high < 0;
    const winner = pair.difference * (column.sign || 1) > 0 ? pair.first : pair.second;
    const colour = sure ? mark(winner).dataset.colour : "var(--bound)", width = value => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(column.digits)}`;
    const line = svg("svg", {viewBox: "0 0 300 24", preserveAspectRatio: "none", "aria-hidden": "true"}, svg("line", {class: "zero", x1: 150, x2: 150, y1: 0, y2: 24, "vector-effect": "non-scaling-stroke"}),
      svg("line", {x1: x(pair.low), x2: x(pair.high), y1: 12, y2: 12, stroke: colour, "stroke-width": 4, opacity: .5, "vector-effect": "non-scaling-stroke"}),
      svg("rect", {x: x(pair.difference) - 2, y: 4, width: 4, height: 16, fill: colour}));
    return el("tr", {}, el("th", {scope: "row"}, editors[pair.first].label, el("span", {class: "soft"}, " − "), editors[pair.second].label), el("td", {}, line),
      el("td", {class: "num"}, `${width(pair.difference)}  [${width(pair.low)}, ${width(pair.high)}]`), el("td", {class: "num"}, pair.p < .001 ? "p < .001" : `p = ${pair.p.toFixed(3)}`), el("td", {class: "num soft"}, `N = ${pair.n}`),
      el("td", {}, !column.sign ? "" : sure ? el("span", {class: "chip on"}, `${editors[winner].label} better`) : el("span", {class: "chip"}, "no difference shown")));
  });
  const heads = ["first − second", "", "difference, 95 % interval", "p", "samples", ""].map(text => el("th", {scope: "col"}, text));
  $("pairs").replaceChildren(rows.length ? el("table", {class: "pairs"}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...body)) : el("div", {class: "empty soft"}, "No pair has values in these samples."));
}
$("pair-metric").addEventListener("change", pairs); $("pair-group").addEventListener("change", pairs);

// --- samples -------------------------------------------------------------------------------------------------------
const rankable = columns.map((_, place) => place).filter(place => alive[place] && columns[place].sign);
for (const one of data.profiles) {
  const places = one.columns.filter(place => rankable.includes(place)), box = el("optgroup", {label: one.title}, ...places.map(place => option(String(place), heading(columns[place]))));
  if (places.length) $("by").append(...(data.profiles.length > 1 ? [box] : [...box.children]));
}
if (!rankable.length) $("order").value = "given";
$("of").append(option("", "all editors"), ...editors.map((editor, place) => option(String(place), editor.label)));
$("l-of").hidden = editors.length < 2;
if (ranked.length < 2) $("order").querySelector("[value=apart]").remove();
const choices = (id, values) => { $(id).append(option("", "all"), ...[...new Set(values)].sort().map(value => option(value, spaced(value)))); if (!["category"].includes(id)) $(`l-${id}`).hidden = $(id).options.length < 3; };
choices("category", samples.map(sample => sample.category)); choices("split", samples.map(sample => sample.split).filter(Boolean));
choices("status", samples.flatMap(sample => sample.of.map(one => one.status)));
const column = () => $("by").value === "" ? null : Number($("by").value);
const words = new Map(samples.map(sample => [sample, `${sample.instruction} ${sample.id} ${sample.category}`.toLowerCase()]));
const given = new Map(samples.map((sample, place) => [sample, place]));
const failures = sample => sample.of.filter(failed).length;

function merit(sample) {  // higher is better, whatever the metric; null where there is nothing to rank by
  const place = column();
  if (place === null) return null;
  const whose = $("of").value === "" ? ranked : [Number($("of").value)];
  const values = whose.map(who => numeric(sample.of[who].v[place])).filter(value => value !== null);
  return values.length ? columns[place].sign * values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

function spread(sample) {
  const values = column() === null ? [] : ranked.map(who => numeric(sample.of[who].v[column()])).filter(value => value !== null);
  if (values.length < 2) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? 0 : high - low;
}

function by(list, value, down) {
  const known = new Map(list.map(sample => [sample, value(sample)]));
  return [...list].sort((a, b) => {
    const [x, y] = [known.get(a), known.get(b)];
    if (x === null || y === null || x === y) return (x === null) - (y === null) || given.get(a) - given.get(b);
    return (x < y ? -1 : 1) * (down ? -1 : 1);
  });
}

let flags = new Map();
function ordered(list) {
  const way = $("order").value;
  flags = new Map();
  if (way === "best") return by(list, merit, true);
  if (way === "worst") return by(list, merit, false);
  if (way === "apart") return by(list, spread, true);
  if (way === "failed") return by(list, failures, true);
  if (way === "given") return [...list];
  const lists = [["editors disagree", by(list.filter(sample => spread(sample)), spread, true)], ["among the worst", by(list, merit, false)], ["among the best", by(list, merit, true)]];
  const taken = new Set();
  for (let turn = 0; turn < 4; turn += 1) for (const [why, some] of lists) {
    const next = some.find(sample => !taken.has(sample) && merit(sample) !== null);
    if (next) taken.add(next), flags.set(next, why);
  }
  return [...taken, ...list.filter(sample => !taken.has(sample))];
}

function outlineOf(sample) {
  const [width, height] = sample.size;
  return svg("svg", {viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true"}, svg("path", {class: "rim", d: sample.outline}), svg("path", {class: "rim in", d: sample.outline}));
}

// Scaled into its pane without a jump when it arrives: the frame has its shape from the start.
function frameOf(sample, shot, rim) {
  const [width, height] = shot.size ?? sample.size, square = shot.square ?? 1;
  const frame = el("span", {class: `fit${Math.max(width, height) <= 128 ? " tiny" : ""}`}, el("img", {alt: shot.alt, loading: "lazy", decoding: "async", src: `${data.folder}/${shot.picture}.jpg`}));
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.style[width / height >= square ? "width" : "height"] = "100%";
  if (rim && sample.outline) frame.append(outlineOf(sample));
  return frame;
}

// Source, every editor, and the target, which stands for the reference's row.
function shotsOf(sample) {
  const shots = [{label: "source", picture: sample.source, alt: `Source: ${sample.instruction}`, rim: true, why: sample.fault}];
  editors.forEach((editor, who) => {
    const one = sample.of[who];
    if (!editor.target) shots.push({who, label: editor.label, picture: one.picture, size: one.size, full: one.full && `${editor.folder}/${one.full}`, alt: `${editor.label}: ${sample.instruction}`, status: one.status, why: data.whys[one.why]});
  });
  const reference = editors.findIndex(editor => editor.target);
  if (sample.target || reference >= 0) shots.push({who: reference < 0 ? undefined : reference, label: "target", picture: sample.target, size: sample.target_size, alt: "Target of the benchmark", why: "no target"});
  return shots;
}

function paneOf(sample, shot, place) {
  const name = el("span", {class: "who"}, shot.who === undefined || editors[shot.who].target ? "" : swatch(shot.who), shot.label);
  if (!shot.picture) return el("th", {scope: "col"}, el("span", {class: "pane gone"}, spaced(shot.status ?? "no picture"), el("small", {}, shot.why ?? "")), name);
  const button = el("button", {type: "button", class: "pane", "aria-label": `In large: ${shot.label}`}, frameOf(sample, shot, shot.rim || $("rims").checked));
  button.addEventListener("click", () => open(sample, place));
  return el("th", {scope: "col"}, button, name);
}

function scoreRows(sample, shots, places) {
  return places.map(place => {
    const one = columns[place], values = shots.map(shot => shot.who === undefined ? null : sample.of[shot.who].v[place]);
    const rival = shots.map((shot, nth) => shot.who !== undefined && !editors[shot.who].bound ? numeric(values[nth]) : null).filter(value => value !== null);
    const top = one.sign * Math.max(...rival.map(value => one.sign * value)), divided = rival.length > 1 && rival.some(value => value !== rival[0]);
    const cells = shots.slice(1).map((shot, nth) => {
      const raw = values[nth + 1], value = numeric(raw);
      if (value !== null) return el("td", {class: one.sign && divided && value === top && !editors[shot.who].bound ? "best" : ""}, told(value, one.digits));
      if (!raw || !shots[nth + 1].picture) return el("td", {class: "soft"}, "–");  // why, the pane says
      return el("td", {class: raw === "not_applicable" ? "soft" : "no"}, raw === "not_applicable" ? "n/a" : spaced(raw));
    });
    return el("tr", {class: place === column() ? "lead" : ""}, el("th", {scope: "row"}, heading(one)), ...cells);
  });
}

function cardOf(sample) {
  const shots = shotsOf(sample), places = (data.profiles.find(one => one.columns.includes(column())) ?? data.profiles[0]).columns.filter(place => alive[place]);
  const chips = el("div", {class: "chips"}, flags.has(sample) ? el("span", {class: "chip on"}, flags.get(sample)) : null, failures(sample) ? el("span", {class: "chip off"}, `${failures(sample)} failed`) : null,
    el("span", {class: "chip"}, sample.category), sample.split ? el("span", {class: "chip"}, sample.split) : null, el("span", {class: "chip"}, sample.id));
  return el("article", {class: "sheet card", "aria-label": `Sample ${sample.id}`}, el("div", {class: "top"}, el("h3", {}, sample.instruction), chips),
    el("div", {class: "scroll"}, el("table", {class: "shots"}, el("thead", {}, el("tr", {}, ...shots.map((shot, place) => paneOf(sample, shot, place)))), el("tbody", {}, ...scoreRows(sample, shots, places)))));
}

let shown = [], page = 0;
function matches(sample) {
  if (["category", "split"].some(id => $(id).value && $(id).value !== sample[id])) return false;
  if ($("status").value && !sample.of.some(one => one.status === $("status").value)) return false;
  return $("q").value.toLowerCase().split(/\s+/).every(word => words.get(sample).includes(word));
}

function turn(to) {
  const pages = Math.max(1, Math.ceil(shown.length / PAGE));
  page = Math.min(Math.max(to, 0), pages - 1);
  $("grid").replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(cardOf));
  if (!shown.length) $("grid").append(el("div", {class: "sheet empty"}, el("h3", {}, "No sample matches"), el("p", {class: "soft"}, "Clear a filter or two.")));
  $("page").textContent = `page ${page + 1} of ${pages}`;
  [$("back").disabled, $("next").disabled] = [page === 0, page === pages - 1];
  document.querySelector(".pager").style.display = pages > 1 ? "" : "none";
}

function refresh() {
  shown = ordered(samples.filter(matches));
  const whole = data.samples_of > samples.length ? `, a fair sample of ${data.samples_of}` : "";
  $("found").textContent = `${shown.length} of ${samples.length} samples${whole}`;
  turn(0);
}
$("grid").style.setProperty("--card", `${Math.min(1500, 150 * (editors.filter(editor => !editor.target).length + 2))}px`);
$("tools").addEventListener("input", refresh); $("tools").addEventListener("submit", event => event.preventDefault());
$("tools").addEventListener("reset", () => setTimeout(refresh));
for (const [id, step] of [["back", -1], ["next", 1]]) $(id).addEventListener("click", () => { turn(page + step); $("s-samples").scrollIntoView(); });

// --- large view ------------------------------------------------------------------------------------------------------
let now = null, side = 0, other = 1, masked = false;
function open(sample, place = side) {
  now = sample;
  const shots = shotsOf(sample);
  side = Math.min(place, shots.length - 1);
  $("v-which").replaceChildren(...shots.map((shot, nth) => { const button = el("button", {type: "button"}, shot.label); button.addEventListener("click", () => show(nth)); return button; }));
  const tables = data.profiles.map(one => el("table", {}, el("thead", {}, el("tr", {}, el("th", {scope: "col"}, one.title), ...shots.slice(1).map(shot => el("th", {scope: "col"}, shot.label)))), el("tbody", {}, ...scoreRows(sample, shots, one.columns.filter(column => alive[column])))));
  const links = shots.filter(shot => shot.full).map(shot => el("a", {href: shot.full, target: "_blank", rel: "noopener noreferrer"}, `${shot.label}, full size`));
  const whys = shots.filter(shot => shot.status && failed(shot)).map(shot => el("span", {class: "chip off"}, `${shot.label}: ${spaced(shot.status)}${shot.why ? ", " + shot.why : ""}`));
  $("v-under").replaceChildren(el("h3", {}, sample.instruction), el("div", {class: "chips"}, ...[sample.id, sample.category, sample.split].filter(Boolean).map(text => el("span", {class: "chip"}, text))), el("div", {class: "chips"}, ...whys), ...tables.map(table => el("div", {class: "scroll"}, table)), el("div", {class: "chips"}, ...links));
  if (!$("large").open) $("large").showModal();
  show(side);
}

function show(nth) {
  if (nth > 0) other = nth;
  side = nth;
  const shot = shotsOf(now)[side], stage = $("v-stage");
  const pane = shot.picture ? el("span", {class: "pane"}, frameOf(now, {...shot, square: stage.clientWidth / stage.clientHeight}, masked)) : el("span", {class: "pane gone"}, spaced(shot.status ?? "no picture"), el("small", {}, shot.why ?? ""));
  stage.replaceChildren(pane);
  [...$("v-which").children].forEach((button, place) => { button.ariaPressed = String(place === side); });
  $("v-mask").ariaPressed = String(masked); $("v-mask").disabled = !now.outline;
}
const swap = () => show(side === 0 ? Math.min(other, shotsOf(now).length - 1) : 0), veil = () => { masked = !masked; show(side); };
const go = step => { const place = shown.indexOf(now); open(shown[(place + step + shown.length) % shown.length], side); };
for (const [id, act] of Object.entries({"v-mask": veil, "v-prev": () => go(-1), "v-next": () => go(1), "v-close": () => $("large").close(), "v-stage": swap})) $(id).addEventListener("click", act);
$("large").addEventListener("click", event => { if (event.target === $("large")) $("large").close(); });
$("large").addEventListener("keydown", event => {
  const digit = /^[1-9]$/.test(event.key) && Number(event.key) <= shotsOf(now).length ? () => show(Number(event.key) - 1) : null;
  const act = digit ?? {" ": swap, m: veil, ArrowLeft: () => go(-1), ArrowRight: () => go(1)}[event.key];
  if (!act || (event.key === " " && event.target.tagName === "BUTTON")) return;
  event.preventDefault(), act();
});
addEventListener("resize", () => { if ($("large").open) show(side); });

// A link may name a sample: index.html#ID
function openFromAddress() {
  const sample = samples.find(one => encodeURIComponent(one.id) === location.hash.slice(1));
  if (sample) open(sample, 0);
}
addEventListener("hashchange", openFromAddress);

// --- head and what was run ---------------------------------------------------------------------------------------------
for (const [name, value] of Object.entries(data.counts)) $("counts").append(el("li", {}, el("b", {}, value), el("span", {class: "soft small"}, name)));
for (const [term, value, more] of data.run) $("run").append(el("dt", {}, term), el("dd", {}, value, more ? el("details", {}, el("summary", {class: "soft small"}, "details"), el("pre", {}, more)) : ""));
$("profile").addEventListener("change", () => {  // the samples below are then ranked by it too
  sorted.column = null;
  const first = profile().columns.find(place => rankable.includes(place));
  if (first !== undefined) $("by").value = String(first);
  results(); refresh();
}); $("errors").addEventListener("change", results);
results(); pairs(); refresh(); openFromAddress();
