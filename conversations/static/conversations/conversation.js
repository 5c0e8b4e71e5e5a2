/**
 * The conversation as this page knows it: applies the server's frames (docs/protocol.md), sends
 * what the person writes, and says what changed. It knows nothing of the document.
 *
 * @typedef {import("./transcript.js").Message} Message
 */

import { on, tell } from "./events.js";
import { newClientId } from "./outbox.js";
import { RETRIABLE, Transcript, isOpen } from "./transcript.js";

// Errors of a message that sending it again does not mend.
const REFUSALS = new Set(["too_long", "invalid", "not_found"]);

/**
 * Events: `list` (messages came or moved), `message` (one changed), `text` (a reply grew by a
 * chunk), `live` (whether the server tells what happens), `hold` (nothing is sent until a time),
 * `notice` (a sentence for the person), `mishap` (the same, of a message, which shows it), `reset`
 * (another conversation takes over).
 */
export class Conversation extends EventTarget {
  transcript = new Transcript();
  #synced = false;
  #holdUntil = 0;
  #holdTimer = 0;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {import("./outbox.js").Outbox} outbox
   */
  constructor(connection, outbox) {
    super();
    this.connection = connection;
    this.outbox = outbox;
    on(connection, "frame", (frame) => this.#receive(frame));
    on(connection, "state", ({ state }) => {
      if (state !== "open") this.#disconnected();
    });
  }

  /**
   * @param {Partial<Message>[]} messages what the page came with
   * @param {import("./outbox.js").Unsent[]} unsent what is to be sent again
   */
  load(messages, unsent) {
    for (const message of messages) this.transcript.add(message);
    this.transcript.link();
    for (const { clientId, text } of unsent) {
      if (this.transcript.byClientId(clientId)) this.outbox.remove(clientId);
      else this.transcript.add({ text, status: "waiting", clientId });
    }
    this.#changed();
  }

  /** @param {string} text */
  submit(text) {
    const clientId = newClientId();
    this.outbox.add({ clientId, text });
    this.transcript.add({ text, status: "waiting", clientId });
    this.#changed();
    this.#flush();
  }

  /** Put a local note at the end. It is gone after a reload. */
  note() {
    this.transcript.add({ role: "note" });
    this.#changed();
  }

  /** @param {Message} message a failed reply, or a message that was not saved */
  retry(message) {
    const question = message.question ?? message;
    if (!question.clientId) return;
    if (message.question) this.#restart(message);
    this.outbox.add({ clientId: question.clientId, text: question.text });
    this.#set(question, { status: "waiting", detail: "" });
    this.#changed();
    this.#flush();
  }

  /** @param {Message} message one that was never saved */
  discard(message) {
    this.transcript.remove(message);
    this.outbox.remove(message.clientId);
    this.#changed();
  }

  /** @returns {boolean} whether something that was written here is not on the server */
  get unsent() {
    return this.transcript.messages.some(({ role, id }) => role === "user" && id === null);
  }

  /** @returns {Message | undefined} the reply that Stop would stop; none without a connection */
  get stoppable() {
    if (!this.#synced) return undefined;
    return this.transcript.messages.find((message) => isOpen(message) && message.id !== null);
  }

  stop() {
    const reply = this.stoppable;
    if (reply) this.connection.send({ type: "reply.stop", message_id: String(reply.id) });
  }

  /** @returns {boolean} false without a connection */
  reset() {
    return this.connection.send({ type: "conversation.reset" });
  }

  /** @param {any} frame */
  #receive(frame) {
    switch (frame.type) {
      case "conversation.state":
        return this.#state(frame.messages);
      case "message.saved":
        return this.#saved(frame);
      case "reply.queued":
      case "reply.start":
      case "reply.token":
      case "reply.end":
        return this.#reply(frame);
      case "conversation.reset":
        return tell(this, "reset", { id: frame.conversation_id });
      case "error":
        return this.#error(frame);
    }
  }

  /**
   * Bring this page up to what the server has. Rows older than the oldest shown stay out: the page
   * begins there. What was said while it was away gets no time until the next reload, for the frame
   * has none.
   * @param {any[]} rows
   */
  #state(rows) {
    this.transcript.keep(new Set(rows.map((row) => Number(row.id))));
    const oldest = this.transcript.oldestId;
    for (const row of rows) {
      const id = Number(row.id);
      if (id < oldest && oldest < Infinity) continue;
      if (row.role === "user") this.#messageRow(id, row);
      else this.#replyRow(id, row);
    }
    this.transcript.link();
    this.#synced = true;
    tell(this, "live", { live: true });
    this.#changed();
    this.transcript.messages.filter(isOpen).forEach((reply) => this.#resume(reply));
    this.#flush();
  }

  /**
   * @param {number} id
   * @param {any} row
   */
  #messageRow(id, row) {
    const known = this.transcript.byId(id) ?? this.transcript.byClientId(row.client_id);
    const message = known ?? this.transcript.add({ text: row.text, time: null });
    const retrying = message.id !== null && message.status === "waiting";
    if (!retrying) this.outbox.remove(message.clientId);
    const status = retrying ? "waiting" : "saved";
    this.#set(message, { id, clientId: row.client_id ?? null, status, detail: "" });
  }

