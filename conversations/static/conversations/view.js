/**
 * The messages in the document. Texts enter it as text nodes, never as markup.
 *
 * Finished messages stand in the log (`role="log"`), where a screen reader announces what is added.
 * From the first unfinished reply on they stand in the tail behind it, which is silent, and move
 * into the log when they are finished: so each reply is announced once and as a whole. Nothing goes
 * back to the tail, for it would be announced again: an old reply that is written anew is silent in
 * the log until it is finished.
 */

import { nameOfDay, showClock } from "./clock.js";
import { isJudgeable, isOpen, isRetriable } from "./transcript.js";

/** @typedef {import("./transcript.js").Message} Message */

const STATES = {
  waiting: "waiting to be sent",
  sent: "sending",
  saved: "saved",
  refused: "not sent",
  unsaved: "not sent",
  stopped: "stopped",
  interrupted: "cut off by a restart",
  failed: "no reply",
};

export class View {
  /** @type {Map<Message, HTMLElement>} */
  #elements = new Map();
  #speaker = element("chat").dataset.character ?? "The character";

  /**
   * @param {object} [actions] what may be done with a message; nothing by whoever only reads
   * @param {(message: Message) => void} [actions.retry]
   * @param {(message: Message) => void} [actions.edit]
   * @param {(message: Message) => void} [actions.like]
   * @param {(message: Message) => void} [actions.dislike]
   */
  constructor(actions = {}) {
    this.actions = actions;
    this.log = element("log");
    this.tail = element("tail");
    this.greeting = element("greeting");
  }

  /** @returns {{element: HTMLElement, values: Partial<Message>}[]} what the page came with */
  read() {
    const elements = [...this.log.children, ...this.tail.children];
    return elements.map((child) => {
      const element = /** @type {HTMLElement} */ (child);
      const { id, role, status, clientId, seq, feedback } = element.dataset;
      const values = {
        id: Number(id),
        role: /** @type {"user" | "bot"} */ (role),
        text: part(element, ".bubble").textContent ?? "",
        status: /** @type {Message["status"]} */ (role === "user" ? "saved" : status),
        clientId: clientId || null,
        seq: Number(seq),
        feedback: /** @type {Message["feedback"]} */ (Number(feedback) || null),
        time: new Date(/** @type {HTMLTimeElement} */ (part(element, "time")).dateTime),
      };
      return { element, values };
    });
  }

  /**
   * Take over the element that the page came with.
   * @param {Message} message
   * @param {HTMLElement} element
   */
  adopt(message, element) {
    this.#elements.set(message, element);
    this.#wire(message, element);
    this.update(message);
  }

  /**
   * Bring the document in line with the list of messages.
   * @param {Message[]} messages
   */
  arrange(messages) {
    this.#drop(messages);
    const heard = messages.findLastIndex((message) => this.#isInLog(message));
    const open = messages.findIndex((message, place) => place > heard && isOpen(message));
    const settled = messages.slice(0, open < 0 ? messages.length : open);
    this.#fill(this.log, settled);
    for (const message of settled) this.#hush(message);
    this.#fill(this.tail, messages.slice(settled.length));
    this.#markDays(messages);
    this.greeting.hidden = messages.length > 0;
  }

  /** @param {Message} message */
  update(message) {
    const element = this.#elements.get(message);
    if (!element || message.role === "note") return;
    element.dataset.status = message.status;
    if (message.id !== null) element.dataset.id = String(message.id);
    const bubble = part(element, ".bubble");
    if (bubble.textContent !== message.text) bubble.textContent = message.text;
    const time = /** @type {HTMLTimeElement} */ (part(element, "time"));
    if (message.time) showClock(time, message.time);
    setText(part(element, ".state"), stateOf(message));
    const { retry, edit, like, dislike } = this.actions;
    part(element, "[data-action=retry]").hidden = !retry || !isRetriable(message);
    part(element, "[data-action=edit]").hidden = !edit || message.status !== "refused";
    showThumb(part(element, "[data-action=like]"), message, 1, Boolean(like));
    showThumb(part(element, "[data-action=dislike]"), message, -1, Boolean(dislike));
  }

  /**
   * @param {Message} message
   * @param {string} chunk
   */
  append(message, chunk) {
    const element = this.#elements.get(message);
    if (!element) return;
    const bubble = part(element, ".bubble");
    if (bubble.lastChild instanceof Text) bubble.lastChild.appendData(chunk);
    else bubble.textContent = chunk;
  }

  /** @param {string} name of the character, once it is known */
  nameSpeaker(name) {
    this.#speaker = name;
    for (const label of document.querySelectorAll("[data-role=bot] [data-speaker]")) {
      label.textContent = `${name}:`;
    }
  }

  /** @param {Message[]} messages what is left */
  #drop(messages) {
    const kept = new Set(messages);
    for (const [message, element] of this.#elements) {
      if (kept.has(message)) continue;
      element.remove();
      this.#elements.delete(message);
    }
  }

