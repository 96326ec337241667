"""Results as self-contained pages: HTML with inline SVG, no script, nothing fetched.

``page.render(document, language)`` is the way in; ``kinds.document(release, context)`` makes the
document of a release of any kind.
"""
