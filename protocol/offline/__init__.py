"""The offline phase: material that depends on nobody's data, made in the background.

Pairwise products of plaintexts and proved ciphertexts, after Keller, Pastro, Rotaru, *Overdrive: Making SPDZ Great
Again*, EUROCRYPT 2018, eprint 2017/1230 (LowGear), with MACs that check the products themselves instead of a sacrifice
(step 7.5).  Read ``keys``, ``ciphertexts`` and ``proofs`` (everybody proves its ciphertexts), ``epoch`` (keys and Δ),
``products`` (who multiplies what into what, in parts), ``authentication`` (the check), then what they make:
``triples``, ``squares`` and ``bits``, ``masks``; ``factory`` joins them for the daemon.
"""
