/** The card about the character: lifts the veil, and shows in the whole page who it is. */

/**
 * @typedef {object} Character
 * @property {string} name
 * @property {string[]} lines
 * @property {string} color
 * @property {string} emblem
 * @property {number | null} hue
 * @property {boolean} is_muted
 * @property {string} ink
 */

import { post } from "./post.js";
import { GONE } from "./status.js";

const WORDS = {
  refused: {
    403: "This page is too old to lift the veil. Please reload it and try again.",
    404: GONE,
  },
  lost: "The veil is stuck. Please try again in a moment.",
};

export class CharacterCard {
  /**
   * @param {string} conversation its id
   * @param {(name: string) => void} onRevealed
   */
  constructor(conversation, onRevealed) {
    this.card = /** @type {HTMLElement} */ (document.getElementById("character"));
    this.onRevealed = onRevealed;
    this.others = new BroadcastChannel(`character:${conversation}`);
    this.others.addEventListener("message", (event) => this.#show(event.data));
    const form = this.#part("[data-reveal]");
    form.addEventListener("submit", (event) => this.#reveal(event));
    // On wide windows the card and the list stand beside the chat, where nothing may pop up.
    matchMedia("(min-width: 56rem)").addEventListener("change", hidePopovers);
    matchMedia("(min-width: 75rem)").addEventListener("change", hidePopovers);
  }

  open() {
    if (getComputedStyle(this.card).position === "fixed") this.card.showPopover();
    const button = this.card.querySelector("[data-reveal] button");
    const veiled = !this.#part("[data-veiled]").hidden;
    /** @type {HTMLElement} */ (veiled && button ? button : this.#part("[data-revealed]")).focus({
      preventScroll: true,
    });
  }

  /** @param {Event} event */
  async #reveal(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
    const error = this.#part("[data-reveal-error]");
    error.hidden = true;
    button.disabled = true;
    try {
      const answer = await post(form.action, new FormData(form), WORDS);
      const character = await answer.json();
      this.#show(character);
      this.others.postMessage(character);
      this.#part("[data-revealed]").focus({ preventScroll: true });
    } catch (reason) {
      error.textContent = /** @type {Error} */ (reason).message;
      error.hidden = false;
    } finally {
      button.disabled = false;
    }
  }

  /** @param {Character} character */
  #show(character) {
    this.#part("#character-question").textContent = "You are talking to";
    this.#part("[data-character-name]").textContent = character.name;
    const lines = character.lines.map((text) => {
      const item = document.createElement("li");
      item.dir = "auto";
      item.textContent = text;
      return item;
    });
    this.#part("[data-character-lines]").replaceChildren(...lines);
    this.#part("[data-veiled]").hidden = true;
    this.#part("[data-revealed]").hidden = false;
    for (const portrait of document.querySelectorAll("[data-portrait]")) paint(portrait, character);
    const root = document.documentElement;
    if (character.hue !== null) root.dataset.hue = String(character.hue);
    root.toggleAttribute("data-muted", character.is_muted);
    for (const name of document.querySelectorAll("[data-who]")) name.textContent = character.name;
    /** @type {HTMLElement} */ (document.querySelector("[data-who-hint]")).textContent =
      "Read who this is";
    document.title = `${character.name} · Persona`;
    this.onRevealed(character.name);
  }

  /** @param {string} selector */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.card.querySelector(selector));
  }
}

/**
 * @param {Element} portrait
 * @param {Character} character
 */
function paint(portrait, { color, emblem, ink }) {
  portrait.querySelector(".portrait-face")?.setAttribute("fill", color);
  const text = portrait.querySelector(".portrait-emblem");
  if (!text) return;
  text.textContent = emblem;
  text.setAttribute("fill", ink);
}

function hidePopovers() {
  for (const open of document.querySelectorAll(":popover-open")) {
    /** @type {HTMLElement} */ (open).hidePopover();
  }
}
