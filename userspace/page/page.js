// SPDX-License-Identifier: GPL-2.0-only
//
// The stats page. It asks for the objects of the control socket, which the daemon answers on the
// metrics address too, every two seconds, those that cost more every ten, and not while nobody
// looks. Text from outside (names, reasons, events) gets into the page as text alone: elements are
// made by make(), and the page's policy refuses markup from strings altogether.
//
// Tables keep their rows from one look to the next and change the cells that differ, so that neither
// focus nor what a screen reader reads is lost; of long ones fifty rows are there at first.
(() => {
"use strict";

const FAST_MS = 2000, SLOW_EVERY = 5, PATIENCE_MS = 8000;
const PIECE = 500, CHUNK = 50, BACKENDS_MOST = 5000, EVENTS_MOST = 500, SPARKS_MOST = 64;

// ---- elements and words ------------------------------------------------------------------
const byId = (id) => document.getElementById(id);

function make(tag, classes, ...children) {
	const e = document.createElement(tag);
	if (classes)
		e.className = classes;
	e.append(...children.filter((c) => c !== null && c !== undefined));
	return e;
}

function setText(e, text) {
	if (e.textContent !== text)
		e.textContent = text;
}

const text = (x) => (x === null || x === undefined ? "" : String(x));
const number = (x) => (typeof x === "number" && isFinite(x) ? x : null);
const list = (x) => (Array.isArray(x) ? x.filter((o) => o && typeof o === "object") : []);
const words = (x) => (Array.isArray(x) ? x.map(text) : []);

// Whole numbers, in groups of three.
function count(x) {
	const n = number(x);
	return n === null ? "" : Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

// Three digits and an SI prefix.
function si(x, unit = "") {
	let n = number(x), i = 0;
	if (n === null)
		return "";
	while (Math.abs(n) >= 999.5 && i < 5) {
		n /= 1000;
		i++;
	}
	const digits = n >= 99.95 || n === 0 ? 0 : n >= 9.995 ? 1 : 2;
	const short = i || n % 1 ? n.toFixed(digits) : n.toString();
	const prefix = ["", "k", "M", "G", "T", "P"][i] + unit;
	return prefix ? short + "\u00a0" + prefix : short;
}

const rate = (x) => si(x, "/s");
const byteRate = (x) => si(x, "B/s");

function duration(x) {
	const s = number(x);
	if (s === null)
		return "";
	const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
	const i = parts.findIndex(([, size]) => s >= size);
	if (i < 0)
		return "0\u00a0s";
	const whole = Math.floor(s / parts[i][1]);
	const rest = i < 3 ? Math.floor((s % parts[i][1]) / parts[i + 1][1]) : 0;
	return whole + "\u00a0" + parts[i][0] + (rest ? " " + rest + "\u00a0" + parts[i + 1][0] : "");
}

const two = (n) => String(n).padStart(2, "0");
const clock = (t) => two(t.getHours()) + ":" + two(t.getMinutes()) + ":" + two(t.getSeconds());
const day = (t) => t.getFullYear() + "-" + two(t.getMonth() + 1) + "-" + two(t.getDate());

function moment(iso) {
	const t = new Date(iso);
	if (isNaN(t))
		return text(iso);
	return (day(t) === day(new Date()) ? "" : day(t) + " ") + clock(t);
}

// "since 12:03:04", of something that has lasted so many seconds.
function since(seconds) {
	const s = number(seconds);
	return s === null ? "" : moment(new Date(Date.now() - s * 1000).toISOString());
}

const KINDS = {
	up: "good", ok: "good", healthy: "good", degraded: "warn", drain: "warn", warn: "warn", stalled: "warn",
	down: "bad", bad: "bad", unhealthy: "bad", full: "bad",
};

// What a cell shows: text, or one of these, which know when they are the same.
const stateCell = (state) => ({ key: "s" + state, draw: () => make("span", "state " + (KINDS[state] || "idle"), state) });

function barCell(share) {
	const part = number(share);
	if (part === null)
		return "";
	const label = (part * 100).toFixed(part < 0.1 ? 1 : 0) + "\u00a0%";
	return { key: "b" + label, draw: () => drawBar(part, label) };
}

function drawBar(part, label) {
	const fill = make("i"), bar = make("span", part >= 0.8 ? "bar high" : "bar", fill);
	fill.style.width = Math.min(100, part * 100) + "%";
	bar.setAttribute("aria-hidden", "true");
	return make("span", "", bar, label);
}

// ---- plots ---------------------------------------------------------------------------------
const SVG = "http://www.w3.org/2000/svg";

// Gaps stay gaps; `points` is as long as the hour, the newest last.
function pathOf(values, points, top) {
	let path = "", pen = false;
	values.forEach((v, i) => {
		const x = points - values.length + i;
		if (number(v) !== null)
			path += (pen ? "L" : "M") + x + " " + (39 - (v / top) * 38).toFixed(1) + (pen ? "" : "h0.1");
		pen = number(v) !== null;
	});
	return path;
}

function plot(values, classes, name, show) {
	const known = values.filter((v) => number(v) !== null);
	if (!known.length)
		return null;
	const most = Math.max(...known), least = Math.min(...known);
	const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
	svg.setAttribute("class", classes);
	svg.setAttribute("viewBox", "0 0 360 40");
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("role", "img");
	svg.setAttribute("aria-label", name + ", last hour: " + show(least) + " to " + show(most));
	svg.dataset.range = show(least) + " to " + show(most);
	path.setAttribute("d", pathOf(values, 360, most || 1));
	svg.append(path);
	return svg;
}

// ---- the link -------------------------------------------------------------------------------
// Which service is open, order and filter stand after the #, so that a link shows the same.
const view = new URLSearchParams(location.hash.slice(1));

function setView(key, value) {
	if (value)
		view.set(key, value);
	else
		view.delete(key);
	const hash = view.toString();
	history.replaceState(null, "", hash ? "#" + hash : location.pathname);
}

function readView() {
	const now = new URLSearchParams(location.hash.slice(1));
	for (const key of [...view.keys()])
		view.delete(key);
	now.forEach((value, key) => view.set(key, value));
}

// ---- tables ----------------------------------------------------------------------------------
const collator = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
	const none = (x) => x === null || x === undefined || x === "";
	if (none(a) || none(b))
		return none(a) - none(b);
	return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(text(a), text(b));
}

// A table below `place`. `columns`: {key, label, value: row => what it is ordered by, cell: row =>
// what is shown (the value, unless given), kind: "number", "text" or "wide", plain: not ordered by};
// the first one heads its row. `idOf`: row => which it is. `below`: row => an element under it, or null.
class Table {
	constructor(place, name, caption, columns, idOf, options = {}) {
		Object.assign(this, { place, name, caption, columns, idOf, options });
		this.rows = [];
		this.shown = CHUNK;
		this.lines = new Map();
		this.build();
	}

	build() {
		this.heads = this.columns.map((c) => this.head(c));
		this.body = make("tbody");
		this.table = make("table", "", make("caption", "", this.caption),
			make("thead", "", make("tr", "", ...this.heads)), this.body);
		this.more = make("button", "more", "more");
		this.more.type = "button";
		this.more.hidden = true;
		this.more.addEventListener("click", () => this.showMore());
		this.setRoles();
		this.none = make("p", "quiet", this.options.none || "none");
		this.place.replaceChildren(make("div", "scroll", this.table), this.none, this.more);
	}

	// Cards are not laid out as a table, and stay one for who hears them.
	setRoles() {
		this.table.setAttribute("role", "table");
		for (const e of this.table.querySelectorAll("thead, tbody"))
			e.setAttribute("role", "rowgroup");
		for (const e of this.table.querySelectorAll("tr"))
			e.setAttribute("role", "row");
	}

	head(c) {
		const th = make("th", (c.kind === "number" ? "number" : "") + (c.plain ? " plain" : ""));
		th.scope = "col";
		th.setAttribute("role", "columnheader");
		if (c.plain) {
			th.append(c.label);
			return th;
		}
		const button = make("button", "", c.label);
		button.type = "button";
		button.addEventListener("click", () => this.orderBy(c));
		th.append(button);
		return th;
	}

	order() {
		const order = view.get("sort." + this.name) || this.options.order || "";
		const down = order.startsWith("-"), key = down ? order.slice(1) : order;
		return { column: this.columns.find((c) => c.key === key && !c.plain), down };
	}

	// Figures begin with the greatest, words with the first; again: the other way round.
	orderBy(c) {
		const now = this.order();
		const down = now.column === c ? !now.down : c.kind === "number";
		setView("sort." + this.name, (down ? "-" : "") + c.key);
		this.shown = CHUNK;
		this.draw();
	}

	set(rows) {
		this.rows = rows;
		this.draw();
	}

	ordered() {
		const { column, down } = this.order();
		if (!column)
			return this.rows;
		const keyed = this.rows.map((row, i) => ({ row, i, key: column.value(row) }));
		keyed.sort((a, b) => compare(a.key, b.key) * (down ? -1 : 1) || a.i - b.i);
		return keyed.map((k) => k.row);
	}

	showMore() {
		this.shown = Math.max(this.shown * 2, CHUNK);
		this.draw();
	}

	draw() {
		const { column, down } = this.order();
		this.columns.forEach((c, i) => {
			if (c === column)
				this.heads[i].setAttribute("aria-sort", down ? "descending" : "ascending");
			else
				this.heads[i].removeAttribute("aria-sort");
		});
		const visible = this.ordered().slice(0, this.shown), kept = new Map();
		let wanted = [];
		for (const row of visible)
			wanted = wanted.concat(this.line(row, kept));
		this.lines = kept;
		this.arrange(wanted);
		this.table.hidden = !this.rows.length;
		this.none.hidden = !this.table.hidden;
		this.more.hidden = this.rows.length <= this.shown;
		setText(this.more, "more (" + count(visible.length) + " of " + count(this.rows.length) + ")");
	}

	// Moves what has another place, and leaves all else where it is.
	arrange(wanted) {
		const keep = new Set(wanted);
		for (const e of [...this.body.children])
			if (!keep.has(e))
				e.remove();
		wanted.forEach((e, i) => {
			if (this.body.children[i] !== e)
				this.body.insertBefore(e, this.body.children[i] || null);
		});
	}

	// The elements of a row: its own, and what is open under it.
	line(row, kept) {
		const id = this.idOf(row);
		const line = this.lines.get(id) || this.newLine();
		kept.set(id, line);
		line.row = row;
		this.columns.forEach((c, i) => this.fill(line, i, c, row));
		const below = this.options.below ? this.options.below(row) : null;
		if (!below)
			return [line.tr];
		if (!line.under) {
			const td = make("td");
			td.colSpan = this.columns.length;
			td.setAttribute("role", "cell");
			line.under = make("tr", "open", td);
			line.under.setAttribute("role", "row");
		}
		if (line.under.firstChild.firstChild !== below)
			line.under.firstChild.replaceChildren(below);
		return [line.tr, line.under];
	}

	newLine() {
		const cells = this.columns.map((c, i) => {
			const cell = make(i ? "td" : "th", { number: "number", text: "text", wide: "text wide" }[c.kind] || "");
			cell.setAttribute("role", i ? "cell" : "rowheader");
			if (!i)
				cell.scope = "row";
			else if (!c.plain)
				cell.dataset.label = c.label;
			return cell;
		});
		const tr = make("tr", "", ...cells);
		tr.setAttribute("role", "row");
		return { tr, cells, keys: [] };
	}

	fill(line, i, c, row) {
		const what = c.cell ? c.cell(row, line) : text(c.value(row));
		const key = what && what.draw ? what.key : "t" + text(what);
		if (line.keys[i] === key)
			return;
		line.keys[i] = key;
		const drawn = what && what.draw ? what.draw(line) : text(what);
		if (drawn instanceof Node && drawn.parentNode === line.cells[i])
			return; // changed in place: it may have the focus
		line.cells[i].replaceChildren(...(drawn === "" || drawn === null ? [] : [drawn]));
	}
}

// A column of figures.
const figure = (key, label, value, show = count) => ({ key, label, kind: "number", value, cell: (r) => show(value(r)) });
const plain = (key, label, kind, value = (r) => text(r[key])) => ({ key, label, kind, value });

// ---- asking -------------------------------------------------------------------------------------
class Refusal extends Error {
	constructor(status, sentence) {
		super(sentence);
		this.status = status;
	}
}

class NoAnswer extends Error {}

async function fetchText(path, options) {
	const stop = new AbortController(), timer = setTimeout(() => stop.abort(), PATIENCE_MS);
	try {
		const answer = await fetch("/v1/" + path, { signal: stop.signal, cache: "no-store", ...options });
		return { status: answer.status, body: await answer.text() };
	} catch {
		throw new NoAnswer();
	} finally {
		clearTimeout(timer);
	}
}

async function ask(path, options = {}) {
	const { status, body } = await fetchText(path, options);
	let value = null;
	try {
		value = JSON.parse(body);
	} catch {
		throw new Refusal(status, "what answers here is no tundishd: status " + status);
	}
	if (status >= 400)
		throw new Refusal(status, text(value && value.error) || "status " + status);
	return value;
}

// A list, piece by piece.
async function askAll(path, most) {
	let all = [], after = 0;
	for (;;) {
		const piece = list(await ask(path + "?limit=" + PIECE + "&after=" + after));
		all = all.concat(piece);
		if (piece.length < PIECE || all.length >= most)
			return all;
		after = Math.max(...piece.map((o) => number(o.id) || 0));
	}
}

// What another daemon does not have, or what is off, is no trouble: its section is not there.
async function askSection(section, path, show) {
	try {
		const answer = await ask(path);
		byId(section).hidden = false;
		show(answer);
	} catch (e) {
		if (!(e instanceof Refusal))
			throw e;
		byId(section).hidden = true;
	}
}

// ---- what needs attention, totals -----------------------------------------------------------------
let status = {}, edge = null, attentionShown = null, attentionBegan = [];

function attentionEntry(a) {
	const began = since(a.seconds), entry = make("li");
	entry.append(make("p", "", make("span", "what", text(a.what)), ": " + text(a.why) + (began ? ", since " + began : "")));
	if (a.do)
		entry.append(make("p", "", "do: " + text(a.do)));
	if (a.command)
		entry.append(make("p", "", "see: ", make("code", "", text(a.command))));
	return entry;
}

// Put in anew only when something else is said, or it began anew: it is read aloud then.
function showAttention() {
	const all = list(status.attention), began = all.map((a) => Date.now() / 1000 - (number(a.seconds) || Date.now() / 1000));
	const said = JSON.stringify(all.map((a) => [a.what, a.why, a.do, a.command]));
	if (said === attentionShown && began.every((t, i) => Math.abs(t - attentionBegan[i]) < 3))
		return;
	attentionShown = said;
	attentionBegan = began;
	setText(byId("attention-title"), all.length ? "Needs attention (" + all.length + ")" : "Needs attention");
	byId("attention-list").replaceChildren(all.length ? make("ul", "", ...all.map(attentionEntry))
		: make("p", "state good", "nothing"));
}

const sum = (rows, key) => rows.reduce((n, r) => n + (number(r[key]) || 0), 0);

function upText() {
	const up = services.filter((s) => s.state === "up").length;
	return count(up) + "\u202f/\u202f" + count(services.length);
}

const percent = (x) => (number(x) === null ? "" : (x * 100).toFixed(1) + "\u00a0%");

function flowsFull() {
	const f = status.flows || {};
	return percent(Math.max(f.active / f.capacity || 0, f.active6 / f.capacity6 || 0));
}

// name, what it is now, the series of it, how to write that.
const TILES = [
	["Active connections", () => count(sum(services, "connections_active")), "connections_active", count],
	["New connections", () => rate(sum(services, "connections_per_second")), "connections_rate", rate],
	["Packets", () => rate(sum(services, "packets_per_second")), "packets_rate", rate],
	["Bytes", () => byteRate(sum(services, "bytes_per_second")), "bytes_rate", byteRate],
	["Drops", () => rate(dropRate), "drops_rate", rate],
	["Services up", upText, "up", (x) => count(x) + " backends or workers"],
	["TIME_WAIT", () => count(timeWait), "time_wait", count],
	["Source ports, fullest", () => percent((status.source_ports || {}).utilization_max), "port_utilization", percent],
	["Flow table used", flowsFull, "", percent],
];
const tiles = TILES.map(([name]) => {
	const value = make("p", "value"), graph = make("div");
	byId("tiles").append(make("div", "tile", make("p", "quiet", name), value, graph));
	return { value, graph };
});

function showTotals() {
	TILES.forEach(([, now], i) => setText(tiles[i].value, now()));
}

function showPlots() {
	TILES.forEach(([name, , key, show], i) => {
		const drawn = edge && Array.isArray(edge[key]) ? plot(edge[key], "plot", name, show) : null;
		tiles[i].graph.replaceChildren(...(drawn ? [drawn, make("p", "range", drawn.dataset.range)] : []));
	});
}

// ---- services -----------------------------------------------------------------------------------------
let services = [];
const sparks = new Map(), visible = new Set();

const watch = new IntersectionObserver((seen) => {
	for (const s of seen) {
		const name = s.target.dataset.service;
		if (s.isIntersecting)
			visible.add(name);
		else
			visible.delete(name);
	}
});

function upOf(s) {
	return s.delivery === "workers" && s.workers ? number(s.workers.up) : number(s.backends_up);
}

function upCell(s) {
	return s.delivery === "workers" && s.workers ? count(s.workers.up) + (s.workers.up === 1 ? " worker" : " workers")
		: count(s.backends_up) + "\u202f/\u202f" + count(s.backends);
}

const openName = () => view.get("service");

function nameCell(s, line) {
	const open = openName() === s.service;
	return { key: "n" + s.service + open, draw: () => drawName(s, open, line) };
}

// The button stays the same element, for the focus.
function drawName(s, open, line) {
	if (!line.button) {
		line.button = make("button", "", s.service);
		line.button.type = "button";
		line.button.addEventListener("click", () => toggle(line.row.service));
		line.name = make("span", "name", line.button);
	}
	line.button.setAttribute("aria-expanded", String(open));
	return line.name;
}

function sparkCell(s) {
	const h = sparks.get(s.service);
	return { key: "h" + (h ? h.end + "." + h.values.length : ""), draw: () => drawSpark(s, h) };
}

function drawSpark(s, h) {
	const drawn = h ? plot(h.values, "spark", "connections per second of " + s.service, rate) : null;
	const place = make("span", "", drawn);
	place.dataset.service = s.service;
	watch.observe(place);
	return place;
}

const SERVICE_COLUMNS = [
	{ key: "name", label: "Service", value: (s) => s.service, cell: nameCell },
	{ key: "vips", label: "VIPs", kind: "text", value: (s) => words(s.vips).join(" "), cell: vipsText },
	{ key: "state", label: "State", value: (s) => ["down", "degraded", "up"].indexOf(s.state), cell: (s) => stateCell(text(s.state)) },
	plain("reason", "Reason", "text"),
	{ key: "up", label: "Up", kind: "number", value: upOf, cell: upCell },
	figure("active", "Active", (s) => s.connections_active),
	figure("connections", "New", (s) => s.connections_per_second, rate),
	figure("packets", "Packets", (s) => s.packets_per_second, rate),
	figure("bytes", "Bytes", (s) => s.bytes_per_second, byteRate),
	{ key: "hour", label: "Last hour", plain: true, value: () => "", cell: sparkCell },
];

function vipsText(s) {
	const all = words(s.vips), shown = all.slice(0, 3).join(" ") + (all.length > 3 ? " and " + (all.length - 3) + " more" : "");
	return shown + " " + text(s.protocol) + " " + words(s.ports).slice(0, 4).join(",") + (words(s.ports).length > 4 ? ",\u2026" : "");
}

const servicesTable = new Table(byId("services-table"), "services", "Services with their state and rates", SERVICE_COLUMNS,
	(s) => s.service, { order: "state", below: (s) => (openName() === s.service ? detail.place : null) });

function matches(s, filter) {
	return [s.service, s.state, s.reason, s.delivery, s.protocol, ...words(s.vips)]
		.some((x) => text(x).toLowerCase().includes(filter));
}

function showServices() {
	const filter = (view.get("filter") || "").toLowerCase();
	const rows = filter ? services.filter((s) => matches(s, filter)) : services;
	setText(byId("services-count"), filter ? rows.length + " of " + services.length : count(services.length));
	servicesTable.set(rows);
}

function applyFilter() {
	setView("filter", byId("filter").value.trim());
	servicesTable.shown = CHUNK;
	showServices();
}

for (const event of ["input", "change"])
	byId("filter").addEventListener(event, applyFilter);

// Of the rows on the screen alone.
async function askSparks() {
	const names = [...visible].filter((n) => services.some((s) => s.service === n)).slice(0, SPARKS_MOST);
	if (!names.length)
		return;
	for (const h of list(await ask("history?service=" + names.map(encodeURIComponent).join(","))))
		sparks.set(h.service, { end: h.end, values: Array.isArray(h.connections_rate) ? h.connections_rate : [] });
	servicesTable.draw();
}

// ---- an open service ----------------------------------------------------------------------------------
const detail = { place: make("div"), name: null, kind: null, table: null };

function healthText(b) {
	return [text(b.reason), b.leaving ? "gone from the file" : "", number(b.seconds_to_disabled) === null ? ""
		: "disabled in " + duration(b.seconds_to_disabled)].filter(Boolean).join(", ");
}

function weightText(b) {
	return count(b.weight) + (number(b.weight_now) === null ? "" : " (now " + count(b.weight_now) + ")");
}

const BACKEND_COLUMNS = [
	plain("name", "Backend", ""),
	plain("address", "Address", "text"),
	{ key: "state", label: "State", value: (b) => text(b.state), cell: (b) => stateCell(text(b.state)) },
	plain("health", "Health", ""),
	{ key: "reason", label: "Reason", kind: "text", value: healthText },
	{ key: "since", label: "Since", kind: "number", value: (b) => number(b.health_seconds), cell: (b) => since(b.health_seconds) },
	{ key: "weight", label: "Weight", kind: "number", value: (b) => b.weight, cell: weightText },
	figure("active", "Active", (b) => b.connections_active),
	figure("total", "Total", (b) => b.connections_total),
	figure("connections", "New", (b) => b.connections_per_second, rate),
	figure("packets", "Packets", (b) => b.packets_per_second, rate),
	figure("bytes", "Bytes", (b) => b.bytes_per_second, byteRate),
];
const COMMANDS = {
	drain: "New connections go to the other backends; established ones stay until they end.",
	enable: "It gets new connections by its weight again, as far as its health allows.",
	disable: "New connections go to the other backends; established ones are moved or reset at once.",
};
const COMMAND_COLUMN = { key: "commands", label: "Commands", plain: true, value: () => "", cell: (b) => ({ key: "c", draw: drawCommands }) };

function drawCommands(line) {
	return make("span", "", ...Object.keys(COMMANDS).map((act) => {
		const button = make("button", "act", act);
		button.type = "button";
		button.setAttribute("aria-label", act + " " + line.row.service + "/" + line.row.name);
		button.addEventListener("click", () => confirmCommand(act, line.row));
		return button;
	}));
}

const WORKER_COLUMNS = [
	plain("worker", "Worker", ""),
	figure("pid", "Process", (w) => w.pid, text),
	plain("command", "Command", "text"),
	{ key: "state", label: "State", value: (w) => text(w.state), cell: (w) => stateCell(text(w.state)) },
	figure("depth", "Queue", (w) => w.queue_depth),
	figure("limit", "Limit", (w) => w.queue_limit),
	{ key: "full", label: "Full", kind: "number", value: (w) => w.queue_depth / w.queue_limit || 0, cell: (w) => barCell(w.queue_depth / w.queue_limit || 0) },
	figure("total", "Total", (w) => w.connections_total),
];

function describe(s) {
	const listens = words(s.workers && s.workers.listen);
	return ["delivery " + text(s.delivery), s.delivery === "workers" ? "" : "scheduler " + text(s.scheduler),
		listens.length ? "workers listen on " + listens.join(", ") : "", "ports " + words(s.ports).join(", "),
		"VIPs " + words(s.vips).slice(0, 20).join(", ") + (words(s.vips).length > 20 ? ", \u2026" : "")].filter(Boolean).join("; ");
}

function toggle(name) {
	setView("service", openName() === name ? "" : name);
	openDetail();
	showServices();
	refreshDetail().catch(() => {});
}

function openDetail() {
	detail.name = openName();
	detail.kind = null;
	detail.place.replaceChildren(make("p", "quiet", "asking the daemon"));
}

function detailTable(kind) {
	if (detail.kind === kind)
		return detail.table;
	const place = make("div");
	detail.kind = kind;
	detail.place.replaceChildren(make("p", "quiet", describe(services.find((s) => s.service === detail.name) || {})), place);
	detail.table = kind === "workers"
		? new Table(place, "workers", "Workers of " + detail.name, WORKER_COLUMNS, (w) => w.worker + "." + w.pid)
		: new Table(place, "backends", "Backends of " + detail.name, kind === "commands" ? [...BACKEND_COLUMNS, COMMAND_COLUMN]
			: BACKEND_COLUMNS, (b) => text(b.id) + "." + b.name);
	return detail.table;
}

async function refreshDetail() {
	const name = openName(), service = services.find((s) => s.service === name);
	if (!service)
		return;
	if (detail.name !== name)
		openDetail();
	const workers = service.delivery === "workers", path = encodeURIComponent(name);
	try {
		const rows = workers ? list(await ask("workers/" + path)) : await askAll("backends/" + path, BACKENDS_MOST);
		if (openName() === name)
			detailTable(workers ? "workers" : status.commands === true ? "commands" : "backends").set(rows);
	} catch (e) {
		if (!(e instanceof Refusal))
			throw e;
		detail.kind = null;
		detail.place.replaceChildren(make("p", "trouble", e.message));
	}
}

// ---- commands --------------------------------------------------------------------------------------------
let command = null;

function confirmCommand(act, b) {
	command = { act, service: text(b.service), name: text(b.name) };
	setText(byId("ask-title"), act + " " + command.service + "/" + command.name + "?");
	setText(byId("ask-text"), COMMANDS[act]);
	setText(byId("ask-yes"), act);
	byId("ask-trouble").hidden = true;
	byId("ask").showModal();
	byId("ask-no").focus();
}

byId("ask-yes").addEventListener("click", async () => {
	const { act, service, name } = command, trouble = byId("ask-trouble");
	byId("ask-yes").disabled = true;
	try {
		await ask("backends/" + [service, name, act].map(encodeURIComponent).join("/"), { method: "POST", headers: { "X-Tundish": "1" } });
		byId("ask").close();
		await refreshDetail();
	} catch (e) {
		setText(trouble, e instanceof Refusal ? e.message : "no answer; whether it was done is not known");
		trouble.hidden = false;
	} finally {
		byId("ask-yes").disabled = false;
	}
});

// ---- clients, source ports, TIME_WAIT, drops, doctor, events ------------------------------------------------
const tuplesTable = new Table(byId("tuples-table"), "tuples", "Connections by client, VIP and port", [
	plain("client", "Client", ""),
	plain("vip", "VIP", "text"),
	figure("port", "Port", (t) => t.port, text),
	plain("protocol", "Protocol", ""),
	figure("active", "Active", (t) => t.active),
	figure("total", "Total", (t) => t.total),
	{ key: "full", label: "Client\u2019s ports used", kind: "number", value: (t) => t.utilization, cell: (t) => barCell(t.utilization) },
], (t) => [t.client, t.vip, t.port, t.protocol].join(" "), { order: "-active" });

function exhaustion(p) {
	return number(p.seconds_to_exhaustion) === null ? "not filling" : "full in " + duration(p.seconds_to_exhaustion);
}

const portsTable = new Table(byId("ports-table"), "ports", "Source ports by local address, remote address and remote port", [
	plain("local_ip", "Local", ""),
	plain("remote_ip", "Remote", "text"),
	figure("remote_port", "Port", (p) => p.remote_port, text),
	plain("source", "Source", "text", (p) => [text(p.source), text(p.service), text(p.namespace)].filter(Boolean).join(" ")),
	figure("used", "Used", (p) => p.used),
	figure("time_wait", "TIME_WAIT", (p) => p.time_wait),
	figure("usable", "Usable", (p) => p.usable),
	{ key: "full", label: "Full", kind: "number", value: (p) => p.utilization, cell: (p) => barCell(p.utilization) },
	{ key: "when", label: "When", kind: "number", value: (p) => p.seconds_to_exhaustion, cell: exhaustion },
], (p) => [p.source, p.service, p.namespace, p.protocol, p.local_ip, p.remote_ip, p.remote_port].join(" "), { order: "-full" });

const dropsTable = new Table(byId("drops-table"), "drops", "Dropped packets by reason", [
	plain("reason", "Reason", ""),
	figure("packets", "Packets", (d) => d.packets),
	figure("rate", "Now", (d) => d.rate, rate),
], (d) => d.reason, { order: "-packets" });

const doctorTable = new Table(byId("doctor-table"), "doctor", "Findings of doctor", [
	plain("what", "What", ""),
	{ key: "verdict", label: "Verdict", value: (d) => ["bad", "warn", "note", "ok"].indexOf(d.verdict), cell: (d) => stateCell(text(d.verdict)) },
	figure("value", "Value", (d) => d.value, (x) => count(x)),
	figure("limit", "Limit", (d) => d.limit, (x) => count(x)),
	plain("sentence", "Why", "wide"),
	plain("setting", "Change", "text"),
], (d) => [d.id, d.what].join(" "), { order: "verdict", none: "nothing found" });

const eventsTable = new Table(byId("events-table"), "events", "Events, the newest first", [
	{ key: "time", label: "Time", value: (e) => number(e.seq), cell: (e) => moment(e.time) },
	plain("event", "Event", ""),
	plain("object", "Object", "text"),
	plain("reason", "Reason", "wide"),
], (e) => e.seq, { order: "-time" });

let timeWait = null, dropRate = 0, lastDrops = null;

function facts(pairs) {
	const dl = make("dl", "facts");
	for (const [name, value] of pairs)
		dl.append(make("dt", "", name), make("dd", "", value));
	return dl;
}

function showTimeWait(t) {
	timeWait = number(t.sockets);
	byId("timewait-facts").replaceChildren(facts([
		["sockets", count(t.sockets) + " of at most " + count(t.limit)],
		["of outgoing connections", count(t.outbound)],
		["entered", rate(t.entered_per_second) + ", " + count(t.entered) + " in all"],
		["reused", count(t.reused)],
		["overflowed", count(t.overflowed)],
		["verdict", text(t.verdict) + (t.why ? ": " + text(t.why) : "")],
	]));
}

function showDrops() {
	const now = performance.now(), drops = status.drops && typeof status.drops === "object" ? status.drops : {};
	const passed = lastDrops ? (now - lastDrops.at) / 1000 : 0;
	const rows = Object.entries(drops).map(([reason, packets]) => {
		const more = passed ? number(packets) - (number(lastDrops.of[reason]) || 0) : 0;
		return { reason, packets, rate: passed ? Math.max(0, more) / passed : 0 };
	});
	lastDrops = { at: now, of: drops };
	dropRate = sum(rows, "rate");
	dropsTable.set(rows);
}

// Findings, and not each queue that is well.
function showDoctor(rows) {
	const found = list(rows).filter((d) => d.verdict !== "ok");
	doctorTable.set(found);
}

let events = [];

async function refreshEvents() {
	const last = events.length ? events[0].seq : 0;
	const fresh = list(await ask("events?since=" + last)).filter((e) => e.seq > last);
	if (!fresh.length && eventsTable.rows === events)
		return;
	events = [...fresh.reverse(), ...events].slice(0, EVENTS_MOST);
	eventsTable.set(events);
}

// ---- again and again -----------------------------------------------------------------------------------------
let round = 0, timer = null, busy = false, answered = null;

function showAbout() {
	const host = location.hostname;
	setText(byId("host"), host);
	document.title = (list(status.attention).length ? "(" + list(status.attention).length + ") " : "") + "tundish " + host;
	setText(byId("about"), [status.version ? "version " + text(status.version) : "", "up " + duration(status.uptime_seconds)]
		.filter(Boolean).join(", "));
}

function showLive(trouble) {
	const live = byId("live");
	document.body.classList.toggle("stale", Boolean(trouble));
	live.classList.toggle("away", Boolean(trouble));
	setText(live, trouble || "live");
}

async function refreshFast() {
	status = await ask("status");
	services = await askAll("services", 1e5);
	answered = new Date();
	showAttention();
	showDrops();
	showTotals();
	showServices();
	showAbout();
	await refreshDetail();
	await refreshEvents();
}

async function refreshSlow() {
	await askSection("tuples", "tuples?top=20", (rows) => tuplesTable.set(list(rows)));
	await askSection("ports", "ports?top=20", (rows) => portsTable.set(list(rows)));
	await askSection("timewait", "timewait", showTimeWait);
	await askSection("totals", "history", (h) => (edge = list(h)[0] || null)).catch(() => {});
	byId("totals").hidden = false;
	showTotals();
	showPlots();
	await askSparks().catch(() => {});
	await askSection("doctor", "doctor", showDoctor);
}

async function refresh() {
	if (busy || document.hidden)
		return;
	busy = true;
	clearTimeout(timer);
	const begun = performance.now();
	try {
		await refreshFast();
		if (round++ % SLOW_EVERY === 0)
			await refreshSlow();
		showLive("");
	} catch (e) {
		showLive(troubleOf(e));
		round = 0;
	}
	busy = false;
	// Where it takes long, because there is much or many ask, it is asked for less often.
	timer = setTimeout(refresh, Math.max(FAST_MS, 3 * (performance.now() - begun)));
}

function troubleOf(e) {
	const last = answered ? clock(answered) : "";
	if (e instanceof Refusal)
		return e.message;
	if (e instanceof NoAnswer)
		return last ? "no answer since " + last : "no answer";
	return "this page cannot show the answer: " + e.message;
}

document.addEventListener("visibilitychange", refresh);
window.addEventListener("hashchange", () => {
	readView();
	begin();
	showServices();
	refreshDetail().catch(() => {});
});

// Not a link's own way, which would put another state after the #.
document.querySelector(".skip").addEventListener("click", (e) => {
	e.preventDefault();
	byId("services").focus();
});

function begin() {
	byId("filter").value = view.get("filter") || "";
	openDetail();
}

begin();
refresh();
})();
