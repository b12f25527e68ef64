"""Security evaluations in the words of PandaVision's clients: its requests, its answers, without its faults.

Pure translation. A body with PandaVision's hyphenated keys becomes parameters of our experiment, and the report of the
experiment becomes the JSON, CSV and pictures that its clients read. Where PandaVision's numbers were rounded, relative
to other samples or missing, ours are exact; what it ignored or accepted without a check is refused by name.
"""
