"""A form that does not undo what others have done since it was opened."""

from __future__ import annotations

from typing import Any

from django import forms


class UnchangedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Carries along what its row was when the page was opened, and is not saved over another row.

    The page's template shows `opened_as`, which is hidden.
    """

    opened_as = forms.JSONField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["opened_as"] = self._now()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        opened_as = self.cleaned_data.get("opened_as")
        now = self._now()
        if self.instance.pk and opened_as and opened_as != now:
            was = opened_as if isinstance(opened_as, dict) else {}
            self.add_error(None, forms.ValidationError(self._changes(was, now)))
        return cleaned

    def _now(self) -> dict[str, Any]:
        return forms.model_to_dict(self.instance, fields=list(self.fields))

    def _changes(self, was: dict[str, Any], now: dict[str, Any]) -> list[str]:
        changes = [
            f"{self.fields[name].label or name} is now: {_shown(value)}"
            for name, value in now.items()
            if was.get(name) != value
        ]
        return [
            "Nothing was saved: this was changed elsewhere after you had opened the page. "
            "Open it again and make your changes there.",
            *changes,
        ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "\n".join(value) if isinstance(value, list) else str(value)
