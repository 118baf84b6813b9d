// SPDX-License-Identifier: GPL-2.0-only
//
// The stats page. It asks for the objects of the control socket, which the daemon answers on the
// metrics address too, every two seconds, those that cost more every ten, and not while nobody
// looks. Text from outside (names, reasons, events) gets into the page as text alone: elements are
// made by make(), and the page's policy refuses markup from strings altogether.
//
// Tables keep their rows from one look to the next and change the cells that differ, so that neither
// focus nor what a screen reader reads is lost; of long ones fifty rows are there at first.
const FAST_MS = 2000, SLOW_EVERY = 5, PATIENCE_MS = 8000, DOCTOR_PATIENCE_MS = 20000;
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
	down: "bad", bad: "bad", unhealthy: "bad", full: "bad", warning: "warn", error: "bad",
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

// Moves what has another place, and leaves all else where it is; the focus stays, which a moved element loses.
function arrange(place, wanted) {
	const keep = new Set(wanted), focus = place.contains(document.activeElement) ? document.activeElement : null;
	for (const e of [...place.children])
		if (!keep.has(e))
			e.remove();
	wanted.forEach((e, i) => {
		if (place.children[i] !== e)
			place.insertBefore(e, place.children[i] || null);
	});
	if (focus && focus.isConnected && document.activeElement !== focus)
		focus.focus({ preventScroll: true });
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
