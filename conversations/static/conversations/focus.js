/** Focus does not get lost with what has it. */

/**
 * Hide a control, or show it. Who was on it goes on in the box; who only reads, at the messages.
 * @param {HTMLElement} control
 * @param {boolean} hidden
 * @param {HTMLElement | null} next where else to go on
 */
export function setHidden(control, hidden, next = element("text") ?? element("scroller")) {
  if (hidden && control === document.activeElement) next?.focus({ preventScroll: true });
  control.hidden = hidden;
}

/** @param {string} id */
function element(id) {
  return document.getElementById(id);
}