  /**
   * @param {number} id
   * @param {any} row
   */
  #replyRow(id, row) {
    const missed = !this.transcript.byId(id) && !isOpen(row);
    const reply = this.transcript.reply(id) ?? this.transcript.add({ id, role: "bot" });
    // A retry of this very reply is about to be sent.
    if (reply.question?.status === "waiting" && RETRIABLE.has(row.status)) return;
    const ahead = isOpen(reply) && isOpen(row) && reply.seq > row.last_seq;
    const now = ahead ? reply : { text: row.text, seq: row.last_seq };
    const time = missed ? null : reply.time;
    this.#set(reply, { id, status: row.status, text: now.text, seq: now.seq, time });
  }

  /** @param {any} frame */
  #saved(frame) {
    const id = Number(frame.message_id);
    let message = this.transcript.byClientId(frame.client_id);
    if (!message) {
      // Written in another tab.
      if (typeof frame.text !== "string") return this.connection.restart();
      message = this.transcript.add({ text: frame.text, clientId: frame.client_id });
    }
    this.outbox.remove(message.clientId);
    this.#set(message, { id, status: "saved", detail: "" });
    if (!this.transcript.replyTo(message)) {
      this.transcript.add({ role: "bot", status: "pending", question: message });
    }
    this.#changed();
  }

  /** @param {any} frame */
  #reply(frame) {
    const id = Number(frame.message_id);
    const oldest = this.transcript.oldestId;
    if (id < oldest && oldest < Infinity) return; // of a message that this page does not show
    const reply = this.transcript.reply(id);
    if (!reply) return this.connection.restart();
    if (frame.type === "reply.token") return this.#token(reply, frame);
    if (frame.type === "reply.end") {
      this.#set(reply, { text: frame.text, status: frame.status, position: 0 });
    } else {
      if (RETRIABLE.has(reply.status)) this.#restart(reply);
      if (!isOpen(reply)) return;
      const queued = frame.type === "reply.queued";
      const position = queued ? frame.position : 0;
      this.#set(reply, { status: queued ? "pending" : "streaming", position });
    }
    this.#changed();
  }

  /**
   * @param {Message} reply
   * @param {{seq: number, text: string}} frame
   */
  #token(reply, frame) {
    if (!isOpen(reply) || frame.seq <= reply.seq) return;
    if (frame.seq > reply.seq + 1) return this.#resume(reply);
    reply.seq = frame.seq;
    // First, for whoever hears of a message shows the whole of its text.
    if (reply.status !== "streaming") this.#set(reply, { status: "streaming", position: 0 });
    reply.text += frame.text;
    tell(this, "text", { message: reply, chunk: frame.text });
  }

  /** @param {any} frame */
  #error({ code, detail, client_id: clientId, retry_after: retryAfter }) {
    const message = this.transcript.byClientId(clientId);
    const reply = message && this.transcript.replyTo(message);
    if (!message) tell(this, "notice", { text: detail });
    else if (code === "rate_limited") {
      this.#set(message, { status: "waiting", detail: "" });
      this.#hold(retryAfter ?? 5);
    } else if (message.id !== null && reply) {
      if (message.status !== "saved") this.#restartFailed(message, reply);
      this.#set(reply, { detail });
    } else if (REFUSALS.has(code)) {
      this.outbox.remove(message.clientId);
      this.#set(message, { status: "refused", detail });
    } else {
      this.#set(message, { status: "unsaved", detail });
    }
    if (message && code !== "rate_limited") tell(this, "mishap", { text: detail });
  }

  /**
   * The reply to a saved message could not be asked for again.
   * @param {Message} message
   * @param {Message} reply
   */
  #restartFailed(message, reply) {
    this.outbox.remove(message.clientId);
    this.#set(message, { status: "saved" });
    this.#set(reply, { status: "failed" });
    this.#changed();
  }

  #flush() {
    if (!this.#synced || Date.now() < this.#holdUntil) return;
    const { messages } = this.transcript;
    const waiting = messages.filter(({ status }) => status === "waiting");
    const isSaving = messages.some(({ status }) => status === "sent");
    // Asked first, and not while it saves: the server answers in turn, and a slow one is not dead.
    if (waiting.length && !isSaving) this.connection.probe();
    for (const message of waiting) {
      const { clientId, text } = message;
      const sent = this.connection.send({ type: "message.send", client_id: clientId, text });
      if (sent) this.#set(message, { status: "sent" });
    }
  }

  /** @param {number} seconds */
  #hold(seconds) {
    this.#holdUntil = Math.max(this.#holdUntil, Date.now() + seconds * 1000);
    tell(this, "hold", { until: this.#holdUntil });
    clearTimeout(this.#holdTimer);
    this.#holdTimer = setTimeout(() => this.#flush(), this.#holdUntil - Date.now() + 50);
  }

  /** @param {Message} reply */
  #resume({ id, seq }) {
    if (id === null) return;
    this.connection.send({ type: "reply.resume", message_id: String(id), after_seq: seq });
  }

  #disconnected() {
    this.#synced = false;
    tell(this, "live", { live: false });
    for (const message of this.transcript.messages) {
      if (message.status === "sent") this.#set(message, { status: "waiting" });
    }
  }

  /** @param {Message} reply */
  #restart(reply) {
    this.#set(reply, { status: "pending", text: "", seq: 0, detail: "", position: 0 });
  }

  /**
   * @param {Message} message
   * @param {Partial<Message>} values
   */
  #set(message, values) {
    Object.assign(message, values);
    tell(this, "message", { message });
  }

  #changed() {
    this.transcript.sort();
    tell(this, "list");
  }
}
