"""Exporter of Asahi: what instrumented code imports."""
