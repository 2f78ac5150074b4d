"""Detections, losses and a demo, drawn."""
