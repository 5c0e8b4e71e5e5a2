/** The chat page: puts its parts together. */

import { CharacterCard } from "./character.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { on } from "./events.js";
import { Outbox } from "./outbox.js";
import { listConversation } from "./recent.js";
import { Scroll } from "./scroll.js";
import { Status } from "./status.js";
import { Transcript } from "./transcript.js";
import { View } from "./view.js";

const page = /** @type {HTMLElement} */ (document.getElementById("chat"));
const { conversation: id = "", socket = "", readOnly } = page.dataset;

const scroll = new Scroll();
if (readOnly === undefined) chat();
else show();

/** A page to read only. */
function show() {
  const view = new View({ onRetry: () => {}, onEdit: () => {} });
  const transcript = new Transcript();
  for (const { values, element } of view.read()) view.adopt(transcript.add(values), element);
  view.arrange(transcript.messages);
  begin(transcript.messages);
}

/**
 * Show the end of what there is, or what the address names. An empty chat begins at its heading.
 * @param {import("./transcript.js").Message[]} messages
 */
function begin(messages) {
  if (messages.length && !document.querySelector(":target")) scroll.toEnd();
}

function chat() {
  const connection = new Connection(socket, location.pathname);
  const conversation = new Conversation(connection, new Outbox(id));
  const composer = new Composer(id);
  const status = new Status(() => connection.open());
  const view = new View({
    onRetry: (message) => {
      conversation.retry(message);
      composer.focus(); // the button is gone
    },
    onEdit: (message) => {
      conversation.discard(message);
      composer.edit(message.text);
    },
  });
  const card = new CharacterCard(id, (name) => view.nameSpeaker(name));
  const stop = /** @type {HTMLButtonElement} */ (document.getElementById("stop"));

  const came = view.read();
  conversation.load(came.map(({ values }) => values));
  const elements = new Map(came.map(({ values, element }) => [values.id, element]));

  on(connection, "state", (state) => {
    // The page says what became of the conversation; what is unsent would be lost with this one.
    if (state.state === "gone" && !conversation.unsent && composer.isEmpty) location.reload();
    else status.connection(state);
  });
  on(conversation, "live", ({ live }) => page.toggleAttribute("data-live", live));
  on(conversation, "list", () => arrange());
  on(conversation, "message", ({ message }) => view.update(message));
  on(conversation, "text", ({ message, chunk }) => view.append(message, chunk));
  on(conversation, "hold", ({ until }) => status.hold(until));
  on(conversation, "notice", ({ text }) => status.notice(text));
  on(conversation, "mishap", ({ text }) => status.announce(text));
  on(conversation, "reset", (successor) => location.assign(`/c/${successor.id}/`));
  on(composer, "send", ({ text }) => send(text));
  stop.addEventListener("click", () => stopReply());
  document.addEventListener("keydown", (event) => {
    // The first Escape closes what has popped up, or ends what an input method is composing.
    if (event.key !== "Escape" || event.isComposing || document.querySelector(":popover-open")) return;
    stopReply();
  });

  conversation.transcript.messages.forEach((message) => {
    const element = message.id === null ? undefined : elements.get(message.id);
    if (element) view.adopt(message, element);
  });
  let shown = conversation.transcript.messages.length;
  arrange();
  begin(conversation.transcript.messages);
  composer.focus();
  connection.open();

  function arrange() {
    const { messages } = conversation.transcript;
    view.arrange(messages);
    stop.hidden = !conversation.stoppable;
    const first = messages.find((message) => message.role === "user");
    if (first) listConversation(id, first.text);
    if (messages.length > shown) scroll.arrived();
    shown = messages.length;
  }

  function stopReply() {
    if (!conversation.stoppable) return;
    conversation.stop();
    composer.focus();
  }

  /** @param {string} text */
  function send(text) {
    const command = text.trim().toLowerCase();
    if (command === "/help") conversation.note();
    else if (command === "/who") card.open();
    else if (command === "/reset") conversation.reset() || location.assign("/");
    else conversation.submit(text);
    if (command !== "/who") scroll.toEnd();
  }
}
