// What the user did and Python has not answered yet. Streamlit may deliver only the newest message, so each message
// carries every unanswered event; Python answers each once, by its number.

const LIVE_INTERVAL = 80; // ms between messages while a drag goes on: about 12 a second
const MOST_EVENTS = 64; // as in protocol.py; reached only if the page never draws the board again

class Outbox {
  constructor() {
    const bytes = Array.from(crypto.getRandomValues(new Uint8Array(6)));
    this.client = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
    this.version = '';
    this.events = [];
    this.seq = 0;
    this.sentAt = -Infinity;
    this.timer = 0;
    this.setStateValue = () => {};
  }

  // Python's truth has moved on: edits of the old one are void, but a second quick undo still counts.
  restart(version) {
    this.version = version;
    this.events = this.events.filter((event) => !['edit', 'lock', 'units'].includes(event.action));
    this.stop();
  }

  answered({ client, seq }) {
    if (client === this.client) this.events = this.events.filter((event) => event.seq > seq);
  }

  // Indices of the rows whose newest value Python has not seen, for "edit", "lock" or "units".
  waiting(action) {
    const mine = this.events.filter((event) => event.action === action);
    return new Set(mine.flatMap((event) => Object.keys(event.values).map(Number)));
  }

  // A live event takes the place of the live event before it; only final ones stay apart.
  push(action, values, final = true) {
    const last = this.events.at(-1);
    const joins = last?.action === 'edit' && action === 'edit' && !last.final;
    const event = { seq: ++this.seq, version: this.version, action, values: joins ? { ...last.values, ...values } : values, final };
    this.events = [...(joins ? this.events.slice(0, -1) : this.events), event].slice(-MOST_EVENTS);
    const wait = final ? 0 : LIVE_INTERVAL - (performance.now() - this.sentAt);
    if (wait <= 0) this.flush();
    else if (!this.timer) this.timer = setTimeout(() => this.flush(), wait);
  }

  flush() {
    this.stop();
    this.sentAt = performance.now();
    this.setStateValue('edit', { client: this.client, events: this.events });
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = 0;
  }
}
