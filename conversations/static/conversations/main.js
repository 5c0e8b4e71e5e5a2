/** The chat page: puts its parts together. */

import { CharacterCard } from "./character.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { on } from "./events.js";
import { Feedback } from "./feedback.js";
import { setHidden } from "./focus.js";
import { Outbox } from "./outbox.js";
import { listConversation } from "./recent.js";
import { Scroll } from "./scroll.js";
import { Status } from "./status.js";
import { View } from "./view.js";

const page = /** @type {HTMLElement} */ (document.getElementById("chat"));
const { conversation: id = "", socket = "", readOnly } = page.dataset;

const connection = new Connection(socket, location.pathname);
const outbox = new Outbox(id);
const conversation = new Conversation(connection, outbox);
const scroll = new Scroll();
const status = new Status(() => connection.open());

if (readOnly === undefined) chat();
else read();
connection.open();

/** A page to read only. */
function read() {
  follow(new View(), []);
  on(connection, "state", (state) => {
    if (state.state === "gone") location.reload();
    else status.connection(state);
  });
}

function chat() {
  const composer = new Composer(id);
  const feedback = new Feedback(id);
  const view = new View({
    retry: (message) => {
      conversation.retry(message);
      composer.focus(); // the button is gone
    },
    edit: (message) => {
      conversation.discard(message);
      composer.edit(message.text);
    },
    like: (message) => feedback.give(message, 1),
    dislike: (message) => feedback.give(message, -1),
  });
  const card = new CharacterCard(id, (name) => view.nameSpeaker(name));
  const stop = /** @type {HTMLButtonElement} */ (document.getElementById("stop"));

  on(connection, "state", (state) => {
    // The page says what became of the conversation; what is unsent would be lost with this one.
    if (state.state === "gone" && !conversation.unsent && composer.isEmpty) location.reload();
    else status.connection(state);
  });
  on(conversation, "live", offerStop);
  on(conversation, "list", () => {
    offerStop();
    enlist();
  });
  on(conversation, "hold", ({ until }) => status.hold(until));
  on(conversation, "notice", ({ text }) => status.notice(text));
  on(conversation, "mishap", ({ text }) => status.announce(text));
  on(conversation, "reset", (successor) => location.assign(`/c/${successor.id}/`));
  on(composer, "send", ({ text }) => send(text));
  on(composer, "mark", ({ text }) => status.announce(text));
  on(feedback, "given", ({ message }) => view.update(message));
  on(feedback, "notice", ({ text }) => status.notice(text));
  stop.addEventListener("click", () => stopReply());
  document.addEventListener("keydown", (event) => {
    // The first Escape closes what has popped up, or ends what an input method is composing.
    if (event.key !== "Escape" || event.isComposing || document.querySelector(":popover-open")) return;
    stopReply();
  });
  follow(view, outbox.all());
  composer.focus();

  function offerStop() {
    setHidden(stop, !conversation.stoppable);
  }

  function enlist() {
    const first = conversation.transcript.messages.find((message) => message.role === "user");
    if (first) listConversation(id, first.text);
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

/**
 * Show the conversation as the page came with it, and what becomes of it.
 * @param {View} view
 * @param {import("./outbox.js").Unsent[]} unsent
 */
function follow(view, unsent) {
  const came = view.read();
  const elements = new Map(came.map(({ values, element }) => [values.id, element]));
  conversation.load(came.map(({ values }) => values), unsent);
  for (const message of conversation.transcript.messages) {
    const element = message.id === null ? undefined : elements.get(message.id);
    if (element) view.adopt(message, element);
  }
  let shown = conversation.transcript.messages.length;
  on(conversation, "live", ({ live }) => page.toggleAttribute("data-live", live));
  on(conversation, "message", ({ message }) => view.update(message));
  on(conversation, "text", ({ message, chunk }) => view.append(message, chunk));
  on(conversation, "list", () => arrange());
  arrange();
  // At the end of what there is, or at what the address names. An empty chat begins at its heading.
  if (shown && !document.querySelector(":target")) scroll.toEnd();

  function arrange() {
    const { messages } = conversation.transcript;
    view.arrange(messages);
    if (messages.length > shown) scroll.arrived();
    shown = messages.length;
  }
}
