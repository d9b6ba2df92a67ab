// One row of the board: its elements, what they say, and how they follow the ratio.

const UNITS = { filter: 'filters', neuron: 'neurons', head: 'heads', weight: 'weights' };
const count = (n) => n.toLocaleString('en-US');

function createRow(key) {
  const tick = element('input', '', { type: 'checkbox' });
  const name = element('span', 'name');
  const badge = element('span', 'badge');
  const note = element('span', 'note');
  const pick = element('label', 'pick', {}, tick, element('span', 'who', {}, name, element('span', 'line', {}, badge, note)));

  const bars = ['parameters', 'macs'].map((of) => ({ of, fill: element('i'), figure: element('b') }));
  const shares = element('div', 'shares', {}, ...bars.map(({ fill, figure }) => element('span', 'bar', {}, element('span', 'groove', {}, fill), figure)));

  const [goneBars, keptBars] = ['bars gone', 'bars kept'].map((cls) => svg('svg', { class: cls, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, svg('path')));
  const scores = element('div', 'scores', {}, element('i', 'removed'), goneBars, keptBars, element('i', 'cut'));

  const [area, line] = ['area', 'line'].map((cls) => svg('path', { class: cls }));
  const curve = svg('svg', { class: 'curve', viewBox: '0 0 1 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, area, line);
  const ticks = svg('svg', { class: 'ticks', viewBox: '0 0 1 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, svg('path'));
  const rail = element('div', 'rail', {}, element('i', 'removed'), element('i', 'stays'), ticks);
  const lane = element('div', 'lane', {}, curve, rail, element('i', 'from'), element('i', 'stem'), element('i', 'dot'), element('i', 'grip'));
  const track = element('div', 'track', { role: 'slider', tabindex: '0', 'aria-valuemin': '0', 'aria-valuemax': '100' }, lane);

  const ratio = element('button', 'value', { type: 'button', tabindex: '-1' });
  const drop = element('span', 'under');
  const kept = element('button', 'value', { type: 'button', tabindex: '-1' });
  const total = element('span', 'under');
  const lock = element('button', 'lock', { type: 'button' }, icon('open'), icon('lock'));

  const node = element('div', 'row', { role: 'listitem' }, pick, shares, scores, track,
    element('div', 'figure ratio', {}, ratio, drop), element('div', 'figure count', {}, kept, total), lock);
  const row = { key, node, tick, track, lane, ratio, kept, lock, spec: null, index: 0, value: 0, locked: false, selected: false, near: false };
  let described = ''; // what is drawn already, so that a rerun that changes nothing costs nothing
  let painted = '';
  let marked = '';

  // What does not follow the ratio; drawn again only when Python sends something else.
  row.describe = (spec, index, board) => {
    Object.assign(row, { spec, index });
    const same = JSON.stringify([{ ...spec, ratio: 0, locked: 0, kept: 0 }, board]);
    if (same === described) return;
    described = same;
    painted = marked = '';
    row.curve = fullCurve(spec.curve, board.dense);
    row.top = board.dense === null ? (row.curve.length ? row.curve[0][1] : 0) : board.dense;
    row.height = (y) => 0.06 + 0.94 * (1 - (y - board.low) / Math.max(1e-9, board.high - board.low));
    row.multiple = spec.multiple === null ? board.multiple : spec.multiple;
    name.textContent = spec.label;
    pick.title = [spec.key, spec.note, 'Click to select; Shift-click for a range'].filter(Boolean).join('\n');
    badge.textContent = spec.kind;
    badge.dataset.kind = spec.kind;
    note.textContent = spec.note;
    tick.setAttribute('aria-label', 'Select ' + spec.label);
    track.setAttribute('aria-label', 'Pruning ratio of ' + spec.label);
    for (const { of, fill, figure } of bars) {
      fill.style.width = (100 * (spec[of] || 0)) / board.largest + '%';
      figure.textContent = share(spec[of]);
    }
    shares.title = `${share(spec.parameters)} of the network's parameters\n${share(spec.macs)} of its MACs`;
    for (const bars of [goneBars, keptBars]) {
      bars.setAttribute('viewBox', `0 0 ${Math.max(1, spec.bins.length)} 1`);
      bars.firstChild.setAttribute('d', barsPath(spec.bins));
    }
    scores.classList.toggle('none', !spec.bins.length);
    area.setAttribute('d', curvePath(row.curve, row.height, true));
    line.setAttribute('d', curvePath(row.curve, row.height, false));
    node.classList.toggle('unmeasured', row.curve.length < 2);
    total.textContent = 'of ' + count(spec.size);
    const marks = spec.kind === 'weight' ? '' : ticksPath(spec.size, board.ticks);
    ticks.firstChild.setAttribute('d', marks);
    node.classList.toggle('ticked', marks !== '');
  };

  // What follows the ratio: a few style variables and texts, so that hundreds of rows can move together.
  row.paint = () => {
    const { spec, value } = row;
    const units = value === spec.ratio && spec.kept !== null ? spec.kept : keptCount(spec.size, value, row.multiple, spec.minimum);
    const now = `${value} ${units} ${row.locked}`;
    if (now === painted) return;
    painted = now;
    row.units = units;
    const accuracy = accuracyAt(row.curve, value);
    lane.style.setProperty('--r', value);
    lane.style.setProperty('--y', accuracy === null ? 1 : row.height(accuracy));
    scores.style.setProperty('--cut', cutPosition(spec.bins, (spec.size - units) / spec.size));
    node.classList.toggle('beyond', accuracy === null);
    node.classList.toggle('whole', units === spec.size);
    paintFigures(accuracy);
  };

  function paintFigures(accuracy) {
    const { spec, value, units } = row;
    const loss = accuracy === null ? null : row.top - accuracy;
    const sentence = `${count(units)} of ${count(spec.size)} ${UNITS[spec.kind] || 'units'} kept`;
    say(ratio, percent(value));
    say(kept, count(units));
    say(drop, loss === null ? (row.curve.length ? 'not measured' : '') : points(loss));
    drop.dataset.loss = loss === null || loss < 0.02 ? 'low' : loss < 0.1 ? 'some' : 'high';
    set(drop, 'title', accuracy === null ? '' : `Accuracy ${(accuracy * 100).toFixed(1)} % if only this row is pruned so far (scan, straight between its points)`);
    set(track, 'aria-valuenow', Number((value * 100).toFixed(1)));
    set(track, 'aria-valuetext', `${percent(value)} pruned, ${sentence}`);
    set(ratio, 'title', row.locked ? 'Locked' : 'Click to type a ratio');
    set(kept, 'title', row.locked ? 'Locked' : `${sentence}; click to type a number`);
  }

  row.mark = () => {
    const now = `${row.locked} ${row.selected}`;
    if (now === marked) return;
    marked = now;
    node.classList.toggle('locked', row.locked);
    node.classList.toggle('selected', row.selected);
    tick.checked = row.selected;
    track.setAttribute('aria-disabled', row.locked);
    ratio.disabled = kept.disabled = row.locked;
    lock.setAttribute('aria-pressed', row.locked);
    lock.setAttribute('aria-label', (row.locked ? 'Unlock ' : 'Lock ') + row.spec.label);
    lock.title = row.locked ? 'Locked: no drag, preset or group move changes it. Click to unlock (L)' : 'Lock this ratio (L)';
  };
  return row;
}
