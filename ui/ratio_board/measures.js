// What a board measures: pruning ratios, or bits of a weight. Bits are stops: 32 (left as it is), then 8 down to 1.

const MEASURES = {
  ratio: {
    figure: percent,
    read: typedRatio,
    slider: (label) => 'Pruning ratio of ' + label,
    typed: (label) => 'Pruning ratio in percent of ' + label,
    said: (value, sentence) => `${percent(value)} pruned, ${sentence}`,
    kept: (units, size, kind, stops) => `${count(units)} of ${count(size)} ${UNITS[kind] || (stops ? 'weights' : 'units')} kept`,
    hint: 'Click to type a ratio',
    fixed: '',
    steps: [0, 25, 50, 75, 100].map((at) => [at, at + ' %']),
    names: { who: 'Layer or coupled group', scores: 'Scores', now: 'Removed', kept: 'Kept', gone: 'removed', stays: 'kept', line: 'accuracy if only this row is pruned' },
  },
  bits: {
    figure: (value) => (bitsAt(value) === 32 ? '32 bit' : bitsAt(value) + ' bit'),
    read: typedBits,
    slider: (label) => 'Bits of the weights of ' + label,
    typed: (label) => 'Bits of ' + label + ', 1 to 8, or 32 to leave it',
    said: (value, sentence) => `${bitsAt(value)} bit${bitsAt(value) > 1 ? 's' : ''}, ${sentence}`,
    kept: (units, size) => (units === size ? 'all weights as they are' : `at most ${count(units)} different values besides zero for ${count(size)} weights`),
    hint: 'Click to type bits: 1 to 8, or 32 to leave the layer as it is',
    fixed: 'fixed',
    steps: [32, 8, 7, 6, 5, 4, 3, 2, 1].map((bits, at) => [12.5 * at, String(bits)]),
    names: { who: 'Layer', scores: 'Weights', now: 'Bits', kept: 'Values', gone: 'bits saved', stays: 'bits left', line: 'accuracy if only this layer has so few bits' },
  },
};

const BIT_STEPS = 8; // from 32 bits at 0 to 1 bit at 1

function bitsAt(value) {
  const step = Math.round(value * BIT_STEPS);
  return step ? BIT_STEPS + 1 - step : 32;
}

// Typed bits ("4", "4 bit", "32", "off") as a place on the track; null if there is no such number of bits.
function typedBits(text) {
  if (/^\s*off\s*$/i.test(text)) return 0;
  const number = /^\s*(\d{1,2})\s*(bits?)?\s*$/i.exec(text);
  if (!number) return null;
  const bits = Number(number[1]);
  if (bits === 32) return 0;
  return bits >= 1 && bits <= 8 ? (BIT_STEPS + 1 - bits) / BIT_STEPS : null;
}
