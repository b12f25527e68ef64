"""Labelled records of one shape (tables, images, sentences) as teams' and admins' data sets.

The rule: whatever the file, a data set becomes a `RecordSet`: an array of inputs, an array of labels, and their names.
Files are data from strangers: bounded before memory is taken, never executed, and refused with every complaint at once.
"""

from app.record_sets.digits import digits
from app.record_sets.reading import KINDS, read
from app.record_sets.records import RecordLimits, RecordSet

__all__ = ["KINDS", "RecordLimits", "RecordSet", "digits", "read"]
