"""Documents from the live state: what the charter, the codebook and the configuration already say, written out once.

Reading order: `facts` (what a document may draw on), `dpia` (the data protection impact assessment; its points in
`dpia_description` and `dpia_judgement`), `turtle` and `catalogue` (the entry for a catalogue of health data).
"""
