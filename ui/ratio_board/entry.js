// A number typed in place of a figure: Enter or leaving it keeps it, Escape does not.

// `take(ratio)` is called with the new ratio if one was typed. `start` replaces the present text with a first digit.
function openEntry(row, figure, start, take) {
  const kept = figure === row.kept;
  const read = (text) => (kept ? typedKept(text, row.spec.size, row.spec.minimum) : row.measure.read(text));
  const before = kept ? String(row.units) : row.measure.figure(row.value).replace(/ (%|bit)$/, '');
  const box = element('input', 'typed', {
    type: 'text', inputmode: 'decimal', maxlength: '16', autocomplete: 'off',
    'aria-label': kept ? `Number kept of ${row.spec.label}` : row.measure.typed(row.spec.label),
  });
  box.value = start ?? before;
  let open = true;

  function close(keep) {
    if (!open) return;
    open = false;
    const focused = box.matches(':focus');
    const ratio = read(box.value);
    box.replaceWith(figure);
    if (focused) row.track.focus({ preventScroll: true });
    if (keep && ratio !== null && box.value !== before) take(ratio);
  }

  box.addEventListener('keydown', (event) => {
    event.stopPropagation(); // no shortcut of the board while typing
    if (event.key !== 'Enter' && event.key !== 'Escape') return;
    event.preventDefault();
    close(event.key === 'Enter');
  });
  box.addEventListener('input', () => box.setAttribute('aria-invalid', read(box.value) === null));
  box.addEventListener('blur', () => close(true));
  figure.replaceWith(box);
  box.focus({ preventScroll: true });
  if (start === undefined) box.select();
}
