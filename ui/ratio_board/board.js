// The board: holds the rows, takes Python's truth, answers the user; and the one entry point for Streamlit.

class Board {
  constructor(root) {
    this.tools = createTools();
    this.tick = element('input', '', { type: 'checkbox', 'aria-label': 'Select every row shown' });
    this.list = element('div', 'rows', { role: 'list' });
    this.empty = element('div', 'empty');
    this.head = createHead(this.tick);
    this.scroll = element('div', 'scroll', {}, this.head.node, this.list, this.empty);
    this.legend = createLegend();
    this.node = element('div', 'board', { role: 'group' }, element('div', 'busy'), this.tools.node, this.scroll, this.legend.node);
    root.append(this.node);

    this.rows = []; // in Python's order
    this.shown = []; // as sorted and searched
    this.byKey = new Map();
    this.ofNode = new WeakMap();
    this.anchor = null; // where a range of rows starts
    this.current = null; // the row touched last, which "like this" means
    this.together = 'step';
    this.shift = false;
    this.dense = null;
    this.outbox = new Outbox();
    this.drag = new Drag(this);
    this.sight = new IntersectionObserver((entries) => this.see(entries), { root: this.scroll, rootMargin: '96px' });
    this.listenToRows();
    this.listenToTools();
    this.listenToKeys();
  }

  // --- Python's truth: what is being dragged or not answered yet stays as the user has it ---------------------------
  update(data, setStateValue) {
    this.outbox.setStateValue = setStateValue;
    this.outbox.answered(data.answered);
    if (data.version !== this.outbox.version) this.outbox.restart(data.version);
    this.dense = data.dense;
    const ours = Object.fromEntries(['edit', 'lock', 'units'].map((action) => [action, this.outbox.waiting(action)]));
    const scale = this.scaleOf(data);
    this.rows = data.rows.map((spec, index) => {
      const known = this.byKey.get(spec.key);
      const row = known || this.addRow(spec.key);
      row.describe(spec, index, scale);
      const mine = this.drag.holds(row) || ours.edit.has(index) || ours.units.has(index);
      if (!known || !mine) row.move(spec.ratio);
      if (!known || !ours.lock.has(index)) row.locked = spec.locked;
      row.paint();
      row.mark();
      return row;
    });
    this.dropRowsExcept(new Set(this.rows));
    this.frame(data);
    this.arrange();
  }

  // One scale for every row, so that curves and bars can be compared down the board.
  scaleOf({ rows, dense, multiple, ticks, measure }) {
    const levels = rows.flatMap((row) => row.curve.map((point) => point[1]));
    if (dense !== null) levels.push(dense);
    const largest = Math.max(1e-9, ...rows.flatMap((row) => [row.parameters || 0, row.macs || 0]));
    const topScore = Math.max(1e-9, ...rows.map((row) => row.score || 0));
    const worst = Math.max(0, ...levels.map((level) => Math.max(0, ...levels) - level));
    return { low: Math.min(1, ...levels), high: Math.max(0, ...levels), largest, dense, multiple, ticks, topScore, worst, measure: measure || 'ratio' };
  }

  addRow(key) {
    const row = new Row(key);
    this.byKey.set(key, row);
    this.ofNode.set(row.node, row);
    this.sight.observe(row.node);
    return row;
  }

  dropRowsExcept(present) {
    this.drag.keepOnly(present);
    for (const [key, row] of this.byKey) {
      if (present.has(row)) continue;
      this.sight.unobserve(row.node);
      this.byKey.delete(key);
    }
    if (!present.has(this.anchor)) this.anchor = null;
    if (!present.has(this.current)) this.current = null;
  }

