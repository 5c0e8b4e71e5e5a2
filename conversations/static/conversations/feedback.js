/** Thumbs: what the person thinks of a reply. */

import { tell } from "./events.js";
import { GONE } from "./status.js";

/** @typedef {import("./transcript.js").Message} Message */

const LOST = "That could not be kept. Please try again in a moment.";
/** @type {Record<number, string>} */
const REFUSED = { 403: "This page is too old for that. Please reload it.", 404: GONE };

/** Events: `given` (a message's thumb has changed), `notice` (a sentence for the person). */
export class Feedback extends EventTarget {
  /** @param {string} conversation its id */
  constructor(conversation) {
    super();
    this.conversation = conversation;
  }

  /**
   * The same thumb again takes it back.
   * @param {Message} message
   * @param {1 | -1} thumb
   */
  async give(message, thumb) {
    const before = message.feedback;
    this.#set(message, before === thumb ? null : thumb);
    const refusal = await this.#send(message);
    if (!refusal) return;
    this.#set(message, before);
    tell(this, "notice", { text: refusal });
  }

  /**
   * @param {Message} message
   * @returns {Promise<string>} why it was not kept; nothing when it was
   */
  async #send({ id, feedback }) {
    const form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
    const body = new FormData();
    body.set("csrfmiddlewaretoken", form.csrfmiddlewaretoken.value);
    body.set("feedback", String(feedback ?? ""));
    try {
      const url = `/c/${this.conversation}/messages/${id}/feedback/`;
      const answer = await fetch(url, { method: "POST", body });
      return answer.ok ? "" : (REFUSED[answer.status] ?? LOST);
    } catch {
      return LOST;
    }
  }

  /**
   * @param {Message} message
   * @param {Message["feedback"]} feedback
   */
  #set(message, feedback) {
    message.feedback = feedback;
    tell(this, "given", { message });
  }
}
