// Moving ratios by pointer, keys or typed numbers. A gesture lasts from the first change to the release; its rows keep
// their local values whatever Python draws meanwhile.

const GRAB = 14; // px around the handle within which it is taken where it is, without a jump
const TOUCH_SLOP = 7; // px sideways before a finger drags rather than scrolls
const KEY_STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

// `board` gives the rows, how selected ones move together ('step' or 'same'), the outbox, and `hold(row or null)`.
function createDrag(board) {
  let gesture = null;

  const targets = (row) => {
    if (row.locked) return [];
    return row.selected ? board.rows.filter((other) => other.selected && !other.locked) : [row];
  };

  function begin(row, how) {
    const starts = new Map(targets(row).map((target) => [target, target.value]));
    if (!starts.size) return null;
    gesture = { row, how, starts, moved: false };
    for (const [target, start] of starts) target.lane.style.setProperty('--from', start);
    return gesture;
  }

  function values() {
    return Object.fromEntries([...gesture.starts.keys()].map((target) => [target.index, target.value]));
  }

  function moveTo(ratio, same = board.together === 'same') {
    const { row, starts } = gesture;
    const by = ratio - starts.get(row);
    let any = false;
    for (const [target, start] of starts) {
      const next = same || target === row ? ratio : clamp(Math.round((start + by) * 1e6) / 1e6);
      if (next === target.value) continue;
      target.value = next;
      if (target.near || target === row) target.paint(); // those out of sight wait for the release
      any = true;
    }
    if (!any) return;
    gesture.moved = true;
    board.outbox.push('edit', values(), false);
  }

  function end(cancelled) {
    if (!gesture) return;
    const { starts, moved } = gesture;
    for (const [target, start] of starts) {
      if (cancelled) target.value = start;
      target.paint();
    }
    if (moved) board.outbox.push('edit', values(), true);
    gesture = null;
    board.hold(null);
  }

  // --- pointer ---------------------------------------------------------------------------------------------------
  const ratioAt = (x) => (x - gesture.left) / gesture.width;

  function pointerdown(event, row) {
    if (event.button || gesture?.how === 'pointer') return;
    if (gesture) end(false);
    row.track.focus({ preventScroll: true });
    if (!begin(row, 'pointer')) return;
    const box = row.lane.getBoundingClientRect();
    const offset = event.clientX - (box.left + row.value * box.width);
    const grabbed = Math.abs(offset) <= GRAB;
    Object.assign(gesture, { id: event.pointerId, left: box.left + (grabbed ? offset : 0), width: Math.max(1, box.width), x: event.clientX });
    gesture.waits = event.pointerType === 'touch';
    if (gesture.waits) return; // it may be a scroll; the browser cancels the pointer then
    row.track.setPointerCapture(event.pointerId);
    board.hold(row);
    if (!grabbed) moveTo(snap(ratioAt(event.clientX), event.shiftKey));
  }

  function pointermove(event) {
    if (gesture?.how !== 'pointer' || event.pointerId !== gesture.id) return;
    if (gesture.waits) {
      if (Math.abs(event.clientX - gesture.x) < TOUCH_SLOP) return;
      gesture.waits = false;
      gesture.row.track.setPointerCapture(event.pointerId);
      board.hold(gesture.row);
    }
    if (event.clientX !== gesture.x) moveTo(snap(ratioAt(event.clientX), event.shiftKey));
    gesture.x = event.clientX;
  }

  function pointerup(event) {
    if (gesture?.how !== 'pointer' || event.pointerId !== gesture.id) return;
    if (gesture.waits) moveTo(snap(ratioAt(event.clientX), false)); // a tap
    end(false);
  }

  function pointercancel(event) {
    if (gesture?.how === 'pointer' && event.pointerId === gesture.id) end(true);
  }

  // --- keys ------------------------------------------------------------------------------------------------------
  function keydown(event, row) {
    if (event.key === 'Escape' && gesture) {
      end(true);
      return true;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || gesture?.how === 'pointer') return false;
    const step = KEY_STEPS[event.key];
    if (!step && event.key !== 'Home' && event.key !== 'End') return false;
    if (gesture && (gesture.row !== row || gesture.key !== event.key)) end(false);
    if (!gesture && !begin(row, 'keys')) return true;
    gesture.key = event.key;
    const fine = event.shiftKey && Math.abs(step) === 1;
    if (step) moveTo(snap(row.value + step / (fine ? 1000 : 100), fine));
    else moveTo(event.key === 'Home' ? 0 : 1);
    return true;
  }

  const keyup = () => gesture?.how === 'keys' && end(false);

  // --- typed numbers ---------------------------------------------------------------------------------------------
  function typed(row, ratio, alone) {
    end(false);
    if (!begin(row, 'typed')) return;
    if (alone) for (const target of [...gesture.starts.keys()]) if (target !== row) gesture.starts.delete(target);
    moveTo(ratio, true);
    end(false);
  }

  return {
    pointerdown, pointermove, pointerup, pointercancel, keydown, keyup, typed,
    holds: (row) => Boolean(gesture && gesture.starts.has(row)),
    active: () => gesture !== null,
    forget(rows) {
      if (gesture && [...gesture.starts.keys()].some((row) => !rows.has(row))) {
        gesture = null;
        board.hold(null);
      }
    },
  };
}
