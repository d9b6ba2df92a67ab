// Small DOM helpers. Text from Python only ever becomes a text node or an attribute, never markup.

function element(tag, className, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Says only what changed: a text or attribute that is set again costs a layout all the same.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function set(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const ICONS = {
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.4 10.4 14 14',
  lock: 'M3.5 7.5h9v6h-9zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5',
  open: 'M3.5 7.5h9v6h-9zM5.5 7.5V4.6a2.5 2.5 0 0 1 4.8-1',
  undo: 'M3 6.5h6.5a3.5 3.5 0 0 1 0 7H6M6 3.5l-3 3 3 3',
  redo: 'M13 6.5H6.5a3.5 3.5 0 0 0 0 7H10M10 3.5l3 3-3 3',
  down: 'M4 6.5l4 4 4-4',
  reset: 'M3.2 8a4.8 4.8 0 1 0 1.6-3.6M3 2.5v3h3',
};

function icon(name) {
  return svg('svg', { viewBox: '0 0 16 16', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: ICONS[name] }));
}

function button(className, label, title, ...children) {
  return element('button', className, { type: 'button', 'aria-label': label, title }, ...children);
}

// Bars of a histogram as one path in a 0..bins.length by 0..1 box; heights are square roots, so that tails show.
function barsPath(bins) {
  const top = Math.sqrt(Math.max(1, ...bins));
  return bins.map((count, i) => (count ? `M${i + 0.08} 1v${-Math.max(0.03, Math.sqrt(count) / top)}h.84V1z` : '')).join('');
}

// A curve in a 0..1 by 0..1 box, y downwards; `area` closes it to the floor.
function curvePath(curve, height, area) {
  if (!curve.length) return '';
  const steps = curve.map(([x, y]) => `${x.toFixed(4)} ${height(y).toFixed(4)}`);
  const line = 'M' + steps.join('L');
  return area ? `${line}L${curve[curve.length - 1][0]} 1L${curve[0][0]} 1z` : line;
}

// Marks where a multiple of `every` units is kept; none if they would stand closer than 3 % of the track.
function ticksPath(size, every) {
  if (!every || every / size < 0.03) return '';
  let path = '';
  for (let kept = every; kept < size; kept += every) path += `M${(1 - kept / size).toFixed(5)} 0V1`;
  return path;
}
