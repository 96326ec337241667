"""A hospital's own data: read, validated against the codebook, asked, and never shown to anybody else.

Reading order: `errors` (findings and refusals), `forbidden` (columns that may not be in a file), `source` (an
opened and inspected file), `engine` (DuckDB, locked down; imported only when a file is loaded), `validate`
(values against the codebook), `load` (all of these → `Dataset`), `optout` and `optout_fhir` (who objects, and is
left out before anything else), `where_tokens` and `where` (an analyst's condition → checked SQL) and `query` (a table
plan → the numbers a centre contributes).
"""
