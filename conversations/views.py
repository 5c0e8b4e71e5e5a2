"""The pages a person sees."""

from __future__ import annotations

import sys
from http import HTTPStatus
from itertools import takewhile
from typing import Any
from uuid import UUID, uuid4, uuid5

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.http import content_disposition_header, url_has_allowed_host_and_scheme
from django.views import defaults
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_POST, require_safe

from conversations.models import (
    TITLE_MAX_LENGTH,
    UNFINISHED,
    Channel,
    Conversation,
    Message,
    Role,
)
from conversations.selectors import (
    conversation_belongs_to,
    conversation_document,
    conversation_for_reader,
    conversation_messages,
    conversations_document,
    conversations_listed,
    conversations_of_owner,
    conversations_recent,
)
from conversations.services.conversations import (
    conversation_delete,
    conversation_rename,
    conversation_renew,
    conversation_start,
    persona_reveal,
)
from conversations.services.database import db_wait
from conversations.services.errors import (
    ConversationGone,
    NoCharacter,
    ServiceError,
    StorageAway,
    retry_header,
)
from conversations.services.limits import conversation_limit
from conversations.services.owners import client_address, owner_from_request
from conversations.services.replies import (
    ReplyUnknown,
    asks_for_reset,
    feedback_give,
    message_post,
    reply_end,
)
from conversations.theme import theme_of

PAGE_MESSAGES = 200
PAGE_CONVERSATIONS = 30
RECENT_CONVERSATIONS = 12
OPENERS = (
    "Hi! How is your day going?",
    "What do you do for a living?",
    "Do you have any pets?",
    "What makes you laugh?",
)
THUMBS = {"1": 1, "-1": -1, "": None}
HEADINGS = {
    "invalid": "That could not be sent.",
    "too_long": "That could not be sent.",
    "not_found": "Nobody is here.",
    "rate_limited": "One moment, please.",
}
# What main.js imports, named so that a browser fetches all of it at once.
MODULES = tuple(
    f"conversations/{name}.js"
    for name in (
        *("character", "clock", "composer", "connection", "conversation", "events", "feedback"),
        *("focus", "outbox", "post", "recent", "scroll", "status", "transcript", "view"),
    )
)
# Nothing on these pages turns text into markup or script, and the browser sees to it.
TRUSTED_TYPES = {"require-trusted-types-for": ["'script'"], "trusted-types": ["'none'"]}


# Nobody keeps a page: going back shows the conversation as it is now, and to nobody else after
# signing out.
private = cache_control(private=True, no_store=True)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Start a conversation, unless nobody really came: a monitor or a browser reading ahead."""
    purpose = request.headers.get("Sec-Purpose", "") + request.headers.get("Purpose", "")
    if "prefetch" in purpose or request.method == "HEAD":
        response = HttpResponse(status=HTTPStatus.OK if request.method == "HEAD" else 204)
    else:
        try:
            # Who is refused leaves no session behind, so a first visit counts for its address only.
            conversation_limit(owner=owner_from_request(request), address=client_address(request))
            conversation = conversation_start(
                channel=Channel.WEB, owner=owner_from_request(request, create=True)
            )
            response = redirect("conversation", conversation.pk)
        except ServiceError as error:
            response = problem(request, error)
    patch_cache_control(response, no_store=True)
    return response


@require_safe
@csp_update(TRUSTED_TYPES)  # type: ignore[arg-type]  # its annotation forgets URL arguments
@private
def conversation_page(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    owner = owner_from_request(request)
    conversation = conversation_for_reader(conversation_id=conversation_id, owner=owner)
    if conversation is None:
        raise Http404
    read_only = not conversation_belongs_to(conversation=conversation, owner=owner)
    last = None if "all" in request.GET else PAGE_MESSAGES + 1
    said = conversation_messages(conversation_id=conversation_id, last=last)
    has_earlier = last is not None and len(said) == last
    said = said[has_earlier:]
    open_from = _open_from(said)
    context = {
        "conversation": conversation,
        "character": conversation.persona if read_only or conversation.revealed_at else None,
        "settled": said[:open_from],
        "unsettled": said[open_from:],
        "earlier": said[0].pk if has_earlier else None,
        "read_only": read_only,
        "recent": conversations_recent(
            owner=owner, number=RECENT_CONVERSATIONS, present=conversation if said else None
        ),
        "openers": OPENERS,
        "modules": MODULES,
        "limit": settings.ENV.message_max_length,
        "client_id": uuid4(),
    }
    return render(request, "conversations/conversation.html", context)


@require_POST
def conversation_send(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Send a message without JavaScript: the page comes back when the reply is finished."""
    owner, address = owner_from_request(request), client_address(request)
    conversation = get_object_or_404(conversations_of_owner(owner=owner), pk=conversation_id)
    # A form sends line ends as CR LF.
    text = (request.POST.get("opener") or request.POST.get("text", "")).replace("\r\n", "\n")
    client_id = _uuid(request.POST.get("client_id", ""))
    page = reverse("conversation", args=[conversation_id])
    try:
        if asks_for_reset(text):
            successor = db_wait(
                conversation_renew, conversation=conversation, owner=owner, address=address
            )
            return redirect("conversation", successor.pk)
        reply_id = db_wait(
            _say,
            conversation=conversation,
            text=text,
            # A page that the browser went back to may send its id a second time, with other words.
            client_id=uuid5(client_id, text),
            owner=owner,
            address=address,
        )
    except ServiceError as error:
        return problem(
            request, error, again=page, unsent=text, send=request.path, client_id=client_id
        )
    return redirect(f"{page}#m{reply_id}")


