"""The admin: staff read conversations and look after the characters."""

from __future__ import annotations

from conversations.admin.conversations import ConversationAdmin
from conversations.admin.messages import MessageAdmin
from conversations.admin.personas import PersonaAdmin

__all__ = ["ConversationAdmin", "MessageAdmin", "PersonaAdmin"]
