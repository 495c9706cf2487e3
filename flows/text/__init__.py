"""Texts made fit to be kept and shown: redacted, storable, cut to their useful end."""
