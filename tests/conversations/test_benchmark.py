"""`manage.py benchmark` on the real default bundle."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command


def test_the_live_bundle_is_measured_in_one_json_line() -> None:
    out = StringIO()
    call_command("benchmark", "--chats", "1,2", tokens=8, json=True, stdout=out, stderr=StringIO())
    line = json.loads(out.getvalue().splitlines()[-1])
    assert line["decode_tok_s"].keys() == {"1", "2"}
    assert line["first_token_ms"].keys() == {"p50", "p95"}
    assert min(line["load_s"], line["prefill_tok_s"], *line["decode_tok_s"].values()) > 0
    assert line["peers"] == line["ratios"] == {}
    assert line["machine"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--peers"], "--peers needs --distilgpt2"),
        (["--tokens", "1"], "--tokens must be 8 or more"),
        (["--chats", "none"], "must be numbers of chats"),
        (["--bundle", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("benchmark", *arguments, stdout=StringIO(), stderr=StringIO())
