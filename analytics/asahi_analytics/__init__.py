"""Analytics of Asahi: answers about money from Prometheus."""
