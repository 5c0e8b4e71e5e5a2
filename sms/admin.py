"""The line's books for staff: who texts (masked), what came in, what went out and how it fared."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from conversations.admin.cells import moment
from conversations.admin.changelist import DATED_LIST, BoundedPaginator
from conversations.admin.hidden import HiddenFields
from conversations.admin.unchanged import UnchangedForm
from sms.filters import DeliveryFilter, OptedOutFilter
from sms.models import Answer, Contact, DeliveryEvent, InboundMessage, Thread
from sms.numbers import NumberInvalid, address_parse, number_mask
from sms.services.threads import contact_conversations, contact_save, contacts_delete

REVEAL = "sms.reveal_number"
CHATS = 100


class ReadOnly:
    """Nothing to add or change by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ThreadInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = Thread
    extra = 0
    can_delete = False
    fields = readonly_fields = ("is_whatsapp", "to", "last_text_at", "opted_out_at", "chat")

    @admin.display(description="our number")
    def to(self, thread: Thread) -> str:
        return number_mask(thread.our_number)

    @admin.display(description="chat", empty_value="none")
    def chat(self, thread: Thread) -> SafeString | None:
        return _chat_link(thread.conversation_id)


@admin.register(Contact)
class ContactAdmin(HiddenFields):
    hidden = ("number",)
    form = UnchangedForm
    list_display = ("masked", "is_blocked", "note", "created_at")
    list_filter = ("is_blocked", OptedOutFilter)
    search_fields = ("number",)
    search_help_text = "A whole phone number, with + and the country's code."
    actions = ("block", "unblock")
    inlines = (ThreadInline,)
    show_full_result_count = False
    paginator = BoundedPaginator
    change_form_template = "admin/sms/contact/change_form.html"

    def get_fields(self, request: HttpRequest, obj: Contact | None = None) -> tuple[str, ...]:
        kept = ("is_blocked", "note")
        return ("masked", *kept, "chats") if obj else ("number", *kept)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Contact | None = None
    ) -> tuple[str, ...]:
        return ("masked", "chats") if obj else ()

    @admin.display(description="number", ordering="id")
    def masked(self, contact: Contact) -> str:
        return contact.masked

    @admin.display(description="latest chats", empty_value="none")
    def chats(self, contact: Contact) -> SafeString | None:
        latest = contact_conversations(contact=contact).select_related("persona")[:CHATS]
        shown = ((_chat_page(c.pk), c.persona.name, moment(c.last_activity_at)) for c in latest)
        return format_html_join("", '<a href="{}">{}, {}</a><br>', shown) or None

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        contact_save(contact=obj)

    def delete_model(self, request: HttpRequest, obj: Contact) -> None:
        contacts_delete(contacts=Contact.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        contacts_delete(contacts=queryset)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Contact], search_term: str
    ) -> tuple[QuerySet[Contact], bool]:
        """Only whole numbers: by parts a masked number could be guessed digit by digit."""
        if not search_term.strip():
            return queryset, False
        try:
            return queryset.filter(number=address_parse(search_term).number), False
        except NumberInvalid as error:
            self.message_user(request, f"{str(error).capitalize()}.", messages.WARNING)
            return queryset.none(), False

    @admin.action(description="Block selected numbers", permissions=["change"])
    def block(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        self._set_blocked(request, queryset, blocked=True)

    @admin.action(description="Unblock selected numbers", permissions=["change"])
    def unblock(self, request: HttpRequest, queryset: QuerySet[Contact]) -> None:
        self._set_blocked(request, queryset, blocked=False)

    def _set_blocked(
        self, request: HttpRequest, queryset: QuerySet[Contact], *, blocked: bool
    ) -> None:
        word = "Blocked" if blocked else "Unblocked"
        changed = list(queryset.exclude(is_blocked=blocked))
        for contact in changed:
            contact.is_blocked = blocked
            contact_save(contact=contact)
            self.log_change(request, contact, f"{word}.")
        count = len(changed)
        self.message_user(request, f"{word} {count} number{'' if count == 1 else 's'}.")

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Numbers: the list that Django makes would name every text."""
        contacts = list(objs)
        texts = {
            "received text": InboundMessage.objects.filter(thread__contact__in=contacts).count(),
            "answer": Answer.objects.filter(thread__contact__in=contacts).count(),
        }
        shown = {f"{name}s": number for name, number in texts.items() if number}
        may = request.user.has_perms(["sms.delete_inboundmessage", "sms.delete_answer"])
        lacking = set() if may else {name for name, number in texts.items() if number}
        named = [contact.masked for contact in contacts]
        return named, {"phone numbers": len(contacts), **shown}, lacking, []

    # The number in full, on request and on record

    def get_urls(self) -> list[URLPattern]:
        reveal = path(
            "<int:contact_id>/reveal/",
            self.admin_site.admin_view(self.reveal_view),
            name="sms_contact_reveal",
        )
        return [reveal, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["can_reveal"] = request.user.has_perm(REVEAL)
        return super().render_change_form(request, context, *args, **kwargs)

    def reveal_view(self, request: HttpRequest, contact_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:sms_contact_change", args=[contact_id]))
        if not (self.has_view_permission(request) and request.user.has_perm(REVEAL)):
            raise PermissionDenied
        contact = self.get_object(request, str(contact_id))
        if contact is None:
            self.message_user(request, "There is no such number.", messages.WARNING)
            return HttpResponseRedirect(reverse("admin:sms_contact_changelist"))
        # Written first: nobody sees a number that is not on record as seen.
        self.log_change(request, contact, "Looked at the number in full.")
        context = {
            **self.admin_site.each_context(request),
            "title": "Phone number",
            "opts": self.opts,
            "contact": contact,
        }
        return TemplateResponse(request, "admin/sms/contact/reveal.html", context)


@admin.register(InboundMessage)
class InboundMessageAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("received_at", "sender", "kind", "detail", "segments", "answered")
    list_filter = ("kind", ("received_at", admin.DateFieldListFilter), "thread__is_whatsapp")
    list_select_related = ("thread__contact", "answer")
    search_fields = ("sid__exact",)
    search_help_text = "Twilio's message SID."
    date_hierarchy = "received_at"
    change_list_template = DATED_LIST
    ordering = ("-received_at", "-id")
    show_full_result_count = False
    paginator = BoundedPaginator
    fields = readonly_fields = (
        *("sid", "sender", "kind", "detail", "media_count", "segments", "received_at"),
        *("chat", "answered"),
    )

    @admin.display(description="number")
    def sender(self, inbound: InboundMessage) -> str:
        return inbound.thread.contact.masked

    @admin.display(description="answer", empty_value="none due")
    def answered(self, inbound: InboundMessage) -> SafeString | None:
        answer = getattr(inbound, "answer", None)
        if answer is None:
            return None
        return format_html(
            '<a href="{}">{}</a>',
            reverse("admin:sms_answer_change", args=[answer.pk]),
            answer.get_state_display(),
        )

    @admin.display(description="chat", empty_value="none")
    def chat(self, inbound: InboundMessage) -> SafeString | None:
        answer = getattr(inbound, "answer", None)
        return _chat_link(answer.reply.conversation_id) if answer and answer.reply else None


class DeliveryEventInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = DeliveryEvent
    extra = 0
    can_delete = False
    verbose_name_plural = "delivery history"
    fields = readonly_fields = ("received_at", "status", "error", "sid")

    @admin.display(description="error", empty_value="")
    def error(self, event: DeliveryEvent) -> str | None:
        return _error_link(event.error_code)


@admin.register(Answer)
class AnswerAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = (
        *("created_at", "receiver", "state", "delivery_status", "error", "segments"),
        "encoding",
    )
    list_filter = (
        DeliveryFilter,
        "state",
        "delivery_status",
        ("created_at", admin.DateFieldListFilter),
    )
    list_select_related = ("thread__contact",)
    search_fields = ("sid__exact", "error_code__exact")
    search_help_text = "Twilio's message SID or error code."
    date_hierarchy = "inbound__received_at"  # within moments of `created_at`, and has an index
    change_list_template = DATED_LIST
    ordering = ("-inbound__received_at", "-inbound_id")
    show_full_result_count = False
    paginator = BoundedPaginator
    inlines = (DeliveryEventInline,)
    fields = readonly_fields = (
        *("receiver", "chat", "text", "encoding", "segments", "state", "due_at", "attempts"),
        *("handed_over_at", "sid", "delivery_status", "error", "created_at"),
    )

    @admin.display(description="number")
    def receiver(self, answer: Answer) -> str:
        return answer.thread.contact.masked

    @admin.display(description="error", ordering="error_code", empty_value="")
    def error(self, answer: Answer) -> str | None:
        return _error_link(answer.error_code)

    @admin.display(description="chat", empty_value="none")
    def chat(self, answer: Answer) -> SafeString | None:
        return _chat_link(answer.reply.conversation_id) if answer.reply else None


def _chat_link(conversation_id: Any) -> SafeString | None:
    if conversation_id is None:
        return None
    return format_html('<a href="{}">read it</a>', _chat_page(conversation_id))


def _chat_page(conversation_id: Any) -> str:
    return reverse("admin:conversations_conversation_change", args=[conversation_id])


def _error_link(code: str) -> str | None:
    if code.isdecimal() and len(code) == 5:
        return format_html('<a href="https://www.twilio.com/docs/api/errors/{0}">{0}</a>', code)
    return code or None
