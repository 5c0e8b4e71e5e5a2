"""Filters of the lists of texts and numbers."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from sms.models import UNSETTLED, Answer, Contact, State, Thread
from sms.services.status import BAD_STATUSES


class DeliveryFilter(SimpleListFilter):
    title = "delivery"
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("failed", "failed"), ("owed", "still owed"), ("arrived", "arrived")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Answer]) -> QuerySet[Answer]:
        bad = Q(state__in=(State.FAILED, State.UNKNOWN)) | Q(delivery_status__in=BAD_STATUSES)
        match self.value():
            case "failed":
                return queryset.filter(bad)
            case "owed":
                return queryset.filter(state__in=UNSETTLED)
            case "arrived":
                return queryset.filter(delivery_status__in=("delivered", "read"))
        return queryset


class OptedOutFilter(SimpleListFilter):
    title = "opted out"
    parameter_name = "opted_out"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("yes", "texted STOP")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Contact]) -> QuerySet[Contact]:
        if self.value() == "yes":
            out = Thread.objects.filter(opted_out_at__isnull=False)
            return queryset.filter(pk__in=out.values("contact_id"))
        return queryset
