"""Deleting in the admin: how much at once, and what has to end first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import actions
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

# The page that asks whether one is sure sends each row back as a field of its form, and Django
# takes 1,000 fields.
AT_ONCE = 900


@admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
def delete_selected(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Any]
) -> HttpResponse | None:
    """Django's own action, for no more than AT_ONCE rows.

    A class may say in `deletes_more` how more are deleted.
    """
    if queryset.order_by()[: AT_ONCE + 1].count() <= AT_ONCE:
        return actions.delete_selected(model_admin, request, queryset)
    refusal = (
        f"Nothing was deleted: more than {AT_ONCE} {model_admin.opts.verbose_name_plural} are "
        f"selected, and at most {AT_ONCE} can be deleted at once. Narrow the list first. "
        f"{getattr(model_admin, 'deletes_more', '')}"
    )
    model_admin.message_user(request, refusal.strip(), messages.ERROR)
    return None


admin.site.add_action(delete_selected, "delete_selected")


class PreparedDeletion(admin.ModelAdmin):  # type: ignore[type-arg]
    """Does something before rows are deleted, outside Django's transaction around a single one.

    In that SQLite's one writer is taken, for which a reply that is to stop may have to wait.
    """

    def deletion_prepare(self, rows: Iterable[Any]) -> None:
        raise NotImplementedError

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if request.POST else None
        if row is not None and self._may_delete(request, row):
            self.deletion_prepare([row])
        return super().delete_view(request, object_id, extra_context)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self.deletion_prepare(queryset)
        super().delete_queryset(request, queryset)

    def _may_delete(self, request: HttpRequest, row: Any) -> bool:
        _, _, lacking, protected = self.get_deleted_objects([row], request)
        return self.has_delete_permission(request, row) and not lacking and not protected
