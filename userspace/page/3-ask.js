// SPDX-License-Identifier: GPL-2.0-only
// Asking the daemon; what needs attention, and totals.
// ---- asking -------------------------------------------------------------------------------------
class Refusal extends Error {
	constructor(status, sentence) {
		super(sentence);
		this.status = status;
	}
}

class NoAnswer extends Error {}

async function fetchText(path, { patience = PATIENCE_MS, ...options }) {
	const stop = new AbortController(), timer = setTimeout(() => stop.abort(), patience);
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
	const all = [];
	let after = 0;
	for (;;) {
		const piece = list(await ask(path + "?limit=" + PIECE + "&after=" + after));
		all.push(...piece);
		if (piece.length < PIECE || all.length >= most)
			return all;
		after = Math.max(...piece.map((o) => number(o.id) || 0));
	}
}

// In the section itself, above what it has shown last.
function tellTrouble(section, sentence) {
	const place = byId(section);
	let trouble = place.querySelector(":scope > .trouble");
	if (!trouble) {
		trouble = make("p", "trouble");
		place.querySelector("h2").after(trouble);
	}
	setText(trouble, sentence);
	trouble.hidden = !sentence;
	place.hidden = false;
}

// What another daemon does not have, or what is off, is no trouble: its section is not there. Where it is
// refused for now, what it showed last stays.
async function askSection(section, path, show, options) {
	try {
		show(await ask(path, options));
		tellTrouble(section, "");
	} catch (e) {
		if (!(e instanceof Refusal))
			throw e;
		if (e.status === 404 || / not watched\b/.test(e.message))
			byId(section).hidden = true;
		else
			tellTrouble(section, e.message);
	}
}

// ---- what needs attention, totals -----------------------------------------------------------------
let status = {}, edge = null, attention = new Map(), attentionSaid = null;

// The lines of an entry: what is in each.
function attentionLines(a, began) {
	const lines = [[make("span", "what", text(a.what)), ": " + text(a.why) + (began === null ? "" : ", since " + moment(began))]];
	if (a.do)
		lines.push(["do: " + text(a.do)]);
	if (a.command)
		lines.push(["see: ", make("code", "", text(a.command))]);
	return lines.map((parts) => make("p", "", ...parts));
}

// Only the lines that differ are put in anew: somebody may be copying the others.
function fillAttention(entry, a) {
	const s = number(a.seconds), began = s === null ? null : Date.now() - s * 1000;
	if (began === null || entry.began === null || Math.abs(began - entry.began) >= 3000)
		entry.began = began; // else only the looks are not quite as far apart as the seconds
	const now = [...entry.li.children];
	arrange(entry.li, attentionLines(a, entry.began).map((p, i) => (now[i] && now[i].textContent === p.textContent ? now[i] : p)));
}

function drawAttention(all) {
	const kept = new Map(), place = byId("attention-list");
	for (const a of all) {
		let id = text(a.what);
		while (kept.has(id))
			id += "+";
		const entry = attention.get(id) || { li: make("li"), began: null };
		kept.set(id, entry);
		fillAttention(entry, a);
	}
	attention = kept;
	if (!all.length && !place.querySelector(".good"))
		place.replaceChildren(make("p", "state good", "nothing"));
	if (all.length && !place.querySelector("ul"))
		place.replaceChildren(make("ul"));
	if (all.length)
		arrange(place.firstChild, [...kept.values()].map((entry) => entry.li));
}

// It is read aloud when something else is wrong, and not for a figure that is another one by now.
function showAttention() {
	const all = list(status.attention), said = JSON.stringify(all.map((a) => [a.what, text(a.why).replace(/[\d.]+/g, "#")]));
	setText(byId("attention-title"), all.length ? "Needs attention (" + all.length + ")" : "Needs attention");
	drawAttention(all);
	if (said === attentionSaid)
		return;
	attentionSaid = said;
	setText(byId("attention-said"), all.length ? count(all.length) + (all.length === 1 ? " thing needs" : " things need") + " attention: "
		+ all.slice(0, 5).map((a) => text(a.what) + ": " + text(a.why)).join("; ") : "nothing needs attention");
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

// name, what it is now, the series of it, how to write that, and what it is of where the name says another thing.
const TILES = [
	["Active connections", () => count(sum(services, "connections_active")), "connections_active", count],
	["New connections", () => rate(sum(services, "connections_per_second")), "connections_rate", rate],
	["Packets", () => rate(sum(services, "packets_per_second")), "packets_rate", rate],
	["Bytes", () => byteRate(sum(services, "bytes_per_second")), "bytes_rate", byteRate],
	["Drops", () => rate(dropRate), "drops_rate", rate],
	["Services up", upText, "up", (x) => count(x), "backends and workers: "],
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
	TILES.forEach(([name, , key, show, of], i) => {
		const drawn = edge && Array.isArray(edge[key]) ? plot(edge[key], "plot", name, show) : null;
		tiles[i].graph.replaceChildren(...(drawn ? [drawn, make("p", "range", (of || "") + drawn.dataset.range)] : []));
	});
}
