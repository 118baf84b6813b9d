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
