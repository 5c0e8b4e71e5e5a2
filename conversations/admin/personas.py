"""Characters: looked at, written, changed and switched on and off."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import ShowFacets
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conversations.admin.cells import moment, persona_avatar
from conversations.admin.changelist import BoundedPaginator, PersonaChangeList, search_words
from conversations.admin.unchanged import UnchangedForm
from conversations.models import Persona
from conversations.selectors import personas_found
from conversations.services.persona_edits import (
    MAX_LINE_LENGTH,
    MAX_LINES,
    PersonaInvalid,
    persona_lines,
    persona_same,
    persona_save,
    personas_switch,
)


class PersonaForm(UnchangedForm):
    lines = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 8, "cols": 72}),
        strip=False,
        help_text=(
            f"First-person sentences, one a line: 1 to {MAX_LINES} lines of at most "
            f"{MAX_LINE_LENGTH} characters. The model speaks from these and nothing else."
        ),
    )

    class Meta:
        model = Persona
        fields = ("name", "lines", "emblem", "color", "is_active")
        labels: ClassVar = {"color": "Colour"}
        widgets: ClassVar = {"color": forms.TextInput(attrs={"type": "color"})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["lines"] = "\n".join(self.instance.lines)

    def clean_lines(self) -> list[str]:
        try:
            lines = persona_lines(text=self.cleaned_data["lines"])
        except PersonaInvalid as error:
            raise forms.ValidationError(error.problems) from error
        same = None if self.instance.pk else persona_same(lines=lines)
        if same is not None:
            raise forms.ValidationError(
                f"A character with these lines is there already: {same.name} (number {same.pk})."
            )
        return lines


@admin.register(Persona)
class PersonaAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = PersonaForm
    list_display = ("who", "says", "source", "is_active", "chats")
    list_display_links = ("who",)
    list_filter = ("is_active", "source")
    list_per_page = 50
    list_max_show_all = 200
    search_fields = ("name", "lines")  # shows the box; personas_found does the searching
    search_help_text = "Words of a character's name or lines."
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by = ("who", "source")
    actions = ("switch_on", "switch_off")
    fieldsets = (
        (None, {"fields": ("name", "lines", "is_active")}),
        ("Avatar", {"fields": ("emblem", "color", "preview")}),
        ("About", {"fields": ("source", "added", "chats")}),
    )
    readonly_fields = ("preview", "source", "added", "chats")

    class Media:
        css: ClassVar = {"all": ["conversations/admin.css"]}
        js = ("conversations/admin.js",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PersonaChangeList]:
        return PersonaChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Persona], search_term: str
    ) -> tuple[QuerySet[Persona], bool]:
        return personas_found(personas=queryset, words=search_words(search_term)), False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"emblem": "🙂", "color": "#3f6db3", **super().get_changeform_initial_data(request)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Characters", **(extra_context or {})})

    def get_fieldsets(self, request: HttpRequest, obj: Persona | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:2]

    # Columns

    @admin.display(description="character", ordering="name")
    def who(self, persona: Persona) -> SafeString:
        return format_html(
            '<span class="chat-name">{}<span>{}</span></span>',
            persona_avatar(persona),
            persona.name,
        )

    @admin.display(description="lines")
    def says(self, persona: Persona) -> SafeString:
        return format_html('<span class="persona-says">{}</span>', " ".join(persona.lines))

    @admin.display(description="added")
    def added(self, persona: Persona) -> SafeString:
        return moment(persona.created_at)

    @admin.display(description="conversations")
    def chats(self, persona: Persona) -> SafeString | str:
        number = getattr(persona, "conversation_count", None)
        if number is None:
            number = persona.conversations.count()
        if not number:
            return "0"
        url = reverse("admin:conversations_conversation_changelist")
        return format_html('<a href="{}?persona__id__exact={}">{}</a>', url, persona.pk, number)

    @admin.display(description="preview")
    def preview(self, persona: Persona) -> SafeString:
        shown = persona if persona.pk else Persona(color="#3f6db3", emblem="🙂")
        return format_html(
            '<span class="persona-preview">{}</span>', persona_avatar(shown, size=64)
        )

    # Writing goes through the services

    def save_model(self, request: HttpRequest, obj: Persona, form: Any, change: bool) -> None:
        persona_save(persona=obj)

    @admin.action(description="Switch selected characters on", permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        self._switch(request, queryset, on=True)

    @admin.action(description="Switch selected characters off", permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Persona]) -> None:
        self._switch(request, queryset, on=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Persona], *, on: bool) -> None:
        number = personas_switch(personas=queryset, on=on)
        noun = "character" if number == 1 else "characters"
        state = "on: new chats may meet them" if on else "off: new chats will not meet them"
        self.message_user(request, f"{number} {noun} switched {state}.", messages.SUCCESS)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Says which characters are in use, and not each of their conversations."""
        pks = [persona.pk for persona in objs]
        personas = Persona.objects.filter(pk__in=pks).annotate(uses=Count("conversations"))
        protected: list[str] = [
            format_html("{}: {} conversation{}", each.name, each.uses, "s" * (each.uses != 1))
            for each in personas
            if each.uses
        ]
        named = [each.name for each in personas]
        return named, {"characters": len(personas)}, set(), protected
