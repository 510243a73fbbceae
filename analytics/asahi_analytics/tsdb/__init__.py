"""Prometheus' storage blocks, as far as writing them goes. The formats: prometheus/prometheus, tsdb/docs/format."""
