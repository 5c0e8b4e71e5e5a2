"""Which chat a text belongs to."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from conversations.models import Channel, Conversation
from conversations.services.conversations import conversation_reset, conversation_start
from conversations.services.owners import Owner
from sms.models import Answer, Contact, State, Thread
from sms.payload import IncomingText


def thread_lock(*, text: IncomingText) -> Thread:
    """The thread of a pair of numbers, its contact locked until the transaction ends.

    Everything that one number sends takes turns here, so that limits, opt-outs and the choice of
    the chat hold for texts that arrive at the same moment. (SQLite has one writer at a time
    anyway.) Call it inside a transaction.
    """
    contact, _ = Contact.objects.select_for_update().get_or_create(number=text.sender.number)
    thread, _ = Thread.objects.select_related("conversation").get_or_create(
        contact=contact, our_number=text.receiver.number, is_whatsapp=text.sender.whatsapp
    )
    thread.contact = contact
    return thread


def thread_conversation(*, thread: Thread, now: datetime) -> tuple[Conversation, bool]:
    """The chat that is going on, or a new one after a long silence; and whether it is new.

    Raises NoCharacter, StorageUnavailable. Call it under `thread_lock`.
    """
    going_on = thread.conversation
    if going_on is not None and not _expired(thread, going_on, now):
        return going_on, False
    if going_on is not None:
        return _put_on(thread, conversation_reset(conversation=going_on)), True
    started = conversation_start(channel=Channel.SMS, owner=Owner())
    return _put_on(thread, started), True


def thread_is_silent(*, thread: Thread, now: datetime) -> bool:
    """Whether the chat that went on has ended by itself."""
    return thread.conversation is not None and _expired(thread, thread.conversation, now)


def thread_reset(*, thread: Thread) -> Conversation:
    """Another character comes on the line. Call it under `thread_lock`."""
    if thread.conversation is None:
        return _put_on(thread, conversation_start(channel=Channel.SMS, owner=Owner()))
    return _put_on(thread, conversation_reset(conversation=thread.conversation))


def contact_save(*, contact: Contact) -> None:
    """Save a number; once it is blocked nothing goes out to it, whatever is owed."""
    with transaction.atomic():
        contact.save()
        if contact.is_blocked:
            answers_cancel(threads=contact.threads.all())


def contacts_delete(*, contacts: QuerySet[Contact]) -> int:
    """Delete numbers with their books, in turn with what they send (`thread_lock`): how many."""
    with transaction.atomic():
        list(contacts.select_for_update())
        _, rows = contacts.delete()
    return rows.get("sms.Contact", 0)


def contact_conversations(*, contact: Contact) -> QuerySet[Conversation]:
    """The chats of a number: those going on, and all earlier ones that something was said in."""
    going_on = contact.threads.order_by().values("conversation")
    answers = Answer.objects.filter(thread__contact=contact, reply__isnull=False).order_by()
    said = answers.values("reply__conversation")
    return Conversation.objects.filter(pk__in=going_on.union(said))


def threads_closed() -> QuerySet[Thread]:
    """Those that nothing goes out to: the person opted out, or staff blocked the number."""
    return Thread.objects.filter(Q(opted_out_at__isnull=False) | Q(contact__is_blocked=True))


def answers_cancel(*, threads: QuerySet[Thread]) -> None:
    """Let go of what is owed, and of what may or may not have arrived."""
    owed = Answer.objects.filter(thread__in=threads, state__in=(State.OWED, State.UNKNOWN))
    owed.update(state=State.CANCELLED)


def _expired(thread: Thread, conversation: Conversation, now: datetime) -> bool:
    # A reply that took long to arrive does not make a chat old.
    last = max(thread.last_text_at, conversation.last_activity_at)
    return now - last > timedelta(minutes=settings.ENV.sms_idle_minutes)


def _put_on(thread: Thread, conversation: Conversation) -> Conversation:
    thread.conversation = conversation
    thread.save(update_fields=["conversation"])
    return conversation
