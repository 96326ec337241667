"""The online phase: what is computed once data is there, from material made beforehand.

Read ``arithmetic`` (inputs, products, results), ``comparison`` (signs of small integers), ``disclosure`` (which cells
may be opened).
"""
