// Switches beside the handle: one for each unit of a small row, or one in place of the track for a whole part.

// The units of a row that are off, one bit each: as switched by hand, as Python counted, or the lowest scores.
function offMask(row) {
  const { spec, value, hand, units } = row;
  if (hand !== null) return hand;
  if (value === spec.ratio) return spec.units.reduce((mask, on, unit) => (on ? mask : mask | (1 << unit)), 0);
  return spec.order.slice(0, spec.size - units).reduce((mask, unit) => mask | (1 << unit), 0);
}

function bitCount(mask) {
  let count = 0;
  for (; mask; mask &= mask - 1) count++;
  return count;
}

// One small button for each unit, with its score as a bar.
class UnitSwitches {
  constructor() {
    this.buttons = [];
    this.list = element('span', 'unitlist', { role: 'group' });
    this.hint = element('span', 'hint');
    this.node = element('div', 'units', {}, this.list, this.hint);
  }

  describe(spec) {
    this.node.hidden = !spec.units.length;
    if (this.buttons.length !== spec.units.length) {
      this.buttons = spec.units.map((_, unit) =>
        element('button', 'unit', { type: 'button', role: 'switch', 'data-unit': unit }, element('i', 'level'), element('span', '', {}, String(unit))));
      this.list.replaceChildren(...this.buttons);
    }
    this.list.setAttribute('aria-label', `${UNITS[spec.kind] || 'units'} of ${spec.label}`);
    this.buttons.forEach((node, unit) => node.firstChild.style.setProperty('--level', spec.levels[unit] ?? 0));
  }

  paint(row) {
    const { spec, locked } = row;
    if (!spec.units.length) return;
    const off = offMask(row);
    const full = bitCount(off) >= spec.size - spec.minimum;
    const one = (UNITS[spec.kind] || 'units').replace(/s$/, '');
    this.buttons.forEach((node, unit) => {
      const on = !(off & (1 << unit));
      set(node, 'aria-checked', on);
      set(node, 'aria-label', `${one} ${unit} of ${spec.label}`);
      node.disabled = locked || (on && full);
      const rank = spec.order.indexOf(unit) + 1;
      const says = on && full ? `at least ${spec.minimum} must stay` : on ? 'click to remove it by hand' : 'removed; click to keep it';
      set(node, 'title', `${one} ${unit}: ${locked ? 'locked' : says}\nScore: ${rank === 1 ? 'lowest' : `${rank} from below`} of ${spec.size}`);
    });
    say(this.hint, off && row.byHand() ? 'chosen by hand' : off ? 'lowest scores off' : '');
  }
}

// A whole part: keep it or drop it, and what dropping it alone costs.
class Keeper {
  constructor() {
    this.button = element('button', 'keep', { type: 'button', role: 'switch', 'aria-label': 'Keep' }, element('i'));
    this.word = element('span', 'word');
    this.fill = element('i');
    this.node = element('div', 'keeper', {}, this.button, this.word, element('span', 'groove loss', {}, this.fill));
  }

  paint(row, board) {
    const { spec, value, locked } = row;
    const kept = value < 0.5;
    set(this.button, 'aria-checked', kept);
    set(this.button, 'aria-label', `Keep ${spec.label}`);
    this.button.disabled = locked;
    set(this.button, 'title', locked ? 'Locked' : kept ? 'Click to drop it' : 'Click to keep it');
    say(this.word, kept ? 'kept' : 'dropped');
    const loss = row.lossAlone();
    this.fill.style.width = loss === null ? '0' : `${Math.max(0, Math.min(100, (100 * loss) / Math.max(1e-9, board.worst)))}%`;
    this.fill.dataset.loss = lossLevel(loss);
    set(this.node, 'title', loss === null ? '' : 'Accuracy lost if this one alone is dropped, measured by the scan');
  }
}

function lossLevel(loss) {
  return loss === null || loss < 0.02 ? 'low' : loss < 0.1 ? 'some' : 'high';
}
