// The board's frame: toolbar, column heads, legend. Elements only; board.js gives them life.

const SORTS = [
  ['order', 'Network order'],
  ['parameters', 'Most parameters first'],
  ['macs', 'Most MACs first'],
  ['sensitivity', 'Least sensitive first'],
];

const KEYS = [
  ['← →', 'one percent; with Shift a tenth'],
  ['Page Up / Down', 'ten percent'],
  ['Home, End', 'all the way'],
  ['Enter or a digit', 'type a ratio'],
  ['K', 'type how many to keep'],
  ['L', 'lock or unlock'],
  ['Space', 'select; with Shift up to here'],
  ['Alt + ↑ ↓', 'next row'],
  ['Escape', 'take back a drag; clear the selection'],
  ['Ctrl + Z', 'undo; with Shift redo'],
  ['Ctrl + A', 'select every row shown'],
];

function createTools() {
  const search = element('input', '', { type: 'search', placeholder: 'Find a layer', 'aria-label': 'Find a layer by name', spellcheck: 'false' });
  const sort = element('select', '', { 'aria-label': 'Order of the rows', title: 'Order of the rows' },
    ...SORTS.map(([value, text]) => element('option', '', { value }, text)));
  const count = element('span', 'counted', { role: 'status' });
  const all = button('', 'Select all rows shown', 'Select every row that the search shows (Ctrl+A)', 'All');
  const none = button('', 'Select no rows', 'Clear the selection (Escape)', 'None');
  const alike = button('', 'Select rows like this one', 'Select every row shown of the same kind as the row touched last', 'Like this');
  const step = button('', 'Selected rows move by the same step', 'Drag one selected row and the others move by the same step, so that their differences stay. Locked rows never move.', 'by step');
  const same = button('', 'Selected rows move to the same ratio', 'Drag one selected row and the others take the same ratio. Locked rows never move.', 'to same');
  const undo = button('square', 'Undo', 'Undo (Ctrl+Z)', icon('undo'));
  const redo = button('square', 'Redo', 'Redo (Ctrl+Shift+Z)', icon('redo'));
  const reset = button('square', 'Reset all ratios', 'Back to the ratios this page started with; Undo takes it back', icon('reset'));
  const help = button('square', 'Keys', 'What the keyboard does', '?');
  const keys = element('dl', 'keys', {}, ...KEYS.map(([key, does]) => element('div', '', {}, element('dt', '', {}, key), element('dd', '', {}, does))));
  keys.hidden = true;
  help.setAttribute('aria-expanded', 'false');
  const node = element('div', 'tools', {},
    element('label', 'search', {}, icon('search'), search), element('label', 'sort', {}, sort, icon('down')),
    element('div', 'group', { role: 'group', 'aria-label': 'Selection' }, element('span', 'caption', {}, 'Select'), all, none, alike),
    element('div', 'group toggle', { role: 'group', 'aria-label': 'How selected rows move together' }, element('span', 'caption', {}, 'Move'), step, same),
    element('div', 'end', {}, count, element('div', 'group', { role: 'group', 'aria-label': 'History' }, undo, redo, reset, help)), keys);
  return { node, search, sort, count, all, none, alike, step, same, undo, redo, reset, help, keys };
}

function createHead(tick) {
  const cell = (cls, title, ...lines) => element('div', cls, { title }, ...lines.map((line) => (line.nodeType ? line : element('span', '', {}, line))));
  const axis = element('div', 'axis', { title: 'Pruning ratio: the share of units asked to be removed, lowest scores first. The line above each rail is the accuracy when only that row is pruned.' },
);
  const who = element('span', 'who');
  const axisOfParts = element('div', 'axis-parts', { title: 'What the network loses if this one alone is dropped, from the sensitivity scan; the longest bar is the largest loss' }, 'Keep or drop · accuracy lost if dropped alone');
  const scores = element('span');
  const removed = element('span');
  const kept = element('span');
  const node = element('div', 'head', {},
    element('label', 'pick', { title: 'Select every row that the search shows' }, tick, who),
    cell('', "Share of the whole network's parameters and multiply-accumulates; the longest bar is the largest share", 'Parameters', 'MACs'),
    cell('', 'How the scores are distributed, lowest left (bar height: square root of the count). What stands left of the threshold is removed.', scores),
    axis,
    axisOfParts,
    cell('figure', 'Share asked to be removed; under it how the accuracy changes if only this row is pruned, from the scan', removed, element('span', 'with-curve', {}, 'Δ accuracy')),
    cell('figure', 'Exact number of units kept, or of values that weights can take', kept),
    element('div'));
  // What the columns hold depends on the rows: ratios, or whole parts that are kept or dropped.
  function name(parts, measure) {
    const { names, steps } = measure;
    say(who, parts ? 'Whole layer' : names.who);
    say(scores, parts ? 'Score' : names.scores);
    say(removed, parts ? 'Alone' : names.now);
    say(kept, names.kept);
    if (axis.dataset.measure === names.now) return;
    axis.dataset.measure = names.now;
    axis.replaceChildren(...steps.map(([at, text]) => element('span', '', { style: `left:${at}%` }, text)));
  }
  return { node, name };
}

function createLegend() {
  const ticks = element('span');
  const [gone, stays, line] = [0, 1, 2].map(() => element('span'));
  const part = (cls, swatch, text) => element('span', cls, {}, element('i', 'swatch ' + swatch), text);
  const node = element('div', 'legend', {}, part('', 'removed', gone), part('', 'stays', stays),
    part('with-curve', 'line', line), part('with-ticks', 'tick', ticks),
    part('with-goods', 'good', 'measured: one channel more costs a step in time'));
  function name(names) {
    say(gone, names.gone);
    say(stays, names.stays);
    say(line, names.line);
  }
  return { node, ticks, name };
}
