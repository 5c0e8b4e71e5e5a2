from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ChatAdminConfig(AdminConfig):
    """Django's admin with the site in conversations/admin_site.py in place of the plain one."""

    default_site = "conversations.admin_site.ChatAdminSite"
