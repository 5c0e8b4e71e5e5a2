/** Thumbs: what the person thinks of a reply. */

import { tell } from "./events.js";
import { post } from "./post.js";

/** @typedef {import("./transcript.js").Message} Message */

const WORDS = {
  refused: {
    403: "This page is too old for that. Please reload it.",
    404: "That reply no longer exists.",
  },
  lost: "That could not be kept. Please try again in a moment.",
};

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
    try {
      await this.#send(message);
    } catch (refusal) {
      this.#set(message, before);
      tell(this, "notice", { text: /** @type {Error} */ (refusal).message });
    }
  }

  /** @param {Message} message */
  #send({ id, feedback }) {
    const form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
    const body = new FormData();
    body.set("csrfmiddlewaretoken", form.csrfmiddlewaretoken.value);
    body.set("feedback", String(feedback ?? ""));
    return post(`/c/${this.conversation}/messages/${id}/feedback/`, body, WORDS);
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