  // Rows that come into sight during a drag catch up with it.
  see(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.ofNode.get(target);
      row.near = isIntersecting;
      if (isIntersecting) row.paint();
    }
  }

  frame(data) {
    this.node.setAttribute('aria-label', data.label);
    this.node.setAttribute('aria-busy', data.busy);
    this.tools.undo.disabled = !data.canUndo;
    this.tools.redo.disabled = !data.canRedo;
    this.scroll.style.maxHeight = data.height + 'px';
    this.node.classList.toggle('curves', this.rows.some((row) => row.curve.length > 1));
    this.node.classList.toggle('tickmarks', this.rows.some((row) => row.node.classList.contains('ticked')));
    this.node.classList.toggle('goodmarks', this.rows.some((row) => row.spec.good.length));
    const parts = this.rows.length > 0 && this.rows.every((row) => row.spec.switch);
    this.node.classList.toggle('parts', parts);
    const { measure = 'ratio' } = data;
    this.measure = MEASURES[measure];
    this.head.name(parts, this.measure);
    this.legend.name(this.measure.names);
    this.node.dataset.measure = measure;
    this.legend.ticks.textContent = `multiples of ${data.ticks} kept`;
  }

  // --- order, search, selection ------------------------------------------------------------------------------------
  rankOf(row) {
    const by = this.tools.sort.value;
    if (by === 'order') return row.index;
    if (by !== 'sensitivity') return -(row.spec[by] || 0);
    const value = sensitivity(row.curve, this.dense);
    return value < 0 ? Infinity : value;
  }

  arrange() {
    const rank = new Map(this.rows.map((row) => [row, this.rankOf(row)]));
    const sorted = [...this.rows].sort((a, b) => (rank.get(a) === rank.get(b) ? a.index - b.index : rank.get(a) - rank.get(b)));
    const wanted = this.tools.search.value.trim().toLowerCase();
    for (const row of sorted) row.node.hidden = !(row.spec.label + '\n' + row.key).toLowerCase().includes(wanted);
    this.shown = sorted.filter((row) => !row.node.hidden);
    // Moving a node drops its focus and the captured pointer: only when the order really differs.
    const { children } = this.list;
    if (children.length !== sorted.length || sorted.some((row, i) => children[i] !== row.node)) {
      this.list.replaceChildren(...sorted.map((row) => row.node));
    }
    this.empty.hidden = this.shown.length > 0;
    this.empty.textContent = this.rows.length
      ? `No layer's name contains “${this.tools.search.value.trim()}”.`
      : 'Nothing can be pruned here.';
    this.summarise();
  }

  summarise() {
    const { tools, rows, shown } = this;
    const chosen = rows.filter((row) => row.selected);
    const unseen = chosen.filter((row) => row.node.hidden).length;
    const locked = rows.filter((row) => row.locked).length;
    const parts = [shown.length < rows.length ? `${shown.length} of ${rows.length} rows` : `${rows.length} row${rows.length === 1 ? '' : 's'}`];
    if (chosen.length) parts.push(`${chosen.length} selected${unseen ? ` (${unseen} not shown)` : ''}`);
    if (locked) parts.push(`${locked} locked`);
    say(tools.count, parts.join(' · '));
    this.tick.checked = shown.length > 0 && shown.every((row) => row.selected);
    this.tick.indeterminate = !this.tick.checked && shown.some((row) => row.selected);
    tools.none.disabled = !chosen.length;
    tools.alike.disabled = !this.current;
    for (const how of ['step', 'same']) tools[how].setAttribute('aria-pressed', this.together === how);
  }

  select(chosen, on = true) {
    for (const row of chosen) {
      row.selected = on;
      row.mark();
    }
    this.summarise();
  }

  // One row, or with Shift all from the row touched last.
  pick(row, on) {
    const ends = [this.shown.indexOf(this.anchor), this.shown.indexOf(row)].sort((a, b) => a - b);
    const range = this.shift && ends[0] >= 0;
    this.anchor = row;
    this.select(range ? this.shown.slice(ends[0], ends[1] + 1) : [row], on);
  }

  // --- what a user does to rows -------------------------------------------------------------------------------------
  hold(row) {
    this.node.classList.toggle('dragging', Boolean(row));
    for (const held of this.list.querySelectorAll('.held')) held.classList.remove('held');
    if (row) row.node.classList.add('held');
  }

  toggleLock(row) {
    const on = !row.locked;
    const chosen = row.selected ? this.rows.filter((other) => other.selected) : [row];
    for (const other of chosen) {
      other.locked = on;
      other.paint();
      other.mark();
    }
    this.outbox.push('lock', Object.fromEntries(chosen.map((other) => [other.index, on])));
    this.summarise();
  }

  // One unit by hand; a drag that is under way ends first.
  flip(row, unit) {
    this.drag.end();
    const off = row.flip(unit);
    if (off !== null) this.outbox.push('units', { [row.index]: off });
  }

  type(row, figure, start) {
    if (row.locked || (figure === row.kept && this.measure.fixed)) return;
    openEntry(row, figure, start, (ratio) => this.drag.typed(row, ratio, figure === row.kept));
  }

  focusBeside(row, by) {
    const next = this.shown[this.shown.indexOf(row) + by];
    if (!next) return;
    next.track.focus({ preventScroll: true });
    next.node.scrollIntoView({ block: 'nearest' });
  }

  command(action) {
    if (!this.drag.gesture) this.outbox.push(action, {});
  }

  // --- listeners ---------------------------------------------------------------------------------------------------
  listenToRows() {
    const { list, drag } = this;
    const rowOf = (event) => this.ofNode.get(event.target.closest('.row'));
    list.addEventListener('pointerdown', (event) => {
      const row = rowOf(event);
      this.shift = event.shiftKey;
      if (row && event.target === row.track) drag.pointerdown(event, row);
    });
    list.addEventListener('pointermove', (event) => drag.pointermove(event));
    list.addEventListener('pointerup', (event) => drag.pointerup(event));
    list.addEventListener('pointercancel', (event) => drag.pointercancel(event));
    list.addEventListener('lostpointercapture', (event) => drag.pointerup(event));
    list.addEventListener('keyup', () => drag.keyup());
    list.addEventListener('focusout', () => drag.keyup());
    list.addEventListener('focusin', (event) => {
      this.current = rowOf(event);
      this.tools.alike.disabled = !this.current;
    });
    list.addEventListener('click', (event) => {
      const row = rowOf(event);
      if (!row) return;
      const unit = event.target.closest('.unit');
      if (event.target === row.ratio || event.target === row.kept) this.type(row, event.target);
      else if (unit) this.flip(row, Number(unit.dataset.unit));
      else if (event.target.closest('.keep')) this.drag.typed(row, row.value < 0.5 ? 1 : 0, false);
      else if (event.target.closest('.lock')) this.toggleLock(row);
    });
    list.addEventListener('change', (event) => {
      const row = rowOf(event);
      if (row && event.target === row.tick) this.pick(row, row.tick.checked);
    });
    list.addEventListener('keydown', (event) => {
      const row = rowOf(event);
      if (event.key === ' ') this.shift = event.shiftKey;
      if (row && event.target === row.track && this.trackKey(event, row)) event.preventDefault();
    });
  }

  // Keys on a handle; true if the key was taken.
  trackKey(event, row) {
    const { key } = event;
    if (event.altKey && (key === 'ArrowUp' || key === 'ArrowDown')) this.focusBeside(row, key === 'ArrowUp' ? -1 : 1);
    else if (this.drag.keydown(event, row)) return true;
    else if (event.ctrlKey || event.metaKey || event.altKey) return false;
    else if (key === 'Enter') this.type(row, row.ratio);
    else if (/^\d$/.test(key)) this.type(row, row.ratio, key);
    else if (key === ' ') this.pick(row, !row.selected);
    else if (key.toLowerCase() === 'k') this.type(row, row.kept);
    else if (key.toLowerCase() === 'l') this.toggleLock(row);
    else return false;
    return true;
  }

  listenToTools() {
    const { tools } = this;
    const together = (how) => () => {
      this.together = how;
      this.summarise();
    };
    tools.search.addEventListener('input', () => this.arrange());
    tools.sort.addEventListener('change', () => this.arrange());
    this.tick.addEventListener('change', () => this.select(this.shown, this.tick.checked));
    tools.all.addEventListener('click', () => this.select(this.shown));
    tools.none.addEventListener('click', () => this.select(this.rows, false));
    tools.alike.addEventListener('click', () => this.select(this.shown.filter((row) => row.spec.kind === this.current.spec.kind)));
    tools.step.addEventListener('click', together('step'));
    tools.same.addEventListener('click', together('same'));
    for (const action of ['undo', 'redo', 'reset']) tools[action].addEventListener('click', () => this.command(action));
    tools.help.addEventListener('click', () => {
      tools.keys.hidden = !tools.keys.hidden;
      tools.help.setAttribute('aria-expanded', !tools.keys.hidden);
    });
  }

  listenToKeys() {
    this.node.addEventListener('keydown', (event) => {
      if (event.defaultPrevented || event.target.matches('input:not([type=checkbox]), select')) return;
      const command = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (command && (key === 'z' || key === 'y')) {
        const action = key === 'y' || event.shiftKey ? 'redo' : 'undo';
        if (!this.tools[action].disabled) this.command(action);
      } else if (command && key === 'a') this.select(this.shown);
      else if (key === 'escape' && this.rows.some((row) => row.selected)) this.select(this.rows, false);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  destroy() {
    this.outbox.stop();
    this.sight.disconnect();
    this.node.remove();
  }
}

const boards = new WeakMap();

// Called by Streamlit once, and again whenever the data or the theme changes.
export default function ({ data, parentElement, setStateValue }) {
  let board = boards.get(parentElement);
  if (!board) boards.set(parentElement, (board = new Board(parentElement)));
  board.update(data, setStateValue);
  // Streamlit also runs this for a call that a newer one has overtaken; only a board off the page is taken down.
  return () => {
    if (parentElement.isConnected) return;
    board.destroy();
    if (boards.get(parentElement) === board) boards.delete(parentElement);
  };
}
