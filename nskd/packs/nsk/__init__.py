"""The NSK pack: `pack.toml`, `codebook.toml` and `synthetic.toml`, no code."""
