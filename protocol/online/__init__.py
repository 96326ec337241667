"""The online phase: what is computed once data is there, from material made beforehand.

Read ``arithmetic`` (inputs, products, results) with its kernels ``beaver``, ``comparison`` (signs of small integers)
with its kernels ``signs``, ``digits`` and ``rounding``, ``rules``, ``conjunction`` and ``differences`` (what is asked
of a cell), ``disclosure`` (which cells may be opened), ``shuffle``, ``overdispersion`` and ``hospitals`` (what may be
told of centres apart), ``fixed_point``, ``inverse``, ``frame`` and ``regression`` (a model, fitted on shares).
"""
