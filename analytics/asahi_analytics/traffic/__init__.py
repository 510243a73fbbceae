"""Traffic that was recorded elsewhere: reading traces and playing them through the exporter."""
