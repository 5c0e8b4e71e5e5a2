/** Custom events with a detail, told and heard. */

/**
 * @param {EventTarget} target
 * @param {string} type
 * @param {object} [detail]
 */
export function tell(target, type, detail = {}) {
  target.dispatchEvent(new CustomEvent(type, { detail }));
}

/**
 * @param {EventTarget} target
 * @param {string} type
 * @param {(detail: any) => void} listener
 */
export function on(target, type, listener) {
  target.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));
}
