// SPDX-License-Identifier: GPL-2.0-only
// The other tables, and the looks that repeat.
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
	plain("what", "What they were", "wide", (d) => (Object.hasOwn(DROPS, d.reason) ? DROPS[d.reason] : "")),
], (d) => d.reason, { order: "-packets" });

const inUnit = (key, label) => ({ key, label, kind: "number", value: (d) => number(d[key]),
	cell: (d) => [count(d[key]), number(d[key]) === null ? "" : text(d.unit)].filter(Boolean).join("\u00a0") });

const doctorTable = new Table(byId("doctor-table"), "doctor", "Findings of doctor", [
	plain("what", "What", ""),
	{ key: "verdict", label: "Verdict", value: (d) => ["bad", "warn", "note", "ok"].indexOf(d.verdict), cell: (d) => stateCell(text(d.verdict)) },
	inUnit("value", "Value"),
	inUnit("limit", "Limit"),
	plain("sentence", "Why", "wide"),
	plain("setting", "Change", "text"),
], (d) => [d.id, d.what].join(" "), { order: "verdict", none: "nothing found" });

// What hurts, and what was asked for and did not come about, is marked; of all else the level is no matter.
const LEVELS = ["err", "warning"];
const levelOf = (e) => (LEVELS.includes(e.priority) ? LEVELS.indexOf(e.priority) : null);

const eventsTable = new Table(byId("events-table"), "events", "Events, the newest first", [
	{ key: "time", label: "Time", value: (e) => number(e.seq), cell: (e) => moment(e.time) },
	plain("event", "Event", ""),
	{ key: "level", label: "Level", value: levelOf, cell: (e) => (levelOf(e) === null ? "" : stateCell(["error", "warning"][levelOf(e)])) },
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

let events = [], eventsShown = null;

async function refreshEvents() {
	const last = events.length ? events[0].seq : 0;
	const fresh = list(await ask("events?since=" + last)).filter((e) => e.seq > last);
	if (!fresh.length && eventsShown === events)
		return;
	events = [...fresh.reverse(), ...events].slice(0, EVENTS_MOST);
	showEvents();
}

function showEvents() {
	const filter = (view.get("events") || "").toLowerCase(), bad = view.get("bad") === "1";
	const rows = events.filter((e) => (!bad || levelOf(e) !== null) &&
		[e.event, e.object, e.reason].some((x) => text(x).toLowerCase().includes(filter)));
	setText(byId("events-count"), rows.length < events.length ? rows.length + " of " + events.length : count(events.length));
	eventsTable.set(rows);
	eventsShown = events;
}

function filterEvents() {
	setView("events", byId("events-filter").value.trim());
	setView("bad", byId("events-bad").checked ? "1" : "");
	eventsTable.shown = CHUNK;
	showEvents();
}

for (const event of ["input", "change"])
	byId("events-tools").addEventListener(event, filterEvents);

// ---- again and again -----------------------------------------------------------------------------------------
let round = 0, timer = null, busy = false, doctorBusy = false, answered = null;

function showAbout() {
	const host = text(status.host) || location.hostname; // several hosts are 127.0.0.1 by ssh -L
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

// Another daemon counts from the beginning again.
function forgetOther(uptime) {
	if (number(uptime) < number(status.uptime_seconds)) {
		events = [];
		lastDrops = edge = null;
		sparks.clear();
		round = 0;
	}
}

async function refreshFast() {
	const now = await ask("status");
	forgetOther(now.uptime_seconds);
	status = now;
	services = await askAll("services", 1e5);
	forgetGone();
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
	await ask("history").then((h) => (edge = list(h)[0] || null)).catch(() => {});
	showTotals();
	showPlots();
	await askSparks().catch(() => {});
}

// It takes seconds on a busy host, for which nothing else waits.
async function refreshDoctor() {
	if (doctorBusy)
		return;
	doctorBusy = true;
	try {
		await askSection("doctor", "doctor", showDoctor, { patience: DOCTOR_PATIENCE_MS });
	} catch (e) {
		tellTrouble("doctor", e instanceof NoAnswer ? "no answer" : troubleOf(e));
	}
	doctorBusy = false;
}

async function refresh() {
	if (busy || document.hidden)
		return;
	busy = true;
	clearTimeout(timer);
	const begun = performance.now();
	try {
		await refreshFast();
		if (round++ % SLOW_EVERY === 0) {
			refreshDoctor();
			await refreshSlow();
		}
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
	showEvents();
	refreshDetail().catch(() => {});
});

// Not a link's own way, which would put another state after the #.
document.querySelector(".skip").addEventListener("click", (e) => {
	e.preventDefault();
	byId("services").focus();
});

function begin() {
	byId("filter").value = view.get("filter") || "";
	byId("events-filter").value = view.get("events") || "";
	byId("events-bad").checked = view.get("bad") === "1";
	openDetail();
}

begin();
refresh();
