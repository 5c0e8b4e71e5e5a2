"""Signing in, for people with an account: their conversations follow them to any browser."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from conversations.services.conversations import conversations_claim
from conversations.services.errors import RateLimited
from conversations.services.limits import sign_in_limit
from conversations.services.owners import client_address, owner_from_request


class LimitedSignIn(AuthenticationForm):
    """Passwords cannot be guessed quickly (`CHATBOT_SIGN_IN_RATE`)."""

    def clean(self) -> dict[str, Any]:
        try:
            address = client_address(self.request) if self.request else ""
            sign_in_limit(name=self.cleaned_data.get("username", ""), address=address)
        except RateLimited as error:
            raise ValidationError(error.detail, code="rate_limited") from error
        return super().clean()


class StaffSignIn(LimitedSignIn, AdminAuthenticationForm):
    """The admin's, which staff alone may use."""


class SignIn(LoginView):
    authentication_form = LimitedSignIn
    template_name = "conversations/sign_in.html"
    redirect_authenticated_user = True


def claim_what_was_said(*, request: HttpRequest, **_: Any) -> None:
    """Wherever people sign in, what their browser has said so far is theirs from now on."""
    conversations_claim(owner=owner_from_request(request))
