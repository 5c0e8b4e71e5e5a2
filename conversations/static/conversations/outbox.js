/**
 * What has been written but not saved by the server yet, kept in the browser's storage for each
 * conversation, so that neither a lost connection nor a closed page loses it.
 *
 * @typedef {{clientId: string, text: string}} Unsent
 */

/** @param {string} conversation */
const keyOf = (conversation) => `outbox:${conversation}`;

export class Outbox {
  /** @param {string} conversation its id */
  constructor(conversation) {
    this.key = keyOf(conversation);
  }

  /** @returns {Unsent[]} in the order of writing */
  all() {
    try {
      return JSON.parse(localStorage.getItem(this.key) ?? "[]");
    } catch {
      return [];
    }
  }

  /** @param {Unsent} message */
  add(message) {
    this.#write([...this.all().filter((m) => m.clientId !== message.clientId), message]);
  }

  /** @param {string | null} clientId */
  remove(clientId) {
    const all = this.all();
    const rest = all.filter((message) => message.clientId !== clientId);
    if (rest.length < all.length) this.#write(rest);
  }

  /** @param {Unsent[]} messages */
  #write(messages) {
    try {
      if (messages.length) localStorage.setItem(this.key, JSON.stringify(messages));
      else localStorage.removeItem(this.key);
    } catch {
      // Storage is full or forbidden: the message still goes out as long as the page is open.
    }
  }
}

/** @returns {string} a random UUID; `crypto.randomUUID` exists only under HTTPS and on localhost */
export function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * Forget what this browser keeps of a conversation.
 * @param {string} conversation
 */
export function forget(conversation) {
  localStorage.removeItem(keyOf(conversation));
  localStorage.removeItem(`draft:${conversation}`);
}
