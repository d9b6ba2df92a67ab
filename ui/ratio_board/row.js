// One row of the board: its elements, what they say, and how they follow the ratio.

const UNITS = { filter: 'filters', neuron: 'neurons', head: 'heads', weight: 'weights' };
const count = (n) => n.toLocaleString('en-US');
const drawing = (cls, ...parts) => svg('svg', { class: cls, viewBox: '0 0 1 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, ...parts);

class Row {
  constructor(key) {
    Object.assign(this, { key, spec: null, index: 0, value: 0, units: 0, locked: false, selected: false });
    this.hand = null; // units switched off by hand that Python has not drawn yet, one bit each
    this.near = false; // in sight, or almost
    // What is drawn already, so that a rerun that changes nothing costs nothing.
    Object.assign(this, { described: '', painted: '', marked: '' });
    [this.switches, this.keeper] = [new UnitSwitches(), new Keeper()];
    this.node = element('div', 'row', { role: 'listitem' },
      this.makeName(), this.makeShares(), this.makeScores(), this.makeTrack(), this.keeper.node, ...this.makeFigures(),
      this.makeLock(), this.switches.node);
  }

  // --- elements ----------------------------------------------------------------------------------------------------
  makeName() {
    this.tick = element('input', '', { type: 'checkbox' });
    this.name = element('span', 'name');
    this.badge = element('span', 'badge');
    this.note = element('span', 'note');
    const who = element('span', 'who', {}, this.name, element('span', 'line', {}, this.badge, this.note));
    return (this.pick = element('label', 'pick', {}, this.tick, who));
  }

  makeShares() {
    this.bars = ['parameters', 'macs'].map((of) => ({ of, fill: element('i'), figure: element('b') }));
    const bar = ({ fill, figure }) => element('span', 'bar', {}, element('span', 'groove', {}, fill), figure);
    return (this.shares = element('div', 'shares', {}, ...this.bars.map(bar)));
  }

  makeScores() {
    this.histogram = [drawing('bars gone', svg('path')), drawing('bars kept', svg('path'))];
    this.score = element('span', 'score');
    return (this.scores = element('div', 'scores', {}, element('i', 'removed'), ...this.histogram, element('i', 'cut'), this.score));
  }

  makeTrack() {
    [this.area, this.line, this.ticks] = ['area', 'line', 'tick'].map((cls) => svg('path', { class: cls }));
    const rail = element('div', 'rail', {}, element('i', 'removed'), element('i', 'stays'), drawing('ticks', this.ticks));
    this.goods = element('span', 'goods', { 'aria-hidden': 'true' });
    const handle = ['from', 'stem', 'dot', 'grip'].map((part) => element('i', part));
    this.lane = element('div', 'lane', {}, drawing('curve', this.area, this.line), rail, this.goods, ...handle);
    return (this.track = element('div', 'track', { role: 'slider', tabindex: '0', 'aria-valuemin': '0', 'aria-valuemax': '100' }, this.lane));
  }

  makeFigures() {
    [this.ratio, this.kept] = [0, 1].map(() => element('button', 'value', { type: 'button', tabindex: '-1' }));
    [this.drop, this.total] = [0, 1].map(() => element('span', 'under'));
    return [element('div', 'figure ratio', {}, this.ratio, this.drop), element('div', 'figure count', {}, this.kept, this.total)];
  }

  makeLock() {
    return (this.lock = element('button', 'lock', { type: 'button' }, icon('open'), icon('lock')));
  }

  // --- what does not follow the ratio: drawn again only when Python sends something else ------------------------------
  describe(spec, index, board) {
    Object.assign(this, { spec, index });
    const same = JSON.stringify([{ ...spec, ratio: 0, locked: 0, kept: 0, units: spec.units.length, byHand: 0 }, board]);
    if (same === this.described) return;
    this.described = same;
    this.painted = this.marked = '';
    this.curve = fullCurve(spec.curve, board.dense);
    this.top = board.dense === null && this.curve.length ? this.curve[0][1] : board.dense;
    this.height = (y) => 0.06 + 0.94 * (1 - (y - board.low) / Math.max(1e-9, board.high - board.low));
    this.multiple = spec.multiple === null ? board.multiple : spec.multiple;
    this.measureName = board.measure;
    this.measure = MEASURES[board.measure];
    this.describeName();
    for (const { of, fill, figure } of this.bars) {
      fill.style.width = (100 * (spec[of] || 0)) / board.largest + '%';
      say(figure, share(spec[of]));
    }
    this.board = board;
    this.node.classList.toggle('switched', spec.switch);
    this.node.classList.toggle('united', spec.units.length > 0);
    this.switches.describe(spec);
    say(this.score, spec.switch ? (spec.score === null ? '–' : spec.score.toPrecision(2)) : '');
    this.shares.title = `${share(spec.parameters)} of the network's parameters\n${share(spec.macs)} of its MACs`;
    this.describeShapes(board);
  }

  describeName() {
    const { spec } = this;
    say(this.name, spec.label);
    say(this.note, spec.note);
    say(this.total, 'of ' + count(spec.size));
    this.node.dataset.measure = this.measureName;
    this.badge.dataset.kind = spec.kind;
    this.pick.title = [spec.key, spec.note, 'Click to select, Shift-click for a range'].filter(Boolean).join('\n');
    this.tick.setAttribute('aria-label', 'Select ' + spec.label);
    this.track.setAttribute('aria-label', this.measure.slider(spec.label));
  }

  describeShapes(board) {
    const { spec, curve, height } = this;
    for (const bars of this.histogram) {
      bars.setAttribute('viewBox', `0 0 ${Math.max(1, spec.bins.length)} 1`);
      bars.firstChild.setAttribute('d', barsPath(spec.bins));
    }
    this.scores.classList.toggle('none', !spec.bins.length);
    this.scores.style.setProperty('--score', spec.score === null ? 0 : spec.score / board.topScore);
    this.area.setAttribute('d', curvePath(curve, height, true));
    this.line.setAttribute('d', curvePath(curve, height, false));
    this.node.classList.toggle('unmeasured', curve.length < 2);
    const marks = spec.kind === 'weight' ? '' : ticksPath(spec.size, board.ticks);
    this.ticks.setAttribute('d', marks);
    this.node.classList.toggle('ticked', marks !== '');
    this.goods.replaceChildren(...spec.good.map((kept) => element('i', '', { style: `left:${100 * (1 - kept / spec.size)}%` })));
  }

  // --- what follows the ratio: a few style variables and texts, so that many rows can move together -------------------
  paint() {
    const { spec, value, node } = this;
    const counted = value === spec.ratio && spec.kept !== null; // Python's own count, where it sent one
    const stop = spec.stops.length ? spec.stops[nearestStop(spec.stops, value)] : null;
    const units = counted ? spec.kept : stop ? stop[1] : keptCount(spec.size, value, this.multiple, spec.minimum);
    const now = `${value} ${units} ${this.locked} ${this.hand} ${spec.units} ${spec.byHand}`;
    if (now === this.painted) return;
    Object.assign(this, { painted: now, units });
    this.switches.paint(this);
    if (spec.switch) this.keeper.paint(this, this.board);
    say(this.badge, (stop && stop[2]) || spec.kind);
    // The curve was measured with the lowest scores gone: it says nothing of units chosen by hand.
    const accuracy = this.byHand() ? null : accuracyAt(this.curve, value);
    this.lane.style.setProperty('--r', value);
    this.lane.style.setProperty('--y', accuracy === null ? 1 : this.height(accuracy));
    // Where weights go in runs, blocks or kernels, no single threshold on their scores parts them.
    this.scores.style.setProperty('--cut', stop || this.byHand() ? 0 : cutPosition(spec.bins, (spec.size - units) / spec.size));
    node.classList.toggle('beyond', accuracy === null);
    node.classList.toggle('whole', units === spec.size);
    this.paintFigures(accuracy);
  }

  paintFigures(accuracy) {
    const { spec, value, units, ratio, kept, drop, track } = this;
    const loss = accuracy === null ? null : this.top - accuracy;
    const sentence = this.measure.kept(units, spec.size, spec.kind, spec.stops.length > 0);
    if (spec.switch) {
      const alone = this.lossAlone();
      say(ratio, alone === null ? '–' : points(alone));
      say(drop, alone === null ? '' : `${(100 * (this.top - alone)).toFixed(1)} %`);
      ratio.disabled = true;
      drop.dataset.loss = lossLevel(alone);
      set(drop, 'title', alone === null ? 'Not measured yet' : 'Measured accuracy if this one alone is dropped');
      return;
    }
    say(ratio, this.measure.figure(value));
    say(kept, count(units));
    const why = this.byHand() ? 'by hand' : this.curve.length ? 'not measured' : '';
    say(drop, loss !== null ? points(loss) : why);
    drop.dataset.loss = lossLevel(loss);
    set(drop, 'title', loss === null ? '' : `Accuracy ${(accuracy * 100).toFixed(1)} % if only this row is changed so far (from the scan, straight between its points)`);
    set(track, 'aria-valuenow', Number((value * 100).toFixed(1)));
    const good = spec.good.includes(units) ? ', the last count before a step in time' : '';
    set(track, 'aria-valuetext', this.measure.said(value, sentence) + good);
    set(ratio, 'title', this.locked ? 'Locked' : this.measure.hint);
    set(kept, 'title', this.locked ? 'Locked' : this.measure.fixed ? sentence : `${sentence}${good}; click to type a number`);
  }

  // Accuracy that is lost if this row alone goes, null if that was not measured.
  lossAlone() {
    const accuracy = accuracyAt(this.curve, 1);
    return accuracy === null ? null : this.top - accuracy;
  }

  // Whether the units that are off were chosen by hand.
  byHand() {
    return this.hand !== null || (this.spec.byHand && this.value === this.spec.ratio);
  }

  // Moves to a ratio: what was switched by hand no longer holds.
  move(ratio) {
    Object.assign(this, { value: ratio, hand: null });
  }

  // Switches one unit; the bits of all that are off then, or null if this one must stay.
  flip(unit) {
    const off = offMask(this) ^ (1 << unit);
    if (this.locked || bitCount(off) > this.spec.size - this.spec.minimum) return null;
    Object.assign(this, { hand: off, value: bitCount(off) / this.spec.size });
    this.paint();
    return off;
  }

  // The ratio that this row can have nearest to the one wanted.
  possible(ratio) {
    const { stops } = this.spec;
    return stops.length ? stops[nearestStop(stops, ratio)][0] : ratio;
  }

  // One step by a key: whole percents, tenths with Shift, but at least to the next possible ratio.
  stepped(step, fine) {
    const wanted = snap(this.value + step / (fine ? 1000 : 100), fine);
    const { stops } = this.spec;
    if (!stops.length) return wanted;
    const [now, next] = [nearestStop(stops, this.value), nearestStop(stops, wanted)];
    const index = now === next ? now + Math.sign(step) : next;
    return stops[Math.min(stops.length - 1, Math.max(0, index))][0];
  }

  // --- locked and selected --------------------------------------------------------------------------------------------
  mark() {
    const { locked, selected, lock } = this;
    const now = `${locked} ${selected}`;
    if (now === this.marked) return;
    this.marked = now;
    this.node.classList.toggle('locked', locked);
    this.node.classList.toggle('selected', selected);
    this.tick.checked = selected;
    this.track.setAttribute('aria-disabled', locked);
    this.ratio.disabled = this.kept.disabled = locked || this.spec.switch;
    lock.setAttribute('aria-pressed', locked);
    lock.setAttribute('aria-label', (locked ? 'Unlock ' : 'Lock ') + this.spec.label);
    lock.title = locked ? 'Locked: no drag, preset or group move changes it. Click to unlock (L)' : 'Lock this ratio (L)';
  }
}
