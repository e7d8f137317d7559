"""Scoring scripts: packing and checking them (driver), and what they find around them (worker)."""
