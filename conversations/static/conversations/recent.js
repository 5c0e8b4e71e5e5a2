/** The side list: this conversation joins it with its first message. */

/**
 * @param {string} conversation its id
 * @param {string} text how it began
 */
export function listConversation(conversation, text) {
  const list = document.querySelector(".recent");
  const heading = document.getElementById("recent-heading");
  if (!list || !heading || list.querySelector("[aria-current]")) return;
  const link = document.createElement("a");
  link.href = `/c/${conversation}/`;
  link.dir = "auto";
  link.textContent = text;
  link.setAttribute("aria-current", "page");
  const item = document.createElement("li");
  item.append(link);
  list.prepend(item);
  heading.hidden = false;
}
