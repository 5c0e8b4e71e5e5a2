"""Static files under names with a hash of their content, so that browsers keep them for ever."""

from __future__ import annotations

from servestatic.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Also rewrites what JavaScript modules import from each other."""

    support_js_module_import_aggregation = True