async def _say(**message: Any) -> int:
    """Post a message; returns the id of its reply, once that has ended."""
    exchange = await message_post(**message)
    await reply_end(reply_id=exchange.reply.pk)
    return exchange.reply.pk


@require_POST
def conversation_reveal(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """Show the character: as JSON to the page's script, else by way of the page."""
    try:
        persona = persona_reveal(conversation=_own(request, conversation_id))
    except ConversationGone as error:
        raise Http404 from error
    if not request.accepts("text/html"):
        return JsonResponse(
            {
                "name": persona.name,
                "lines": persona.lines,
                "color": persona.color,
                "emblem": persona.emblem,
                **theme_of(persona.color).as_dict(),
            }
        )
    return redirect("conversation", conversation_id)


@require_POST
def reply_feedback(request: HttpRequest, conversation_id: UUID, message_id: int) -> HttpResponse:
    """Keep what the person thinks of a reply: `feedback` is 1, -1 or nothing, to take it back."""
    said = _own(request, conversation_id).messages
    reply = get_object_or_404(said, pk=message_id, role=Role.BOT)
    thumb = request.POST.get("feedback")
    if thumb not in THUMBS:
        return HttpResponse("feedback must be 1, -1 or empty.", status=HTTPStatus.BAD_REQUEST)
    try:
        feedback_give(reply=reply, feedback=THUMBS[thumb])
    except ReplyUnknown as error:
        raise Http404 from error
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@require_POST
def conversation_rename_page(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    conversation = _own(request, conversation_id)
    try:
        conversation_rename(conversation=conversation, title=request.POST.get("title", ""))
    except ServiceError as error:
        messages.error(request, error.detail)
    return _back(request)


@require_POST
def conversation_delete_page(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    conversation_delete(conversation=_own(request, conversation_id))
    messages.success(request, "The conversation is deleted.")
    return _back(request)


@require_safe
@private
def conversation_export(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    conversation = _own(request, conversation_id)
    document = conversation_document(conversation=conversation)
    return _download(document, f"conversation-{conversation.created_at:%Y-%m-%d}.json")


@require_safe
@private
def conversation_export_all(request: HttpRequest) -> HttpResponse:
    document = conversations_document(owner=owner_from_request(request))
    return _download(document, "conversations.json")


@require_safe
@csp_update(TRUSTED_TYPES)
@private
def conversation_list(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\0", "").strip()[:200]
    found = conversations_listed(owner=owner_from_request(request), query=query)
    page = Paginator(found, PAGE_CONVERSATIONS).get_page(request.GET.get("page"))
    context = {"page": page, "query": query, "title_limit": TITLE_MAX_LENGTH}
    return render(request, "conversations/list.html", context)


@require_safe
def robots(request: HttpRequest) -> HttpResponse:
    """Nothing here is for search engines: every visit to `/` starts a conversation."""
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain")


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """For pages without a link to an icon, and browsers that take no SVG."""
    return redirect(static("conversations/icon.png"))


def server_error(request: HttpRequest) -> HttpResponse:
    """The page for an error that nobody caught; Django has logged it. While the database is away
    that is no mistake of the server's, and passes."""
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        return problem(request, StorageAway())
    return defaults.server_error(request)


def problem(
    request: HttpRequest,
    error: ServiceError,
    *,
    again: str = "/",
    unsent: str = "",
    send: str = "",
    client_id: UUID | None = None,
) -> HttpResponse:
    """A page that says why something was not done, with the fitting status. What was `unsent` is in
    a box there, to be mended and sent to `send`, with the same `client_id`."""
    context: dict[str, object] = {"explanation": error.detail, "again": again}
    context |= {"unsent": unsent, "send": send, "client_id": client_id}
    context["heading"] = HEADINGS.get(error.code, "Not just now.")
    if isinstance(error, NoCharacter):
        context["heading"] = "Nobody is home yet."
        context["explanation"] = "No characters are there. Whoever runs this site can load some:"
        context["command"] = "python manage.py load_personas"
    response = render(request, "conversations/problem.html", context, status=error.status)
    if error.retry_after:
        response["Retry-After"] = retry_header(error.retry_after)
    return response


def _own(request: HttpRequest, conversation_id: UUID) -> Conversation:
    owner = owner_from_request(request)
    return get_object_or_404(conversations_of_owner(owner=owner), pk=conversation_id)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return uuid4()


def _open_from(said: list[Message]) -> int:
    """Where what is not for the log begins: at the open replies that no finished one follows. An
    older one is being written anew, and what came after it is not to be read out again."""
    replies = [message for message in said if message.role == Role.BOT]
    last = list(takewhile(lambda reply: reply.status in UNFINISHED, reversed(replies)))
    return said.index(last[-1]) if last else len(said)


def _back(request: HttpRequest) -> HttpResponse:
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = reverse("conversation-list")
    return redirect(target)


def _download(document: object, filename: str) -> HttpResponse:
    response = JsonResponse(document, json_dumps_params={"ensure_ascii": False, "indent": 2})
    response["Content-Disposition"] = content_disposition_header(True, filename) or ""
    return response
