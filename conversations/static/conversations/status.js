/** One line above the box about the connection, limits and mishaps; empty when all is well. */

import { setHidden } from "./focus.js";

export const GONE = "This conversation no longer exists. Start a new chat to go on.";
const SHOW_AFTER_MS = 700; // a connection that takes no longer is not worth a word
const NOTICE_MS = 8_000;

export class Status {
  /** @type {{state: string, retryAt?: number}} */
  #connection = { state: "open" };
  #since = 0;
  #holdUntil = 0;
  #notice = "";
  #noticeUntil = 0;
  #timer = 0;

  /** @param {() => void} onTryNow */
  constructor(onTryNow) {
    const area = /** @type {HTMLElement} */ (document.getElementById("status"));
    this.line = /** @type {HTMLElement} */ (area.firstElementChild);
    this.words = /** @type {HTMLElement} */ (area.querySelector("[data-status-text]"));
    // Counting down is to be seen, not to be read out every second.
    this.count = /** @type {HTMLElement} */ (area.querySelector("[data-status-count]"));
    this.button = /** @type {HTMLButtonElement} */ (area.querySelector("button"));
    this.aside = /** @type {HTMLElement} */ (document.getElementById("aside"));
    this.button.addEventListener("click", onTryNow);
  }

  /** @param {{state: string, retryAt?: number}} connection */
  connection(connection) {
    if (this.#connection.state === "open") this.#since = Date.now();
    this.#connection = connection;
    this.#show();
  }

  /** @param {number} until when something may be sent again, in milliseconds since the epoch */
  hold(until) {
    this.#holdUntil = until;
    this.#show();
  }

  /** @param {string} text */
  notice(text) {
    this.#notice = text;
    this.#noticeUntil = Date.now() + NOTICE_MS;
    this.#show();
  }

  /**
   * Say something to a screen reader alone: it is to be seen elsewhere.
   * @param {string} text
   */
  announce(text) {
    this.aside.replaceChildren(text);
  }

  #show() {
    clearTimeout(this.#timer);
    const now = Date.now();
    const [text, count = ""] = this.#text(now);
    if (this.words.textContent !== text) this.words.textContent = text;
    this.count.textContent = count;
    this.line.hidden = !text;
    setHidden(this.button, !text || this.#connection.state !== "waiting");
    const busy = this.#connection.state !== "open" && this.#connection.state !== "gone";
    if (text || busy) this.#timer = setTimeout(() => this.#show(), 500);
  }

  /**
   * @param {number} now
   * @returns {[string, string?]} what to say, and what counts down
   */
  #text(now) {
    const { state, retryAt = 0 } = this.#connection;
    if (state === "gone") return [GONE];
    if (state === "offline") return ["You are offline. What you send waits here and goes out later."];
    if (state === "waiting" || state === "connecting") {
      if (now - this.#since < SHOW_AFTER_MS) return [""];
      if (state === "connecting") return ["Connecting …"];
      return ["The connection is lost", `, trying again in ${seconds(retryAt - now)} s`];
    }
    if (now < this.#holdUntil) {
      const left = seconds(this.#holdUntil - now);
      return ["That was quick. What you wrote goes out shortly", `, in ${left} s`];
    }
    return [now < this.#noticeUntil ? this.#notice : ""];
  }
}

/** @param {number} milliseconds */
const seconds = (milliseconds) => Math.max(0, Math.ceil(milliseconds / 1000));
