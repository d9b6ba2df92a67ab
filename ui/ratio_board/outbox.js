// What the user did and Python has not answered yet. Streamlit may deliver only the newest message, so each message
// carries every unanswered event; Python answers each once, by its number.

const LIVE_INTERVAL = 80; // ms between messages while a drag goes on: about 12 a second
const MOST_EVENTS = 64; // as in protocol.py; reached only if the page never draws the board again

function createOutbox() {
  const client = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, '0')).join('');
  let events = [];
  let seq = 0;
  let version = '';
  let sentAt = -Infinity;
  let timer = 0;
  let send = () => {};

  function flush() {
    clearTimeout(timer);
    timer = 0;
    sentAt = performance.now();
    send({ client, events });
  }

  return {
    connect(setStateValue) {
      send = (message) => setStateValue('edit', message);
    },
    get version() {
      return version;
    },
    // Python's truth has moved on: what it has not answered will never be.
    restart(newVersion) {
      events = [];
      version = newVersion;
      clearTimeout(timer);
      timer = 0;
    },
    answered(by, upTo) {
      if (by === client) events = events.filter((event) => event.seq > upTo);
    },
    // Rows whose newest value Python has not seen, for "edit" or "lock".
    waiting(action) {
      const rows = new Set();
      for (const event of events) if (event.action === action) Object.keys(event.values).forEach((i) => rows.add(Number(i)));
      return rows;
    },
    push(action, values, final = true) {
      const last = events[events.length - 1];
      const joins = last && last.action === 'edit' && action === 'edit' && !last.final;
      const merged = joins ? { ...last.values, ...values } : values;
      const event = { seq: ++seq, version, action, values: merged, final };
      events = [...(joins ? events.slice(0, -1) : events), event].slice(-MOST_EVENTS);
      if (final) return flush();
      const wait = LIVE_INTERVAL - (performance.now() - sentAt);
      if (wait <= 0) flush();
      else if (!timer) timer = setTimeout(flush, wait);
    },
    stop() {
      clearTimeout(timer);
      timer = 0;
    },
  };
}
