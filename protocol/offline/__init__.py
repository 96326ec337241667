"""The offline phase: material that depends on nobody's data, made in the background (LowGear).

Keller, Pastro, Rotaru, *Overdrive: Making SPDZ Great Again*, EUROCRYPT 2018, eprint 2017/1230.  Read ``proofs``
(everybody proves its ciphertexts), ``epoch`` (keys, Δ), ``products`` (pairwise products and MACs), then what they
make: ``triples``, ``squares`` and ``bits``, ``masks``; ``factory`` joins them for the daemon.
"""
