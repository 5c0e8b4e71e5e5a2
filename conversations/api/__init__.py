"""The REST API, version 1: the same conversations through the same services (docs/api.md)."""