  /** @param {Message} message */
  #isInLog(message) {
    return this.#elements.get(message)?.parentElement === this.log;
  }

  /**
   * Keep a reply in the log silent while it is written, and put it there anew when it is finished.
   * @param {Message} message
   */
  #hush(message) {
    const element = /** @type {HTMLElement} */ (this.#elements.get(message));
    if (isOpen(message)) element.ariaLive = "off";
    else if (element.ariaLive) {
      element.ariaLive = null;
      moveBefore(this.log, element, element.nextElementSibling);
    }
  }

  /**
   * @param {HTMLElement} container
   * @param {Message[]} messages
   */
  #fill(container, messages) {
    let next = container.firstElementChild;
    for (const message of messages) {
      const known = this.#elements.get(message);
      if (known && known === next) next = next.nextElementSibling;
      else if (known) moveBefore(container, known, next);
      else container.insertBefore(this.#create(message), next);
    }
  }

  /** @param {Message} message */
  #create(message) {
    const isNote = message.role === "note";
    const template = element(isNote ? "help-template" : "message-template");
    const content = /** @type {HTMLTemplateElement} */ (template).content;
    const copy = /** @type {HTMLElement} */ (content.firstElementChild?.cloneNode(true));
    this.#elements.set(message, copy);
    copy.classList.add("arriving");
    if (isNote) return copy;
    copy.dataset.role = message.role;
    part(copy, "[data-speaker]").textContent = message.role === "user" ? "You:" : `${this.#speaker}:`;
    this.#wire(message, copy);
    this.update(message);
    return copy;
  }

  /**
   * @param {Message} message
   * @param {HTMLElement} element
   */
  #wire(message, element) {
    for (const [name, action] of Object.entries(this.actions)) {
      part(element, `[data-action=${name}]`).addEventListener("click", () => action(message));
    }
  }

  /** @param {Message[]} messages */
  #markDays(messages) {
    let last = nameOfDay(new Date());
    for (const message of messages) {
      const element = this.#elements.get(message);
      if (!element || !message.time) continue;
      const name = nameOfDay(message.time);
      if (name !== last) element.dataset.day = name;
      else delete element.dataset.day;
      last = name;
    }
  }
}

/**
 * @param {HTMLElement} button
 * @param {Message} message
 * @param {1 | -1} feedback what the button says
 * @param {boolean} possible whether it does something
 */
function showThumb(button, message, feedback, possible) {
  button.hidden = !possible || !isJudgeable(message);
  button.ariaPressed = String(message.feedback === feedback);
}

/** @param {Message} message */
function stateOf(message) {
  if (message.detail) return message.detail;
  if (message.position > 0) return `waiting for a turn, number ${message.position} in line`;
  return STATES[/** @type {keyof typeof STATES} */ (message.status)] ?? "";
}

/**
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Move an element that may be being read: it does not appear anew, and what is selected in it stays.
 * @param {HTMLElement} container
 * @param {HTMLElement} element
 * @param {Element | null} next
 */
function moveBefore(container, element, next) {
  element.classList.remove("arriving");
  const selection = getSelection();
  const { anchorNode, anchorOffset = 0, focusNode, focusOffset = 0 } = selection ?? {};
  container.insertBefore(element, next);
  if (anchorNode && focusNode && (element.contains(anchorNode) || element.contains(focusNode))) {
    selection?.setBaseAndExtent(anchorNode, anchorOffset, focusNode, focusOffset);
  }
}

/**
 * @param {HTMLElement} root
 * @param {string} selector
 */
function part(root, selector) {
  return /** @type {HTMLElement} */ (root.querySelector(selector));
}

/** @param {string} id */
function element(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}
