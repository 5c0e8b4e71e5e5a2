"""The admin: staff read conversations and look after characters and accounts."""

from __future__ import annotations

from conversations.admin.conversations import ConversationAdmin
from conversations.admin.messages import MessageAdmin
from conversations.admin.personas import PersonaAdmin
from conversations.admin.tokens import MaskedTokenAdmin
from conversations.admin.users import AccountAdmin

__all__ = ["AccountAdmin", "ConversationAdmin", "MaskedTokenAdmin", "MessageAdmin", "PersonaAdmin"]
