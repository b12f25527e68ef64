"""Protections of packet traces: padding, delaying and re-shaping."""
