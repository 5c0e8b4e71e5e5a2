/**
 * The websocket: opens it, notices when it is dead, and opens it again after a growing, random
 * pause ("full jitter", so that a thousand pages do not come back in step), or at once when the
 * network or the page comes back.
 *
 * @typedef {"connecting" | "open" | "waiting" | "offline" | "gone" | "paused"} ConnectionState
 */

import { tell } from "./events.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 20_000;
const PING_EVERY_MS = 25_000;
const PONG_WITHIN_MS = 10_000;
const FIRST_FRAME_WITHIN_MS = 30_000; // many people may be coming at once

/**
 * Events: `state` with `{state, retryAt}` (milliseconds since the epoch, only while waiting) and
 * `frame` with a frame of the server.
 */
export class Connection extends EventTarget {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ConnectionState} */
  #state = "paused";
  #failures = 0;
  #retryTimer = 0;
  #pingTimer = 0;
  #frameTimer = 0;

  /**
   * @param {string} path of the socket
   * @param {string} page address that answers 404 once the conversation is gone
   */
  constructor(path, page) {
    super();
    this.url = new URL(path, location.href);
    this.url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.page = page;
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.#lost());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#hurry();
    });
    // An open socket keeps a page out of the back/forward cache.
    addEventListener("pagehide", () => this.pause());
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.open();
    });
  }

  /** @returns {boolean} */
  get isOpen() {
    return this.#state === "open";
  }

  open() {
    clearTimeout(this.#retryTimer);
    if (this.#state === "gone" || this.#socket) return;
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    this.#enter("connecting");
    // A network that has gone silent never says that it will not open the socket.
    this.#expectFrame(FIRST_FRAME_WITHIN_MS);
    let opened = false;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      opened = true;
      this.#enter("open");
      this.#schedulePing();
    });
    socket.addEventListener("message", (event) => {
      if (socket !== this.#socket) return;
      this.#failures = 0;
      clearTimeout(this.#frameTimer);
      this.#frameTimer = 0;
      this.#schedulePing();
      tell(this, "frame", JSON.parse(event.data));
    });
    socket.addEventListener("close", () => {
      if (socket !== this.#socket) return;
      if (!opened && navigator.onLine) this.#checkPage();
      this.#lost();
    });
  }

  /** Close and stay closed until `open`. */
  pause() {
    this.#drop();
    clearTimeout(this.#retryTimer);
    if (this.#state !== "gone") this.#enter("paused");
  }

  /** Close and open again, to be told the state of the conversation anew. */
  restart() {
    this.#drop();
    this.open();
  }

  /** The conversation does not exist any more: no use trying again. */
  giveUp() {
    this.#drop();
    clearTimeout(this.#retryTimer);
    this.#enter("gone");
  }

  /**
   * @param {object} frame
   * @returns {boolean} whether it was handed to the socket
   */
  send(frame) {
    if (!this.isOpen || !this.#socket) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Find out soon whether the other side is still there, unless that is being found out already. */
  probe() {
    if (!this.#frameTimer) this.#ping();
  }

  #hurry() {
    if (this.#state === "waiting" || this.#state === "offline") this.open();
    else if (this.#state === "open") this.#ping();
  }

  #lost() {
    this.#drop();
    if (this.#state === "paused" || this.#state === "gone") return;
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures);
    const pause = 100 + Math.random() * longest;
    this.#failures += 1;
    clearTimeout(this.#retryTimer);
    // Some systems never say that they are online again, so it is tried all the same.
    this.#retryTimer = setTimeout(() => this.open(), navigator.onLine ? pause : LONGEST_PAUSE_MS);
    this.#enter(navigator.onLine ? "waiting" : "offline", Date.now() + pause);
  }

  #drop() {
    clearTimeout(this.#pingTimer);
    clearTimeout(this.#frameTimer);
    const socket = this.#socket;
    this.#socket = null;
    // To close a socket that is still being opened counts as an error.
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
    else socket?.close();
  }

  #schedulePing() {
    clearTimeout(this.#pingTimer);
    this.#pingTimer = setTimeout(() => this.#ping(), PING_EVERY_MS);
  }

  #ping() {
    if (this.send({ type: "ping" })) this.#expectFrame(PONG_WITHIN_MS);
  }

  /** @param {number} milliseconds without one, the socket counts as dead */
  #expectFrame(milliseconds) {
    clearTimeout(this.#frameTimer);
    this.#frameTimer = setTimeout(() => this.#lost(), milliseconds);
  }

  /** A refused socket looks like a broken network; the page tells which it is. */
  async #checkPage() {
    const answer = await fetch(this.page, { method: "HEAD" }).catch(() => null);
    if (answer?.status === 404) this.giveUp();
  }

  /**
   * @param {ConnectionState} state
   * @param {number} [retryAt]
   */
  #enter(state, retryAt) {
    this.#state = state;
    tell(this, "state", { state, retryAt });
  }
}
