// Moving ratios by pointer, keys or typed numbers. A gesture lasts from the first change to the release; its rows keep
// their local values whatever Python draws meanwhile.

const GRAB = 14; // px around the handle within which it is taken where it is, without a jump
const TOUCH_SLOP = 7; // px sideways before a finger drags rather than scrolls
const KEY_STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

class Drag {
  // `board` gives the rows, how selected ones move together ('step' or 'same'), the outbox, and `hold(row or null)`.
  constructor(board) {
    this.board = board;
    this.gesture = null;
  }

  holds(row) {
    return this.gesture !== null && this.gesture.starts.has(row);
  }

  // A gesture whose rows are gone is over.
  keepOnly(present) {
    if (!this.gesture || [...this.gesture.starts.keys()].every((row) => present.has(row))) return;
    this.gesture = null;
    this.board.hold(null);
  }

  begin(row, how, alone = !row.selected) {
    const targets = alone ? [row] : this.board.rows.filter((other) => other.selected);
    const starts = new Map(targets.filter((target) => !target.locked).map((target) => [target, target.value]));
    if (!starts.has(row)) return false;
    this.gesture = { row, how, starts, moved: false };
    for (const [target, start] of starts) target.lane.style.setProperty('--from', start);
    return true;
  }

  moveTo(ratio, same = this.board.together === 'same') {
    const { row, starts } = this.gesture;
    const by = ratio - starts.get(row);
    let any = false;
    for (const [target, start] of starts) {
      const next = target.possible(same || target === row ? ratio : clamp(Math.round((start + by) * 1e6) / 1e6));
      if (next === target.value) continue;
      target.move(next);
      if (target.near || target === row) target.paint(); // those out of sight wait for the release
      any = true;
    }
    if (any) this.send(false);
  }

  end(cancelled = false) {
    if (!this.gesture) return;
    for (const [target, start] of this.gesture.starts) {
      if (cancelled) target.move(start);
      target.paint();
    }
    if (this.gesture.moved) this.send(true);
    this.gesture = null;
    this.board.hold(null);
  }

  send(final) {
    this.gesture.moved = true;
    const values = [...this.gesture.starts.keys()].map((target) => [target.index, target.value]);
    this.board.outbox.push('edit', Object.fromEntries(values), final);
  }

  // --- pointer: each returns at once for pointers that drag nothing ----------------------------------------------------
  pointerdown(event, row) {
    if (event.button || this.gesture?.how === 'pointer') return;
    this.end();
    row.track.focus({ preventScroll: true });
    if (!this.begin(row, 'pointer')) return;
    const box = row.lane.getBoundingClientRect();
    const offset = event.clientX - (box.left + row.value * box.width);
    const grabbed = Math.abs(offset) <= GRAB;
    const waits = event.pointerType === 'touch'; // it may be a scroll; the browser cancels the pointer then
    Object.assign(this.gesture, { id: event.pointerId, x: event.clientX, left: box.left + (grabbed ? offset : 0), width: Math.max(1, box.width), waits });
    if (waits) return;
    this.take();
    if (!grabbed) this.follow(event);
  }

  pointermove(event) {
    if (!this.isOurs(event) || event.clientX === this.gesture.x) return;
    if (this.gesture.waits) {
      if (Math.abs(event.clientX - this.gesture.x) < TOUCH_SLOP) return;
      this.gesture.waits = false;
      this.take();
    }
    this.gesture.x = event.clientX;
    this.follow(event);
  }

  pointerup(event) {
    if (!this.isOurs(event)) return;
    if (this.gesture.waits) this.follow(event); // a tap
    this.end();
  }

  pointercancel(event) {
    if (this.isOurs(event)) this.end(true);
  }

  isOurs(event) {
    return this.gesture?.how === 'pointer' && event.pointerId === this.gesture.id;
  }

  take() {
    this.gesture.row.track.setPointerCapture(this.gesture.id);
    this.board.hold(this.gesture.row);
  }

  follow(event) {
    this.moveTo(snap((event.clientX - this.gesture.left) / this.gesture.width, event.shiftKey));
  }

  // --- keys: true if the key was taken. A key that is held is one gesture. ---------------------------------------------
  keydown(event, row) {
    if (event.key === 'Escape' && this.gesture) {
      this.end(true);
      return true;
    }
    const step = KEY_STEPS[event.key];
    const ends = event.key === 'Home' || event.key === 'End';
    if (event.ctrlKey || event.metaKey || event.altKey || this.gesture?.how === 'pointer' || !(step || ends)) return false;
    if (this.gesture && (this.gesture.row !== row || this.gesture.key !== event.key)) this.end();
    if (!this.gesture && !this.begin(row, 'keys')) return true;
    this.gesture.key = event.key;
    const fine = event.shiftKey && Math.abs(step) === 1;
    if (ends) this.moveTo(event.key === 'Home' ? 0 : 1);
    else this.moveTo(row.stepped(step, fine));
    return true;
  }

  keyup() {
    if (this.gesture?.how === 'keys') this.end();
  }

  // --- typed numbers: a ratio goes to every selected row as it is, a count to its own row only -------------------------
  typed(row, ratio, alone) {
    this.end();
    if (!this.begin(row, 'typed', alone || !row.selected)) return;
    this.moveTo(ratio, true);
    this.end();
  }
}
