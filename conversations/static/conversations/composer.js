/** The box to write in: sends, grows, counts, and keeps a draft for each conversation. */

import { tell } from "./events.js";

const COUNT_FROM = 0.8; // of the limit

/** Events: `send` with `{text}`; `mark` with `{text}`, how much room is left, as to be read out. */
export class Composer extends EventTarget {
  #mark = 0;

  /**
   * @param {string} conversation its id
   */
  constructor(conversation) {
    super();
    this.form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
    this.box = /** @type {HTMLTextAreaElement} */ (document.getElementById("text"));
    this.counter = /** @type {HTMLElement} */ (document.getElementById("counter"));
    this.draftKey = `draft:${conversation}`;
    this.limit = Number(this.box.dataset.limit);
    this.form.addEventListener("submit", (event) => this.#submit(event));
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.box.addEventListener("input", () => this.#changed());
    // Focus stays in the box: a button that took it would close an on-screen keyboard.
    for (const button of this.form.querySelectorAll("button")) {
      button.addEventListener("mousedown", (event) => event.preventDefault());
    }
    // Without this script Enter does no such thing.
    /** @type {HTMLElement} */ (document.getElementById("hint")).hidden = false;
    this.#restore();
  }

  /** Put the cursor into the box; on a touch screen only if it was there, for its keyboard. */
  focus() {
    const touch = matchMedia("(pointer: coarse)").matches;
    if (!touch || document.activeElement === this.box) this.box.focus({ preventScroll: true });
  }

  /** @returns {boolean} */
  get isEmpty() {
    return !this.box.value.trim();
  }

  /** @param {string} text to go on writing; what is there already stays after it */
  edit(text) {
    this.box.value = this.box.value ? `${text}\n${this.box.value}` : text;
    this.#changed();
    this.box.focus();
  }

  #restore() {
    // A browser may have put back what was in the box; it is the same or newer.
    if (!this.box.value) this.box.value = read(this.draftKey);
    this.#changed();
  }

  #changed() {
    const { value } = this.box;
    write(this.draftKey, value);
    this.box.style.height = "auto";
    // The empty box is left to its style sheet: a wrapped placeholder would make it tall.
    this.box.style.height = value ? `${this.box.scrollHeight}px` : "";
    this.#count(value);
  }

  /** @param {string} text */
  #count(text) {
    const length = text.length < this.limit * COUNT_FROM ? 0 : [...text].length;
    const isClose = length >= this.limit * COUNT_FROM;
    const isOver = length > this.limit;
    const number = Math.abs(this.limit - length);
    const what = isOver ? "too many" : "left";
    this.counter.textContent = isClose ? `${number} ${what}` : "";
    this.form.classList.toggle("over-limit", isOver);
    this.box.setAttribute("aria-invalid", String(isOver));
    // To be seen at every key, to be read out only now and then.
    const mark = Number(isClose) + Number(isOver);
    if (mark && mark !== this.#mark) tell(this, "mark", { text: `Characters ${what}: ${number}` });
    this.#mark = mark;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // While an input method composes, Enter chooses a word. Safari ends composing before the key.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.form.requestSubmit();
    }
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const opener = event.submitter?.getAttribute("name") === "opener" ? event.submitter : null;
    const text = opener ? opener.getAttribute("value") ?? "" : this.box.value;
    const blank = !text.trim();
    this.focus();
    if (blank || [...text].length > this.limit) return;
    if (!opener) this.box.value = "";
    this.#changed();
    tell(this, "send", { text });
  }
}

/** @param {string} key */
function read(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/**
 * @param {string} key
 * @param {string} text
 */
function write(key, text) {
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch {
    // Storage is full or forbidden: the draft lives as long as the page.
  }
}
