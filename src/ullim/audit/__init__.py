"""Audits: a bundle under noise, rooms, telephones and codecs, and for whom it works less well.

:func:`ullim.audit.run.audit` predicts clips of corpora as they are and under each of
:data:`ullim.audit.conditions.CONDITIONS`; what must hold stands in :mod:`ullim.audit.marks`.
"""
