/**
 * The messages of a conversation in their order, and which reply belongs to which message.
 *
 * @typedef {"waiting" | "sent" | "saved" | "refused" | "unsaved"} Delivery of a person's message:
 *   not sent yet, sent, saved, never to be accepted as it is, not saved but worth another try
 * @typedef {"pending" | "streaming" | "complete" | "stopped" | "interrupted" | "failed"} ReplyStatus
 * @typedef {object} Message
 * @property {number | null} id the server's id, null until it is known
 * @property {"user" | "bot" | "note"} role
 * @property {string} text
 * @property {Delivery | ReplyStatus} status
 * @property {string | null} clientId
 * @property {number} seq number of the last piece of the text
 * @property {Date | null} time
 * @property {string} detail what went wrong, for the person
 * @property {number} position in the line for the model, 0 when not in it
 * @property {Message | null} question for a reply: what it answers
 * @property {1 | -1 | null} feedback whether the person liked a reply
 * @property {number} added counts up; orders what has no id
 */

const OPEN = new Set(["pending", "streaming"]);
export const RETRIABLE = new Set(["failed", "interrupted"]);
const JUDGEABLE = new Set(["complete", "stopped"]);

/** @param {Message} message */
export const isOpen = (message) => message.role === "bot" && OPEN.has(message.status);

/** @param {Message} message */
export const isRetriable = (message) =>
  message.status === "unsaved" ||
  (message.role === "bot" && RETRIABLE.has(message.status) && Boolean(message.question?.clientId));

/** @param {Message} message one that the person may say is good or bad */
export const isJudgeable = (message) =>
  message.role === "bot" && message.id !== null && JUDGEABLE.has(message.status);

export class Transcript {
  /** @type {Message[]} */
  messages = [];
  #added = 0;

  /**
   * @param {Partial<Message>} values
   * @returns {Message}
   */
  add(values) {
    /** @type {Message} */
    const message = {
      ...{ id: null, role: "user", text: "", status: "complete", clientId: null, seq: 0 },
      ...{ time: new Date(), detail: "", position: 0, question: null, feedback: null },
      added: ++this.#added,
      ...values,
    };
    this.messages.push(message);
    return message;
  }

  /** @param {Message} message */
  remove(message) {
    this.messages = this.messages.filter((other) => other !== message);
  }

  /**
   * Leave out what staff have deleted. What is to be sent again stays.
   * @param {Set<number>} ids all that the server has, from the least of them on
   */
  keep(ids) {
    const first = ids.size ? Math.min(...ids) : -Infinity;
    this.messages = this.messages.filter(
      ({ id, status }) => id === null || id < first || ids.has(id) || status === "waiting",
    );
  }

  /** @param {number} id */
  byId(id) {
    return this.messages.find((message) => message.id === id);
  }

  /** @param {string | null | undefined} clientId */
  byClientId(clientId) {
    return clientId ? this.messages.find((message) => message.clientId === clientId) : undefined;
  }

  /** @param {Message} question */
  replyTo(question) {
    return this.messages.find((message) => message.question === question);
  }

  /** @returns {number} id of the oldest message that this page shows; Infinity if none */
  get oldestId() {
    return Math.min(...this.messages.map((message) => message.id ?? Infinity));
  }

  /**
   * The reply with an id. A message and its reply are stored together, so one that is new answers
   * the message with the greatest id below its own.
   * @param {number} id
   * @returns {Message | undefined} undefined when the message it answers is not here
   */
  reply(id) {
    const known = this.byId(id);
    if (known) return known;
    const earlier = this.messages.filter((m) => m.role === "user" && m.id !== null && m.id < id);
    const question = earlier.reduce(
      (last, message) => (Number(message.id) > Number(last?.id ?? 0) ? message : last),
      /** @type {Message | null} */ (null),
    );
    if (!question) return undefined;
    const reply = this.replyTo(question);
    if (!reply) return this.add({ id, role: "bot", status: "pending", question });
    if (reply.id !== null) return undefined;
    reply.id = id;
    return reply;
  }

  /** Put the messages in order: as the server has them, then what it does not have yet. */
  sort() {
    /** @param {Message} message @returns {number} */
    const place = (message) =>
      message.id ?? (message.question?.id ? message.question.id + 0.5 : Infinity);
    const said = this.messages.filter((message) => message.role !== "note");
    said.sort((a, b) => place(a) - place(b) || a.added - b.added);
    // Notes stay after what was there when they were written.
    for (const note of this.messages.filter((message) => message.role === "note")) {
      said.splice(said.findLastIndex((message) => message.added < note.added) + 1, 0, note);
    }
    this.messages = said;
  }

  /** Tell replies that came without it which message they answer. */
  link() {
    this.sort();
    /** @type {Message | null} */
    let question = null;
    for (const message of this.messages) {
      if (message.role === "user") question = message;
      else if (message.role === "bot") message.question ??= question;
    }
  }
}
