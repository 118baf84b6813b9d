// SPDX-License-Identifier: GPL-2.0-only
// Services, an open one, and commands.
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

const openName = () => view.get("service"), isOpen = (s) => openName() === s.service;

function nameCell(s, line) {
	const open = isOpen(s);
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
	return { key: "h" + (h ? h.end + "." + h.values.length : ""), draw: (line) => drawSpark(s, h, line) };
}

// The place stays the same element, which is watched from the beginning.
function drawSpark(s, h, line) {
	const drawn = h ? plot(h.values, "spark", "connections per second of " + s.service, rate) : null;
	if (!line.spark) {
		line.spark = make("span");
		line.spark.dataset.service = s.service;
		watch.observe(line.spark);
	}
	line.spark.replaceChildren(...(drawn ? [drawn] : []));
	return line.spark;
}

function forgetGone() {
	const names = new Set(services.map((s) => s.service));
	for (const known of [sparks, visible])
		for (const name of [...known.keys()])
			if (!names.has(name))
				known.delete(name);
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
	(s) => s.service, { order: "state", open: isOpen, below: (s) => (isOpen(s) ? detail.place : null) });

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
	const names = [...visible].slice(0, SPARKS_MOST);
	if (!names.length)
		return;
	for (const h of list(await ask("history?service=" + names.map(encodeURIComponent).join(",") + "&series=connections_rate")))
		sparks.set(h.service, { end: h.end, values: Array.isArray(h.connections_rate) ? h.connections_rate : [] });
	servicesTable.draw();
}

// ---- an open service ----------------------------------------------------------------------------------
const detail = { place: make("div"), name: null, kind: null, table: null, cut: null };

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
	detail.cut = make("p", "quiet");
	detail.place.replaceChildren(make("p", "quiet", describe(services.find((s) => s.service === detail.name) || {})), detail.cut, place);
	detail.table = kind === "workers"
		? new Table(place, "workers", "Workers of " + detail.name, WORKER_COLUMNS, (w) => w.worker + "." + w.pid)
		: new Table(place, "backends", "Backends of " + detail.name, kind === "commands" ? [...BACKEND_COLUMNS, COMMAND_COLUMN]
			: BACKEND_COLUMNS, (b) => text(b.id) + "." + b.name);
	return detail.table;
}

const cutText = (n, of) => (n >= BACKENDS_MOST && of > n ? "the first " + count(n) + " of " + count(of) + " backends" : "");

async function refreshDetail() {
	const name = openName(), service = services.find((s) => s.service === name);
	if (!service)
		return;
	if (detail.name !== name)
		openDetail();
	const workers = service.delivery === "workers", path = encodeURIComponent(name);
	try {
		const rows = workers ? list(await ask("workers/" + path)) : await askAll("backends/" + path, BACKENDS_MOST);
		if (openName() !== name)
			return;
		detailTable(workers ? "workers" : status.commands === true ? "commands" : "backends").set(rows);
		setText(detail.cut, workers ? "" : cutText(rows.length, service.backends));
		detail.cut.hidden = !detail.cut.textContent;
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
	byId("ask-yes").disabled = false;
	byId("ask").showModal();
	byId("ask-no").focus();
}

byId("ask-yes").addEventListener("click", async () => {
	// While the answer is awaited, somebody may have gone on to another command: that one's dialog is left alone.
	const mine = command, { act, service, name } = mine, trouble = byId("ask-trouble");
	byId("ask-yes").disabled = true;
	try {
		await ask("backends/" + [service, name, act].map(encodeURIComponent).join("/"), { method: "POST", headers: { "X-Tundish": "1" } });
		if (command === mine)
			byId("ask").close();
		await refreshDetail();
	} catch (e) {
		if (command !== mine)
			return;
		setText(trouble, e instanceof Refusal ? e.message : "no answer; whether it was done is not known");
		trouble.hidden = false;
	} finally {
		if (command === mine)
			byId("ask-yes").disabled = false;
	}
});
