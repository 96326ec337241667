"""Results as self-contained pages: HTML with inline SVG, no script, nothing fetched.

``page.render(document, language)`` is the way in; ``release.table_document`` makes the document of a released table.
"""
