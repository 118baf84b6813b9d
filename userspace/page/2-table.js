// SPDX-License-Identifier: GPL-2.0-only
// Tables, and what of the view stands in the link.
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

// What is not known is last either way.
function compare(a, b, down) {
	const none = (x) => x === null || x === undefined || x === "";
	if (none(a) || none(b))
		return none(a) - none(b);
	const order = typeof a === "number" && typeof b === "number" ? a - b : collator.compare(text(a), text(b));
	return down ? -order : order;
}

// A table below `place`. `columns`: {key, label, value: row => what it is ordered by, cell: row =>
// what is shown (the value, unless given), kind: "number", "text" or "wide", plain: not ordered by};
// the first one heads its row. `idOf`: row => which it is. `below`: row => an element under it, or null;
// `open`: row => whether it is there however long the table is.
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
		keyed.sort((a, b) => compare(a.key, b.key, down) || a.i - b.i);
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
		const visible = this.visible(), kept = new Map(), wanted = [];
		for (const row of visible)
			wanted.push(...this.line(row, kept));
		const was = this.lines, held = document.activeElement === this.more;
		this.lines = kept;
		arrange(this.body, wanted);
		this.table.hidden = !this.rows.length;
		this.none.hidden = !this.table.hidden;
		this.more.hidden = visible.length >= this.rows.length;
		setText(this.more, "more (" + count(visible.length) + " of " + count(this.rows.length) + ")");
		if (held && this.more.hidden)
			this.focusNew(was);
	}

	visible() {
		const all = this.ordered(), rows = all.slice(0, this.shown);
		if (this.options.open)
			rows.push(...all.slice(this.shown).filter(this.options.open));
		return rows;
	}

	// The focus goes from a button that is no longer there to the first row that came.
	focusNew(was) {
		const line = [...this.lines].filter(([id]) => !was.has(id)).map(([, l]) => l)[0];
		if (!line)
			return;
		const button = line.tr.querySelector("button");
		if (!button)
			line.tr.tabIndex = -1;
		(button || line.tr).focus();
	}

	// The elements of a row: its own, and what is open under it. Rows that are known by the same are kept apart.
	line(row, kept) {
		let id = text(this.idOf(row));
		while (kept.has(id))
			id += "+";
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
