"""Telemetry: logs without storms, metrics, traces."""
