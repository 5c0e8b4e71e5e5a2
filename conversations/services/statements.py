"""The statements that run for every message, composed once.

Django's ORM composes its SQL anew at every call, which for these few took ten times as long as
SQLite takes to run them. Tables, columns and conversions still come from the models.
"""

# ruff: noqa: S608, SLF001 - the names in the SQL are the models', and `_meta` is public

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from django.db import connection
from django.db.models import Field, Model

from conversations.models import Conversation, Message, Persona

_MESSAGES = Message._meta.db_table
_CONVERSATIONS = Conversation._meta.db_table
_OPEN = "role = 'bot' AND status IN ('pending', 'streaming')"

# (conversation_id, client_id) -> id of a message that was sent before
MESSAGE_SENT = f"SELECT id FROM {_MESSAGES} WHERE conversation_id = %s AND client_id = %s"
# (started_at, conversation_id) -> id and sampling of the reply that is begun with this, and the id
# before which everything was said that it is to know: one whose first row was deleted stands behind
# what came after its question.
REPLY_CLAIM = f"""
    UPDATE {_MESSAGES} SET status = 'streaming', started_at = %s
    WHERE status = 'pending'
        AND id = (SELECT MIN(id) FROM {_MESSAGES} WHERE conversation_id = %s AND {_OPEN})
    RETURNING id, sampling, COALESCE(reply_to_id + 1, id)"""
# (conversation_id) -> ids of its unfinished replies, the one being written first
REPLIES_OPEN = f"""
    SELECT id FROM {_MESSAGES} WHERE conversation_id = %s AND {_OPEN}
    ORDER BY status DESC, id"""
# (conversation_id) -> name and lines of its character
PERSONA = f"""
    SELECT name, lines FROM {Persona._meta.db_table}
    WHERE id = (SELECT persona_id FROM {_CONVERSATIONS} WHERE id = %s)"""
# (conversation_id, id, limit) -> role and text of what was said before a message, the last first,
# each with how much that is altogether.
# A character remembers what it said as far as it got; what failed it never said.
TURNS_BEFORE = f"""
    SELECT role, text, COUNT(*) OVER () FROM {_MESSAGES}
    WHERE conversation_id = %s AND id < %s AND text <> ''
        AND (role = 'user' OR status IN ('complete', 'stopped', 'interrupted'))
    ORDER BY id DESC LIMIT %s"""


def fetch(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cast("list[tuple[Any, ...]]", cursor.fetchall())


def adapt(model: type[Model], name: str, value: Any) -> Any:
    """A value of a field as the database's driver wants it."""
    return _field(model, name).get_db_prep_save(value, connection)


def restore(model: type[Model], name: str, value: Any) -> Any:
    """A value of a field from what the database's driver gives."""
    for convert in _converters(model, name):
        value = convert(value, None, connection)
    return value


def row_insert(row: Model) -> None:
    """Insert a new row; it gets its primary key."""
    sql, names = _insert(type(row))
    values = [adapt(type(row), name, getattr(row, name)) for name in names]
    row.pk = fetch(sql, values)[0][0]
    row._state.adding = False
    row._state.db = connection.alias


def rows_update(model: type[Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """Set fields of all rows whose fields have certain values; returns how many there were."""
    sql = _update(model, tuple(where), tuple(values))
    params = [adapt(model, name, value) for name, value in (*values.items(), *where.items())]
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


@cache
def _insert(model: type[Model]) -> tuple[str, tuple[str, ...]]:
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    marks = ", ".join("%s" for _ in fields)
    key = model._meta.pk.column
    sql = f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({marks}) RETURNING {key}"
    return sql, tuple(field.attname for field in fields)


@cache
def _update(model: type[Model], where: tuple[str, ...], values: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{_field(model, name).column} = %s" for name in values)
    conditions = " AND ".join(f"{_field(model, name).column} = %s" for name in where)
    return f"UPDATE {model._meta.db_table} SET {assignments} WHERE {conditions}"


@cache
def _field(model: type[Model], name: str) -> Field[Any, Any]:
    fields = {field.attname: field for field in model._meta.concrete_fields}
    return fields[name]


@cache
def _converters(model: type[Model], name: str) -> list[Any]:
    column = _field(model, name).get_col(model._meta.db_table)
    return [
        *connection.ops.get_db_converters(column),
        *column.get_db_converters(connection),
    ]
