/** The list of conversations: local times, and nothing left behind of what is deleted. */

import { localizeMoments } from "./clock.js";
import { forget } from "./outbox.js";

localizeMoments(document);

document.addEventListener("submit", (event) => {
  const form = /** @type {HTMLElement} */ (event.target);
  const card = /** @type {HTMLElement | null} */ (form.closest("[data-conversation]"));
  if (form.matches("[data-delete]") && card?.dataset.conversation) {
    forget(card.dataset.conversation);
  }
});

// A list from the back/forward cache may show what has been deleted since.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
