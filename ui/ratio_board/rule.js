// Pure rules, no DOM. `keptCount` repeats pruning.plan.kept_count so that the figure is exact during a drag;
// a browser test compares the two over many thousands of cases.

function keptCount(size, ratio, multiple, minimum) {
  const removed = Math.ceil(size * ratio - 0.5 - 1e-9);
  return Math.min(size, Math.ceil(Math.max(size - removed, minimum) / multiple) * multiple);
}

// Index of the stop nearest to a ratio, between two of them that which keeps more; repeats Stops.nearest.
function nearestStop(stops, ratio) {
  const above = stops.findIndex(([at]) => at >= ratio);
  if (above <= 0) return above ? stops.length - 1 : 0;
  return ratio - stops[above - 1][0] <= stops[above][0] - ratio + 1e-9 ? above - 1 : above;
}

// Where on the histogram's axis (0..1) the threshold stands that removes `share` of the scores.
function cutPosition(bins, share) {
  const total = bins.reduce((sum, count) => sum + count, 0);
  if (share <= 0 || !total) return 0;
  if (share >= 1) return 1;
  const target = share * total;
  let below = 0;
  for (let i = 0; i < bins.length; i++) {
    if (bins[i] && below + bins[i] >= target) return (i + (target - below) / bins[i]) / bins.length;
    below += bins[i];
  }
  return 1;
}

// Accuracy at a ratio, straight between measured points; null where nothing was measured.
function accuracyAt(curve, ratio) {
  for (let i = 0; i < curve.length; i++) {
    const [x, y] = curve[i];
    if (ratio === x) return y;
    if (ratio < x) {
      if (i === 0) return null;
      const [x0, y0] = curve[i - 1];
      return y0 + ((y - y0) * (ratio - x0)) / (x - x0);
    }
  }
  return null;
}

// The curve with the dense network at ratio 0, which a scan need not measure again for each row.
function fullCurve(curve, dense) {
  return curve.length && dense !== null && curve[0][0] > 0 ? [[0, dense], ...curve] : curve;
}

// Mean loss of accuracy over the measured ratios: how sensitive a row is, for sorting; -1 = not measured.
function sensitivity(curve, dense) {
  if (curve.length < 2) return -1;
  const top = dense === null ? curve[0][1] : dense;
  let area = 0;
  for (let i = 1; i < curve.length; i++) {
    area += ((2 * top - curve[i][1] - curve[i - 1][1]) / 2) * (curve[i][0] - curve[i - 1][0]);
  }
  return Math.max(0, area / (curve[curve.length - 1][0] - curve[0][0]));
}

// A typed percentage ("62", "62.5 %", "62,5") as a ratio in 0..1; null if it is no number.
function typedRatio(text) {
  const number = /^\s*(\d{1,3}(?:[.,]\d{1,6})?)\s*%?\s*$/.exec(text);
  return number ? clamp(Number(number[1].replace(',', '.')) / 100) : null;
}

// A typed count ("24", "24/64", "1 200") as the ratio that keeps that many; null if it is no count.
function typedKept(text, size, minimum) {
  const digits = text.split('/')[0].replace(/[\s,'\u202f]/g, '');
  if (!/^\d{1,12}$/.test(digits)) return null;
  const kept = Math.min(size, Math.max(minimum, Number(digits)));
  return (size - kept) / size;
}

function clamp(ratio) {
  return Math.min(1, Math.max(0, ratio));
}

// Whole percents, or tenths when the hand is slow (Shift).
function snap(ratio, fine) {
  const steps = fine ? 1000 : 100;
  return clamp(Math.round(ratio * steps) / steps);
}

function percent(ratio) {
  const value = ratio * 100;
  const shown = Math.round(value * 10) / 10;
  return (Number.isInteger(shown) ? shown : shown.toFixed(1)) + ' %';
}

function share(value) {
  if (value === null) return '–';
  if (value > 0 && value < 0.001) return '<0.1 %';
  return (value * 100).toFixed(value < 0.0995 ? 1 : 0) + ' %';
}

function points(drop) {
  const value = Math.abs(drop * 100) < 0.05 ? 0 : drop * 100;
  return (value > 0 ? '−' : value < 0 ? '+' : '±') + Math.abs(value).toFixed(1) + ' pt';
}
