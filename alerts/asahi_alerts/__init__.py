"""Alerts of Asahi: thresholds, rules and notifications."""
