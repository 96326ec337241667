"""A hospital's own data: read, validated against the codebook, asked, and never shown to anybody else.

Reading order: `errors` (findings and refusals), `forbidden` (columns that may not be in a file), `origin` (where the
data are), `source` (an opened and inspected file), `engine` (DuckDB, locked down; imported only when data are loaded),
`staged` (what each source comes to), `stage_file`, `stage_table`, `stage_server` and `fhir` (the sources), `validate`
(values against the codebook), `load` (all of these → `Dataset`), `quality` (how complete and consistent it is),
`optout` and `optout_fhir` (who objects, and is left out before anything else), `where_tokens` and `where` (an analyst's
condition → checked SQL) and `query` (a table plan → the numbers a centre contributes).
"""
