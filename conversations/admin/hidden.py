"""Lists of what is shown masked."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest


class HiddenFields(admin.ModelAdmin):  # type: ignore[type-arg]
    """The address of a list may ask for any column by parts of it, from which a masked value could
    be guessed sign by sign; not for `hidden` ones, nor through them."""

    hidden: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        is_hidden = lookup.partition("__")[0] in self.hidden
        return not is_hidden and super().lookup_allowed(lookup, value, request)
