"""The SIPS client against servers that misbehave byte by byte."""
